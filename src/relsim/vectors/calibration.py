"""Calibration: where a score stands among the scores of pictures that have nothing to do with each other.

The *null distribution* of an encoder is kept as knots: scores in ascending order and, for each, the share in percent of
unrelated pairs that score below it; in between it is a straight line. It is what `relsim.json` holds under
`null_distribution`. A score above all knots has the percentile of the last, one below all of them that of the first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors
from relsim.errors import CalibrationError
from relsim.vectors.topk import exact_dots

PAIRS = 100_000
"""Pairs that are scored by default: the 99th percentile is then known to 0.06 points (two standard errors)."""
TAIL = (0.01, 0.1)
"""Percentiles that stand beside the whole ones at either end, where related pairs are told from unrelated ones."""
_ROUNDS = 64
_SCORED_AT_ONCE = 8_192


def unrelated_pairs(
    labels: Sequence[Hashable], *, count: int = PAIRS, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two arrays of rows (count,): pairs of different labels, drawn with equal chance, with repeats.

    A label is a relation, or the group of pictures that share a caption. Raises `CalibrationError` where fewer than two
    labels occur.
    """
    if len(set(labels)) < 2:
        raise CalibrationError("unrelated pairs need pictures of at least two relations or groups; all have the same")
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    codes = np.array([numbers[label] for label in labels], np.int64)
    rng = np.random.default_rng(seed)
    first, second = np.empty(0, np.int64), np.empty(0, np.int64)
    for _ in range(_ROUNDS):
        left, right = rng.integers(0, len(codes), (2, max(count, 1)))
        kept = codes[left] != codes[right]
        first, second = np.concatenate([first, left[kept]]), np.concatenate([second, right[kept]])
        if len(first) >= count:
            return first[:count], second[:count]
    raise CalibrationError("nearly all pictures have one relation or group; name more of the others")


def null_distribution(
    vectors: Vectors, labels: Sequence[Hashable], *, count: int = PAIRS, seed: int = 0
) -> dict[str, list[float]]:
    """The null distribution of vectors (N, D) of unit length, `labels` naming the relation or group of each."""
    if len(vectors) != len(labels):
        raise CalibrationError(f"there are {len(vectors)} vectors and {len(labels)} labels; give one for each")
    first, second = unrelated_pairs(labels, count=count, seed=seed)
    rows = np.asarray(vectors, np.float32)
    scores = np.empty(count)
    for start in range(0, count, _SCORED_AT_ONCE):
        part = slice(start, start + _SCORED_AT_ONCE)
        scores[part] = exact_dots(rows[first[part]], rows[second[part]])
    return distribution_of(scores)


def distribution_of(scores: Sequence[float] | NDArray[np.float64]) -> dict[str, list[float]]:
    """Knots `{"scores": […], "percentiles": […]}`, both ascending, of the scores of unrelated pairs."""
    sample = np.asarray(scores, np.float64)
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise CalibrationError("a null distribution needs at least two scores, all of them finite numbers")
    percentiles = np.array([0.0, *TAIL, *range(1, 100), *(100 - tail for tail in reversed(TAIL)), 100.0])
    knots = np.maximum.accumulate(np.quantile(sample, percentiles / 100))
    return {"scores": knots.tolist(), "percentiles": percentiles.tolist()}


def percentile_of(score: float, null: Mapping[str, Any]) -> float:
    """Share in percent, 0 to 100, of unrelated pairs that score below `score`. Never falls as the score rises."""
    scores, percentiles = null["scores"], null["percentiles"]
    place = bisect_left(scores, score)
    if place == 0:
        return float(percentiles[0])
    if place == len(scores):
        return float(percentiles[-1])
    below, above = scores[place - 1], scores[place]  # below < score <= above
    share = (score - below) / (above - below)
    return float(percentiles[place - 1] + share * (percentiles[place] - percentiles[place - 1]))
