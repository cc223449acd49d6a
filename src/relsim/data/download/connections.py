"""Connections: one TLS context, one cache of names, and the policy's word on every address.

Names are resolved by `CheckedResolver`, which passes on allowed addresses only. Every socket is made by a function that
sees the address it is for and looks again: that covers addresses which need no resolving, and leaves no moment between
looking and connecting. Proxies of the environment are not used, because behind them nobody knows the address.
"""

from __future__ import annotations

import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from relsim.data.download.options import DownloadOptions
from relsim.data.download.policy import AddressRefusedError, Policy
from relsim.errors import SourceError

_NAMES_KEPT = 300  # seconds
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_MOST_MISSING = 100_000


def open_session(options: DownloadOptions, policy: Policy, lookups: ThreadPoolExecutor) -> aiohttp.ClientSession:
    """A session for one download: no cookies, no redirects of its own accord, bodies as they are sent.

    Raises `SourceError` for a file of certificates that cannot be read.
    """

    def checked_socket(info: tuple[Any, ...]) -> socket.socket:
        address = str(info[4][0])
        if not policy.allows(address):
            raise AddressRefusedError(f"{address} is no public address")
        return socket.socket(info[0], info[1], info[2])

    connector = aiohttp.TCPConnector(
        ssl=tls_context(options.ca_file),
        resolver=CheckedResolver(policy, lookups),
        ttl_dns_cache=_NAMES_KEPT,
        limit=0,  # the queue sees to both
        limit_per_host=0,
        # TLS waits for the other side's farewell when it closes. From 3.12.8 and 3.13.1 on Python gives up waiting
        # itself, and aiohttp warns where this is asked for in vain.
        enable_cleanup_closed=sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1),
        socket_factory=checked_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout, sock_read=options.read_timeout),
        headers={
            "User-Agent": options.user_agent,
            "Accept": "image/*, */*;q=0.5",
            "Accept-Encoding": "identity",
        },
    )


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The context that all connections share; certificates of `ca_file` count beside those of the system."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # of which ssl.SSLError is a kind
            raise SourceError(f"{ca_file} is no readable file of certificates in PEM form: {error}") from error
    return context


class CheckedResolver(AbstractResolver):
    """Looks up names in threads of `lookups`, and passes on addresses that the policy allows.

    A name that does not exist is looked up once. Raises `AddressRefusedError` where a name has other addresses only.
    """

    def __init__(self, policy: Policy, lookups: ThreadPoolExecutor) -> None:
        self._policy = policy
        self._lookups = lookups
        self._missing: dict[str, socket.gaierror] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The allowed addresses of a name. Raises OSError."""
        import asyncio

        if host in self._missing:
            raise self._missing[host].with_traceback(None)
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.run_in_executor(self._lookups, _look_up, host, port, family)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME and len(self._missing) < _MOST_MISSING:
                self._missing[host] = error
            raise
        found: list[ResolveResult] = [
            {
                "hostname": host,
                "host": str(address[0]),
                "port": int(address[1]),
                "family": kind,
                "proto": protocol,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for kind, _, protocol, _, address in infos
            if self._policy.allows(str(address[0]))
        ]
        if not found:
            addresses = ", ".join(dict.fromkeys(str(info[4][0]) for info in infos[:3]))
            raise AddressRefusedError(f"{host} is {addresses}, no public address")
        return found

    async def close(self) -> None:
        """Nothing is open."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
    flags = getattr(socket, "AI_ADDRCONFIG", 0)
    return list(socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags))
