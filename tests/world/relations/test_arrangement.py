"""Arrangements: where things stand is what a scene shows, whatever they are."""

import itertools

import numpy as np

from relsim.world.relations import RELATIONS


def test_a_ring_is_empty(placed):
    """No thing reaches the middle of a ring; of several rings, none reaches the middle of its own."""
    for name, things in placed("ring"):
        groups = [things]
        if name == "rings_side_by_side":
            groups = [list(group) for _, group in itertools.groupby(things, key=lambda thing: thing[0].kind.name)]
        for group in groups:
            spots = np.array([thing[1:3] for thing in group])
            away = np.hypot(*(spots - spots.mean(axis=0)).T)
            assert (away > 0.5 * max(thing[3] for thing in group)).all(), name


def test_a_pyramid_has_one_two_three(placed):
    """The number of things is 1 + 2 + ... + rows."""
    assert {len(things) for _, things in placed("pyramid")} <= {6, 10, 15}


def test_a_grid_is_full(placed):
    """The number of things is a product of at least two by three."""
    for name, things in placed("grid"):
        assert len(things) in {6, 8, 9, 10, 12, 15, 16, 20}, name


def test_neighbours_alternate(placed):
    """Every second thing is of one kind, those between of one other."""
    for name, things in placed("alternation"):
        kinds = [thing[0].kind.name for thing in things]
        assert len(set(kinds)) == 2, name
        assert all(a != b for a, b in itertools.pairwise(kinds)), name


def test_halves_mirror_each_other(placed):
    """With every thing off the axis there is its mirror image at the same height."""
    for name, things in placed("symmetry"):
        sides = [thing for thing in things if abs(thing[1]) > 1e-6]
        for right, left in zip(sides[::2], sides[1::2], strict=True):
            assert right[0] == left[0], name
            assert (right[1], right[2], right[3]) == (-left[1], left[2], left[3]), name
            assert right[4]["turn"] == -left[4]["turn"], name
            assert left[4]["mirror"], name


def test_one_stands_apart(placed):
    """The last thing is further from all others than any other is from its neighbour."""
    for name, things in placed("cluster_and_stray"):
        spots = np.array([thing[1:3] for thing in things])
        between = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + 9 * np.eye(len(spots))
        nearest = between.min(axis=1)
        assert nearest[-1] > 1.4 * nearest[:-1].max(), name


def test_a_spiral_winds_more_than_once(show):
    """Seen from where it begins, the things of one arm go round by more than 300 degrees in all."""
    for layout, seed in itertools.product(RELATIONS["spiral"].layouts[:2], range(6)):
        things = show(layout, seed).stage.placed
        spots = np.array([thing[1:3] for thing in things])
        steps = np.diff(spots, axis=0)
        headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        assert abs(headings[-1] - headings[0]) > np.radians(360)
