"""Descriptive captions: what a scene shows by name, colour, ground and style, and nothing about how it is related."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relsim.world.objects import OBJECTS

_GROUNDS = {
    "plain": "plain {paper} ground",
    "shaded": "shaded {paper} ground",
    "striped": "striped {paper} ground",
    "ruled": "ruled {paper} ground",
    "dotted": "dotted {paper} ground",
    "blotched": "blotched {paper} ground",
}
_STYLES = {
    "flat": "flat drawing",
    "outline": "line drawing",
    "hatched": "hatched drawing",
    "soft": "shaded drawing",
}
_FORMS = (
    "{things} on a {ground}, {style}",
    "A {style} of {things} on a {ground}",
    "{things}, a {style} on a {ground}",
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen: (kind, colour word, how many), the largest area first; ground and style by name."""

    things: tuple[tuple[str, str, int], ...]
    paper: str
    background: str
    style: str
    seed: int = 0


def describe(sight: Sight) -> tuple[str, ...]:
    """Descriptive captions of a sight; which form comes first is left to its seed."""
    things = _listed([_named(*thing) for thing in sight.things[:3]]) or "nothing"
    words = {
        "things": things,
        "ground": _GROUNDS[sight.background].format(paper=sight.paper),
        "style": _STYLES[sight.style],
    }
    texts = [form.format(**words) for form in _FORMS]
    first = sight.seed % len(texts)
    return tuple(text[0].upper() + text[1:] for text in (*texts[first:], *texts[:first]))


def name_query(kind: str, colour: str) -> str:
    """The sentence that asks whether a picture shows things of this kind and colour."""
    return f"{colour} {OBJECTS[kind].plural}"


def _named(kind: str, colour: str, count: int) -> str:
    if count > 1:
        return f"{colour} {OBJECTS[kind].plural}"
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {kind}"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
