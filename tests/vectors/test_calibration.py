"""Null distributions: closed forms, order, and what a checkpoint takes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relsim.errors import CalibrationError
from relsim.vectors.calibration import distribution_of, null_distribution, percentile_of, unrelated_pairs


def test_uniform_scores_have_a_straight_distribution():
    """The share of 0, 1/n, …, 1 below s is s."""
    null = distribution_of(np.linspace(0, 1, 10_001))
    for score in np.linspace(0, 1, 37):
        assert percentile_of(score, null) == pytest.approx(100 * score, abs=1e-6)


def test_normal_scores_have_the_normal_distribution():
    from statistics import NormalDist

    null = distribution_of(np.random.default_rng(0).normal(size=200_000))
    for score in (-3, -1.5, 0, 0.7, 2, 3.2):
        assert percentile_of(score, null) == pytest.approx(100 * NormalDist().cdf(score), abs=0.35)


def test_scores_beyond_the_knots_are_at_the_ends():
    null = distribution_of([0.25, 0.5, 0.75])
    assert [percentile_of(score, null) for score in (-1, 0.25, 0.7500001, 5)] == [0, 0, 100, 100]


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=60), st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=20))
def test_percentiles_never_fall(sample, scores):
    null = distribution_of(sample)
    assert null["scores"] == sorted(null["scores"])
    assert null["percentiles"] == sorted(null["percentiles"])
    found = [percentile_of(score, null) for score in sorted(scores)]
    assert found == sorted(found)
    assert 0 <= found[0] <= found[-1] <= 100


def test_of_equal_scores_none_is_below_another():
    """Half of all score 0, half score 1: none scores below 0, half below 1 (the median lies anywhere between)."""
    null = distribution_of([0.0] * 500 + [1.0] * 500)
    assert percentile_of(0.0, null) == 0
    assert percentile_of(1.0, null) == pytest.approx(50, abs=1)
    assert percentile_of(1.1, null) == 100


def test_pairs_are_of_different_labels_and_follow_the_seed():
    labels = ["a"] * 50 + ["b"] * 5 + ["c"]
    first, second = unrelated_pairs(labels, count=2_000, seed=3)
    assert len(first) == len(second) == 2_000
    assert all(labels[left] != labels[right] for left, right in zip(first, second, strict=True))
    again = unrelated_pairs(labels, count=2_000, seed=3)
    assert np.array_equal(first, again[0])
    assert np.array_equal(second, again[1])
    assert not np.array_equal(first, unrelated_pairs(labels, count=2_000, seed=4)[0])


def test_all_unrelated_pairs_are_equally_probable():
    """Three pictures of two labels leave two pairs in either order."""
    first, second = unrelated_pairs(["a", "a", "b"], count=40_000)
    pairs, counts = np.unique(np.sort(np.stack([first, second]), axis=0), axis=1, return_counts=True)
    assert pairs.T.tolist() == [[0, 2], [1, 2]]
    assert counts[0] / 40_000 == pytest.approx(0.5, abs=0.01)


def test_the_distribution_is_that_of_pairs_with_different_labels():
    """Pictures of one label are equal (score 1); across labels the score is 0.6, so every percentile sits there."""
    vectors = np.float32([[1, 0]] * 5 + [[0.6, 0.8]] * 5)
    null = null_distribution(vectors, ["x"] * 5 + ["y"] * 5, count=100)
    assert set(np.round(null["scores"], 6)) == {0.6}


def test_it_is_what_a_checkpoint_stores(golden, tmp_path):
    from relsim.models.checkpoint import read_checkpoint
    from relsim.models.checkpoint_writing import write_checkpoint

    null = distribution_of(np.random.default_rng(0).normal(0.2, 0.1, 5_000))
    checkpoint = replace(read_checkpoint(golden / "relsim"), null_distribution=null)
    write_checkpoint(tmp_path / "own", checkpoint, golden / "relsim")
    stored = read_checkpoint(tmp_path / "own").null_distribution
    assert stored == null
    assert 100 < len(stored["scores"]) < 202


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "a"]])
def test_one_label_has_no_unrelated_pairs(labels):
    with pytest.raises(CalibrationError, match="at least two relations or groups"):
        unrelated_pairs(labels)


@pytest.mark.parametrize("scores", [[], [1.0], [0.0, np.nan], [[0.0, 1.0]]], ids=str)
def test_scores_that_make_no_distribution_are_refused(scores):
    with pytest.raises(CalibrationError, match="at least two scores"):
        distribution_of(scores)


def test_vectors_and_labels_must_match():
    with pytest.raises(CalibrationError, match="give one for each"):
        null_distribution(np.eye(3, dtype=np.float32), ["a", "b"])
