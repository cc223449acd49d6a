"""Intervals against closed forms, published values and their own promise of coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relsim.evaluation.statistics import bootstrap_difference, bootstrap_mean, wilson

Z = 1.959963984540054


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_newcombes_published_intervals(successes, trials, low, high):
    found = wilson(successes, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert (found.value, found.count) == (successes / trials, trials)


def test_wilson_of_nothing_and_of_all_is_the_closed_form():
    """0 of n reaches z² / (n + z²); n of n is its mirror."""
    none, every = wilson(0, 50), wilson(50, 50)
    assert none.low == 0
    assert every.high == 1
    assert none.high == pytest.approx(Z**2 / (50 + Z**2), rel=1e-12)
    assert every.low == pytest.approx(50 / (50 + Z**2), rel=1e-12)


@given(st.integers(1, 5_000), st.floats(0, 1))
def test_wilson_ends_solve_the_score_equation(trials, share):
    """(p - bound)² = z² bound (1 - bound) / n, also for half successes."""
    successes = round(2 * share * trials) / 2
    found = wilson(successes, trials)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for bound in (found.low, found.high):
        assert (found.value - bound) ** 2 == pytest.approx(Z**2 * bound * (1 - bound) / trials, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_of_no_share_is_refused(successes, trials):
    with pytest.raises(ValueError, match="no share"):
        wilson(successes, trials)


def test_bootstrap_equals_resampling_by_hand():
    """The seed's own draws, one resample after the other."""
    values = np.random.default_rng(1).normal(size=37)
    rng = np.random.default_rng(7)
    means = [values[rng.integers(0, 37, 37)].mean() for _ in range(500)]
    found = bootstrap_mean(values, seed=7, resamples=500)
    assert found.value == values.mean()
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), rel=1e-12)


def test_bootstrap_of_a_constant_has_no_length():
    found = bootstrap_mean([0.25] * 10)
    assert (found.value, found.low, found.high, found.count) == (0.25, 0.25, 0.25, 10)


def test_bootstrap_is_as_wide_as_the_central_limit_theorem_says():
    """For 2,000 values: mean ± 1.96 s / sqrt(n), to 5 %."""
    values = np.random.default_rng(3).uniform(size=2_000)
    found = bootstrap_mean(values)
    half = Z * values.std() / math.sqrt(2_000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_seed_decides_the_interval():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_pairs_are_drawn_together():
    """A constant difference is certain, however far the values themselves vary."""
    values = np.random.default_rng(0).normal(0, 100, size=50)
    found = bootstrap_difference(values + 0.5, values)
    assert [found.value, found.low, found.high] == pytest.approx([0.5] * 3)


def test_a_difference_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="not pairs"):
        bootstrap_difference([1, 2], [1])


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [math.inf, 1]], ids=str)
def test_values_without_a_mean_are_refused(values):
    with pytest.raises(ValueError, match=r"no mean|NaN"):
        bootstrap_mean(values)


@pytest.mark.parametrize("wrong", [{"confidence": 1}, {"confidence": 0}, {"resamples": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"confidence|resamples"):
        bootstrap_mean([1.0, 2.0], **wrong)
