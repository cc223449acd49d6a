"""Triplets made from labels keep what their kind promises."""

from collections import Counter

import pytest

from relsim.data.records import ImageRecord
from relsim.errors import SourceError
from relsim.evaluation.labels import Labels, labels_of, triplets_from_labels

RELATIONS, LOOKS = ("rings", "row", "tree"), ("red", "blue", "flat", "bold")


@pytest.fixture
def labels():
    """Every relation in every look, twice."""
    return [
        Labels(f"{relation}-{look}-{copy}", relation, f"family of {relation}", look)
        for relation in RELATIONS
        for look in LOOKS
        for copy in (0, 1)
    ]


@pytest.fixture
def by_id(labels):
    return {label.image_id: label for label in labels}


def test_each_kind_keeps_its_promise(labels, by_id):
    triplets = triplets_from_labels(labels, seed=1, count=90)
    assert Counter(triplet.kind for triplet in triplets) == {"conflict": 90, "aligned": 90, "control": 90}
    for triplet in triplets:
        anchor, positive, negative = (by_id[image_id] for image_id in triplet.ids)
        assert len(set(triplet.ids)) == 3
        assert anchor.relation == positive.relation == triplet.relation != negative.relation
        assert triplet.family == anchor.family
        assert (positive.look == anchor.look) == (triplet.kind == "aligned")
        assert (negative.look == anchor.look) == (triplet.kind == "conflict")


def test_relations_take_turns(labels):
    """However common one of them is."""
    many = [Labels(f"more-{number}", "rings", None, "red") for number in range(300)]
    triplets = triplets_from_labels([*labels, *many], count=30)
    conflict = Counter(triplet.relation for triplet in triplets if triplet.kind == "conflict")
    assert conflict == {"rings": 10, "row": 10, "tree": 10}


def test_the_seed_decides(labels):
    assert triplets_from_labels(labels, seed=1, count=20) == triplets_from_labels(labels, seed=1, count=20)
    assert triplets_from_labels(labels, seed=1, count=20) != triplets_from_labels(labels, seed=2, count=20)


def test_without_looks_all_triplets_are_controls():
    labels = [Labels(f"{relation}{copy}", relation) for relation in RELATIONS for copy in range(3)]
    triplets = triplets_from_labels(labels, count=12)
    assert Counter(triplet.kind for triplet in triplets) == {"control": 12}
    assert {triplet.family for triplet in triplets} == {None}


def test_a_relation_with_one_picture_is_only_a_negative():
    labels = [Labels("a", "one"), Labels("b", "one"), Labels("c", "alone")]
    triplets = triplets_from_labels(labels, count=5)
    assert {triplet.relation for triplet in triplets} == {"one"}
    assert {triplet.negative for triplet in triplets} == {"c"}


@pytest.mark.parametrize("relations", [["one", "one"], ["one", "two"], []])
def test_too_few_relations_are_told(relations):
    with pytest.raises(SourceError, match="two relations, one of them with two pictures"):
        triplets_from_labels([Labels(str(number), relation) for number, relation in enumerate(relations)])


def test_labels_are_read_from_the_fields_of_a_manifest():
    records = [
        ImageRecord("a", "a.png", {"relation": "rings", "family": "nesting", "look": {"b": 1, "a": [2]}}),
        ImageRecord("b", "b.png", {"group": 7}),
        ImageRecord("c", "c.png", {"relation": "row", "group": 8}),
        ImageRecord("d", "d.png", {"caption": "no label"}),
    ]
    assert labels_of(records) == [
        Labels("a", "rings", "nesting", '{"a": [2], "b": 1}'),
        Labels("b", "7"),
        Labels("c", "row"),
    ]
