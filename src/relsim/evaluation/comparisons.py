"""Encoders, or any methods, against each other on the same queries.

For every metric and every two methods: the mean difference with its bootstrap interval, a sign-flip permutation test,
and Holm's correction over all pairs of methods within the metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from relsim.evaluation.statistics import FLIPS, RESAMPLES, Estimate, Numbers, bootstrap_difference, holm, sign_flip_test


@dataclass(frozen=True, slots=True)
class Comparison:
    """`first` minus `second` in one metric: the mean over queries, p of the two alone, and p by Holm among all."""

    metric: str
    first: str
    second: str
    difference: Estimate
    p: float
    p_holm: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "metric": self.metric,
            "first": self.first,
            "second": self.second,
            **self.difference.to_json(),
            "p": self.p,
            "p_holm": self.p_holm,
        }


def compare(
    per_query: Mapping[str, Mapping[str, Numbers]],
    *,
    metrics: Sequence[str] | None = None,
    reference: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    flips: int = FLIPS,
) -> list[Comparison]:
    """Every two methods in every metric, from `per_query[method][metric]`, one number for each query in one order.

    With a `reference`, that method against each other one, and no others: fewer tests, so Holm takes away less.
    `metrics` are by default those of the first method. Metrics come in their order, and methods in theirs. Raises
    `ValueError` where methods have not the same number of queries.
    """
    pairs = (
        [(reference, other) for other in per_query if other != reference]
        if reference is not None
        else list(combinations(per_query, 2))
    )
    found: list[Comparison] = []
    for metric in next(iter(per_query.values()), {}) if metrics is None else metrics:
        numbers = {method: np.asarray(values[metric], np.float64) for method, values in per_query.items()}
        differences = [
            bootstrap_difference(numbers[first], numbers[second], seed=seed, resamples=resamples)
            for first, second in pairs
        ]
        tests = [sign_flip_test(numbers[first] - numbers[second], seed=seed, flips=flips) for first, second in pairs]
        found += [
            Comparison(metric, first, second, difference, p, adjusted)
            for (first, second), difference, p, adjusted in zip(pairs, differences, tests, holm(tests), strict=True)
        ]
    return found
