"""Searching a vector table: by id, by vector. Images and sentences become vectors through an encoder first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import SearchError
from relsim.vectors.blocks import Rows
from relsim.vectors.checks import UNIT_TOLERANCE
from relsim.vectors.coarse import CoarseRows
from relsim.vectors.index_search import EXACT, SearchPath, VectorIndex, indexed_best
from relsim.vectors.topk import DotScorer, Matches, best, check_queries, excluded_rows, id_order
from relsim.vectors.view import TableView

TWO_AXES = "two axes are always searched exactly"
"""What a search on two axes says of its path."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One match: rank from 1, cosine similarity to the query, and what the table knows of the image."""

    image_id: str
    score: float
    source: str
    rank: int
    fields: Mapping[str, Any] = field(default_factory=dict)


class Searcher:
    """Search over a table as it is now: the k rows of highest cosine similarity, best first, ties by id.

    Exact, unless an `index` of the same table is given: then rows that it does not name are missed (its recall says how
    many), and scores are exact. A query by id does not find itself. Other rows with the same vector are found: they are
    other images.
    """

    def __init__(self, table: TableView, index: VectorIndex | None = None) -> None:
        self.table = table
        self._index = index
        self._rows = Rows(table.blocks, table.dimension)
        self._coarse: CoarseRows | None = None
        self._ids = table.ids
        self._order = id_order(self._ids)

    def keep_coarse(self) -> None:
        """Keep a copy in bfloat16 in memory: many queries at once find the same sooner (`relsim.vectors.coarse`)."""
        self._coarse = CoarseRows(self._rows)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.table

    def vector(self, image_id: str) -> Vectors:
        """The vector (D,) of an image of the table, where it lies. Raises `SearchError` for an id without one."""
        return self._rows.row(self.table.known_row(image_id))

    def by_id(self, image_id: str, k: int = 10) -> list[Hit]:
        """Matches of an image of the table. Raises `SearchError` for an id without a vector."""
        return self.by_ids([image_id], k)[0]

    def by_ids(self, image_ids: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """Matches of several images of the table, each without itself."""
        return self._hits(self.top_k(vectors_of(self.table, image_ids), k, exclude=image_ids))

    def by_vector(self, vector: Vectors, k: int = 10) -> list[Hit]:
        """Matches of a vector of shape (D,), of any length but zero."""
        return self.by_vectors(np.asarray(vector)[None], k)[0]

    def by_vectors(
        self, vectors: Vectors, k: int = 10, *, exclude: Sequence[str | None] | None = None
    ) -> list[list[Hit]]:
        """Matches of vectors of shape (Q, D); `exclude` names the row that each query must not find, or None."""
        return self._hits(self.top_k(unit_queries(vectors, self.table.dimension), k, exclude=exclude))

    def top_k(self, queries: Vectors, k: int, *, exclude: Sequence[str | None] | None = None) -> Matches:
        """Row numbers and dot products as arrays, for many queries of shape (Q, D); they are taken as they are."""
        checked = check_queries(queries, self.table.dimension)
        known = {name: self.table.row(name) for name in set(exclude or ()) if name is not None}
        excluded = excluded_rows(exclude, known, len(checked))
        if self._index is not None and self.path(k).kind != EXACT:
            return indexed_best(self._index, checked, self._rows, k, ids=self._ids, excluded=excluded)
        return best(DotScorer(checked, self._rows, self._coarse), self._rows, k, order=self._order, excluded=excluded)

    def path(self, k: int) -> SearchPath:
        """How the `k` nearest are looked for: exactly, or by the index, with what is known of it."""
        if self._index is None:
            return SearchPath(EXACT, 0, len(self._rows))
        return self._index.path(len(self._rows), k)

    def _hits(self, matches: Matches) -> list[list[Hit]]:
        found = [row[row >= 0] for row in matches.indices]
        records = iter(self.table.records([int(index) for row in found for index in row]))
        return [
            [
                Hit(record.image_id, float(score), record.source, rank, record.fields)
                for rank, (score, record) in enumerate(zip(scores[: len(row)], records, strict=False), 1)
            ]
            for row, scores in zip(found, matches.scores, strict=True)
        ]


def vectors_of(table: TableView, image_ids: Sequence[str]) -> Vectors:
    """The vectors of these ids, shape (len(image_ids), D)."""
    rows = np.array([table.known_row(image_id) for image_id in image_ids], np.int64)
    return Rows(table.blocks, table.dimension).take(rows)


def unit_queries(vectors: Vectors, dimension: int) -> Vectors:
    """Vectors of shape (Q, D) divided by their lengths; what passes for a unit vector in a table stays as it is."""
    checked = check_queries(vectors, dimension)
    lengths = np.sqrt(np.einsum("qd,qd->q", checked, checked, dtype=np.float64))
    if not lengths.all():
        raise SearchError("a query vector is zero; it has no direction, so nothing is similar to it.")
    lengths[np.abs(lengths - 1) <= UNIT_TOLERANCE] = 1.0
    unit: Vectors = (checked / lengths[:, None]).astype(np.float32)
    return unit
