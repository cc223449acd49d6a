"""A stage that remembers what was put on it, for every family of relations."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from relsim.world.canvas import Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations import RELATIONS
from relsim.world.stage import Actor, Stage


class Easel(Canvas):
    """A canvas that remembers how far from the middle it was painted on."""

    furthest = 0.0

    def shape(self, points, colour, *, plain=False):
        self.furthest = max(self.furthest, float(np.abs(points).max()))
        super().shape(points, colour, plain=plain)


class Watched(Stage):
    """A stage that writes down where actors and arrows are put."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.placed, self.arrows = [], []

    def put(self, actor, x, y, size, **how):
        self.placed.append((actor, x, y, size, how))
        super().put(actor, x, y, size, **how)

    def arrow(self, start, end, **how):
        self.arrows.append((np.array(start), np.array(end)))
        super().arrow(start, end, **how)


def _show(layout, seed=0, style="flat", amount=None):
    rng = np.random.default_rng(seed)
    palette = list(PALETTES.values())[seed % 16]
    canvas = Easel(112, palette, style, View())
    empty = np.asarray(canvas.finish(), np.int16)
    kinds = [OBJECTS[name] for name in sorted(OBJECTS)[seed % 7 :: 9][:3]]
    cast = [Actor(kind, colour) for kind, colour in zip(kinds, palette.colours, strict=False)]
    stage = Watched(canvas, cast, palette.colours[3:], float(rng.random()) if amount is None else amount, rng)
    layout(stage)
    return SimpleNamespace(stage=stage, empty=empty, picture=np.asarray(canvas.finish(), np.int16))


def _scenes(name, seeds=range(6)):
    for layout, seed in itertools.product(RELATIONS[name].layouts, seeds):
        yield layout.__name__, _show(layout, seed).stage


def _placed(name, seeds=range(6)):
    for layout, stage in _scenes(name, seeds):
        yield layout, stage.placed


@pytest.fixture(scope="session")
def show():
    """`show(layout, seed, style, amount)`: `stage` of one scene, `empty` and finished `picture` (112, 112, 3)."""
    return _show


@pytest.fixture(scope="session")
def scenes():
    """`scenes(name, seeds)`: name of the layout, and stage, for each layout of a relation and each seed."""
    return _scenes


@pytest.fixture(scope="session")
def placed():
    """`placed(name, seeds)`: likewise, with the actors alone: each (actor, x, y, size, options)."""
    return _placed
