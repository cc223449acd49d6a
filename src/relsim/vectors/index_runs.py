"""Which rows of an index its table still has, and where they stand in it now.

A part of the table is known by its SHA-256, wherever it stands. Where parts were merged since, the vectors tell: they
are hashed again and compared with what the index noted of its last parts. So a row counts only where its vector is the
one that the index was made of; of everything else the index is not asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from relsim.vectors.blocks import Indices, Rows
from relsim.vectors.view import TableView

HASHED_BYTES = 256 * 2**20
"""Vectors of the last parts are hashed when an index is built and, where they were merged, when it is opened.

Only the last parts are merged when images are added, up to 64 MiB of them and some 256 small ones: some 0.2 s.
"""

_STEP_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class IndexedPart:
    """A part that an index was made of: rows, SHA-256 of its file, and of the last ones that of the vectors alone."""

    rows: int
    sha256: str
    vectors: str | None = None

    @classmethod
    def from_json(cls, value: Any) -> IndexedPart:
        """One entry of the document; raises KeyError, TypeError or ValueError."""
        vectors = value.get("vectors")
        return cls(int(value["rows"]), str(value["sha256"]), None if vectors is None else str(vectors))


@dataclass(frozen=True, slots=True)
class Run:
    """So many rows that lie together in the index, from `indexed` on, and in the table, from `row` on."""

    indexed: int
    row: int
    rows: int


class Runs:
    """Rows that an index and its table both have; runs in order of both, apart from one another."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = _joined(runs)
        self.rows = sum(run.rows for run in self._runs)
        last = self._runs[-1] if self._runs else Run(0, 0, 0)
        self.stop = last.indexed + last.rows
        """The number of the row of the index that follows the last one that the table has."""

    def in_table(self, indexed: Indices) -> Indices:
        """Row numbers of the table for those of the index, of any shape; -1 for -1 and for rows that it has not."""
        return _translated(indexed, [(run.indexed, run.row, run.rows) for run in self._runs])

    def gaps(self, rows: int) -> Gaps:
        """The rows of a table of so many that the index has not."""
        starts = [0, *(run.row + run.rows for run in self._runs)]
        stops = [*(run.row for run in self._runs), rows]
        return Gaps([(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop])


@dataclass(frozen=True, slots=True)
class Gaps:
    """Ranges of rows of a table, numbered from 0 as if they followed each other."""

    ranges: Sequence[tuple[int, int]]

    def in_table(self, numbers: Indices) -> Indices:
        """Row numbers of the table for the numbers of these rows; -1 for -1."""
        numbered, triples = 0, []
        for start, stop in self.ranges:
            triples.append((numbered, start, stop - start))
            numbered += stop - start
        return _translated(numbers, triples)


def indexed_parts(table: TableView) -> tuple[IndexedPart, ...]:
    """What an index notes of the parts of its table, in order."""
    parts = tuple(IndexedPart(rows, sha256) for rows, sha256 in table.part_digests)
    rows = Rows(table.blocks, table.dimension)
    stop, noted = len(rows), []
    for part in reversed(parts):
        start = stop - part.rows
        hashed = 4 * table.dimension * (len(rows) - start) <= HASHED_BYTES
        noted.append(replace(part, vectors=_digest(rows, start, stop)) if hashed else part)
        stop = start
    return tuple(reversed(noted))


def common_runs(parts: Sequence[IndexedPart], table: TableView) -> Runs:
    """The rows that an index of these parts and the table have in common."""
    places, total = {}, 0
    for rows, sha256 in table.part_digests:
        places[rows, sha256] = total
        total += rows
    vectors: Rows | None = None
    left = HASHED_BYTES
    runs, indexed, end = [], 0, 0
    for part in parts:
        row = places.get((part.rows, part.sha256))
        if row is None and part.vectors is not None and end + part.rows <= total:
            left -= 4 * table.dimension * part.rows
            vectors = vectors or Rows(table.blocks, table.dimension)
            if left >= 0 and _digest(vectors, end, end + part.rows) == part.vectors:
                row = end  # its file was merged into another
        if row is not None and row >= end:
            runs.append(Run(indexed, row, part.rows))
            end = row + part.rows
        indexed += part.rows
    return Runs(runs)


def _digest(rows: Rows, start: int, stop: int) -> str:
    """SHA-256 of the vectors of these rows, float32 one after the other."""
    digest = hashlib.sha256()
    step = max(1, _STEP_BYTES // (4 * rows.dimension))
    for first in range(start, stop, step):
        digest.update(np.ascontiguousarray(rows.between(first, min(first + step, stop)), "<f4").data)
    return digest.hexdigest()


def _joined(runs: Iterable[Run]) -> list[Run]:
    """Runs that follow each other in the index and in the table as one; those without rows are left out."""
    joined: list[Run] = []
    for run in runs:
        if run.rows == 0:
            continue
        last = joined[-1] if joined else None
        if last and (last.indexed + last.rows, last.row + last.rows) == (run.indexed, run.row):
            joined[-1] = replace(last, rows=last.rows + run.rows)
        else:
            joined.append(run)
    return joined


def _translated(numbers: Indices, triples: Sequence[tuple[int, int, int]]) -> Indices:
    """Numbers moved from their range (first number, new first number, length) to the new one; -1 outside of all."""
    if not triples:
        return np.full(numbers.shape, -1, np.int64)
    firsts, moved, lengths = (np.array(column, np.int64) for column in zip(*triples, strict=True))
    places = np.maximum(np.searchsorted(firsts, numbers, side="right") - 1, 0)
    inside = numbers - firsts[places]
    translated: Indices = np.where((inside >= 0) & (inside < lengths[places]), moved[places] + inside, -1)
    return translated
