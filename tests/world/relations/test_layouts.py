"""What holds for every layout of every relation: it shows something, in the frame, and follows from its seed."""

import itertools

import numpy as np
import pytest

from relsim.world.canvas import STYLES
from relsim.world.relations import RELATIONS

LAYOUTS = [(relation, layout) for relation in RELATIONS.values() for layout in relation.layouts]
FAMILIES_IN_BOXES = {"arrangement", "interaction"}
LIMITS = {"comparison": 1.0, "sequence": 1.0, "nesting": 1.03}
"""How far out the corner of any shape may be: for a sliver of what is nested, a little beyond the frame."""
WIDER = {"in_bowl": 1.18}  # the foot of the bowl
COVERING = {"_versus_split", "_versus_lightning"}  # fields that cover the picture
LOOSE = {"composition", "depiction", "reflection"}


def every(*families):
    """Marks a test for the layouts of these families, or of all."""
    chosen = [(relation, layout) for relation, layout in LAYOUTS if not families or relation.family in families]
    names = [f"{relation.name}-{layout.__name__}" for relation, layout in chosen]
    return pytest.mark.parametrize("layout", [layout for _, layout in chosen], ids=names)


def test_every_family_has_a_frame():
    assert FAMILIES_IN_BOXES | LIMITS.keys() | LOOSE == {relation.family for relation in RELATIONS.values()}


@every()
@pytest.mark.parametrize("style", STYLES)
def test_every_layout_fills_some_of_the_picture(show, layout, style):
    """In each style more than 3 % of the pixels differ from the paper."""
    for seed in (2, 3):
        shown = show(layout, seed, style)
        assert (np.abs(shown.picture - shown.empty).max(axis=2) > 12).mean() > 0.03


@every()
def test_a_seed_decides_every_pixel(show, layout):
    """The same seed draws the same picture, another seed another."""
    first, again, other = show(layout, 1).picture, show(layout, 1).picture, show(layout, 17).picture
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@every(*FAMILIES_IN_BOXES)
def test_things_stay_in_the_frame(show, layout):
    """Nobody's box leaves [-1, 1], sparse or crowded."""
    for seed, amount in itertools.product(range(8), (0.0, 0.5, 0.99)):
        for _, x, y, size, _ in show(layout, seed, amount=amount).stage.placed:
            assert max(abs(x), abs(y)) + size / 2 <= 1.0


@pytest.mark.parametrize("family", LIMITS)
def test_nothing_is_painted_outside_the_frame(show, family):
    """No corner of any shape is further out than the family's limit."""
    for relation, layout in LAYOUTS:
        if relation.family == family and layout.__name__ not in COVERING:
            furthest = max(show(layout, seed).stage.canvas.furthest for seed in range(10))
            assert furthest <= WIDER.get(layout.__name__, LIMITS[family]), layout.__name__


@every(*LOOSE)
def test_every_actor_stands_in_the_picture(show, layout):
    """Three of four that are not larger than it have their middle in it."""
    for seed in range(4):
        stage = show(layout, seed).stage
        assert stage.shown
        inside = [max(abs(x), abs(y)) < 1 for _, x, y, size, _ in stage.placed if size < 1.3]
        assert sum(inside) >= 0.75 * len(inside)


@pytest.mark.parametrize("name", [name for name, relation in RELATIONS.items() if relation.family != "nesting"])
def test_seven_sentences_tell_a_relation(name):
    """Of 6 to 14 words, each with a placeholder; some of nesting are shorter, and one has no placeholder."""
    captions = RELATIONS[name].captions
    assert len(set(captions)) == len(captions) == 7
    assert all("{" in caption and 6 <= len(caption.split()) <= 14 for caption in captions)
