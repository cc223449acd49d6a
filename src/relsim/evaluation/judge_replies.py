"""What a judge's answer says: a score from 0 to 10, or why there is none. Never a guess.

The grammar. A NUMBER is digits with at most one decimal point and an optional sign, and no part of a longer word,
number or percentage. Emphasis (`*`, `_`, backticks, `#`) and a fence of code are passed over. An answer has a score
where it

1. holds one JSON object with a key `score`, alone or among other text, whose value is a number, or a text that is one
   by 2 ("8", "8/10");
2. is, as a whole, one of `NUMBER`, `NUMBER/10`, `NUMBER out of 10`, with or without a full stop;
3. marks one in prose, by `score` or `rating` before it ("Score: 8.5", "The rating is 7") or by `/10` or `out of 10`
   behind it. A number that nothing marks is none: "I see 2 cats" has no score.

Two marks or two objects that differ, a range or a choice at a mark ("7 or 8", "7-8/10"), another scale ("4/5",
"80 %"), words ("eight"), what explains the scale ("a score of 10 means …") and broken JSON give no score: `unparsed`.
A number below 0 or above 10 is `out_of_range`. An answer that was cut off at the limit of tokens is `truncated`
whatever it says, since 1 may be the beginning of 10. What the model, a filter, or the words of an answer without a
score refuse is `refused`. Where there is no answer, or one that is no chat completion, the status is `endpoint_error`.
A model may say why: of a JSON object the key `reason` is kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from relsim.data.manifest import kind_of
from relsim.endpoint.replies import Reply, ReplyStatus

LOWEST, HIGHEST = 0.0, 10.0

_SIGNED = r"(?<![\w.,/+-])[+\-\u2212]?[0-9]+(?:\.[0-9]+)?"
_ENDS = r"(?![\w%/]|[.,][0-9]|\s*%)"
_TEN = r"(?:10(?:\.0+)?|ten)(?![\w%/]|[.,][0-9])"
# "3 out of 10 parts" counts parts.
_NO_NOUN = r"(?=[ \t]*(?:$|\n|[^\w\s]|(?:and|as|because|but|due|for|given|in|on|since|to|with)\b))"
_OF_SCALE = rf"(?P<of>{_SIGNED})\s*(?:/|\bout\s+of\b)\s*{_TEN}{_NO_NOUN}"
_LABEL = r"\b(?:score|rating)\b(?:\s*\([^)]*\))?[\"']?(?:\s*[:=]|\s+(?:is|of|was)\b)*\s*"
_EXPLAINS = r"\s*(?:[:=]|(?:indicates?|is|means?|represents?|requires?|would)\b)"
_MARKED = re.compile(rf"{_OF_SCALE}|{_LABEL}(?P<labelled>{_SIGNED}{_ENDS})(?!{_EXPLAINS})", re.IGNORECASE | re.ASCII)
_BARE = re.compile(rf"\s*(?:{_OF_SCALE}|(?P<bare>{_SIGNED}{_ENDS}))\s*\.?\s*", re.IGNORECASE | re.ASCII)
# Two numbers that are joined: a range or a choice ("7-8", "7 or 8", "7, 8"), or another scale ("4/5").
_JOINED = re.compile(
    r"[0-9](?:\.[0-9]+)?\s*(?:-|\u2013|\u2014|~|,|\bto\b|\bor\b|\band\b)\s*[0-9]"
    rf"|[0-9]\s*(?:/|\bout\s+of\b)\s*(?!{_TEN})[0-9]",
    re.IGNORECASE | re.ASCII,
)
_EMPHASIS = re.compile(r"[*_`#]+")
_FENCE = re.compile(r"```[A-Za-z]*\s*\n?(.*?)```", re.DOTALL)
_REFUSING = re.compile(
    r"\b(?:can(?:no|')t|can\u2019t|cannot|could\s+not|won['\u2019]t|will\s+not|unable\s+to|not\s+able\s+to|decline\s+to"
    r"|refuse\s+to)\s+(?:\w+\s+){0,3}?"
    r"(?:answer|assess|assist|compare|comply|continue|evaluate|fulfil\w*|give|help|identify|judge|process|provide|rate"
    r"|score|see|view)\b",
    re.IGNORECASE,
)


class ScoreStatus(str, Enum):
    """How an answer, or the pair that was to be judged, ended."""

    OK = "ok"
    UNPARSED = "unparsed"  # an answer without a score that is certain
    OUT_OF_RANGE = "out_of_range"  # a number below 0 or above 10
    REFUSED = "refused"  # by the model or a content filter
    TRUNCATED = "truncated"  # at the limit of tokens
    ENDPOINT_ERROR = "endpoint_error"  # no answer, or one that is no chat completion
    BAD_IMAGE = "bad_image"  # an image of the pair cannot be used, so nothing was asked


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score from 0 to 10, there with the status `ok` only; why there is none, or the reason that the model gave."""

    status: ScoreStatus
    score: float | None = None
    reason: str | None = None


