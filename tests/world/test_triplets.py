from itertools import islice

import numpy as np
import pytest

from relsim.encoders.descriptors import DescriptorEncoder
from relsim.evaluation.statistics import wilson
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes
from relsim.world.triplets import KINDS, scene_triplets

COUNT = 120
EVERY = [pytest.param(kind, split, id=f"{kind}-{split.value}") for kind in KINDS for split in Split]


def nothing_in_common(one, other, split):
    """Whether two looks share no kind, palette, background or, where a split has several, style."""
    return (
        set(one.kinds).isdisjoint(other.kinds)
        and one.palette != other.palette
        and one.background != other.background
        and (one.style != other.style or len(split.styles) == 1)
    )


@pytest.mark.parametrize(("kind", "split"), EVERY)
def test_truth_is_by_construction(kind, split):
    """The positive shows the anchor's relation, the negative another; looks agree or differ as the kind says."""
    for triplet in scene_triplets(kind, split, COUNT, 0):
        anchor, positive, negative = triplet.anchor, triplet.positive, triplet.negative
        assert anchor.relation == positive.relation != negative.relation
        assert {scene.split for scene in (anchor, positive, negative)} == {split}
        for scene, alike in ((positive, kind == "aligned"), (negative, kind == "conflict")):
            assert (scene.look == anchor.look) == alike
            assert nothing_in_common(scene.look, anchor.look, split) != alike


def test_a_positive_is_drawn_in_another_layout():
    for triplet in scene_triplets("conflict", Split.TRAIN, COUNT, 0):
        assert triplet.positive.layout != triplet.anchor.layout


def test_relations_take_turns():
    names = Split.OBJECTS.relations
    anchors = [triplet.anchor.relation for triplet in scene_triplets("conflict", Split.OBJECTS, len(names), 0)]
    assert anchors == list(names)


def test_arguments_decide_the_triplets():
    first, again, fewer = (list(scene_triplets("control", Split.TRAIN, count, 4)) for count in (20, 20, 7))
    assert first == again
    assert first[:7] == fewer
    assert first != list(scene_triplets("control", Split.TRAIN, 20, 5))


def test_no_triplet_has_a_scene_of_the_row():
    """Triplets do not draw from `scenes` of the same seed, so a gallery may hold both."""
    row = {scene.image_id for scene in islice(scenes(Split.VALIDATION, 0), 200)}
    anchors = {triplet.anchor.image_id for triplet in scene_triplets("conflict", Split.VALIDATION, 200, 0)}
    assert row.isdisjoint(anchors)


@pytest.fixture(scope="module")
def pictures():
    """Anchor, positive and negative of 300 conflict triplets, at 112 pixels."""
    triplets = scene_triplets("conflict", Split.OBJECTS, 300, 3)
    return [[draw(scene, 112).image for scene in (one.anchor, one.positive, one.negative)] for one in triplets]


@pytest.mark.parametrize("parts", ["both", "colour", "hog"])
def test_descriptors_fail_conflict_triplets(pictures, parts):
    """Less than 30 % right: the 95 % interval of the share ends below."""
    encoder = DescriptorEncoder(parts)
    anchor, positive, negative = np.array(
        [[encoder.prepare(image) for image in three] for three in pictures]
    ).transpose(1, 0, 2)
    right = ((anchor * positive).sum(axis=1) > (anchor * negative).sum(axis=1)).sum()
    assert wilson(int(right), len(pictures)).high < 0.30
