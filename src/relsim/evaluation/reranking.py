"""The second look of a retrieval run: a measure of pairs ranks the first candidates of an encoder anew.

What is not among the candidates is not found, as in any search in two stages. A match's score is its distance with the
sign turned, so that more is more alike here, too. A candidate that cannot be measured is dropped and told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.base import AnyPairwise
from relsim.encoders.pairwise import Ranking, rerank
from relsim.errors import ImageError, SearchError
from relsim.vectors.topk import Matches


@dataclass(frozen=True, slots=True)
class SecondLook:
    """A measure of pairs, how results call it, and how many candidates of each query it ranks.

    `on_query` is called after each query.
    """

    name: str
    pairwise: AnyPairwise
    depth: int
    workers: int | None = None
    on_query: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise SearchError(f"a second look at {self.depth} candidates finds nothing; give it at least 1")

    def label(self, first: str) -> str:
        """What the method is called whose candidates are those of the method `first`."""
        return f"{first}+{self.name}"

    @property
    def origin(self) -> dict[str, Any]:
        """What a run records of it."""
        return {"rerank": self.name, "rerank_depth": self.depth}

    def ranked(
        self, queries: Sequence[ImageRecord], records: Sequence[ImageRecord], found: Sequence[Matches]
    ) -> tuple[list[Matches], tuple[Failure, ...]]:
        """Each of some lists of candidates (Q, K) in its new order, and the pictures that could not be measured.

        A pair that is in several lists is measured once. Candidates are rows of `records`.
        """
        made = [_empty(len(queries), one.indices.shape[1]) for one in found]
        failures: dict[str, Failure] = {}
        for place, query in enumerate(queries):
            rows = np.unique(np.concatenate([one.indices[place] for one in found]))
            candidates = [records[row] for row in rows[rows >= 0]]
            ranking = self._measured(query, candidates)
            failures.update((one.record.image_id, one) for one in ranking.failures)
            distances = {one.record.image_id: one.distance for one in ranking.ranked}
            for old, new in zip(found, made, strict=True):
                _reorder(old, new, place, records, distances)
            if self.on_query is not None:
                self.on_query(query)
        return made, tuple(failures.values())

    def _measured(self, query: ImageRecord, candidates: Sequence[ImageRecord]) -> Ranking:
        try:
            return rerank(self.pairwise, query, candidates, workers=self.workers)
        except ImageError as error:  # the picture was there when it was embedded
            reason = error.reason.removeprefix(f"{query.source}: ")
            return Ranking([], [Failure(query, Status(error.status), reason)])


def _empty(queries: int, width: int) -> Matches:
    return Matches(np.full((queries, width), -1, np.int64), np.full((queries, width), -np.inf))


def _reorder(
    old: Matches, new: Matches, place: int, records: Sequence[ImageRecord], distances: Mapping[str, float]
) -> None:
    rows = [row for row in old.indices[place].tolist() if row >= 0 and records[row].image_id in distances]
    ordered = sorted(rows, key=lambda row: (distances[records[row].image_id], records[row].image_id))
    new.indices[place, : len(ordered)] = ordered
    new.scores[place, : len(ordered)] = [-distances[records[row].image_id] for row in ordered]
