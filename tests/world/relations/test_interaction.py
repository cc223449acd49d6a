"""Interactions: ties, arrows and trails between things are what a scene shows, whatever they are."""

import itertools
from collections import Counter

import numpy as np

from relsim.world.relations import RELATIONS


def cast_of(things):
    """The actors of a scene, in the order of their first entry."""
    return list(dict.fromkeys(thing[0] for thing in things))


def test_a_chain_is_short(placed):
    """Three to five things: each large enough to be named."""
    assert {len(things) for _, things in placed("chain_links")} <= {3, 4, 5}


def test_a_cycle_has_an_arrow_for_each_of_its_stages(placed):
    """Three to five stages, nothing in their middle."""
    for name, things in placed("cycle_arrows"):
        spots = np.array([thing[1:3] for thing in things])
        assert 3 <= len(things) <= 5, name
        assert (np.hypot(*(spots - spots.mean(axis=0)).T) > 0.3).all(), name


def test_a_hub_is_among_its_nodes(placed):
    """One of its own kind, around it at least four of others."""
    for name, things in placed("hub_and_spokes"):
        kinds = Counter(thing[0].kind.name for thing in things)
        hub = next(thing for thing in things if kinds[thing[0].kind.name] == 1 and np.hypot(thing[1], thing[2]) < 0.35)
        assert len(things) >= 5, name
        assert hub[3] >= max(thing[3] for thing in things if thing is not hub) * 0.99, name


def test_a_tree_widens(placed):
    """The first kind is there once, and the last is the most numerous or as numerous as the second."""
    for name, things in placed("branching_tree"):
        if name != "tree_of_halves":
            one, some, many = (sum(thing[0] == actor for thing in things) for actor in cast_of(things))
            assert one == 1 < some <= many, name


def test_two_exchange(placed):
    """Two large things of different kinds; what is under way between them is of a third."""
    for name, things in placed("exchange"):
        large = sorted(things, key=lambda thing: -thing[3])[:2]
        assert large[0][0].kind != large[1][0].kind, name
        assert all(thing[0].kind not in {large[0][0].kind, large[1][0].kind} for thing in things if thing[3] < 0.4)
        assert len(things) in {2, 4}, name


def test_all_arrows_meet_at_one(show):
    """Heads of arrows lie nearer to the one target than their tails do."""
    for layout, seed in itertools.product(RELATIONS["convergence"].layouts[:2], range(6)):
        stage = show(layout, seed).stage
        target = np.array(stage.placed[-1][1:3])
        assert len(stage.arrows) >= 3
        for start, end in stage.arrows:
            assert np.hypot(*(end - target)) < np.hypot(*(start - target))


def test_pieces_surround_a_burst(show):
    """No arrow is drawn, and no two pieces have both size and turn in common."""
    for layout, seed in itertools.product(RELATIONS["burst"].layouts, range(6)):
        stage = show(layout, seed).stage
        assert not stage.arrows
        assert len({(thing[3], thing[4].get("turn")) for thing in stage.placed}) == len(stage.placed)


def test_one_chases_one(placed):
    """Two different kinds, near each other but not on one spot."""
    for name, things in placed("chase"):
        assert len(things) == 2, name
        assert things[0][0].kind != things[1][0].kind, name
        gap = np.hypot(things[0][1] - things[1][1], things[0][2] - things[1][2])
        assert 0.4 < gap < 1.1, name


def test_arrows_are_counted(show):
    """A cycle of n things has n arrows, an exchange two."""
    for layout, seed in itertools.product(RELATIONS["cycle_arrows"].layouts[:2], range(6)):
        stage = show(layout, seed).stage
        assert len(stage.arrows) == len(stage.placed)
    for layout, seed in itertools.product(RELATIONS["exchange"].layouts, range(6)):
        assert len(show(layout, seed).stage.arrows) in {0, 2}
