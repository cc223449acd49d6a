"""Interactions: ties, arrows and trails between things are what a scene shows, whatever they are."""

import itertools
from collections import Counter

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.interaction import RELATIONS
from relsim.world.stage import Actor, Stage

LAYOUTS = [pytest.param(layout, id=layout.__name__) for relation in RELATIONS for layout in relation.layouts]
BY_NAME = {relation.name: relation for relation in RELATIONS}


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


def cast_of(things):
    """The actors of a scene, in the order of their first entry."""
    return list(dict.fromkeys(thing[0] for thing in things))


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


def test_a_chain_is_short():
    """Three to five things: each large enough to be named."""
    assert {len(things) for _, things in placed("chain_links")} <= {3, 4, 5}


def test_a_cycle_has_an_arrow_for_each_of_its_stages():
    """Three to five stages, nothing in their middle."""
    for name, things in placed("cycle_arrows"):
        spots = np.array([thing[1:3] for thing in things])
        assert 3 <= len(things) <= 5, name
        assert (np.hypot(*(spots - spots.mean(axis=0)).T) > 0.3).all(), name


def test_a_hub_is_among_its_nodes():
    """One of its own kind, around it at least four of others."""
    for name, things in placed("hub_and_spokes"):
        kinds = Counter(thing[0].kind.name for thing in things)
        hub = next(thing for thing in things if kinds[thing[0].kind.name] == 1 and np.hypot(thing[1], thing[2]) < 0.35)
        assert len(things) >= 5, name
        assert hub[3] >= max(thing[3] for thing in things if thing is not hub) * 0.99, name


def test_a_tree_widens():
    """The first kind is there once, and the last is the most numerous or as numerous as the second."""
    for name, things in placed("branching_tree"):
        if name != "tree_of_halves":
            one, some, many = (sum(thing[0] == actor for thing in things) for actor in cast_of(things))
            assert one == 1 < some <= many, name


def test_two_exchange():
    """Two large things of different kinds; what is under way between them is of a third."""
    for name, things in placed("exchange"):
        large = sorted(things, key=lambda thing: -thing[3])[:2]
        assert large[0][0].kind != large[1][0].kind, name
        assert all(thing[0].kind not in {large[0][0].kind, large[1][0].kind} for thing in things if thing[3] < 0.4)
        assert len(things) in {2, 4}, name


def test_all_arrows_meet_at_one():
    """Heads of arrows lie nearer to the one target than their tails do."""
    for layout, seed in itertools.product(BY_NAME["convergence"].layouts[:2], range(6)):
        stage = show(layout, seed)[0]
        target = np.array(stage.placed[-1][1:3])
        assert len(stage.arrows) >= 3
        for start, end in stage.arrows:
            assert np.hypot(*(end - target)) < np.hypot(*(start - target))


def test_pieces_surround_a_burst():
    """No arrow is drawn, and no two pieces have both size and turn in common."""
    for layout, seed in itertools.product(BY_NAME["burst"].layouts, range(6)):
        stage = show(layout, seed)[0]
        assert not stage.arrows
        assert len({(thing[3], thing[4].get("turn")) for thing in stage.placed}) == len(stage.placed)


def test_one_chases_one():
    """Two different kinds, near each other but not on one spot."""
    for name, things in placed("chase"):
        assert len(things) == 2, name
        assert things[0][0].kind != things[1][0].kind, name
        gap = np.hypot(things[0][1] - things[1][1], things[0][2] - things[1][2])
        assert 0.4 < gap < 1.1, name


def test_arrows_are_counted():
    """A cycle of n things has n arrows, an exchange two."""
    for layout, seed in itertools.product(BY_NAME["cycle_arrows"].layouts[:2], range(6)):
        stage = show(layout, seed)[0]
        assert len(stage.arrows) == len(stage.placed)
    for layout, seed in itertools.product(BY_NAME["exchange"].layouts, range(6)):
        assert len(show(layout, seed)[0].arrows) in {0, 2}


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_captions_name_nothing(relation):
    """Seven different sentences of 6 to 14 words, each with a placeholder."""
    assert len(set(relation.captions)) == 7
    assert all(6 <= len(caption.split()) <= 14 and "{" in caption for caption in relation.captions)
