"""Relations composed of parts, for training alone: thousands of structures beside the fifty of the world.

A model that has seen few structures knows those. Composed relations teach what structures are made of: paths, changes,
ties, marks and bonds, in every combination, each with its own sentences. Their names read
`composed/<maker>/<part>/<part>…`; they belong to no split, and nothing is measured on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product

import numpy as np

from relsim.world.relations.base import Relation
from relsim.world.relations.composed_bonds import BONDS, bonded
from relsim.world.relations.composed_marks import MARKS, marked
from relsim.world.relations.composed_paths import PATHS
from relsim.world.relations.composed_props import PROPS, held
from relsim.world.relations.composed_series import CHANGES, TIES, series
from relsim.world.relations.composed_stands import STANDS

PREFIX = "composed/"
FAMILY = "composed"

_MARKS = {**MARKS, **STANDS}
_THINGS = ("{Objects}", "{Items}", "{Elements}")
_PAIRS = (("{Object}", "{Other Object}"), ("{Subject}", "{Item}"), ("{Figure}", "{Thing}"))
_MOST = 3
"""Things that stand about a marked one, at most."""


@cache
def composed_names() -> tuple[str, ...]:
    """Names of all composed relations, in a fixed order."""
    rows = [
        f"{PREFIX}series/{path}/{change}/{tie}"
        for path, change, tie in product(PATHS, CHANGES, TIES)
        if PATHS[path].ordered or not (CHANGES[change].ordered or TIES[tie].ordered)
    ]
    marks = [f"{PREFIX}mark/{mark}/{count}" for mark in _MARKS for count in range(_MOST)]
    bonds = [f"{PREFIX}bond/{bond}/{size}/{kind}" for bond, size, kind in product(BONDS, _SIZES, _KINDS)]
    props = [f"{PREFIX}prop/{prop}/{change}" for prop, change in product(PROPS, _HELD)]
    return (*rows, *marks, *bonds, *props)


def draw_name(rng: np.random.Generator) -> str:
    """A random composed relation: two of five are series; marks, bonds and props share the rest."""
    maker = ("series", "series", "mark", "bond", "prop")[int(rng.integers(5))]
    names = _names_of(maker)
    return names[int(rng.integers(len(names)))]


@cache
def composed_relation(name: str) -> Relation:
    """The composed relation of a name. Raises `KeyError` for a name that none has."""
    maker, *parts = name.removeprefix(PREFIX).split("/")
    if name not in _known():
        raise KeyError(name)
    makers: Mapping[str, Callable[..., Relation]] = {"series": _series, "mark": _mark, "bond": _bond, "prop": _prop}
    return makers[maker](name, *parts)


@cache
def _known() -> frozenset[str]:
    return frozenset(composed_names())


@cache
def _names_of(maker: str) -> tuple[str, ...]:
    return tuple(name for name in composed_names() if name.startswith(f"{PREFIX}{maker}/"))


_SIZES = {"equal": "", "unequal": ", a large and a small one"}
_KINDS = {"same": ", two of a kind", "other": ""}
_HELD = ("alike", "many_colours", "mixed", "by_turns_large", "halves")
_OTHERS = (("",), (", another without it beside",), (", two others without it",))


def _series(name: str, path: str, change: str, tie: str) -> Relation:
    captions = []
    for number in range(6):
        form = ("{things} {path}, {change}{tie}", "{things}, {change}, {path}{tie}")[number % 2]
        words = {
            "things": _turn(_THINGS, number),
            "path": _turn(PATHS[path].phrases, number),
            "change": _turn(CHANGES[change].phrases, number + 1),  # or first phrases would always meet first ones
            "tie": _turn(TIES[tie].phrases, number),
        }
        captions.append(form.format(**words))
    return Relation(name, FAMILY, _distinct(captions), (series(PATHS[path], CHANGES[change], TIES[tie]),))


def _mark(name: str, mark: str, count: str) -> Relation:
    chosen, others = _MARKS[mark], int(count)
    texts = [
        f"{_turn(('{Object}', '{Item}', '{Subject}'), number)} {phrase}{_turn(_OTHERS[others], number)}"
        for number in range(3)
        for phrase in chosen.phrases
    ]
    return Relation(name, FAMILY, _distinct(texts), (marked(chosen, others),))


def _bond(name: str, bond: str, size: str, kind: str) -> Relation:
    chosen = BONDS[bond]
    texts = []
    for first, second in _PAIRS:
        for phrase in chosen.phrases:
            text = phrase.replace("{A}", first).replace("{B}", second) + _KINDS[kind] + _SIZES[size]
            texts.append(text[0].upper() + text[1:])
    layout = bonded(chosen, larger=size == "unequal", same=kind == "same")
    return Relation(name, FAMILY, _distinct(texts), (layout,))


def _prop(name: str, prop: str, change: str) -> Relation:
    chosen = PROPS[prop]
    texts = [
        f"{_turn(_THINGS, number)} {phrase}, {_turn(CHANGES[change].phrases, number)}"
        for number in range(3)
        for phrase in chosen.phrases
    ]
    return Relation(name, FAMILY, _distinct(texts), (held(chosen, CHANGES[change]),))


def _turn(options: Sequence[str], number: int) -> str:
    return options[number % len(options)]


def _distinct(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
