"""Running the application: one process, one event loop, a clean end."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from relsim.errors import RelsimError
from relsim.web import heap
from relsim.web.metrics import JsonLine
from relsim.web.patience import patient
from relsim.web.settings import ServerSettings, is_everywhere
from relsim.web.state import State

_BACKLOG = 1_024
_IDLE_SECONDS, _END_SECONDS = 15, 10


def listen(settings: ServerSettings) -> socket.socket:
    """The socket of the server, which listens; with port 0 the system chooses one. Raises `RelsimError`."""
    host = _bare(settings.host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm, which holds back the second half of an answer until
    # the first is acknowledged: 40 ms for each.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and is_everywhere(host):
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 comes along, whatever the default
        listening.bind((host, settings.port))
        listening.listen(_BACKLOG)  # who comes before the server is up waits for it
    except OSError as error:
        listening.close()
        raise RelsimError(
            f"{settings.host}:{settings.port} cannot be listened on: {(error.strerror or str(error)).lower()}; "
            "another --port may be free (0 takes any)"
        ) from error
    return listening


def address(settings: ServerSettings, listening: socket.socket, *, with_token: bool = True) -> str:
    """Where to point a browser; with a token, the address brings it unless that shall not be read here."""
    host = _bare(settings.host).partition("%")[0]
    if is_everywhere(host):
        host = _own_address(listening.family)
    secret = f"/?token={settings.token}" if settings.token and with_token else ""
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}{secret}"


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _own_address(family: int) -> str:
    """The address by which this machine goes out to others, of the loopback where it cannot. Nothing is sent."""
    loopback, elsewhere = ("::1", "2001:db8::1") if family == socket.AF_INET6 else ("127.0.0.1", "198.51.100.1")
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((elsewhere, 9))
        except OSError:
            return loopback
        return str(asking.getsockname()[0]).partition("%")[0]


def serve(app: FastAPI, listening: socket.socket, *, log_requests: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; requests that have arrived have ten seconds to end.

    Where a thread works on after that, the signal ends the process, with whatever else is in it.
    """
    if log_requests:
        _log_lines()
    state: State = app.state.relsim
    settings = state.settings
    state.has_process = True
    heap.have_few_heaps()
    config = uvicorn.Config(
        app,
        http=patient(
            seconds=settings.head_seconds,
            reading_seconds=settings.reading_seconds,
            most=settings.connections,
            told=state.metrics.refused.labels("connections").inc,
        ),
        log_config=None,
        access_log=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
        server_header=False,
    )
    _Server(config, state).run(sockets=[listening])


def _log_lines() -> None:
    """Lines of JSON on stderr, for each request and for what else is logged: who reads them by a program reads all."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("%(message)s"))
    requests = logging.getLogger("relsim.web.requests")
    requests.addHandler(lines)
    requests.setLevel(logging.INFO)
    requests.propagate = False
    others = logging.getLogger()
    if not others.handlers:
        others.addHandler(logging.StreamHandler(sys.stderr))
    for handler in others.handlers:
        handler.setFormatter(JsonLine())


class _Server(uvicorn.Server):
    """Tells the application of the end at once, and leaves behind what still works when its time is over."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state
        self._signal: int = signal.SIGTERM

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does."""
        self._signal = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; what the loop of the server does after a signal."""
        self._state.ending.begin()
        await super().shutdown(sockets)
        if self._state.at_work:
            # Python would wait for its threads, and none can be interrupted: the signal does what it does by itself.
            sys.stdout.flush()
            sys.stderr.flush()
            signal.signal(self._signal, signal.SIG_DFL)
            signal.raise_signal(self._signal)
