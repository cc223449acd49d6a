"""Arrangements: where things stand is what a scene shows, whatever they are."""

import itertools

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.arrangement import RELATIONS
from relsim.world.stage import Actor, Stage

LAYOUTS = [pytest.param(layout, id=layout.__name__) for relation in RELATIONS for layout in relation.layouts]
BY_NAME = {relation.name: relation for relation in RELATIONS}


class Watched(Stage):
    """A stage that writes down where actors are put."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.placed = []

    def put(self, actor, x, y, size, **how):
        self.placed.append((actor, x, y, size, how))
        super().put(actor, x, y, size, **how)


def show(layout, seed=0, style="flat", amount=None):
    """The stage and the picture of one scene."""
    rng = np.random.default_rng(seed)
    palette = list(PALETTES.values())[seed % 16]
    canvas = Canvas(112, palette, style, View())
    kinds = [OBJECTS[name] for name in sorted(OBJECTS)[seed % 7 :: 9][:3]]
    cast = [Actor(kind, colour) for kind, colour in zip(kinds, palette.colours, strict=False)]
    stage = Watched(canvas, cast, palette.colours[3:], rng.random() if amount is None else amount, rng)
    layout(stage)
    return stage, np.asarray(canvas.finish(), np.int16)


def placed(name, seeds=range(6)):
    """For each layout and seed of a relation, what was put where."""
    for layout, seed in itertools.product(BY_NAME[name].layouts, seeds):
        yield layout.__name__, show(layout, seed)[0].placed


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
def test_things_stay_in_the_frame(layout):
    """Nobody's box leaves [-1, 1], sparse or crowded."""
    for seed, amount in itertools.product(range(8), (0.0, 0.5, 0.99)):
        for _, x, y, size, _ in show(layout, seed, amount=amount)[0].placed:
            assert max(abs(x), abs(y)) + size / 2 <= 1.0


def test_a_ring_is_empty():
    """No thing reaches the middle of a ring; of several rings, none reaches the middle of its own."""
    for name, things in placed("ring"):
        groups = [things]
        if name == "rings_side_by_side":
            groups = [list(group) for _, group in itertools.groupby(things, key=lambda thing: thing[0].kind.name)]
        for group in groups:
            spots = np.array([thing[1:3] for thing in group])
            away = np.hypot(*(spots - spots.mean(axis=0)).T)
            assert (away > 0.5 * max(thing[3] for thing in group)).all(), name


def test_a_pyramid_has_one_two_three():
    """The number of things is 1 + 2 + ... + rows."""
    assert {len(things) for _, things in placed("pyramid")} <= {6, 10, 15}


def test_a_grid_is_full():
    """The number of things is a product of at least two by three."""
    for name, things in placed("grid"):
        assert len(things) in {6, 8, 9, 10, 12, 15, 16, 20}, name


def test_neighbours_alternate():
    """Every second thing is of one kind, those between of one other."""
    for name, things in placed("alternation"):
        kinds = [thing[0].kind.name for thing in things]
        assert len(set(kinds)) == 2, name
        assert all(a != b for a, b in itertools.pairwise(kinds)), name


def test_halves_mirror_each_other():
    """With every thing off the axis there is its mirror image at the same height."""
    for name, things in placed("symmetry"):
        sides = [thing for thing in things if abs(thing[1]) > 1e-6]
        for right, left in zip(sides[::2], sides[1::2], strict=True):
            assert right[0] == left[0], name
            assert (right[1], right[2], right[3]) == (-left[1], left[2], left[3]), name
            assert right[4]["turn"] == -left[4]["turn"], name
            assert left[4]["mirror"], name


def test_one_stands_apart():
    """The last thing is further from all others than any other is from its neighbour."""
    for name, things in placed("cluster_and_stray"):
        spots = np.array([thing[1:3] for thing in things])
        between = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + 9 * np.eye(len(spots))
        nearest = between.min(axis=1)
        assert nearest[-1] > 1.4 * nearest[:-1].max(), name


def test_a_spiral_winds_more_than_once():
    """Seen from where it begins, the things of one arm go round by more than 300 degrees in all."""
    for layout, seed in itertools.product(BY_NAME["spiral"].layouts[:2], range(6)):
        things = show(layout, seed)[0].placed
        spots = np.array([thing[1:3] for thing in things])
        steps = np.diff(spots, axis=0)
        headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        assert abs(headings[-1] - headings[0]) > np.radians(360)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_captions_name_nothing(relation):
    """Seven different sentences of 6 to 14 words, each with a placeholder."""
    assert len(set(relation.captions)) == 7
    assert all(6 <= len(caption.split()) <= 14 and "{" in caption for caption in relation.captions)
