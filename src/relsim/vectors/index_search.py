"""Search by an index: it names candidates, the table's own vectors decide among them, and newer rows are all looked at.

Scores are therefore those of the exact search, to the last digit; only a row that the index does not name is missed.
Newer are all rows that the index was not made of, wherever they stand in the table (`relsim.vectors.index_runs`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import MissingExtraError, TableError
from relsim.vectors.blocks import Indices, Rows
from relsim.vectors.index_file import FOLDER, IndexFacts, Recall, kinds_there
from relsim.vectors.index_kinds import KINDS, Structure
from relsim.vectors.index_runs import Runs
from relsim.vectors.publish import system_errors
from relsim.vectors.shortlist import Scores, places
from relsim.vectors.topk import DotScorer, Matches, best, id_order
from relsim.vectors.view import TableView

EXACT = "exact"
"""The kind of a search that looks at every row."""

_QUERIES = 256
_PER_MATCH = 10  # a shortlist is stated for ten matches


@dataclass(frozen=True, slots=True)
class SearchPath:
    """How a search went: `kind` is `exact` or that of an index, with the recall that was measured when it was built.

    `by_index` rows were looked for in the index and `exactly` rows one by one; `why` tells what is out of the ordinary.
    """

    kind: str
    by_index: int
    exactly: int
    recall: Recall | None = None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts as a document holds them."""
        return asdict(self)


