"""What a set of captions is like."""

import pytest

from relsim.captions import summary
from relsim.captions.summary import CaptionSummary
from relsim.evaluation.statistics import wilson

ANONYMOUS = "Creative arrangement of {Fruit} shaped into a {Tree}"
DOG = "A golden retriever next to {Object}"
BARE = "A row of different shapes"


def test_captions_are_counted_as_often_as_they_come():
    found = CaptionSummary.of([ANONYMOUS, DOG, DOG, BARE, ANONYMOUS, ANONYMOUS])
    assert (found.captions, found.anonymous) == (6, wilson(3, 6))
    assert found.reasons == {"animal": 2, "no placeholder": 1}
    assert found.named == {"golden retriever": 2}
    assert (found.near_duplicates, found.alike) == (0, ())


def test_a_caption_counts_once_for_each_kind_and_word():
    found = CaptionSummary.of(["A dog and a dog and a cat beside {Object}"])
    assert found.reasons == {"animal": 1}
    assert found.named == {"cat": 1, "dog": 1}


def test_captions_that_say_nearly_the_same_are_told_together():
    """Nine words, of which one differs: 8 of 12 pairs are in both, below the default threshold of 0.8."""
    other = "Creative arrangement of {Fruit} shaped into one {Tree}"
    spelled = f'"{ANONYMOUS.upper()}."'
    found = CaptionSummary.of([ANONYMOUS, other, spelled, ANONYMOUS])
    assert (found.near_duplicates, found.alike) == (1, ((ANONYMOUS, spelled),))
    assert CaptionSummary.of([ANONYMOUS, other], threshold=0.5).alike == ((ANONYMOUS, other),)


def test_too_many_captions_are_not_compared(monkeypatch):
    monkeypatch.setattr(summary, "MOST_COMPARED", 1)
    assert CaptionSummary.of([ANONYMOUS, ANONYMOUS]).near_duplicates == 0
    found = CaptionSummary.of([ANONYMOUS, DOG])
    assert (found.near_duplicates, found.alike) == (None, ())


def test_no_captions_have_no_summary():
    assert CaptionSummary.of([]) is None


@pytest.mark.parametrize("captions", [[ANONYMOUS], [DOG, BARE, DOG]])
def test_document_has_every_fact(captions):
    found = CaptionSummary.of(captions)
    document = found.to_dict()
    assert document["anonymous"] == found.anonymous.to_json()
    assert set(document) == {"captions", "anonymous", "reasons", "named", "near_duplicates", "alike"}
