"""Comparisons: what sets one thing against another, or one against many, is what a scene shows."""

import math

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.comparison import RELATIONS
from relsim.world.relations.comparison_odd import block, missing_one
from relsim.world.relations.sequence_pieces import contrast
from relsim.world.stage import Actor, Stage

LAYOUTS = [
    pytest.param(layout, id=f"{relation.name}-{layout.__name__}")
    for relation in RELATIONS
    for layout in relation.layouts
]
BY_NAME = {relation.name: relation for relation in RELATIONS}
SEEDS = range(6)


class Easel(Canvas):
    """A canvas that remembers how far from the middle it was painted on."""

    furthest = 0.0

    def shape(self, points, colour, *, plain=False):
        self.furthest = max(self.furthest, float(np.abs(points).max()))
        super().shape(points, colour, plain=plain)


class Watched(Stage):
    """A stage that writes down what is put where."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.placed = []

    def put(self, actor, x, y, size, **how):
        self.placed.append((actor, x, y, size, how))
        super().put(actor, x, y, size, **how)


def show(layout, seed=0, style="flat"):
    """The stage after one scene, and its picture."""
    rng = np.random.default_rng(seed)
    palette = list(PALETTES.values())[seed % 16]
    kinds = [OBJECTS[name] for name in sorted(OBJECTS)[seed % 7 :: 9][:3]]
    cast = [Actor(kind, colour) for kind, colour in zip(kinds, palette.colours, strict=False)]
    stage = Watched(Easel(112, palette, style, View()), cast, palette.colours[3:], rng.random(), rng)
    layout(stage)
    return stage, np.asarray(stage.canvas.finish(), np.int16)


def scenes(name):
    """Stages of all layouts of a relation."""
    for layout in BY_NAME[name].layouts:
        for seed in SEEDS:
            yield layout.__name__, show(layout, seed)[0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_fills_some_of_the_picture(layout, style):
    """In each style more than 3 % of the pixels differ from the paper."""
    stage, picture = show(layout, seed=3, style=style)
    assert (np.abs(picture - stage.paper).max(axis=2) > 12).mean() > 0.03


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_seed_decides_the_picture(layout):
    """The same seed draws the same pixels, another seed others."""
    first, again, other = show(layout, 1)[1], show(layout, 1)[1], show(layout, 17)[1]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_leaves_the_frame(layout):
    """No corner of any shape is outside [-1, 1]."""
    if layout.__name__ in {"_versus_split", "_versus_lightning"}:
        return  # fields that cover the picture
    for seed in range(10):
        assert show(layout, seed)[0].canvas.furthest <= 1.0


def test_one_colour_is_odd():
    """All are of one kind and one colour, but for one of the colour that stands out most."""
    for _, stage in scenes("odd_colour"):
        actor = stage.cast[0]
        odd = (actor.kind.name, contrast(stage, actor.colour).word)
        assert stage.shown[odd] == 1
        assert stage.shown[actor.kind.name, actor.colour.word] == stage.shown.total() - 1 >= 3


def test_one_turn_is_odd():
    """All stand alike but one, which is turned by 45 degrees or more."""
    for _, stage in scenes("odd_turn"):
        turns = [how["turn"] for *_, how in stage.placed]
        usual = max(turns, key=turns.count)
        odd = [turn for turn in turns if turn != usual]
        assert len(odd) == 1
        assert len(turns) >= 4
        assert 45 <= (odd[0] - usual) % 360 <= 315


def test_one_place_of_a_block_is_empty():
    """A block has 6, 8, 9 or 12 places."""
    counts = {show(missing_one(block), seed)[0].shown.total() for seed in range(12)}
    assert counts <= {5, 7, 8, 11}
    assert len(counts) > 1


def test_size_contrast_is_huge():
    """Two things, one of them at least three times as long as the other."""
    for _, stage in scenes("size_contrast"):
        small, large = sorted(size for _, _, _, size, _ in stage.placed)
        assert large >= 3 * small
        assert small >= 0.24


def test_the_heavier_side_goes_down():
    """Where two things of different size are weighed, the smaller one is not the lower one."""
    for name, stage in scenes("balance"):
        if len(stage.placed) == 2 and name != "_hanging_mobile":
            (_, _, first, one, _), (_, _, second, two, _) = stage.placed
            feet = (first + one / 2, second + two / 2)
            if abs(one - two) > 0.05:
                assert (feet[0] - feet[1]) * (one - two) > -0.06


def test_rivals_stand_on_opposite_sides():
    """Two kinds of equal size, each on its own side of the middle."""
    for _, stage in scenes("versus"):
        (first, x, y, size, _), (second, other_x, other_y, other, _) = stage.placed
        assert (first, second) == stage.cast[:2]
        assert size == other
        assert x * other_x + y * other_y < 0
        assert math.dist((x, y), (other_x, other_y)) > size
