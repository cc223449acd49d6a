"""Near duplicates, by words and by vectors, against all pairs by brute force."""

import itertools

import numpy as np
import pytest

from relsim.captions.duplicates import near_duplicates, normalised

SENTENCE = "growth of {Subject} over time in several stages from small to large with arrows between all its {Parts}"


def brute_force(count, alike):
    """Leaders by the rule itself: the earliest kept item that is alike, else itself."""
    leaders = []
    for place in range(count):
        kept = (other for other in range(place) if leaders[other] == other)
        leaders.append(next((other for other in kept if alike(other, place)), place))
    groups = {leader: tuple(p for p in range(count) if leaders[p] == leader) for leader in dict.fromkeys(leaders)}
    return [group for group in groups.values() if len(group) > 1]


def pairs(caption):
    words = ["", *normalised(caption).split(), ""]
    return set(itertools.pairwise(words))


def test_case_punctuation_and_names_of_placeholders_make_no_difference():
    captions = ["Growth of {Subject}, over time.", '"growth of {Object} over time"', "Rotation of {Subject}"]
    assert near_duplicates(captions, 1.0) == [(0, 1)]
    assert normalised(captions[0]) == "growth of {} over time"


def test_one_word_in_nine_is_near_and_the_whole_sentence_is_not():
    """Of ten pairs each, eight are in common: 8 / 12."""
    captions = ["one {A} grows slowly in five stages until done", "one {A} grows quickly in five stages until done"]
    assert near_duplicates(captions, 8 / 12) == [(0, 1)]
    assert near_duplicates(captions, 8 / 12 + 0.01) == []


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
def test_groups_by_words_are_those_of_brute_force(threshold):
    rng = np.random.default_rng(3)
    captions = []
    for _ in range(250):
        words = SENTENCE.split()
        for place in rng.integers(0, len(words), rng.integers(0, 5)):
            words[place] = f"w{rng.integers(0, 4)}"
        captions.append(" ".join(words[: rng.integers(6, len(words) + 1)]))

    def alike(one, other):
        first, second = pairs(captions[one]), pairs(captions[other])
        return len(first & second) / len(first | second) >= threshold

    expected = brute_force(len(captions), alike)
    assert near_duplicates(captions, threshold) == expected
    assert len(expected) > 3


def test_groups_by_vectors_are_those_of_brute_force(monkeypatch):
    """In blocks of 16 rows, so that leaders are found within a block and before it."""
    monkeypatch.setattr("relsim.captions.duplicates._ROWS", 16)
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(12, 8))
    vectors = centres[rng.integers(0, 12, 400)] + 0.35 * rng.normal(size=(400, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    expected = brute_force(400, lambda one, other: float(vectors[one] @ vectors[other]) >= 0.9)
    assert near_duplicates([f"caption {n}" for n in range(400)], 0.9, vectors=vectors) == expected
    assert len(expected) > 10


def test_the_same_text_is_alike_whatever_its_vectors():
    vectors = np.eye(3, dtype=np.float32)
    assert near_duplicates(["{A} grows", "{B} grows", "{A} turns"], 0.9, vectors=vectors) == [(0, 1)]


def test_no_captions_have_no_duplicates():
    assert near_duplicates([]) == []


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        near_duplicates(["a"], threshold)


def test_vectors_of_other_captions_are_refused():
    with pytest.raises(ValueError, match="do not go with 2 captions"):
        near_duplicates(["a", "b"], vectors=np.eye(3, dtype=np.float32))