_BY_REPLY = {
    ReplyStatus.EMPTY: ScoreStatus.UNPARSED,
    ReplyStatus.REFUSED: ScoreStatus.REFUSED,
    ReplyStatus.CUT_SHORT: ScoreStatus.TRUNCATED,
}


def read_reply(reply: Reply) -> Verdict:
    """The verdict of a reply, by the grammar above."""
    if reply.status is ReplyStatus.OK and reply.text is not None:
        return read_score(reply.text)
    status = _BY_REPLY.get(reply.status, ScoreStatus.ENDPOINT_ERROR)
    told = reply.reason or "no reason given"
    return Verdict(status, reason=told if status in _BY_REPLY.values() else f"{reply.status.value}: {told}")


def is_scoreless(reply: Reply) -> bool:
    """Whether a reply is of no use to a judge."""
    return read_reply(reply).score is None


def read_score(text: str) -> Verdict:
    """The verdict of an answer's text, by the grammar above."""
    objects = [found for found in _objects(text) if "score" in found]
    if objects:
        verdicts = [_of_object(found) for found in objects]
        return _agreed(verdicts)
    plain = _EMPHASIS.sub("", _FENCE.sub(r"\1", text))
    whole = _BARE.fullmatch(plain)
    if whole is not None:
        return _in_range(whole["of"] or whole["bare"])
    verdict = _unparsed("broken JSON") if plain.lstrip().startswith("{") else _of_marks(plain)
    if verdict.status is ScoreStatus.UNPARSED and _REFUSING.search(plain):
        return Verdict(ScoreStatus.REFUSED, reason=" ".join(text.split())[:300])
    return verdict


def _of_marks(text: str) -> Verdict:
    marks = list(_MARKED.finditer(text))
    if not marks:
        return _unparsed("no number that is marked as the score")
    for joined in _JOINED.finditer(text):
        if any(start < joined.end() and joined.start() < end for start, end in map(_span, marks)):
            return _unparsed(f"a range, a choice or another scale: {' '.join(joined[0].split())!r}")
    verdicts = [_in_range(mark["of"] or mark["labelled"]) for mark in marks]
    return _agreed(verdicts)


def _agreed(verdicts: Sequence[Verdict]) -> Verdict:
    same = len({(verdict.status, verdict.score) for verdict in verdicts}) == 1
    return verdicts[0] if same else _unparsed("two scores that differ")


def _span(mark: re.Match[str]) -> tuple[int, int]:
    """Where the number of a mark is."""
    return mark.span("of" if mark["of"] else "labelled")


def _of_object(found: dict[str, Any]) -> Verdict:
    value, reason = found["score"], found.get("reason")
    told = reason if isinstance(reason, str) else None
    if isinstance(value, str):
        whole = _BARE.fullmatch(value)
        if whole is None:
            return _unparsed("the score is a text that is no number")
        return _in_range(whole["of"] or whole["bare"], told)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _unparsed(f"the score is {kind_of(value)} and no number")
    return _in_range(str(value), told)


def _in_range(number: str, reason: str | None = None) -> Verdict:
    score = float(number.replace("\u2212", "-"))
    if not math.isfinite(score) or not LOWEST <= score <= HIGHEST:
        return Verdict(ScoreStatus.OUT_OF_RANGE, reason=f"{number[:40]} is not between 0 and 10")
    return Verdict(ScoreStatus.OK, abs(score), reason)


def _unparsed(reason: str) -> Verdict:
    return Verdict(ScoreStatus.UNPARSED, reason=reason)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text; one that gives a name twice has no value for it."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=str)
    place = text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield found
        place = text.find("{", end)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        value |= {name: None for name in value if names.count(name) > 1}
    return value
