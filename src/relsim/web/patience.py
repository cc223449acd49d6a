"""Connections: how many there may be, and on which a client takes its time: how long the server waits, then no more.

uvicorn limits only how long a connection may be silent between two requests. A client that sends a sign of its head now
and then, goes on sending a body that has been refused, or reads nothing of its answer would keep its place for ever,
and places are counted. Bodies that are wanted have a limit of their own (`relsim.web.guard`, `relsim.web.uploads`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from relsim.web.guard import Receive, Scope, Send

if sys.platform == "linux":
    import fcntl
    import termios

_CROWDED = json.dumps({"detail": "too many connections; come back in a moment"}).encode()
_COME_BACK = b"2"  # seconds


class Patient(H11Protocol):
    """A connection of uvicorn that waits `seconds` for a head to be whole, and for the rest of a refused body.

    So long a client may leave what waits for it unread. Of more than `most` connections the later ones are told to come
    back, and `told` is called for each.
    """

    seconds: ClassVar[float] = 10.0
    reading_seconds: ClassVar[float] = 30.0
    most: ClassVar[int] = 512
    told: ClassVar[Callable[[], None]]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self.app = self._come_back
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop()
        super().connection_lost(exc)  # which resumes writing

    def data_received(self, data: bytes) -> None:
        """A request that is whole, or goes on with its body, is left to the application; all else has its time."""
        super().data_received(data)
        if self._at_work:
            self._stop()
        else:
            self._wait()

    def on_response_complete(self) -> None:
        """An answer may come before the body that it refuses."""
        super().on_response_complete()
        if not self._at_work and self.conn.their_state is h11.SEND_BODY:
            self._wait()

    def pause_writing(self) -> None:
        """Much waits to be read."""
        super().pause_writing()
        self._look_again(_unread(self.transport))

    def resume_writing(self) -> None:
        """It has been read, or nobody is there."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look_again(self, size: int) -> None:
        self._unread = self.loop.call_later(self.reading_seconds, self._has_read, size)

    def _has_read(self, before: int) -> None:
        """Go on only if something has been taken since; who reads slowly is waited for."""
        now = _unread(self.transport)
        if now < before:
            self._look_again(now)
        else:
            self.transport.abort()

    async def _come_back(self, _: Scope, __: Receive, send: Send) -> None:
        type(self).told()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(_CROWDED)).encode()),
            (b"retry-after", _COME_BACK),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": _CROWDED})

    @property
    def _at_work(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's type leaves out the None that it begins with
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        # What came before does not buy more time.
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._at_work:
            self.transport.close()


def _unread(transport: asyncio.Transport) -> int:
    """Bytes that wait to be taken: ours, and those that the system holds, where it tells (Linux).

    The system asks for more only when a good part of its megabytes has gone, for which a slow reader needs a while.
    """
    size = transport.get_write_buffer_size()
    if sys.platform == "linux":
        waiting = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)
            size += int.from_bytes(waiting, sys.byteorder)
    return size


def patient(*, seconds: float, reading_seconds: float, most: int, told: Callable[[], None]) -> type[Patient]:
    """The protocol with limits of its own."""
    own = {"seconds": seconds, "reading_seconds": reading_seconds, "most": most, "told": staticmethod(told)}
    return type("Patient", (Patient,), own)