class VectorIndex:
    """An index of a table, open, for a `Searcher` of the same table.

    `covered` is the number of rows of the table for which it holds: all, unless the table has changed since.
    """

    def __init__(self, facts: IndexFacts, structure: Structure, runs: Runs) -> None:
        self.facts = facts
        self.runs = runs
        self.covered = runs.rows
        self._structure = structure

    @classmethod
    def open(cls, table: TableView, kind: str | None = None) -> VectorIndex:
        """The table's index of a kind, or of those that can be used the one that holds for most of its rows.

        Raises `TableError` or `MissingExtraError` where there is none to use.
        """
        if kind is not None and kind not in KINDS:
            raise TableError(f"{kind!r} is no kind of index; known are {', '.join(KINDS)}")
        there = kinds_there(table, KINDS if kind is None else [kind])
        if not there:
            wanted, option = (f" of the kind {kind}", f" --kind {kind}") if kind else ("", "")
            raise TableError(f"{table.path} has no index{wanted}. Build one: relsim index {table.path}{option}")
        opened: list[VectorIndex] = []
        problems: list[TableError | MissingExtraError] = []
        for name in there:
            try:
                opened.append(cls._of_kind(table, name))
            except (TableError, MissingExtraError) as error:
                problems.append(error)
        if not opened:
            raise problems[0]
        return max(opened, key=lambda index: index.covered)  # the first of several

    @classmethod
    def _of_kind(cls, table: TableView, kind: str) -> VectorIndex:
        document = table.path / FOLDER / f"{kind}.json"
        facts = IndexFacts.load(document)
        try:
            structure = _structure(facts, document.parent)
        except TableError:
            # A build that has just finished puts another file in the place of the one that was noted.
            newer = IndexFacts.load(document)
            if newer == facts:
                raise
            facts, structure = newer, _structure(newer, document.parent)
        return cls(facts, structure, facts.runs(table))

    def path(self, rows: int, k: int) -> SearchPath:
        """How the k nearest of a table of this many rows are looked for."""
        if self.out_of_date:
            return SearchPath(EXACT, 0, rows, why="most of the index is out of date: build it again with relsim index")
        if 4 * self._shortlist(k) > self.covered:
            return SearchPath(EXACT, 0, rows, why="so many matches, of so few rows, are found faster without the index")
        why = None
        if self.covered < max(rows, self.facts.rows):
            why = (
                f"the table has changed since the index was built: {rows - self.covered:,} of {rows:,} rows were "
                "searched exactly; relsim index builds it again"
            )
        return SearchPath(self.facts.kind, self.covered, rows - self.covered, self.facts.recall, why)

    @property
    def out_of_date(self) -> bool:
        """Whether most of its rows are not in the table any more, or not as they were."""
        return 2 * self.covered < max(1, self.facts.rows)

    def candidates(self, queries: Vectors, k: int) -> Indices:
        """Rows of the table that may be among the k nearest of (Q, D) queries, shape (Q, C), -1 for none.

        The shortlist is the one by which the recall of ten matches was measured, or longer.
        """
        # Rows that are gone take places too: ask for as many more as they are of all.
        count = -(-self._shortlist(k) * self.runs.stop // max(1, self.covered))
        return self.runs.in_table(self._structure.candidates(queries, count, self.runs.stop))

    def _shortlist(self, k: int) -> int:
        shortlist = self.facts.parameters["shortlist"]
        return max(shortlist, -(-shortlist * k // _PER_MATCH))


def has_index(table: TableView) -> bool:
    """Whether an index was built of the table, usable or not."""
    return bool(kinds_there(table, KINDS))


def find_index(table: TableView, kind: str | None = None) -> tuple[VectorIndex | None, str | None]:
    """The index that `VectorIndex.open` finds, else None and, where one is there or was asked for, why it cannot be."""
    if kind is None and not has_index(table):
        return None, None
    try:
        return VectorIndex.open(table, kind), None
    except (TableError, MissingExtraError) as error:
        return None, f"searched exactly, for the index cannot be used: {error}"


def indexed_best(
    index: VectorIndex, queries: Vectors, rows: Rows, k: int, *, ids: Sequence[str], excluded: Indices | None
) -> Matches:
    """Like `topk.best` of dot products of (Q, D) queries, with candidates of the index for the rows that it covers.

    A query to which the index names fewer than k rows of those that the table still has is searched exactly.
    """
    size = min(k, len(rows))
    indices = np.full((len(queries), size), -1, np.int64)
    scores = np.full(indices.shape, -np.inf, np.float64)
    for start in range(0, len(queries), _QUERIES):
        chunk = slice(start, start + _QUERIES)
        named = index.candidates(queries[chunk], k)
        enough = np.count_nonzero(named >= 0, axis=1) >= size
        # One more of the newer rows, since the excluded row may be among them.
        numbers, found, exact = _ranked(index, queries[chunk], named, rows, k + (excluded is not None), ids)
        if excluded is not None:
            allowed = found != excluded[chunk][numbers]
            numbers, found, exact = numbers[allowed], found[allowed], exact[allowed]
        place = places(numbers, len(queries[chunk]))
        kept = (place < size) & enough[numbers]
        indices[start + numbers[kept], place[kept]] = found[kept]
        scores[start + numbers[kept], place[kept]] = exact[kept]
    _complete(indices, scores, queries, rows, ids, excluded)
    filled = int((indices >= 0).any(axis=0).sum())
    return Matches(indices[:, :filled], scores[:, :filled])


def _ranked(
    index: VectorIndex, queries: Vectors, named: Indices, rows: Rows, wanted: int, ids: Sequence[str]
) -> tuple[Indices, Indices, Scores]:
    """Query, row and score of what was named and of newer rows: by query, then by falling score, then by id."""
    numbers, columns = np.nonzero(named >= 0)
    found = named[numbers, columns]
    exact = DotScorer(queries, rows).exact(numbers, found)
    if index.covered < len(rows):
        gaps = index.runs.gaps(len(rows))
        newer = rows.ranges(gaps.ranges)

        @functools.cache
        def order() -> Indices:
            return id_order([image_id for start, stop in gaps.ranges for image_id in ids[start:stop]])()

        more = best(DotScorer(queries, newer), newer, wanted, order=order)
        more_numbers, places_ = np.nonzero(more.indices >= 0)
        numbers = np.concatenate([numbers, more_numbers])
        found = np.concatenate([found, gaps.in_table(more.indices[more_numbers, places_])])
        exact = np.concatenate([exact, more.scores[more_numbers, places_]])
    ranking = np.lexsort((-exact, numbers))
    ordered, by = exact[ranking], numbers[ranking]
    if np.any((ordered[1:] == ordered[:-1]) & (by[1:] == by[:-1])):
        # Of the candidates alone: to sort millions of ids for one tie would take seconds.
        distinct, inverse = np.unique(found, return_inverse=True)
        ranking = np.lexsort((id_order([ids[row] for row in distinct])()[inverse], -exact, numbers))
    return numbers[ranking], found[ranking], exact[ranking]


def _structure(facts: IndexFacts, folder: Path) -> Structure:
    """The index of these facts, mapped. Raises `TableError` or `MissingExtraError`."""
    path = facts.check_file(folder)
    with system_errors("read", path):
        return KINDS[facts.kind].open(path, facts.rows, facts.dimension, facts.parameters)


def _complete(
    indices: Indices, scores: Scores, queries: Vectors, rows: Rows, ids: Sequence[str], excluded: Indices | None
) -> None:
    """Search exactly, in place, for the queries to which the index named too few rows."""
    size = indices.shape[1] - (excluded is not None and indices.shape[1] == len(rows))
    short = np.flatnonzero((indices[:, :size] < 0).any(axis=1))
    if len(short):
        left_out = None if excluded is None else excluded[short]
        full = best(DotScorer(queries[short], rows), rows, indices.shape[1], order=id_order(ids), excluded=left_out)
        indices[short], scores[short] = -1, -np.inf
        indices[short, : full.indices.shape[1]] = full.indices
        scores[short, : full.scores.shape[1]] = full.scores
