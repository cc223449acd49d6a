"""Search by an index: it names candidates, the table's own vectors decide among them, and newer rows are all looked at.

Scores are therefore those of the exact search, to the last digit; only a row that the index does not name is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import MissingExtraError, TableError
from relsim.vectors.blocks import Indices, Rows
from relsim.vectors.index_file import FOLDER, IndexFacts, Recall, kinds_there
from relsim.vectors.index_kinds import KINDS, Structure
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

    `covered` is the number of leading rows for which it holds: all, unless the table has changed since.
    """

    def __init__(self, facts: IndexFacts, structure: Structure, covered: int) -> None:
        self.facts = facts
        self.covered = covered
        self._structure = structure

    @classmethod
    def open(cls, table: TableView, kind: str | None = None) -> VectorIndex:
        """The table's index of a kind, or the first that there is. Raises `TableError` where there is none to use."""
        if kind is not None and kind not in KINDS:
            raise TableError(f"{kind!r} is no kind of index; known are {', '.join(KINDS)}")
        there = kinds_there(table, KINDS)
        chosen = kind or (there[0] if there else None)
        if chosen not in there:
            wanted = f" of the kind {kind}" if kind else ""
            raise TableError(f"{table.path} has no index{wanted}. Build one: relsim index {table.path}")
        folder = table.path / FOLDER
        facts = IndexFacts.load(folder / f"{chosen}.json")
        path = facts.check_file(folder)
        structure = KINDS[facts.kind].open(path, facts.rows, facts.dimension, facts.parameters)
        return cls(facts, structure, facts.covered(table))

    def path(self, rows: int, k: int) -> SearchPath:
        """How the k nearest of a table of this many rows are looked for."""
        if 2 * self.covered < max(1, self.facts.rows):
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

    def candidates(self, queries: Vectors, k: int) -> Indices:
        """Covered rows that may be among the k nearest of (Q, D) queries, shape (Q, C), filled up with -1."""
        return self._structure.candidates(queries, self._shortlist(k), self.covered)

    def _shortlist(self, k: int) -> int:
        shortlist = self.facts.parameters["shortlist"]
        return max(shortlist, -(-shortlist * k // _PER_MATCH))


def has_index(table: TableView) -> bool:
    """Whether an index was built of the table, usable or not."""
    return bool(kinds_there(table, KINDS))


def find_index(table: TableView) -> tuple[VectorIndex | None, str | None]:
    """The table's index if it has one that can be used, else None and, where one is there, why it cannot."""
    if not has_index(table):
        return None, None
    try:
        return VectorIndex.open(table), None
    except (TableError, MissingExtraError) as error:
        return None, f"searched exactly, for the index cannot be used: {error}"


def indexed_best(
    index: VectorIndex, queries: Vectors, rows: Rows, k: int, *, ids: Sequence[str], excluded: Indices | None
) -> Matches:
    """Like `topk.best` of dot products of (Q, D) queries, with candidates of the index for the rows that it covers."""
    wanted = k + (excluded is not None)
    size = min(k, len(rows))
    indices = np.full((len(queries), size), -1, np.int64)
    scores = np.full(indices.shape, -np.inf, np.float64)
    for start in range(0, len(queries), _QUERIES):
        chunk = slice(start, start + _QUERIES)
        numbers, found, exact = _ranked(index, queries[chunk], rows, wanted, ids)
        if excluded is not None:
            allowed = found != excluded[chunk][numbers]
            numbers, found, exact = numbers[allowed], found[allowed], exact[allowed]
        place = places(numbers, len(queries[chunk]))
        kept = place < size
        indices[start + numbers[kept], place[kept]] = found[kept]
        scores[start + numbers[kept], place[kept]] = exact[kept]
    _complete(indices, scores, queries, rows, ids, excluded)
    filled = int((indices >= 0).any(axis=0).sum())
    return Matches(indices[:, :filled], scores[:, :filled])


def _ranked(
    index: VectorIndex, queries: Vectors, rows: Rows, wanted: int, ids: Sequence[str]
) -> tuple[Indices, Indices, Scores]:
    """Query, row and score of the candidates: by query, then by falling score, then by id."""
    named = index.candidates(queries, wanted)
    numbers, columns = np.nonzero(named >= 0)
    found = named[numbers, columns]
    exact = DotScorer(queries, rows).exact(numbers, found)
    if index.covered < len(rows):
        newer = rows.after(index.covered)
        order = id_order(ids[index.covered :])
        more = best(DotScorer(queries, newer), newer, wanted, order=order)
        more_numbers, places_ = np.nonzero(more.indices >= 0)
        numbers = np.concatenate([numbers, more_numbers])
        found = np.concatenate([found, more.indices[more_numbers, places_] + index.covered])
        exact = np.concatenate([exact, more.scores[more_numbers, places_]])
    ranking = np.lexsort((-exact, numbers))
    ordered, by = exact[ranking], numbers[ranking]
    if np.any((ordered[1:] == ordered[:-1]) & (by[1:] == by[:-1])):
        # Of the candidates alone: to sort millions of ids for one tie would take seconds.
        distinct, inverse = np.unique(found, return_inverse=True)
        ranking = np.lexsort((id_order([ids[row] for row in distinct])()[inverse], -exact, numbers))
    return numbers[ranking], found[ranking], exact[ranking]


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
