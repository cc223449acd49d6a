"""What a scene looks like, apart from what it relates: objects, palette, background, style, fullness, viewpoint.

A `Split` says which parts of the world a look may be made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np

from relsim.world.canvas import BACKGROUNDS, STYLES, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import HELD_OUT_PALETTES, PALETTES
from relsim.world.relations import HELD_OUT_RELATIONS, RELATIONS

HELD_OUT_STYLES = ("hatched",)
"""Styles in which no training scene is drawn."""

HELD_OUT_OBJECTS = tuple(sorted(OBJECTS)[2::3])
"""Kinds that no training scene shows: every third by name."""

CAST = 3
"""Kinds in a look."""


class Split(str, Enum):
    """Which part of the world a scene is drawn from. Everything not named is as in training."""

    TRAIN = "train"
    VALIDATION = "validation"  # the same parts as in training, other scenes
    OBJECTS = "held-out-objects"  # kinds and palettes never trained
    RELATIONS = "held-out-relations"  # relations never trained, shown by kinds and palettes never trained
    STYLES = "held-out-styles"  # styles never trained

    @property
    def number(self) -> int:
        """Its place among the splits; part of the seed of all that is drawn from it."""
        return list(Split).index(self)

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations that its scenes show."""
        return HELD_OUT_RELATIONS if self is Split.RELATIONS else without(RELATIONS, HELD_OUT_RELATIONS)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the objects."""
        return HELD_OUT_OBJECTS if self._new_parts else without(OBJECTS, HELD_OUT_OBJECTS)

    @property
    def palettes(self) -> tuple[str, ...]:
        """Names of the palettes."""
        return HELD_OUT_PALETTES if self._new_parts else without(PALETTES, HELD_OUT_PALETTES)

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles."""
        return HELD_OUT_STYLES if self is Split.STYLES else without(STYLES, HELD_OUT_STYLES)

    @property
    def _new_parts(self) -> bool:
        return self in (Split.OBJECTS, Split.RELATIONS)


def without(names: Iterable[str], held_out: Sequence[str]) -> tuple[str, ...]:
    """The names that are not held out, in order."""
    return tuple(name for name in names if name not in held_out)


@dataclass(frozen=True, slots=True)
class Look:
    """Attributes of a scene. Two scenes with one look differ in their relation and in what it does to the layout."""

    kinds: tuple[str, ...]  # of the cast
    palette: str
    colours: tuple[int, ...]  # order in which the palette's colours are used
    background: str
    background_seed: int  # its angle, spacing and strength
    style: str
    amount: float  # few (0) to many (1)
    view: View

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Look:
        """The look whose `as_json` gave these values, be it through a file. Raises `KeyError` or `TypeError`."""
        kinds, colours, view = tuple(values["kinds"]), tuple(values["colours"]), View(**values["view"])
        return cls(**{**values, "kinds": kinds, "colours": colours, "view": view})


def draw_look(split: Split, rng: np.random.Generator, *, unlike: Look | None = None) -> Look:
    """A random look; `unlike` shares none of its kinds, palette, background and, where there are several, styles."""
    kinds, palettes, styles = list(split.kinds), list(split.palettes), list(split.styles)
    backgrounds = list(BACKGROUNDS)
    if unlike is not None:
        kinds = [kind for kind in kinds if kind not in unlike.kinds]
        for names, taken in ((palettes, unlike.palette), (styles, unlike.style), (backgrounds, unlike.background)):
            if len(names) > 1:
                names.remove(taken)
    return Look(
        kinds=tuple(str(kind) for kind in rng.choice(kinds, CAST, replace=False)),
        palette=palettes[int(rng.integers(len(palettes)))],
        colours=tuple(int(index) for index in rng.permutation(5)),
        background=backgrounds[int(rng.integers(len(backgrounds)))],
        background_seed=int(rng.integers(2**31)),
        style=styles[int(rng.integers(len(styles)))],
        amount=float(rng.random()),
        view=View(
            turn=float(rng.uniform(-1, 1)),  # a share of what the relation bears
            scale=float(rng.uniform(0.84, 1.0)),
            tilt=float(rng.uniform(0.88, 1.0)),
            x=float(rng.uniform(-0.05, 0.05)),
            y=float(rng.uniform(-0.05, 0.05)),
        ),
    )
