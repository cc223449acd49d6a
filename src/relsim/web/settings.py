"""What a server is told: where it listens, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
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
    that leads here. Times are in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: tuple[str, ...] = ()
    max_upload_bytes: int = 32 * MIB
    max_upload_pixels: int = 64_000_000
    head_seconds: float = 10.0  # for the head of a request to arrive
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
        for name in ("head_seconds", "body_seconds", "upload_seconds", "decode_seconds"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "more than 0")
        _check("port", self.port, 0 <= self.port <= 65_535, "from 0 to 65,535")
        if self.token is None and not is_loopback(self.host):
            raise SourceError(f"others can reach {self.host}: give --token, or listen on 127.0.0.1")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise SourceError("a token has at least 8 letters, digits, and the signs - . _ ~, to fit into an address")

    @property
    def known_names(self) -> frozenset[str]:
        """Names in a Host header that are answered, in lower case and without a port."""
        own = {self.host.lower()} | {name.lower() for name in self.names}
        return frozenset(own | LOOPBACK_NAMES | {"127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK_NAMES


def _check(name: str, value: Any, good: bool, acceptable: str) -> None:  # noqa: FBT001 - the outcome of a comparison
    if not good:
        raise SourceError(f"{name} is {value!r}; it must be {acceptable}")
