"""Filtering on Ray. Parts have as many pictures as a single process sorts together, so the rows are equal.

Where pictures fail, or the recipe leaves them their own size, a single process cuts its windows by tokens and not by
pictures. A probability is then of another batch, which may move the last of its six digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from relsim.captions.filtering import Outcome, OutcomeEngine, batch_halving, filter_records
from relsim.captions.interesting import DEFAULT_BATCH, InterestingFilter
from relsim.data.records import ImageRecord
from relsim.distributed.cluster import Cluster
from relsim.distributed.engine import PREPARING_THREADS, ask, pieces, require_same, work_on
from relsim.distributed.pictures import ReadPart, read_part
from relsim.encoders.base import Shrink, shrink_of
from relsim.encoders.stream import WINDOW_BATCHES
from relsim.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class FilterFacts:
    """What is told of a filter, its fingerprint and the threshold that it comes with; and how to read files for it."""

    fingerprint: Fingerprint
    threshold: float
    shrink: Shrink | None = None


def facts_of(options: Mapping[str, Any], cluster: Cluster) -> FilterFacts:
    """Facts of the filter that `InterestingFilter.load` makes of the options on a worker."""
    return ask(cluster, _facts, options)


def ray_outcomes(
    options: Mapping[str, Any],
    facts: FilterFacts,
    cluster: Cluster,
    *,
    threshold: float,
    batch_size: int = DEFAULT_BATCH,
) -> OutcomeEngine:
    """What judges pictures for `relsim.captions.filtering.filter_to_file_by`.

    Raises `FingerprintMismatchError` where a worker has another filter, and `ClusterError`.
    """
    call = _FilterCall(options, facts.fingerprint, threshold, batch_size)
    read = partial(read_part, shrink=facts.shrink)

    def engine(records: Sequence[ImageRecord]) -> Iterator[Outcome]:
        for outcomes in work_on(pieces(records, WINDOW_BATCHES * batch_size), call, cluster, read=read):
            yield from outcomes

    return engine


@dataclass(frozen=True, slots=True)
class _FilterCall:
    options: Mapping[str, Any]
    fingerprint: Fingerprint
    threshold: float
    batch_size: int

    def load(self) -> Callable[[ReadPart], list[Outcome]]:
        interesting = InterestingFilter.load(**self.options)
        require_same("the filter", interesting.fingerprint, self.fingerprint)
        judge: dict[str, Any] = {"threshold": self.threshold, "batch_size": self.batch_size}
        judge["halving"] = batch_halving()  # the worker's, for all its parts
        return lambda part: list(
            filter_records(part.records, interesting, workers=PREPARING_THREADS, load=part, **judge)
        )


def _facts(options: Mapping[str, Any]) -> FilterFacts:
    interesting = InterestingFilter.load(**options)
    return FilterFacts(interesting.fingerprint, interesting.threshold, shrink_of(interesting))
