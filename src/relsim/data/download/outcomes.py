"""What an attempt came to: the failures of the web as statuses, and which of them are worth another attempt.

    dead      404, 410, no host of that name                          at once
    blocked   401, 402, 403, 407, 451 at once; 429                    after all attempts
    timeout   a time limit, 408                                       after all attempts
    truncated a body that ends early                                  after all attempts
    error     5xx, resets, refused connections, names that cannot be  after all attempts
              looked up just now; certificates, endless redirects,
              any other answer                                        at once

`Retry-After` of a 429 or 503, in seconds or as a date, says when.

What another run may get (`--retry`) is more than that, and stands in one table, `MAY_COME_BACK`.
"""

from __future__ import annotations

import email.utils
import socket
from collections.abc import Mapping
from datetime import datetime, timezone

from relsim.data.records import Status

_BLOCKED = frozenset({401, 402, 403, 407, 451})
_DEAD = frozenset({404, 410})
_REQUEST_TIMEOUT, _TOO_MANY, _UNAVAILABLE, _SERVER_ERRORS = 408, 429, 503, 500
_NOT_FOR_RETRY = frozenset({501, 505, 511})
MAY_COME_BACK: Mapping[Status, int | None] = {
    Status.TIMEOUT: None,
    Status.ERROR: None,
    Status.TRUNCATED: None,
    Status.BLOCKED: _TOO_MANY,
    Status.DEAD: None,  # some addresses and names of hosts do
}
"""Statuses whose rows another run may get, the likeliest first; with a code, the rows that were answered so."""
# EAI_NODATA has no name on every system.
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class FetchError(Exception):
    """An attempt that gave no body: the row's status and reason, the code of the answer if there was one.

    `again` says whether another attempt may end otherwise, `wait` how many seconds the server asks for before it.
    """

    def __init__(
        self,
        status: Status,
        reason: str,
        *,
        http_code: int | None = None,
        again: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.http_code = http_code
        self.again = again
        self.wait = wait


def of_code(code: int, retry_after: str | None = None) -> FetchError | None:
    """The failure that a status code stands for, or None for a success (2xx)."""
    if 200 <= code < 300:
        return None
    answer = f"the server answered {code}"
    if code in _DEAD:
        return FetchError(Status.DEAD, answer, http_code=code)
    if code in _BLOCKED:
        return FetchError(Status.BLOCKED, answer, http_code=code)
    if code == _TOO_MANY:
        return FetchError(Status.BLOCKED, answer, http_code=code, again=True, wait=seconds_of(retry_after))
    if code == _REQUEST_TIMEOUT:
        return FetchError(Status.TIMEOUT, answer, http_code=code, again=True)
    again = code >= _SERVER_ERRORS and code not in _NOT_FOR_RETRY
    wait = seconds_of(retry_after) if code == _UNAVAILABLE else None
    return FetchError(Status.ERROR, answer, http_code=code, again=again, wait=wait)


def may_come_back(statuses: Mapping[str, int], codes: Mapping[str, int]) -> dict[str, int]:
    """How many rows of each status another run may get, as `MAY_COME_BACK` has it; without statuses that have none.

    `statuses` and `codes` count rows by status and by code, as in `summary.json`.
    """
    found: dict[str, int] = {}
    for status, code in MAY_COME_BACK.items():
        rows = statuses.get(status.value, 0)
        if code is not None:
            rows = min(rows, codes.get(str(code), 0))
        if rows:
            found[status.value] = rows
    return found


def seconds_of(retry_after: str | None, now: datetime | None = None) -> float | None:
    """The seconds from now that a `Retry-After` asks for; None if there is none or it cannot be read."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - (now or datetime.now(timezone.utc))).total_seconds())


def of_lookup(error: OSError) -> FetchError:
    """The failure of looking up a name."""
    if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
        return FetchError(Status.DEAD, "there is no host of that name")
    if isinstance(error, UnicodeError):
        return FetchError(Status.REFUSED, "not the name of a host")
    return FetchError(Status.ERROR, "the name of the host cannot be looked up", again=True)
