"""What comes back: a reply with its status, its raw body, and what it cost.

A reply always has a status. `ok` has a text. The other *answers* have been paid for and are kept: `empty`, `malformed`
(no JSON, or not of the form of chat completions), `refused` (by the model or a content filter) and `cut_short` (at the
limit of tokens; the text is there). What is *no answer* may be asked again: `rate_limited`, `server_error`, `timeout`,
`unreachable`, and `rejected`, which is a request that the server does not accept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class ReplyStatus(str, Enum):
    """How a question ended."""

    OK = "ok"
    EMPTY = "empty"
    MALFORMED = "malformed"
    REFUSED = "refused"
    CUT_SHORT = "cut_short"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"

    @property
    def answered(self) -> bool:
        """Whether the server gave an answer, of whatever use."""
        return self in _ANSWERS


_ANSWERS = frozenset(
    {ReplyStatus.OK, ReplyStatus.EMPTY, ReplyStatus.MALFORMED, ReplyStatus.REFUSED, ReplyStatus.CUT_SHORT}
)


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in whatever currency."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counts them; `unreported` is the number of answers for which it gave no count."""

    input_tokens: int = 0
    output_tokens: int = 0
    unreported: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.unreported + other.unreported,
        )

    def cost(self, prices: Prices) -> float:
        """The sum, without answers that were not counted."""
        return (self.input_tokens * prices.input + self.output_tokens * prices.output) / 1e6

    def to_json(self, prices: Prices | None) -> dict[str, Any]:
        """As a plain dictionary, with the cost where prices are known."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "unreported": self.unreported,
            "cost": round(self.cost(prices), 6) if prices is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of a question. `raw` is the body as it came, also of an error; `model` is what the server says it is.

    `kept` tells an answer of an earlier run from one that was asked for now; `asked` is when, as ISO time in UTC.
    """

    key: str
    status: ReplyStatus
    reason: str | None = None
    text: str | None = None
    raw: str = ""
    usage: Usage = Usage()
    model: str | None = None
    asked: str = ""
    seconds: float = 0.0
    kept: bool = False


def read_answer(key: str, raw: str, *, asked: str, seconds: float, kept: bool = False) -> Reply:
    """The reply that a body of status 200 makes: an answer, of whatever use."""
    reply = Reply(key, ReplyStatus.MALFORMED, raw=raw, asked=asked, seconds=seconds, kept=kept)
    try:
        body = json.loads(raw)
    except ValueError as error:
        return replace(reply, reason=f"not JSON: {error}", usage=Usage(unreported=1))
    if not isinstance(body, dict):
        return replace(reply, reason=f"a JSON {type(body).__name__} and no object", usage=Usage(unreported=1))
    model = body.get("model") if isinstance(body.get("model"), str) else None
    status, reason, text = _outcome(body)
    return replace(reply, status=status, reason=reason, text=text, usage=_usage(body.get("usage")), model=model)


def _outcome(body: dict[str, Any]) -> tuple[ReplyStatus, str | None, str | None]:
    """Status, reason and text of a body that is an object."""
    choices = body.get("choices")
    if not isinstance(choices, list):
        return ReplyStatus.MALFORMED, _told(body) or "no list of choices", None
    if not choices:
        return ReplyStatus.EMPTY, "no choices", None
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        return ReplyStatus.MALFORMED, "a choice without a message", None
    finish = choices[0].get("finish_reason")
    if message.get("refusal") or finish == "content_filter":
        told = " ".join(str(message.get("refusal") or "stopped by a content filter").split())
        return ReplyStatus.REFUSED, told, None
    return _of_text(_text(message.get("content")), cut=finish == "length")


def _of_text(text: str | None, *, cut: bool) -> tuple[ReplyStatus, str | None, str | None]:
    if text is None:
        return ReplyStatus.MALFORMED, "a message whose content is no text", None
    if cut:
        return ReplyStatus.CUT_SHORT, "stopped at the limit of tokens", text
    return (ReplyStatus.OK, None, text) if text else (ReplyStatus.EMPTY, "an empty text", None)


def _text(content: object) -> str | None:
    """The text of a content, which may come in parts; None for what is no text."""
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None
    return content.strip() if isinstance(content, str) else None


def _told(body: dict[str, Any]) -> str | None:
    """The message of an error that came with status 200, as some gateways send it."""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message).split())[:300] if message else None


def _usage(value: object) -> Usage:
    counts = [value.get(name) if isinstance(value, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    if any(not isinstance(count, int) or isinstance(count, bool) or count < 0 for count in counts):
        return Usage(unreported=1)
    return Usage(*(int(count) for count in counts if count is not None))
