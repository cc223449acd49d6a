"""Comparisons: what sets one thing against another, or one against many, is what a scene shows."""

import math

from relsim.world.relations.comparison_odd import block, missing_one
from relsim.world.relations.sequence_pieces import contrast


def test_one_colour_is_odd(scenes):
    """All are of one kind and one colour, but for one of the colour that stands out most."""
    for _, stage in scenes("odd_colour"):
        actor = stage.cast[0]
        odd = (actor.kind.name, contrast(stage, actor.colour).word)
        assert stage.shown[odd] == 1
        assert stage.shown[actor.kind.name, actor.colour.word] == stage.shown.total() - 1 >= 3


def test_one_turn_is_odd(scenes):
    """All stand alike but one, which is turned by 45 degrees or more."""
    for _, stage in scenes("odd_turn"):
        turns = [how["turn"] for *_, how in stage.placed]
        usual = max(turns, key=turns.count)
        odd = [turn for turn in turns if turn != usual]
        assert len(odd) == 1
        assert len(turns) >= 4
        assert 45 <= (odd[0] - usual) % 360 <= 315


def test_one_place_of_a_block_is_empty(show):
    """A block has 6, 8, 9 or 12 places."""
    counts = {show(missing_one(block), seed).stage.shown.total() for seed in range(12)}
    assert counts <= {5, 7, 8, 11}
    assert len(counts) > 1


def test_size_contrast_is_huge(scenes):
    """Two things, one of them at least three times as long as the other."""
    for _, stage in scenes("size_contrast"):
        small, large = sorted(size for _, _, _, size, _ in stage.placed)
        assert large >= 3 * small
        assert small >= 0.24


def test_the_heavier_side_goes_down(scenes):
    """Where two things of different size are weighed, the smaller one is not the lower one."""
    for name, stage in scenes("balance"):
        if len(stage.placed) == 2 and name != "_hanging_mobile":
            (_, _, first, one, _), (_, _, second, two, _) = stage.placed
            feet = (first + one / 2, second + two / 2)
            if abs(one - two) > 0.05:
                assert (feet[0] - feet[1]) * (one - two) > -0.06


def test_rivals_stand_on_opposite_sides(scenes):
    """Two kinds of equal size, each on its own side of the middle."""
    for _, stage in scenes("versus"):
        (first, x, y, size, _), (second, other_x, other_y, other, _) = stage.placed
        assert (first, second) == stage.cast[:2]
        assert size == other
        assert x * other_x + y * other_y < 0
        assert math.dist((x, y), (other_x, other_y)) > size
