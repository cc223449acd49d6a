"""Placeholders of anonymous captions: `{Subject}`, `{Stage 1}`, `{BodyPart1}`, `{Objects}`.

A well-formed one is a pair of braces around one to five words of letters and digits, the first of which begins with a
capital letter or a digit; hyphens and `/` may join words. Plural forms are lawful, within (`{Objects}`) and without
(`{Object}s`, `{Object}'s`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_GOOD = re.compile(r"[A-Z0-9][A-Za-z0-9]*(?:[ /-][A-Za-z0-9]+){0,4}")
PLAIN = re.compile(rf"\{{({_GOOD.pattern})\}}")
"""A well-formed placeholder; its group is the name."""
_FAULTS = (
    ("empty placeholder", re.compile(r"^\s*$")),
    ("nested placeholder", re.compile(r"[{}]")),
    ("space at the edge of a placeholder", re.compile(r"^\s|\s$")),
    ("placeholder in lower case", re.compile(r"^[a-z]")),
    ("punctuation in a placeholder", re.compile(r"[^\w /-]|_|^-|[ /-]{2}|[/-]$")),
    ("more than five words in a placeholder", re.compile("")),
)
"""Faults, the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A pair of braces, or a single one: its place, what is between, and what is wrong with it, if anything."""

    start: int
    end: int
    name: str
    fault: str | None


def find_placeholders(text: str) -> Iterator[Placeholder]:
    """All placeholders in order. Of nested braces the outer pair is one; a brace without a partner is one by itself."""
    place = 0
    while (start := _next_brace(text, place)) >= 0:
        end = _partner(text, start) if text[start] == "{" else None
        if end is None:
            yield Placeholder(start, start + 1, text[start], "unbalanced brace")
            place = start + 1
            continue
        name = text[start + 1 : end]
        yield Placeholder(start, end + 1, name, _fault(name))
        place = end + 1


def _next_brace(text: str, place: int) -> int:
    return min((found for sign in "{}" if (found := text.find(sign, place)) >= 0), default=-1)


def _partner(text: str, start: int) -> int | None:
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return None


def _fault(name: str) -> str | None:
    return None if _GOOD.fullmatch(name) else next(fault for fault, pattern in _FAULTS if pattern.search(name))
