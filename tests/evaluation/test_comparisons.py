"""Paired tests against scipy and against closed forms."""

import itertools
import json

import numpy as np
import pytest
from scipy.stats import permutation_test

from relsim.evaluation.comparisons import compare
from relsim.evaluation.statistics import bootstrap_difference, holm, sign_flip_test


def every_pattern(differences):
    """The share of all patterns of signs whose mean is at least as far from 0 as the one observed."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return sum(total >= observed - 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize("differences", [[1.0], [0.1, 0.2, 0.3], [0.5, -0.25, 0.5, 0.0, 0.25, 0.1, -0.7], [0.1] * 9])
def test_few_pairs_are_counted_out(differences):
    assert sign_flip_test(differences) == pytest.approx(every_pattern(differences), abs=1e-12)


def test_many_pairs_agree_with_scipy():
    rng = np.random.default_rng(3)
    differences = rng.normal(0.12, 1, 200)
    oracle = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    ).pvalue
    assert sign_flip_test(differences) == pytest.approx(oracle, abs=3 * np.sqrt(2 * oracle * (1 - oracle) / 10_000))
    assert 0.01 < oracle < 0.5


def test_a_large_difference_has_the_least_p_that_so_many_flips_can_show():
    assert sign_flip_test(np.ones(100), flips=999) == 1 / 1_000


def test_equal_values_are_no_evidence():
    assert sign_flip_test(np.zeros(40)) == 1
    assert sign_flip_test([0.5, 0, 0, 0]) == sign_flip_test([0.5]) == 1


def test_the_seed_decides_the_flips():
    differences = np.random.default_rng(0).normal(0.1, 1, 60)
    assert sign_flip_test(differences, seed=4) == sign_flip_test(differences, seed=4)
    assert sign_flip_test(differences, seed=4) != sign_flip_test(differences, seed=5)


def test_holm_by_hand():
    """Smallest first: 4 x 0.01, 3 x 0.015, 2 x 0.03, and 0.04 is no less than the one before."""
    assert holm([0.04, 0.01, 0.03, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize("bad", [[], [np.nan], [[1.0, 2.0]]])
def test_what_is_no_sample_is_refused(bad):
    with pytest.raises(ValueError, match=r"no mean|NaN"):
        sign_flip_test(bad)


def test_every_two_methods_are_compared_in_every_metric():
    rng = np.random.default_rng(1)
    per_query = {name: {"map": rng.random(12), "hit@1": rng.integers(0, 2, 12)} for name in "abc"}
    found = compare(per_query, seed=2, resamples=50, flips=100)
    assert [(c.metric, c.first, c.second) for c in found] == [
        (metric, first, second) for metric in ("map", "hit@1") for first, second in ("ab", "ac", "bc")
    ]
    for one in found:
        first, second = per_query[one.first][one.metric], per_query[one.second][one.metric]
        assert one.difference == bootstrap_difference(first, second, seed=2, resamples=50)
        assert one.p == pytest.approx(every_pattern(list(first - second)))
    for metric in ("map", "hit@1"):
        family = [one for one in found if one.metric == metric]
        assert [one.p_holm for one in family] == holm([one.p for one in family])
    assert json.loads(json.dumps(found[0].to_json()))["metric"] == "map"


def test_with_a_reference_the_others_are_compared_with_it_alone():
    rng = np.random.default_rng(1)
    per_query = {name: {"map": rng.random(12)} for name in "abc"}
    found = compare(per_query, reference="b", seed=2, resamples=50, flips=100)
    assert [(one.first, one.second) for one in found] == [("b", "a"), ("b", "c")]
    assert [one.p_holm for one in found] == holm([one.p for one in found])
    for one in found:
        difference = per_query["b"]["map"] - per_query[one.second]["map"]
        assert one.p == pytest.approx(every_pattern(list(difference)))


def test_one_method_has_nothing_to_be_compared_with():
    assert compare({"a": {"map": [1.0]}}) == []
    assert compare({}) == []


def test_methods_need_the_same_queries():
    with pytest.raises(ValueError, match="not pairs"):
        compare({"a": {"map": [1.0, 0.0]}, "b": {"map": [1.0]}})
