"""Exact top-k: blocked matrix products find the candidates, a second look orders them.

A product in float32 rounds, and BLAS rounds the same two vectors differently at different places of a matrix. So
the product only narrows the search: every row whose rough score comes within the largest possible rounding error
of the k-th best is kept, and the survivors are scored again in float64, in an order of additions that depends on
nothing but the two vectors. Equal vectors therefore have equal scores wherever they lie, and ties are broken by
id, also at the k-th place. Scores are never sorted as a whole.

Temporary memory stays below about 40 MB, however many queries and rows there are (the result comes on top).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import SearchError
from relsim.vectors.blocks import Indices, Rows
from relsim.vectors.coarse import CoarseRows
from relsim.vectors.shortlist import LIMIT, Scores, Shortlist, places

_QUERIES = 1024
_SCORE_NUMBERS = 2 * 2**20  # 8 MB of rough scores at a time
_COPY_NUMBERS = 2 * 2**20  # and at most 8 MB of rows, where a range crosses blocks
_RESCORED_NUMBERS = 64 * 1024  # fits the level-2 cache in float64


@dataclass(frozen=True, slots=True)
class Matches:
    """The best rows of each query, best first.

    `indices`, shape (Q, K) int64, and `scores`, shape (Q, K) float64, K being the largest number of matches that a
    query has; a query with fewer is filled up with index -1 and score -inf.
    """

    indices: Indices
    scores: Scores


class Scorer(Protocol):
    """What a ranking is by. Queries and rows are numbered from 0.

    A row that a query may not find scores -inf, roughly and exactly.
    """

    def __len__(self) -> int:
        """Number of queries."""

    def spans(self, most: int, most_copied: int) -> Iterator[tuple[int, int]]:
        """Ranges that cover all rows, none of more than `most`, as `Rows.spans` gives them or better."""

    def rough(self, queries: slice, start: int, stop: int) -> Vectors:
        """Scores of shape (queries, stop - start) in float32, off by at most `error`; may be overwritten next time."""

    def exact(self, queries: Indices, rows: Indices) -> Scores:
        """The scores of pairs, in float64, the same for the same two vectors."""

    def error(self, queries: slice) -> Vectors:
        """A bound of |rough - exact| for each of these queries."""


def rounding_error(queries: Vectors) -> Vectors:
    """How far a float32 dot product of each query with a row of unit length may be off, in any order of additions.

    D roundings of 2^-24 relative to |q| |r| (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1),
    eight to spare for what is done with the product, and the 0.1 % by which a row may be longer than 1. Shape (Q,).
    """
    lengths = np.sqrt(np.einsum("qd,qd->q", queries, queries, dtype=np.float64))
    bound: Vectors = (lengths * (1.001 * (queries.shape[1] + 8) * 2.0**-24)).astype(np.float32)
    return bound


def exact_dots(left: Vectors, right: Vectors) -> Scores:
    """Dot products of the rows of two (n, D) float32 arrays, in float64.

    Products of float32 are exact in float64; halves are added to halves, so the order is fixed by D alone.
    """
    result = np.empty(len(left), np.float64)
    step = max(1, _RESCORED_NUMBERS // max(1, left.shape[1]))
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        terms = np.multiply(left[part], right[part], dtype=np.float64)
        width = terms.shape[1]
        while width > 1:
            half = width // 2
            terms[:, :half] += terms[:, width - half : width]
            width -= half
        result[part] = terms[:, 0] if width else 0.0
    return result


class DotScorer:
    """Ranking by dot product: (Q, D) float32 queries against rows, roughly by their `coarse` copy if there is one."""

    def __init__(self, queries: Vectors, rows: Rows, coarse: CoarseRows | None = None) -> None:
        self._queries = queries
        self._rows = rows
        self._coarse = coarse
        self._buffer = np.empty(0, np.float32)

    def __len__(self) -> int:
        return len(self._queries)

    def spans(self, most: int, most_copied: int) -> Iterator[tuple[int, int]]:
        """Those of the rows; the coarse ones lie together."""
        if self._coarse is None:
            return self._rows.spans(most, most_copied)
        return ((start, min(start + most, len(self._rows))) for start in range(0, len(self._rows), most))

    def rough(self, queries: slice, start: int, stop: int) -> Vectors:
        """One matrix product."""
        chosen = self._queries[queries]
        if self._coarse is not None:
            return self._coarse.scores(chosen, start, stop)
        rows = self._rows.between(start, stop)
        size = len(chosen) * len(rows)
        if self._buffer.size < size:
            self._buffer = np.empty(size, np.float32)
        return np.matmul(chosen, rows.T, out=self._buffer[:size].reshape(len(chosen), len(rows)))

    def exact(self, queries: Indices, rows: Indices) -> Scores:
        """Dot products in float64."""
        result = np.empty(len(rows), np.float64)
        step = max(1, _COPY_NUMBERS // self._rows.dimension // 2)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            result[part] = exact_dots(self._queries[queries[part]], self._rows.take(rows[part]))
        return result

    def error(self, queries: slice) -> Vectors:
        """The bound of `rounding_error`, or that of the coarse rows."""
        chosen = self._queries[queries]
        return rounding_error(chosen) if self._coarse is None else self._coarse.error(chosen)


def top_k(
    queries: Vectors,
    blocks: Sequence[Vectors],
    k: int,
    *,
    ids: Sequence[str],
    exclude: Sequence[str | None] | None = None,
) -> Matches:
    """The k rows with the highest dot product for each of (Q, D) queries, exactly.

    `blocks` are arrays of shape (n, D) with rows of unit length, `ids` the names of all their rows; equal scores are
    ordered by id. `exclude` names, for each query, the row that it must not find (itself), or None.
    """
    checked = check_queries(queries, blocks[0].shape[1] if blocks else None)
    rows = Rows(blocks, checked.shape[1])
    positions: dict[str, int] = {}
    if exclude is not None:
        positions = {image_id: row for row, image_id in enumerate(ids)}
    excluded = excluded_rows(exclude, positions, len(checked))
    return best(DotScorer(checked, rows), rows, k, order=id_order(ids), excluded=excluded)


def check_queries(queries: Vectors, dimension: int | None) -> Vectors:
    """Queries as a C-contiguous (Q, D) float32 array of finite numbers, or a `SearchError`."""
    array = np.asarray(queries)
    if array.ndim != 2 or dimension not in (None, array.shape[1]):
        raise SearchError(f"queries have shape {array.shape}; this table needs (number of queries, {dimension}).")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise SearchError("a query vector holds NaN, infinity or something that is not a number.")
    return np.ascontiguousarray(array, np.float32)


def excluded_rows(
    exclude: Sequence[str | None] | None, positions: Mapping[str, int | None], count: int
) -> Indices | None:
    """The row that each query must not find, -1 for none."""
    if exclude is None:
        return None
    if len(exclude) != count:
        raise SearchError(f"exclude names {len(exclude)} rows for {count} queries; give one (or None) for each.")
    rows = [None if name is None else positions.get(name) for name in exclude]
    return np.array([-1 if row is None else row for row in rows], np.int64)


def id_order(ids: Sequence[str]) -> Callable[[], Indices]:
    """The rank of every row's id among all ids, worked out when it is first asked for: few searches meet ties."""

    @functools.cache
    def ranks() -> Indices:
        names = list(ids)  # those of a table are read at once, which is faster than one by one
        result = np.empty(len(names), np.int64)
        result[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        return result

    return ranks


def best(
    scorer: Scorer, rows: Rows, k: int, *, order: Callable[[], Indices], excluded: Indices | None = None
) -> Matches:
    """The k best of `rows` for each query of the scorer; `excluded` has a row (or -1) per query."""
    if k < 1:
        raise SearchError(f"k is {k}; ask for at least 1 match.")
    count = len(scorer)
    # One more, since the excluded row may be among the best.
    wanted = min(len(rows), k + (excluded is not None))
    indices = np.full((count, min(k, len(rows))), -1, np.int64)
    scores = np.full(indices.shape, -np.inf, np.float64)
    if wanted == 0 or count == 0:
        return Matches(indices, scores)
    step = max(1, min(_QUERIES, LIMIT // (2 * wanted)))
    for start in range(0, count, step):
        chunk = slice(start, min(start + step, count))
        queries, found, exact = _best_of_chunk(scorer, rows, chunk, wanted, order)
        if excluded is not None:
            allowed = found != excluded[chunk][queries]
            queries, found, exact = queries[allowed], found[allowed], exact[allowed]
        place = places(queries, chunk.stop - chunk.start)
        kept = place < indices.shape[1]
        indices[start + queries[kept], place[kept]] = found[kept]
        scores[start + queries[kept], place[kept]] = exact[kept]
    filled = int((indices >= 0).any(axis=0).sum())
    return Matches(indices[:, :filled], scores[:, :filled])


def _best_of_chunk(
    scorer: Scorer, rows: Rows, chunk: slice, wanted: int, order: Callable[[], Indices]
) -> tuple[Indices, Indices, Scores]:
    def exact(queries: Indices, found: Indices) -> Scores:
        return scorer.exact(queries + chunk.start, found)

    shortlist = Shortlist(scorer.error(chunk), wanted, exact, order)
    most = max(1, _SCORE_NUMBERS // (chunk.stop - chunk.start))
    for first, last in scorer.spans(most, max(1, _COPY_NUMBERS // rows.dimension)):
        shortlist.add(scorer.rough(chunk, first, last), first)
    return shortlist.ranked()
