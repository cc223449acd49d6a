"""Agreement against scikit-learn, scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from relsim.evaluation.agreement import (
    auc,
    bootstrap_groups,
    mean_absolute_difference,
    mean_difference,
    ranks,
    spearman,
    weighted_kappa,
)
from relsim.evaluation.statistics import bootstrap_mean


@pytest.fixture(params=range(5))
def ratings(request):
    """Two raters of 60 things on half points from 0 to 10, with ties, who agree more or less."""
    rng = np.random.default_rng(request.param)
    truth = rng.integers(0, 21, 60)
    noisy = (np.clip(truth + rng.integers(-request.param * 3 - 1, 6, 60), 0, 20) for _ in range(2))
    return [values / 2 for values in noisy]


def test_weighted_kappa_is_that_of_scikit_learn(ratings):
    first, second = ratings
    whole = [np.floor(values + 0.5).astype(int) for values in ratings]
    oracle = cohen_kappa_score(*whole, weights="quadratic", labels=range(11))
    assert weighted_kappa(first, second) == pytest.approx(oracle, abs=1e-12)


def test_weighted_kappa_rounds_halves_up():
    assert weighted_kappa([0.5, 2.5, 9], [1, 3, 9]) == 1


def test_spearman_is_that_of_scipy(ratings):
    assert spearman(*ratings) == pytest.approx(spearmanr(*ratings).statistic, abs=1e-12)


def test_ranks_are_those_of_scipy(ratings):
    assert ranks(ratings[0]).tolist() == rankdata(ratings[0]).tolist()


def test_auc_is_that_of_scikit_learn(ratings):
    truth = np.arange(60) % 3 == 0
    assert auc(ratings[0][truth], ratings[0][~truth]) == pytest.approx(roc_auc_score(truth, ratings[0]), abs=1e-12)


def test_differences_by_hand():
    assert mean_absolute_difference([1, 5, 9], [2, 5, 4]) == 2
    assert mean_difference([1, 5, 9], [2, 5, 4]) == pytest.approx(4 / 3)


def test_what_never_varies_has_no_agreement():
    assert math.isnan(spearman([3, 3, 3], [1, 2, 3]))
    assert math.isnan(weighted_kappa([3, 3], [3, 3]))
    assert math.isnan(auc([], [1]))


@pytest.mark.parametrize("pair", [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_values_that_are_no_pairs_are_refused(pair):
    with pytest.raises(ValueError, match="not pairs"):
        mean_difference(*pair)


class TestBootstrap:
    """Whole groups are drawn."""

    def test_groups_of_one_row_are_the_plain_bootstrap(self):
        values = np.random.default_rng(1).normal(size=40)
        found = bootstrap_groups(lambda rows: float(values[rows].mean()), range(40), seed=3)
        assert found.to_json() == pytest.approx(bootstrap_mean(values, seed=3).to_json())

    def test_rows_of_a_group_come_together(self):
        """Two groups of equal rows: each resample is one, the other, or both, so its mean is 0, 1 or 1/2."""
        values = np.array([0.0] * 5 + [1.0] * 5)
        seen = set()

        def mean(rows):
            seen.add(float(values[rows].mean()))
            return float(values[rows].mean())

        found = bootstrap_groups(mean, ["a"] * 5 + ["b"] * 5, resamples=50)
        assert seen == {0.0, 0.5, 1.0}
        assert (found.value, found.low, found.high, found.count) == (0.5, 0.0, 1.0, 10)

    def test_a_statistic_without_meaning_has_no_estimate(self):
        assert bootstrap_groups(lambda _: math.nan, [1, 2]) is None

    def test_resamples_without_meaning_are_left_out(self):
        """A correlation of two queries that are drawn twice is none."""
        first, second = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])
        found = bootstrap_groups(lambda rows: spearman(first[rows], second[rows]), "abc")
        assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
