"""What a download is told: limits, policy, layout. All in one frozen record, checked when it is made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from relsim._version import __version__
from relsim.data.records import Status
from relsim.errors import SourceError

MIB = 2**20
USER_AGENT = f"relsim/{__version__} (+https://pypi.org/project/relsim/; collects images for research)"
RETRIED = frozenset(set(Status) - {Status.OK})
_AT_LEAST_ONE = ("workers", "per_host", "max_bytes", "max_pixels", "same_bytes", "part_rows", "silence")
_POSITIVE = ("connect_timeout", "read_timeout", "total_timeout", "decode_timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """Every setting of a download. Raises `SourceError` for values that make no sense.

    `layout` shards gives Parquet with the original bytes, files a folder of `<image_hash>.<suffix>` and `status/`; with
    `reencode` png, which belongs to files, each is converted to RGB and written as PNG, as the published code does.

    Times are in seconds. An attempt may take `total_timeout`, redirects included and waiting for its turn excluded;
    connecting with TLS `connect_timeout`, silence of the server `read_timeout`, decoding `decode_timeout`. A row is
    tried 1 + `retries` times. A `Retry-After` is waited for up to `longest_wait`. A host that asks for more is given
    up, and so is, until it answers, one that left `silence` attempts in a row without an answer: each further row of it
    is tried once, and not again in this run. A host may make its rows wait for `patience` altogether, after which they
    wait no more.

    `max_bytes` bounds the body as sent and as unpacked, `max_pixels` the picture, before it is decoded.

    `allow_networks` are networks (`10.1.0.0/16`) that are allowed beside public ones, `allow_private` allows all.
    `same_bytes` is the number of ids from which rows with the very same bytes are flagged. `retry` names the statuses
    whose rows are tried again.
    """

    layout: Literal["shards", "files"] = "shards"
    reencode: Literal["png"] | None = None
    workers: int = 64
    per_host: int = 8
    decoders: int | None = None  # processes that decode; None: one for each core
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 120.0
    decode_timeout: float = 30.0
    retries: int = 3
    backoff: float = 0.5  # before the first retry; doubled at each further one
    longest_wait: float = 60.0
    patience: float = 300.0
    silence: int = 20
    max_bytes: int = 64 * MIB
    max_pixels: int = 64_000_000
    user_agent: str = USER_AGENT
    ignore_robots: bool = False
    allow_private: bool = False
    allow_networks: tuple[str, ...] = ()
    ca_file: Path | None = None
    placeholders: Path | None = None  # further rules beside those that come with relsim
    keep_placeholders: bool = False
    same_bytes: int = 5
    part_rows: int = 1_000
    retry: frozenset[Status] = frozenset()

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in _POSITIVE:
            _check(name, getattr(self, name), getattr(self, name) > 0, "more than 0")
        for name in ("retries", "backoff", "longest_wait", "patience"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        _check("decoders", self.decoders, self.decoders is None or self.decoders >= 1, "at least 1")
        _check("layout", self.layout, self.layout in ("shards", "files"), "shards or files")
        _check("reencode", self.reencode, self.reencode in (None, "png"), "png, or nothing")
        _check("retry", sorted(self.retry), self.retry <= RETRIED, "statuses other than ok")
        _check("user_agent", self.user_agent, self.user_agent.isascii() and self.user_agent.isprintable(), "plain text")
        if self.reencode and self.layout == "shards":
            raise SourceError("shards hold the original bytes; --reencode png belongs to --layout files")
        for network in self.allow_networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise SourceError(f"{network!r} is not a network such as 10.1.0.0/16: {error}") from error


def parse_statuses(text: str) -> frozenset[Status]:
    """The statuses that a comma-separated list names. Raises `SourceError` naming those that can be retried."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        found = frozenset(Status(name) for name in names)
    except ValueError:
        found = frozenset({Status.OK})
    if not found or not found <= RETRIED:
        known = ", ".join(status.value for status in Status if status in RETRIED)
        raise SourceError(f"{text!r} does not name statuses to retry; there are: {known}")
    return found


def _check(name: str, value: Any, good: bool, acceptable: str) -> None:  # noqa: FBT001 - the outcome of a comparison
    if not good:
        raise SourceError(f"{name} is {value!r}; it must be {acceptable}")
