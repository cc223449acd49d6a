"""One attempt at one address: every hop checked, every limit kept, a body or a `FetchError`.

Redirects are followed here, at most five; the host of each hop gets its turn like any other. The body is counted while
it arrives, and so is what it unpacks to: identity is asked for, gzip and deflate are unpacked piece by piece, any other
encoding is an error. What begins like a page or a document of text is not waited for.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from relsim.data.download.bodies import Body
from relsim.data.download.options import DownloadOptions
from relsim.data.download.outcomes import FetchError, of_code, of_lookup
from relsim.data.download.placeholders import Placeholders
from relsim.data.download.policy import AddressRefusedError, Policy, RefusedError
from relsim.data.download.robots import forbidden_by
from relsim.data.records import Status
from relsim.errors import ShardError

MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DRAINED = 16_384  # a short body is read to its end, so that the connection can serve the next row
_DRAINING = 1.0  # seconds that this may take; a connection is not worth more
_UNPACKED_PIECE = 2**18
_GZIP_OR_ZLIB = 47  # zlib.decompressobj tells them apart by their heads
_TEXT_BEGINS = (b"<", b"{")  # no image format begins so
_UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server sent: the body, which the caller closes, and the code of the answer."""

    body: Body
    http_code: int


class Fetcher:
    """Makes attempts over one session. `folder` takes bodies that are too large for memory."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        options: DownloadOptions,
        policy: Policy,
        placeholders: Placeholders,
        folder: Path,
    ) -> None:
        self._session = session
        self._options = options
        self._policy = policy
        self._placeholders = placeholders
        self._folder = folder

    async def fetch(self, url: URL, turn: Callable[[str], Awaitable[None]]) -> Fetched:
        """Follow `url` to a body. Raises `FetchError`, and OSError for a disk that cannot hold the body.

        `turn` is awaited with the host of each hop after the first; that wait does not count as time of the attempt.
        """
        left = self._options.total_timeout
        for _ in range(MOST_REDIRECTS + 1):
            began = time.monotonic()
            try:
                found = await asyncio.wait_for(self._hop(url, time.monotonic() + left), left)
            except asyncio.TimeoutError:
                seconds = self._options.total_timeout
                raise FetchError(Status.TIMEOUT, f"not done after {seconds:g} s", again=True) from None
            if isinstance(found, Fetched):
                return found
            left -= time.monotonic() - began
            url = found
            await turn(url.raw_host or "")
        raise FetchError(Status.ERROR, f"more than {MOST_REDIRECTS} redirects")

    async def _hop(self, url: URL, until: float) -> Fetched | URL:
        """One request: a body, or where it is to be found. It is called off at the moment `until`."""
        code: int | None = None
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                code = response.status
                if code in _REDIRECTS and (target := response.headers.get("Location")) is not None:
                    await _drain(response, until)
                    return self._target(url, target, code)
                return await self._body(url, response, until)
        except aiohttp.ClientError as error:
            raise _explained(error, code) from error
        except (FetchError, ShardError):
            raise
        except Exception as error:  # whatever a server can make the library do is that row's affair
            raise FetchError(Status.ERROR, f"the request failed ({type(error).__name__})", http_code=code) from error

    def _target(self, url: URL, target: str, code: int) -> URL:
        try:
            return self._policy.parse(urljoin(str(url), target))
        except RefusedError as error:
            raise FetchError(Status.REFUSED, f"redirected to {error}", http_code=code) from error
        except ValueError as error:
            raise FetchError(Status.ERROR, "redirected to what is no address", http_code=code) from error

    async def _body(self, url: URL, response: aiohttp.ClientResponse, until: float) -> Fetched:
        code = response.status
        failure = of_code(code, response.headers.get("Retry-After"))
        if failure is not None:
            await _drain(response, until)
            raise failure
        if not self._options.ignore_robots:
            directive = forbidden_by(response.headers.getall("X-Robots-Tag", ()), self._options.user_agent)
            if directive is not None:
                raise FetchError(Status.ROBOTS, f"X-Robots-Tag: {directive[:80]}", http_code=code)
        known = self._placeholders.of_url(url)
        if known is not None:
            raise FetchError(Status.PLACEHOLDER, known, http_code=code)
        most = self._options.max_bytes
        if (response.content_length or 0) > most:
            raise _too_large(f"a body of {response.content_length:,} bytes", most, code)
        body = Body(self._folder)
        try:
            await self._receive(response, body)
            body.finish()
        except BaseException:
            body.close()
            raise
        return Fetched(body, code)

    async def _receive(self, response: aiohttp.ClientResponse, body: Body) -> None:
        code, most = response.status, self._options.max_bytes
        unpack = _unpacker(response.headers.get("Content-Encoding", ""), code)
        received = 0
        async for piece in response.content.iter_any():
            received += len(piece)
            if received > most:
                raise _too_large("a body that goes on", most, code)
            for part in (piece,) if unpack is None else unpack.parts(piece):
                _take(body, part, most, code)
        if unpack is not None and not unpack.complete:
            raise FetchError(Status.TRUNCATED, "the packed body ends early", http_code=code, again=True)


class _Unpacker:
    """Unpacks gzip or zlib in bounded pieces."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)

    @property
    def complete(self) -> bool:
        """Whether the stream has come to its end."""
        return self._stream.eof

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """What this piece unpacks to, never more than 256 KiB at a time."""
        try:
            while piece and not self._stream.eof:
                part = self._stream.decompress(piece, _UNPACKED_PIECE)
                piece = self._stream.unconsumed_tail
                yield part
        except zlib.error as error:
            raise FetchError(Status.DAMAGED, "the packed body cannot be unpacked", http_code=self._code) from error


