"""The candidates for the best `wanted` rows of some queries, kept few while rough scores stream in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors
from relsim.vectors.blocks import Indices

Scores = NDArray[np.float64]
Exact = Callable[[Indices, Indices], Scores]

LIMIT = 500_000
"""Candidates held at a time: 20 bytes each, a few times over while they are sorted."""

_KEPT_COST = 32
"""What it costs to keep a candidate, in numbers looked through for a threshold."""

_LOWEST = np.float32(np.finfo(np.float32).min)


class Shortlist:
    """Rows whose rough score may still be among the best, for n queries numbered from 0.

    `error`, shape (n,), bounds |rough - exact|. If T is the k-th best rough score so far, k rows score T - error or
    more, so a row with a rough score below T - 2 error cannot be one of the k best. Rows of -inf never come in.
    """

    def __init__(self, error: Vectors, wanted: int, exact: Exact, order: Callable[[], Indices]) -> None:
        self._count = len(error)
        self._wanted = wanted
        # 1 % covers the rounding of the subtraction itself.
        self._margin = 2.02 * error
        self._exact = exact
        self._order = order
        self._threshold = np.full(self._count, _LOWEST)
        self._queries = np.empty(0, np.int64)
        self._rows = np.empty(0, np.int64)
        self._scores = np.empty(0, np.float32)
        self._shrunk = 0

    def add(self, scores: Vectors, first_row: int) -> None:
        """Take in rough scores of shape (n, m), those of the rows `first_row` to `first_row + m`."""
        width = scores.shape[1]
        if width >= self._wanted and len(self._rows) == 0:
            self._raise_threshold(scores[:, :: self._stride(width)])
        hits = scores >= self._floor[:, None]
        if np.count_nonzero(hits) > LIMIT:
            # The sample was poor: look at all of them.
            if width >= self._wanted:
                self._raise_threshold(scores)
            step = max(1, LIMIT // self._count)
        else:
            step = width
        for start in range(0, width, step):
            part = scores[:, start : start + step]
            mask = hits if step == width else part >= self._floor[:, None]
            queries, columns = np.divmod(np.flatnonzero(mask), part.shape[1])
            self._queries = np.concatenate([self._queries, queries])
            self._rows = np.concatenate([self._rows, columns + (first_row + start)])
            self._scores = np.concatenate([self._scores, part[queries, columns]])
            if len(self._rows) - self._shrunk >= self._count * self._wanted or len(self._rows) > LIMIT:
                self._shrink()

    def ranked(self) -> tuple[Indices, Indices, Scores]:
        """Query, row and exact score of what remains: by query, then by falling score, then by id."""
        self._shrink()
        ranking, exact = self._ranking()
        return self._queries[ranking], self._rows[ranking], exact

    @property
    def _floor(self) -> Vectors:
        floor: Vectors = self._threshold - self._margin
        return floor

    def _stride(self, width: int) -> int:
        """Every how-manieth score is looked at for a first threshold.

        The k-th best of s scores lets k / s of all through: s + cost * width * k / s numbers are handled, the fewest
        with s = sqrt(cost * width * k).
        """
        sample = max(4 * self._wanted, math.isqrt(_KEPT_COST * width * self._wanted))
        return max(1, width // sample)

    def _raise_threshold(self, scores: Vectors) -> None:
        kth = scores.shape[1] - self._wanted
        self._threshold = np.fmax(self._threshold, np.partition(scores, kth, axis=1)[:, kth])

    def _shrink(self) -> None:
        """Drop what cannot be among the best any more; where too many are too close, decide exactly."""
        by_score = np.argsort(_falling_keys(self._queries, self._scores))
        queries, scores = self._queries[by_score], self._scores[by_score]
        counts = np.bincount(queries, minlength=self._count)
        full = np.flatnonzero(counts >= self._wanted)
        kth = (np.cumsum(counts) - counts + self._wanted - 1)[full]
        self._threshold[full] = np.maximum(self._threshold[full], scores[kth])
        kept = scores >= self._floor[queries]
        self._queries, self._scores = queries[kept], scores[kept]
        self._rows = self._rows[by_score][kept]
        if len(self._rows) > LIMIT // 2:
            self._decide()
        self._shrunk = len(self._rows)

    def _decide(self) -> None:
        """Keep exactly the best rows so far. Their rough scores stay, and with them the meaning of the threshold."""
        ranking, _ = self._ranking()
        queries = self._queries[ranking]
        best = ranking[places(queries, self._count) < self._wanted]
        self._queries, self._rows, self._scores = self._queries[best], self._rows[best], self._scores[best]

    def _ranking(self) -> tuple[Indices, Scores]:
        """The candidates' order (by query, falling exact score, id), and their exact scores in that order."""
        exact = self._exact(self._queries, self._rows)
        ranking = np.lexsort((-exact, self._queries))
        ordered, queries = exact[ranking], self._queries[ranking]
        if np.any((ordered[1:] == ordered[:-1]) & (queries[1:] == queries[:-1])):
            ranking = np.lexsort((self._order()[self._rows], -exact, self._queries))
        return ranking, ordered


def places(queries: Indices, count: int) -> Indices:
    """The place, from 0, of each entry within its query; `queries` is sorted and below `count`."""
    counts = np.bincount(queries, minlength=count)
    place: Indices = np.arange(len(queries)) - (np.cumsum(counts) - counts)[queries]
    return place


def _falling_keys(queries: Indices, scores: Vectors) -> NDArray[np.uint64]:
    """One number per candidate that sorts by query, then by falling score: sorting one key is faster than two."""
    bits = scores.view(np.uint32)
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys: NDArray[np.uint64] = (queries.astype(np.uint64) << np.uint64(32)) | (~rising).astype(np.uint64)
    return keys
