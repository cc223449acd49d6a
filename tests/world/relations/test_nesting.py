"""Nesting: what lies inside what, or on top of what."""

import math

import numpy as np
import pytest

from relsim.world.relations.nesting_contents import droste_corner, droste_middle, droste_side, in_box
from relsim.world.relations.nesting_layers import nested_centred, nested_polygons, nested_to_a_side, strata_flat

SEEDS = range(8)


@pytest.mark.parametrize("layout", [nested_centred, nested_to_a_side])
def test_copies_shrink_by_one_factor_and_stay_within_each_other(show, layout):
    """Three or four of one kind; boxes of the copies lie within each other; only the innermost counts as a thing."""
    for seed in SEEDS:
        stage = show(layout, seed).stage
        actors, xs, ys, sizes, _ = zip(*stage.placed, strict=True)
        assert set(actors) == {stage.cast[0]}
        assert len(sizes) in {3, 4}
        np.testing.assert_allclose(np.divide(sizes[1:], sizes[:-1]), sizes[1] / sizes[0])
        for k in range(len(sizes) - 1):
            assert math.dist((xs[k], ys[k]), (xs[k + 1], ys[k + 1])) <= (sizes[k] - sizes[k + 1]) / 2
        assert stage.shown.total() == 1


def test_polygons_hold_a_thing(show):
    for seed in SEEDS:
        assert show(nested_polygons, seed).stage.shown.total() == 1


def test_a_body_has_a_core(scenes):
    """One thing, within the middle two thirds of the picture."""
    for _, stage in scenes("layers_cutaway", SEEDS):
        ((actor, x, y, _, _),) = stage.placed
        assert actor is stage.cast[0]
        assert math.hypot(x, y) < 0.67


def test_a_container_holds_two_kinds_at_most(scenes):
    for _, stage in scenes("container", SEEDS):
        assert len(stage.placed) >= 2
        assert {actor for actor, *_ in stage.placed} <= set(stage.cast[:2])


def test_things_in_a_box_do_not_overlap(show):
    for seed in SEEDS:
        placed = show(in_box, seed).stage.placed
        for k, (_, x, y, size, _) in enumerate(placed):
            for _, other_x, other_y, _, _ in placed[:k]:
                assert max(abs(x - other_x), abs(y - other_y)) > size


def test_strata_hold_one_kind_each(show):
    """From the top: the kinds of the cast in their order, the first again in a fourth layer."""
    for seed in SEEDS:
        stage = show(strata_flat, seed).stage
        order = sorted(stage.placed, key=lambda one: one[2])
        layers = [actor for k, (actor, *_) in enumerate(order) if k == 0 or order[k - 1][0] is not actor]
        assert layers == [*stage.cast, stage.cast[0]][: len(layers)]
        assert len(layers) in {3, 4}


@pytest.mark.parametrize("layout", [droste_side, droste_middle, droste_corner])
def test_a_picture_shows_itself(show, layout):
    """What is seen three times is the same arrangement, each time smaller by the same factor."""
    for seed in SEEDS:
        stage = show(layout, seed).stage
        actors, xs, ys, sizes, _ = zip(*stage.placed, strict=True)
        each = len(sizes) // 3
        assert set(actors) == {stage.cast[0]}
        levels = np.reshape(sizes, (3, each))[:, 0]
        assert levels[1] / levels[0] == pytest.approx(levels[2] / levels[1])
        assert levels[1] < 0.55 * levels[0]
        places = np.stack([xs, ys], axis=1).reshape(3, each, 2)
        steps = np.linalg.norm(np.diff(places[:, 0], axis=0), axis=1)
        assert steps[1] / steps[0] == pytest.approx(levels[1] / levels[0], rel=1e-3)


def test_one_thing_is_enclosed(scenes):
    for _, stage in scenes("enclosed", SEEDS):
        assert stage.shown.total() == len(stage.placed) == 1
