"""Nesting: what lies inside what, or on top of what."""

import math

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.nesting import RELATIONS
from relsim.world.relations.nesting_contents import droste_corner, droste_middle, droste_side, in_bowl, in_box
from relsim.world.relations.nesting_layers import nested_centred, nested_polygons, nested_to_a_side, strata_flat
from relsim.world.stage import Actor, Stage

LAYOUTS = [
    pytest.param(layout, id=f"{relation.name}-{layout.__name__}")
    for relation in RELATIONS
    for layout in relation.layouts
]
BY_NAME = {relation.name: relation for relation in RELATIONS}
SEEDS = range(8)


class Easel(Canvas):
    """A canvas that remembers how far from the middle a shape was painted on it."""

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
        self.placed.append((actor, x, y, size))
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
    for layout in BY_NAME[name].layouts:
        for seed in SEEDS:
            yield show(layout, seed)[0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_fills_some_of_the_picture(layout, style):
    """In each style more than 3 % of the pixels differ from the paper."""
    stage, picture = show(layout, seed=3, style=style)
    assert (np.abs(picture - stage.paper).max(axis=2) > 12).mean() > 0.03


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_seed_decides_the_picture(layout):
    first, again, other = show(layout, 1)[1], show(layout, 1)[1], show(layout, 17)[1]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("layout", [nested_centred, nested_to_a_side])
def test_copies_shrink_by_one_factor_and_stay_within_each_other(layout):
    """Three or four of one kind; boxes of the copies lie within each other; only the innermost counts as a thing."""
    for seed in SEEDS:
        stage = show(layout, seed)[0]
        actors, xs, ys, sizes = zip(*stage.placed, strict=True)
        assert set(actors) == {stage.cast[0]}
        assert len(sizes) in {3, 4}
        np.testing.assert_allclose(np.divide(sizes[1:], sizes[:-1]), sizes[1] / sizes[0])
        for k in range(len(sizes) - 1):
            assert math.dist((xs[k], ys[k]), (xs[k + 1], ys[k + 1])) <= (sizes[k] - sizes[k + 1]) / 2
        assert stage.shown.total() == 1


def test_polygons_hold_a_thing():
    for seed in SEEDS:
        assert show(nested_polygons, seed)[0].shown.total() == 1


def test_a_body_has_a_core():
    """One thing, within the middle two thirds of the picture."""
    for stage in scenes("layers_cutaway"):
        ((actor, x, y, _),) = stage.placed
        assert actor is stage.cast[0]
        assert math.hypot(x, y) < 0.67


def test_a_container_holds_two_kinds_at_most():
    for stage in scenes("container"):
        assert len(stage.placed) >= 2
        assert {actor for actor, *_ in stage.placed} <= set(stage.cast[:2])


def test_things_in_a_box_do_not_overlap():
    for seed in SEEDS:
        placed = show(in_box, seed)[0].placed
        for k, (_, x, y, size) in enumerate(placed):
            for _, other_x, other_y, _ in placed[:k]:
                assert max(abs(x - other_x), abs(y - other_y)) > size


def test_strata_hold_one_kind_each():
    """From the top: the kinds of the cast in their order, the first again in a fourth layer."""
    for seed in SEEDS:
        stage = show(strata_flat, seed)[0]
        order = sorted(stage.placed, key=lambda one: one[2])
        layers = [actor for k, (actor, *_) in enumerate(order) if k == 0 or order[k - 1][0] is not actor]
        assert layers == [*stage.cast, stage.cast[0]][: len(layers)]
        assert len(layers) in {3, 4}


@pytest.mark.parametrize("layout", [droste_side, droste_middle, droste_corner])
def test_a_picture_shows_itself(layout):
    """What is seen three times is the same arrangement, each time smaller by the same factor."""
    for seed in SEEDS:
        stage = show(layout, seed)[0]
        actors, xs, ys, sizes = zip(*stage.placed, strict=True)
        each = len(sizes) // 3
        assert set(actors) == {stage.cast[0]}
        levels = np.reshape(sizes, (3, each))[:, 0]
        assert levels[1] / levels[0] == pytest.approx(levels[2] / levels[1])
        assert levels[1] < 0.55 * levels[0]
        places = np.stack([xs, ys], axis=1).reshape(3, each, 2)
        steps = np.linalg.norm(np.diff(places[:, 0], axis=0), axis=1)
        assert steps[1] / steps[0] == pytest.approx(levels[1] / levels[0], rel=1e-3)


def test_one_thing_is_enclosed():
    for stage in scenes("enclosed"):
        assert stage.shown.total() == len(stage.placed) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_leaves_the_frame(layout):
    """But for a sliver, and for the foot of a bowl: no corner of any shape is further out than 1.03."""
    limit = 1.18 if layout is in_bowl else 1.03
    for seed in range(10):
        assert show(layout, seed)[0].canvas.furthest <= limit
