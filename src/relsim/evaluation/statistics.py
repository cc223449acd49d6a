"""Intervals for what is measured on a sample, and tests of a difference between pairs.

Wilson's interval for shares, a seeded percentile bootstrap for means, a sign-flip permutation test, Holm's correction.
"""

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
FLIPS = 10_000
_DRAWN_AT_ONCE = 2**20
_ALL_FLIPS_UP_TO = 13
"""Pairs, 2**13 patterns of signs: fewer than are drawn at random."""


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


def sign_flip_test(differences: Numbers, *, seed: int = 0, flips: int = FLIPS) -> float:
    """Two-sided p of paired differences: how often their mean is as far from 0 where each sign is thrown by a coin.

    Fisher's randomisation test for pairs (The Design of Experiments, 1935, section 21). Differences of 0 say nothing
    either way. Up to 13 others all patterns are counted and p is exact. Beyond, `flips` patterns are drawn and the one
    observed counts among them, so p is never 0 (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010). Raises
    `ValueError` for no differences, or for one that is not finite.
    """
    signed = _checked(differences)
    signed = signed[signed != 0]
    sample = np.abs(signed)
    if flips < 1:
        raise ValueError(f"{flips} patterns of signs give no p; take at least 1, {FLIPS:,} by default")
    # What is equal in theory counts as equally far, whatever the order of additions made of it.
    observed = abs(float(signed.sum())) - 1e-9 * float(sample.sum())
    if not len(sample):
        return 1.0
    if len(sample) <= _ALL_FLIPS_UP_TO:
        patterns = np.arange(2 ** len(sample))[:, None] >> np.arange(len(sample)) & 1
        return float((np.abs((2 * patterns - 1) @ sample) >= observed).mean())
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWN_AT_ONCE // len(sample))
    as_far = 0
    for start in range(0, flips, step):
        heads = rng.integers(0, 2, (min(step, flips - start), len(sample)), np.int8)
        as_far += int((np.abs(2 * (heads @ sample) - sample.sum()) >= observed).sum())
    return (1 + as_far) / (1 + flips)


def holm(p_values: Numbers) -> list[float]:
    """The p of several tests, in order, so adjusted that one false alarm in all of them is as rare as in one.

    The step-down method of S. Holm, Scand. J. Statist. 6, 1979: of m tests the i-th smallest p is multiplied by
    m - i + 1, at most 1, and none is less than the one before it.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = np.minimum(1.0, values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(scaled)
    return [float(value) for value in adjusted]


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
