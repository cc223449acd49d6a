"""Descriptive captions: what a scene shows by name, colour, ground and style, and nothing about how it is related."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relsim.world.objects import OBJECTS

NAMED = 3
"""Things that a description names at most."""

STYLE_WORDS = {"flat": "flat", "outline": "line", "hatched": "hatched", "soft": "shaded"}
"""What kind of drawing each style is called."""

_FORMS = (
    "{things} on a {ground}, {style}",
    "A {style} of {things} on a {ground}",
    "{things}, a {style} on a {ground}",
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen: (kind, colour word, how many), the largest area first; ground and style by name."""

    things: tuple[tuple[str, str, int], ...]
    paper: str  # a colour word
    background: str
    style: str
    seed: int = 0


def describe(sight: Sight) -> tuple[str, ...]:
    """Descriptive captions of a sight; which form comes first is left to its seed."""
    words = {
        "things": _listed([_named(*thing) for thing in sight.things[:NAMED]]) or "nothing",
        "ground": f"{sight.background} {sight.paper} ground",
        "style": f"{STYLE_WORDS[sight.style]} drawing",
    }
    texts = [form.format(**words) for form in _FORMS]
    first = sight.seed % len(texts)
    return tuple(text[0].upper() + text[1:] for text in (*texts[first:], *texts[:first]))


def name_query(kind: str, colour: str) -> str:
    """The sentence that asks whether a picture shows things of this kind and colour."""
    return f"{colour} {OBJECTS[kind].plural}"


def _named(kind: str, colour: str, count: int) -> str:
    if count > 1:
        return name_query(kind, colour)
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {kind}"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
