"""Intervals for what is measured on a sample: Wilson's for shares, seeded percentile bootstrap for means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2_000
_DRAWN_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value, the interval that holds the true one with the stated confidence, and the sample's size."""

    value: float
    low: float
    high: float
    count: int

    def to_json(self) -> dict[str, float | int]:
        """As a plain dictionary."""
        return asdict(self)


def wilson(successes: float, trials: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """A share with Wilson's score interval (E. B. Wilson, JASA 22, 1927); half a success counts as half.

    With p the share and z the normal quantile, the interval is (p + z²/2n ± z·sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n).
    It never leaves 0 to 1 and has a length at shares of 0 and 1 too. Raises `ValueError` without trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is no share")
    z = _quantile(confidence)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    # At 0 and at 1 one end is exact in theory and off by rounding.
    low = min(share, max(0.0, (centre - spread) / scale))
    high = max(share, min(1.0, (centre + spread) / scale))
    return Estimate(share, low, high, trials)


def bootstrap_mean(
    values: Numbers, *, seed: int = 0, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate:
    """A mean with the percentile interval of resampled means (B. Efron, 1979): one value per query, queries drawn anew.

    The same values, seed and number of resamples give the same interval. Raises `ValueError` for no values, or for one
    that is not finite.
    """
    sample = _checked(values)
    means = _resampled_means(sample, seed, resamples)
    _quantile(confidence)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(sample.mean()), float(low), float(high), len(sample))


def bootstrap_difference(
    first: Numbers, second: Numbers, *, seed: int = 0, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Estimate:
    """The mean of `first - second`, pair by pair, with its bootstrap interval: each resample draws whole pairs.

    Two encoders on the same queries differ when the interval leaves out 0. Raises `ValueError` for unequal lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values and {len(second)} values are not pairs")
    return bootstrap_mean(_checked(first) - _checked(second), seed=seed, resamples=resamples, confidence=confidence)


def _resampled_means(sample: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    if resamples < 1:
        raise ValueError(f"{resamples} resamples give no interval; take at least 1, {RESAMPLES:,} by default")
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _DRAWN_AT_ONCE // len(sample))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        means[start : start + rows] = sample[rng.integers(0, len(sample), (rows, len(sample)))].mean(axis=1)
    return means


def _checked(values: Numbers) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ValueError(f"values of shape {sample.shape} have no mean; give a sequence of at least one number")
    if not np.isfinite(sample).all():
        raise ValueError("a value is NaN or infinite")
    return sample


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    return NormalDist().inv_cdf((1 + confidence) / 2)