def _unpacker(encoding: str, code: int) -> _Unpacker | None:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return _Unpacker(code)
    raise FetchError(Status.ERROR, f"packed as {name[:40]}, which was not asked for", http_code=code)


def _take(body: Body, piece: bytes, most: int, code: int) -> None:
    if body.size == 0 and piece.removeprefix(_UTF8_MARK).lstrip().startswith(_TEXT_BEGINS):
        raise FetchError(Status.NOT_IMAGE, "a page or a document of text, not an image", http_code=code)
    if body.size + len(piece) > most:
        raise _too_large("a body that goes on", most, code)
    body.add(piece)


def _too_large(what: str, most: int, code: int) -> FetchError:
    return FetchError(Status.TOO_LARGE, f"{what}, beyond the limit of {most:,} bytes", http_code=code)


async def _drain(response: aiohttp.ClientResponse, until: float) -> None:
    """Read a short body that nobody needs. What is wrong with it costs the connection, and changes nothing else."""
    if response.content_length is None or response.content_length > _DRAINED:
        return
    # Half of the time that is left: the answer that is there already must not become a timeout.
    seconds = min(_DRAINING, (until - time.monotonic()) / 2)
    try:
        await asyncio.wait_for(response.read(), seconds)
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
        response.close()


def _explained(error: aiohttp.ClientError, code: int | None) -> FetchError:
    """The failure that an exception of aiohttp stands for; `code` is that of the answer, if there was one."""
    if isinstance(error, aiohttp.ServerTimeoutError):
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        what = "no connection in time" if connecting else "the server fell silent"
        return FetchError(Status.TIMEOUT, what, http_code=code, again=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "not valid"
        return FetchError(Status.ERROR, f"the server's certificate is refused: {reason}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unconnected(error)
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError(Status.REFUSED, "not an address that can be requested")
    # Of a connection that is lost within a body, aiohttp's text alone says how.
    if isinstance(error, aiohttp.ClientPayloadError) and "Reset" not in str(error):
        return FetchError(Status.TRUNCATED, "the body ends early", http_code=code, again=True)
    what = "the answer is no HTTP" if isinstance(error, aiohttp.ClientResponseError) else "the connection was lost"
    return FetchError(Status.ERROR, what, http_code=code, again=True)


def _unconnected(error: aiohttp.ClientConnectorError) -> FetchError:
    cause = error.os_error
    if isinstance(cause, AddressRefusedError):
        return FetchError(Status.REFUSED, str(cause))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return of_lookup(cause)
    if isinstance(error, aiohttp.ClientSSLError):
        return FetchError(Status.ERROR, "no TLS connection comes about", again=True)
    return FetchError(Status.ERROR, f"no connection: {(cause.strerror or 'it failed').lower()}", again=True)
