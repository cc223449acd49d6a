"""What a server is told: where it listens, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Any

from relsim.errors import SourceError

MIB = 2**20
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,}")
LOOPBACK_NAMES = frozenset({"localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Every setting of a server, checked when it is made. Raises `SourceError` for values that make no sense.

    Without a `token` only this machine may ask, so a `host` that others can reach needs one. `names` are further names
    by which browsers may call the server; others are refused, so that no foreign page can reach it by a name of its own
    that leads here. A `host` that stands for all addresses (0.0.0.0, ::) has all of them as names, and the machine's.
    Times are in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    max_upload_bytes: int = 32 * MIB
    max_upload_pixels: int = 64_000_000
    head_seconds: float = 10.0  # for the head of a request to arrive
    reading_seconds: float = 30.0  # in which a client must take something of what waits for it
    connections: int = 512  # whoever comes then is told to come back
    body_seconds: float = 30.0  # for the whole body of any request but an upload
    upload_seconds: float = 30.0  # for the whole body of an upload to arrive
    uploads_at_once: int = 32  # that may be on their way; the next is told to come back
    decode_seconds: float = 10.0
    uploads_kept: int = 256
    max_body_bytes: int = MIB  # of any other request
    batch: int = 64  # questions that are answered together
    waiting: int = 256  # questions that may wait; the next is told to come back
    readings: int = 32  # questions that look through a whole table, list or run and may wait, of each kind
    explanations: int = 4  # pairs that may wait to be explained, which takes seconds each
    thumbnail_bytes: int = 64 * MIB  # memory for thumbnails that were made

    def __post_init__(self) -> None:
        for name in (
            "connections",
            "max_upload_bytes",
            "max_upload_pixels",
            "uploads_kept",
            "uploads_at_once",
            "max_body_bytes",
            "batch",
            "waiting",
            "readings",
            "explanations",
        ):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("head_seconds", "reading_seconds", "body_seconds", "upload_seconds", "decode_seconds"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "more than 0")
        _check("port", self.port, 0 <= self.port <= 65_535, "from 0 to 65,535")
        if self.token is None and not is_loopback(self.host):
            raise SourceError(f"others can reach {self.host}: give --token, or listen on 127.0.0.1")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise SourceError("a token has at least 8 letters, digits, and the signs - . _ ~, to fit into an address")

    @property
    def known_names(self) -> frozenset[str]:
        """Names in a Host header that are answered, as `plain_name` writes them."""
        own = {self.host, *self.names, *LOOPBACK_NAMES, "127.0.0.1", "::1"}
        if is_everywhere(self.host):
            own.add(socket.gethostname())
        return frozenset(map(plain_name, own))


def plain_name(name: str) -> str:
    """A name or address without case and brackets; an address as it is written shortest, without its zone."""
    found = _address_of(name)
    return name.lower() if found is None else str(found)


def is_address(name: str) -> bool:
    """Whether that is an address and not a name."""
    return _address_of(name) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    found = _address_of(host)
    return host.lower() in LOOPBACK_NAMES if found is None else found.is_loopback


def is_everywhere(host: str) -> bool:
    """Whether that stands for all addresses of the machine."""
    found = _address_of(host)
    return found is not None and found.is_unspecified


def _address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None


def _check(name: str, value: Any, good: bool, acceptable: str) -> None:  # noqa: FBT001 - the outcome of a comparison
    if not good:
        raise SourceError(f"{name} is {value!r}; it must be {acceptable}")
