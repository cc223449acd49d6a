"""What stands before every route: who may ask, by which name, from which page; how large a body is, and how slow.

- The Host header must be a name that the server knows: a foreign page whose name leads here gets nothing. Where it
  listens on all addresses of the machine, an address will do: no foreign page has one for a name.
- With a token set, a request brings it as `Authorization: Bearer …` or as the cookie that `/?token=…` sets.
- A page of another site gets nothing of the API and the counters: to be asked costs work, even where it cannot read
  the answer.
- What changes something must come from a page of this server: browsers say so in `Sec-Fetch-Site` or `Origin`; and
  it must carry the header `X-Relsim`, which no form and no foreign page can send.
- Once the end of the server has begun, bodies that have not arrived are given up and new questions refused.
- Answers forbid scripts from elsewhere, frames and sniffing.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException

from relsim.web.ending import EndedError, Ending
from relsim.web.settings import ServerSettings, is_address, is_everywhere, plain_name

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WRITE_HEADER = b"x-relsim"
UPLOADS = "/api/uploads"  # its bodies are pictures, and it counts them itself
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FOR_ITSELF = ("/api/", "/metrics")
_OPEN = frozenset({"/healthz"})
_ENDS = "this server ends; ask again when it is back"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Not here</title>
<h1>This page cannot be shown</h1>
<p>The reason: {reason}.</p>
</html>
"""
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    b"font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: App, settings: ServerSettings, ending: Ending) -> None:
        self._app = app
        self._settings, self._ending = settings, ending
        self._names, self._everywhere = settings.known_names, is_everywhere(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with the reason why not."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in reversed(scope["headers"])}
        sending = _with_headers(send)
        if self._ending.begun:
            await _refuse(sending, 503, _ENDS)
            return
        if self._asks_by_token(scope):
            await self._give_cookie(scope, sending)
            return
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(
                sending, *refusal, as_page=scope["path"] == "/" and b"text/html" in headers.get(b"accept", b"")
            )
            return
        await self._answer(scope, self._bounded(receive, counted=scope["path"] != UPLOADS), sending)

    def _refusal(self, scope: Scope, headers: MutableMapping[bytes, bytes]) -> tuple[int, str] | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_called(_without_port(host)):
            return 421, "this server is not called that; name it with --server-name"
        if scope["path"] not in _OPEN and not self._may_ask(headers, _cookie_of(scope)):
            return 401, "a token is needed: open the whole address that the server printed, with ?token=…"
        if scope["path"].startswith(_FOR_ITSELF) and headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "a page of another site cannot ask for this"
        if scope["method"] not in _SAFE and (reason := _why_foreign(headers, host)) is not None:
            return 403, reason
        length = headers.get(b"content-length", b"0")
        most = self._settings.max_upload_bytes if scope["path"] == UPLOADS else self._settings.max_body_bytes
        if not length.isdigit() or int(length) > most:
            return 413, f"a body of more than {most:,} bytes"
        return None

    def _is_called(self, name: str) -> bool:
        return plain_name(name) in self._names or (self._everywhere and is_address(name))

    def _may_ask(self, headers: MutableMapping[bytes, bytes], name: str) -> bool:
        token = self._settings.token
        if token is None:
            return True
        kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), token):
            return True
        try:
            cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(name)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, token)

    def _asks_by_token(self, scope: Scope) -> bool:
        if self._settings.token is None or scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return _same(given, self._settings.token)

    async def _give_cookie(self, scope: Scope, send: Send) -> None:
        """The token leaves the address bar for a cookie that no script can read.

        It comes along where a link from elsewhere is followed ("Lax"); what changes something is guarded otherwise.
        """
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{_cookie_of(scope)}={self._settings.token}; Path=/; HttpOnly; SameSite=Lax{secure}"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode("latin-1")), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of the application; where it fails, one with the headers of all others. Raises what it raises."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if not self._ending.begun:
                raise
            if not begun:  # the time for requests under way is over
                await _refuse(send, 503, _ENDS)
        except Exception:
            if not begun:
                await _refuse(send, 500, "this server has a fault; its log has more")
            raise

    def _bounded(self, receive: Receive, *, counted: bool) -> Receive:
        """Bodies that arrive before the server ends.

        `counted`: they arrive in time and are as large as they may be, whatever the head of the request says.
        """
        given = self._settings
        ends = asyncio.get_running_loop().time() + given.body_seconds
        received, whole = 0, False

        async def bounded() -> Message:
            nonlocal received, whole
            if whole:  # what comes now is that the client leaves, whenever that is
                return await receive()
            left = ends - asyncio.get_running_loop().time() if counted else None
            # Errors of other kinds would be told as a body that cannot be read.
            try:
                message = await self._ending.unless_begun(receive(), left)
            except asyncio.TimeoutError:
                raise HTTPException(408, "the body did not arrive in time") from None
            except EndedError:
                raise HTTPException(503, _ENDS, {"connection": "close"}) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if counted and received > given.max_body_bytes:
                raise HTTPException(413, f"a body of more than {given.max_body_bytes:,} bytes")
            return message

        return bounded


def _why_foreign(headers: MutableMapping[bytes, bytes], host: str) -> str | None:
    """Why a request that changes something comes neither from this server's page nor from a program that means it."""
    origin = headers.get(b"origin")
    elsewhere = headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none")
    if elsewhere or (origin is not None and _place(origin) != host):
        return "this can be asked from the server's own page only"
    return None if WRITE_HEADER in headers else "a request that changes something needs the header X-Relsim: 1"


def _cookie_of(scope: Scope) -> str:
    """The name of the cookie: browsers give those of a host to all of its ports, where other servers listen."""
    _, port = scope.get("server") or ("", None)
    return f"relsim_token_{port}"


def _place(origin: bytes) -> str | None:
    """Name and port of an origin, None where it is none."""
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:
        return None


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and name else host


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            more = [(name, value) for name, value in _HEADERS if name not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, reason: str, *, as_page: bool = False) -> None:
    """An answer that says why there is no other, as JSON or `as_page` for people."""
    body = (_PAGE.format(reason=reason) if as_page else json.dumps({"detail": reason})).encode()
    kind = b"text/html; charset=utf-8" if as_page else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 503:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
