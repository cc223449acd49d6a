"""Search along two axes: alike in relation, and not alike in look.

A relational and an attribute table over the same images are joined by id. An image is ranked by its relational
similarity to the query minus `weight` times its attribute similarity; with a `ceiling`, images whose attribute
similarity exceeds it are not found at all ("same logic, different look"). Both are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import SearchError
from relsim.vectors.blocks import Indices, Rows
from relsim.vectors.coarse import CoarseRows
from relsim.vectors.search import unit_queries, vectors_of
from relsim.vectors.shortlist import Scores
from relsim.vectors.topk import DotScorer, Matches, best, excluded_rows, id_order
from relsim.vectors.view import TableView

MOST_WEIGHT = 1_000_000
"""Cosines are of 1 at most, so with far smaller weights the relation counts for nothing; float32 ends at 3e38."""


@dataclass(frozen=True, slots=True)
class TwoAxisHit:
    """One match: what it is ranked by, and its cosine similarity to the query on either axis."""

    image_id: str
    score: float
    relational: float
    attribute: float
    source: str
    rank: int
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TwoAxisMatches:
    """The best images of Q queries as arrays of shape (Q, K), best first; K is the most that a query has.

    `rows` number the searcher's `ids` (-1 where a query has fewer), `scores` are what they are ranked by (-inf there),
    `relational` and `attribute` the cosine similarities on either axis (NaN there).
    """

    rows: Indices
    scores: Scores
    relational: Scores
    attribute: Scores


class TwoAxisSearcher:
    """Exact search over the images that both tables have, in the order of the relational one.

    `missing_attribute` and `missing_relational` name the images that only the other table has; they are not found.
    """

    def __init__(self, relational: TableView, attribute: TableView) -> None:
        self.relational, self.attribute = relational, attribute
        self.ids = tuple(image_id for image_id in relational.ids if image_id in attribute)
        if not self.ids:
            raise SearchError(
                f"{relational.path} and {attribute.path} have no image_id in common. Embed the same images."
            )
        self.missing_attribute = tuple(image_id for image_id in relational.ids if image_id not in attribute)
        self.missing_relational = tuple(image_id for image_id in attribute.ids if image_id not in relational)
        self._positions = {image_id: row for row, image_id in enumerate(self.ids)}
        self._order = id_order(self.ids)
        self._rows = _joined(relational, self.ids), _joined(attribute, self.ids)
        self._coarse: tuple[CoarseRows | None, CoarseRows | None] = (None, None)

    def keep_coarse(self) -> None:
        """Keep copies in bfloat16 in memory: many queries at once find the same sooner (`relsim.vectors.coarse`)."""
        self._coarse = CoarseRows(self._rows[0]), CoarseRows(self._rows[1])

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._positions

    def vectors(self, image_id: str) -> tuple[Vectors, Vectors]:
        """The vectors (D1,) and (D2,) of an image, where they lie. Raises `SearchError` for an id that lacks one."""
        row = self._positions.get(image_id)
        if row is None:
            return self.relational.vector(image_id), self.attribute.vector(image_id)
        return self._rows[0].row(row), self._rows[1].row(row)

    def by_id(
        self, image_id: str, k: int = 10, *, weight: float = 0.0, ceiling: float | None = None
    ) -> list[TwoAxisHit]:
        """Matches of an image that has a vector in both tables, without itself."""
        pair = vectors_of(self.relational, [image_id]), vectors_of(self.attribute, [image_id])
        return self.by_vectors(*pair, k, weight=weight, ceiling=ceiling, exclude=[image_id])[0]

    def by_vectors(
        self,
        relational: Vectors,
        attribute: Vectors,
        k: int = 10,
        *,
        weight: float | Sequence[float] = 0.0,
        ceiling: float | None = None,
        exclude: Sequence[str | None] | None = None,
    ) -> list[list[TwoAxisHit]]:
        """Matches of Q queries, each a relational vector and an attribute vector: shapes (Q, D1) and (Q, D2).

        `weight` is one for all or one for each. Where it is 0 and there is no ceiling, looks need not be compared:
        queries of that kind cost half where they stand together at either end.
        """
        return self._hits(self.top_k(relational, attribute, k, weight=weight, ceiling=ceiling, exclude=exclude))

    def top_k(
        self,
        relational: Vectors,
        attribute: Vectors,
        k: int,
        *,
        weight: float | Sequence[float] = 0.0,
        ceiling: float | None = None,
        exclude: Sequence[str | None] | None = None,
    ) -> TwoAxisMatches:
        """The same as `by_vectors` as arrays, without what the tables know of each image."""
        first = unit_queries(relational, self.relational.dimension)
        second = unit_queries(attribute, self.attribute.dimension)
        if len(first) != len(second):
            raise SearchError(f"{len(first)} relational and {len(second)} attribute queries: each needs both vectors.")
        weights = np.atleast_1d(np.asarray(weight, np.float64))
        if weights.shape not in {(1,), (len(first),)}:
            raise SearchError(f"{weights.size} weights for {len(first)} queries; give one for all, or one for each.")
        if not (np.abs(weights) <= MOST_WEIGHT).all() or (ceiling is not None and math.isnan(ceiling)):
            raise SearchError(
                f"weight {weight} and ceiling {ceiling} must be numbers, the weight between plus and minus "
                f"{MOST_WEIGHT:,}: beyond, only the look would count."
            )
        coarse = self._coarse
        axes = DotScorer(first, self._rows[0], coarse[0]), DotScorer(second, self._rows[1], coarse[1])
        each = np.broadcast_to(weights, len(first))
        scorer = _TwoAxisScorer(axes, each, math.inf if ceiling is None else ceiling)
        excluded = excluded_rows(exclude, self._positions, len(first))
        matches = best(scorer, self._rows[0], k, order=self._order, excluded=excluded)
        return _on_both(axes, matches)

    def top_k_by_relation(self, queries: Vectors, k: int, *, exclude: Sequence[str | None] | None = None) -> Matches:
        """The best images of (Q, D1) relational queries alone, numbered as `ids`, with their cosine similarities."""
        scorer = DotScorer(unit_queries(queries, self.relational.dimension), self._rows[0], self._coarse[0])
        excluded = excluded_rows(exclude, self._positions, len(scorer))
        return best(scorer, self._rows[0], k, order=self._order, excluded=excluded)

    def _hits(self, matches: TwoAxisMatches) -> list[list[TwoAxisHit]]:
        queries, places = np.nonzero(matches.rows >= 0)
        found = matches.rows[queries, places]
        records = self.relational.records([self.relational.positions[self.ids[row]] for row in found])
        hits: list[list[TwoAxisHit]] = [[] for _ in matches.rows]
        columns = (matches.scores, matches.relational, matches.attribute)
        for record, query, score, alike, looks in zip(
            records, queries.tolist(), *(column[queries, places].tolist() for column in columns), strict=True
        ):
            rank = len(hits[query]) + 1
            hits[query].append(TwoAxisHit(record.image_id, score, alike, looks, record.source, rank, record.fields))
        return hits


def _on_both(axes: tuple[DotScorer, DotScorer], matches: Matches) -> TwoAxisMatches:
    """Matches with their similarities on either axis."""
    queries, places = np.nonzero(matches.indices >= 0)
    found = matches.indices[queries, places]
    alike, looks = (np.full(matches.scores.shape, np.nan) for _ in axes)
    alike[queries, places] = axes[0].exact(queries, found)
    looks[queries, places] = axes[1].exact(queries, found)
    return TwoAxisMatches(matches.indices, matches.scores, alike, looks)


class _TwoAxisScorer:
    """Relational minus weight times attribute; -inf where the attribute similarity exceeds the ceiling."""

    def __init__(self, axes: tuple[DotScorer, DotScorer], weights: Scores, ceiling: float) -> None:
        self._axes = axes
        self._weights, self._ceiling = weights, ceiling

    def __len__(self) -> int:
        return len(self._axes[0])

    def spans(self, most: int, most_copied: int) -> Iterator[tuple[int, int]]:
        return self._axes[0].spans(most, most_copied)

    def rough(self, queries: slice, start: int, stop: int) -> Vectors:
        relational = self._axes[0].rough(queries, start, stop)
        looking = self._looking(queries)
        if looking.start == looking.stop:
            return relational
        attribute = self._axes[1].rough(looking, start, stop)
        forbidden = None
        if self._ceiling < math.inf:
            forbidden = attribute > self._ceiling
            # Rounding decides nothing: whoever is this close to the ceiling is scored exactly.
            close = np.abs(attribute - np.float32(self._ceiling)) <= 1.01 * self._axes[1].error(looking)[:, None] + 1e-7
            near, columns = np.nonzero(close)
            exact = self._axes[1].exact(near + looking.start, columns + start)
            forbidden[near, columns] = exact > self._ceiling
        attribute *= self._weights[looking, None].astype(np.float32)
        scored = relational[looking.start - queries.start : looking.stop - queries.start]
        scored -= attribute
        if forbidden is not None:
            scored[forbidden] = -np.inf
        return relational

    def exact(self, queries: Indices, rows: Indices) -> Scores:
        scores = self._axes[0].exact(queries, rows)
        # Those for which looks count for nothing need no second product.
        looked = np.arange(len(queries)) if self._ceiling < math.inf else np.flatnonzero(self._weights[queries])
        attribute = self._axes[1].exact(queries[looked], rows[looked])
        scores[looked] -= self._weights[queries[looked]] * attribute
        scores[looked[attribute > self._ceiling]] = -np.inf
        return scores

    def error(self, queries: slice) -> Vectors:
        weights = np.abs(self._weights[queries]).astype(np.float32)
        error: Vectors = self._axes[0].error(queries) + weights * self._axes[1].error(queries)
        return error

    def _looking(self, queries: slice) -> slice:
        """From the first to the last of these queries for which looks count."""
        if self._ceiling < math.inf:
            return queries
        counting = np.flatnonzero(self._weights[queries]) + queries.start
        return slice(int(counting[0]), int(counting[-1]) + 1) if len(counting) else slice(queries.start, queries.start)


def _joined(table: TableView, ids: tuple[str, ...]) -> Rows:
    """The rows of these ids: where they lie if the table holds just them in this order, else by number."""
    if ids == tuple(table.ids):
        return Rows(table.blocks, table.dimension)
    selection = np.array([table.positions[image_id] for image_id in ids], np.int64)
    return Rows(table.blocks, table.dimension, selection)
