"""How well two raters of the same things agree, and how well a score tells two kinds apart.

    quadratic weighted kappa   1 - sum(w o) / sum(w e) over the table of whole scores, with w = (i - j)², o the observed
                               counts and e those expected of independent raters (J. Cohen, Psychol. Bull. 70, 1968)
    Spearman                   Pearson's correlation of ranks, ties at their mean rank (C. Spearman, 1904)
    mean absolute difference   mean of |x - y|
    AUC                        how often a score of the first kind is above one of the second, equal ones counting half
                               (Mann and Whitney, Ann. Math. Stat. 18, 1947)

Intervals are percentile bootstrap intervals (B. Efron, 1979) that draw whole groups, such as queries, since what is in
one group is not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from relsim.evaluation.statistics import CONFIDENCE, RESAMPLES, Estimate, Numbers

Values = NDArray[np.float64]


def weighted_kappa(first: Numbers, second: Numbers) -> float:
    """Quadratic weighted kappa of scores, which are rounded to whole numbers (halves up); NaN where both never vary."""
    a, b = (np.floor(np.asarray(values, np.float64) + 0.5).astype(np.int64) for values in _paired(first, second))
    # Of independent raters the mean square difference follows from the two means and variances.
    expected = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(1 - ((a - b) ** 2).mean() / expected) if expected > 0 else math.nan


def spearman(first: Numbers, second: Numbers) -> float:
    """Spearman's rank correlation; NaN where either never varies."""
    a, b = (ranks(values) for values in _paired(first, second))
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def mean_absolute_difference(first: Numbers, second: Numbers) -> float:
    """Mean of |x - y|."""
    a, b = _paired(first, second)
    return float(np.abs(a - b).mean())


def mean_difference(first: Numbers, second: Numbers) -> float:
    """Mean of x - y: how much higher the first rates."""
    a, b = _paired(first, second)
    return float((a - b).mean())


def auc(positive: Numbers, negative: Numbers) -> float:
    """The area under the ROC curve; NaN where either kind has no score."""
    a, b = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if not len(a) or not len(b):
        return math.nan
    wins = ranks(np.concatenate([a, b]))[: len(a)].sum() - len(a) * (len(a) + 1) / 2
    return float(wins / (len(a) * len(b)))


def ranks(values: Numbers) -> Values:
    """Ranks from 1, (n,); equal values share the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    mean: Values = (ends - (counts - 1) / 2)[inverse]
    return mean


def bootstrap_groups(
    statistic: Callable[[NDArray[np.int64]], float],
    groups: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """A statistic of row numbers with its interval; `groups` (n,) says which group each row belongs to.

    Each resample draws as many groups as there are, with all their rows. Resamples for which the statistic is NaN are
    left out. None where it is NaN for the rows as they are. `count` is the number of rows.
    """
    rows = np.arange(len(groups))
    value = statistic(rows)
    if math.isnan(value):
        return None
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    members: list[list[int]] = [[] for _ in numbers]
    for row, group in enumerate(groups):
        members[numbers[group]].append(row)
    parts = [np.array(some) for some in members]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(parts), (resamples, len(parts)))
    found = np.array([statistic(np.concatenate([parts[number] for number in some])) for some in drawn])
    low, high = np.nanquantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high), len(rows))


def _paired(first: Numbers, second: Numbers) -> tuple[Values, Values]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"values of shapes {a.shape} and {b.shape} are not pairs")
    return a, b
