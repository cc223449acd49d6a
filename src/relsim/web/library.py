"""A collection as the page sees it: a table of relation, where there is one a table of look, and what is known of each.

Ids are all that anybody can ask for. Where an image lies is known to the server and told to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.data.records import ImageRecord
from relsim.encoders.base import Vectors
from relsim.environment import processor
from relsim.errors import SearchError
from relsim.vectors.index_search import EXACT, SearchPath, find_index
from relsim.vectors.search import TWO_AXES, Searcher, unit_queries
from relsim.vectors.table import VectorTable
from relsim.vectors.two_axis import TwoAxisSearcher

LOOK_ALONE = 1e4
"""Weight of look beside which relation counts for nothing but ties."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for: vectors (D,) of either axis, as far as there are any, and how the axes count.

    `blend` runs from 0, same look, through 0.5, same logic, to 1, same logic and different look.
    """

    relation: Vectors
    look: Vectors | None
    count: int
    blend: float = 0.5
    without: str | None = None

    @property
    def weight(self) -> float:
        """What `TwoAxisSearcher` takes away for look; below zero it is added."""
        if self.blend >= 0.5:
            return 2 * self.blend - 1
        logic = 2 * self.blend
        return -LOOK_ALONE if logic * LOOK_ALONE <= 1 else -(1 - logic) / logic


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image that was found: its place, counted from 1, and its similarity to the query on each axis, -1 to 1."""

    image_id: str
    rank: int
    relation: float
    look: float | None


class Library:
    """Images with vectors on one axis or two. Safe to read from any number of threads."""

    def __init__(self, relation: VectorTable, look: VectorTable | None = None, *, name: str | None = None) -> None:
        self.relation, self.look = relation, look
        self.name = name or relation.path.name
        self._searcher = Searcher(relation) if look is None else TwoAxisSearcher(relation, look)
        both = self._searcher if isinstance(self._searcher, TwoAxisSearcher) else None
        self.ids: tuple[str, ...] = tuple(relation.ids) if both is None else both.ids
        if not self.ids:
            raise SearchError(f"{relation.path} holds no images; embed some first")
        self._by_index: Searcher | None = None
        self._why_exact: str | None = None

    @classmethod
    def open(cls, relation: str | Path, look: str | Path | None = None, *, name: str | None = None) -> Library:
        """The library of tables that `relsim embed` made. Raises `TableError` or `SearchError`."""
        looks = None if look is None else VectorTable.open(look)
        return cls(VectorTable.open(relation), looks, name=name)

    def take_index(self) -> str | None:
        """Answer questions on one axis by an index of the table of relation, if it has one of all images here.

        Returns why not, where there is one that is not taken. All else is answered exactly.
        """
        index, self._why_exact = find_index(self.relation)
        if index is not None:
            covered, rows = index.covered, len(self.relation)
            if covered < rows:
                why = f"the index holds for {covered:,} of {rows:,} rows; relsim index builds it again"
                self._why_exact = f"searched exactly, for {why}"
            elif len(self) < rows:
                self._why_exact = "searched exactly, for the index has images without a look, which are not shown"
            else:
                self._by_index = Searcher(self.relation, index)
        return self._why_exact

    def path(self, question: Question) -> SearchPath:
        """How `search` looks for an answer: by an index, or exactly, and why."""
        if self._counts_looks(question):
            return SearchPath(EXACT, 0, len(self), why=TWO_AXES)
        if self._by_index is None:
            return SearchPath(EXACT, 0, len(self), why=self._why_exact)
        return self._by_index.path(question.count)

    def _counts_looks(self, question: Question) -> bool:
        return isinstance(self._searcher, TwoAxisSearcher) and question.look is not None

    def warm_up(self) -> None:
        """Make ready for similarity spaces, and for many questions at once where this processor has a quicker way."""
        _ = self._captions, self._sorted, self._rows_of
        cpu = processor()
        if (cpu.amx or cpu.avx512_bf16) and (self.look is not None or self._by_index is None):
            self._searcher.keep_coarse()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._searcher

    @cached_property
    def records(self) -> dict[str, ImageRecord]:
        """What is known of each image, by id, in the order of the table."""
        positions = self.relation.positions
        found = self.relation.records([positions[image_id] for image_id in self.ids])
        return {record.image_id: record for record in found}

    def record(self, image_id: str) -> ImageRecord | None:
        """What is known of one image, or None where there is no such image."""
        return self.relation.records([self.relation.positions[image_id]])[0] if image_id in self else None

    def caption(self, image_id: str) -> str | None:
        """The caption of an image, where one is known."""
        return self._captions.get(image_id)

    @cached_property
    def _captions(self) -> dict[str, str]:
        given = zip(self.relation.ids, self.relation.field("caption"), strict=True)
        return {name: text for name, text in given if isinstance(text, str) and text.strip() and name in self}

    def vectors(self, image_id: str) -> tuple[Vectors, Vectors | None]:
        """Vectors (D,) of an image on either axis. Raises `SearchError` for an id that is not here."""
        if isinstance(self._searcher, Searcher):
            return self._searcher.vector(image_id), None
        return self._searcher.vectors(image_id)

    def search(self, questions: Sequence[Question]) -> list[list[Neighbour]]:
        """The nearest images of each question, best first, ties by id.

        Questions of all blends are answered together, those for which looks count beside each other.
        """
        kinds: dict[tuple[bool, int], list[int]] = {}
        for number, question in enumerate(questions):
            kinds.setdefault((self._counts_looks(question), question.count), []).append(number)
        found: dict[int, list[Neighbour]] = {}
        for (two_axes, count), numbers in kinds.items():
            if two_axes:
                numbers.sort(key=lambda number: questions[number].weight == 0)
            asked = [questions[number] for number in numbers]
            answers = self._two_axes(asked, count) if two_axes else self._one_axis(asked, count)
            found.update(zip(numbers, answers, strict=True))
        return [found[number] for number in range(len(questions))]

    def scores(self, question: Question) -> tuple[Vectors, Vectors | None]:
        """Similarities (N,) of every image to a question on either axis, in the order of `ids`."""
        relation = self._all(self.relation, self._rows_of[0], question.relation)
        if question.look is None or self.look is None:
            return relation, None
        return relation, self._all(self.look, self._rows_of[1], question.look)

    def others(self, image_id: str | None) -> NDArray[np.int64]:
        """Places in `ids` of all images but one, in the order of the ids themselves."""
        places: NDArray[np.int64] = self._sorted
        if image_id is not None:
            places = places[self._rows_of[0][places] != self.relation.positions[image_id]]
        return places

    @cached_property
    def _sorted(self) -> NDArray[np.int64]:
        return np.array(sorted(range(len(self.ids)), key=self.ids.__getitem__), np.int64)

    @cached_property
    def _rows_of(self) -> list[NDArray[np.int64]]:
        """Rows (N,) of the images in either table."""
        tables = [table for table in (self.relation, self.look) if table is not None]
        return [np.array([table.positions[image_id] for image_id in self.ids], np.int64) for table in tables]

    def _all(self, table: VectorTable, rows: NDArray[np.int64], vector: Vectors) -> Vectors:
        query = unit_queries(vector[None], table.dimension)[0]
        # Block by block, where they lie: the whole as one array would be a copy of the table for each question.
        scores: Vectors = np.concatenate([block @ query for block in table.blocks])[rows]
        return scores

    def _one_axis(self, asked: Sequence[Question], count: int) -> list[list[Neighbour]]:
        queries = unit_queries(_stacked([question.relation for question in asked]), self.relation.dimension)
        searcher = self._by_index or self._searcher
        by_relation = searcher.top_k if isinstance(searcher, Searcher) else searcher.top_k_by_relation
        found = by_relation(queries, count, exclude=[question.without for question in asked])
        return [
            [
                Neighbour(self.ids[row], rank, score, None)
                for rank, (row, score) in enumerate(zip(rows, scores, strict=True), 1)
                if row >= 0
            ]
            for rows, scores in zip(found.indices.tolist(), found.scores.tolist(), strict=True)
        ]

    def _two_axes(self, asked: Sequence[Question], count: int) -> list[list[Neighbour]]:
        assert isinstance(self._searcher, TwoAxisSearcher)  # noqa: S101 - `search` has seen to it
        pair = (_stacked([question.relation for question in asked]), _stacked([_look(question) for question in asked]))
        weights, without = [question.weight for question in asked], [question.without for question in asked]
        found = self._searcher.top_k(*pair, count, weight=weights, exclude=without)
        columns = (found.rows.tolist(), found.relational.tolist(), found.attribute.tolist())
        return [
            [
                Neighbour(self.ids[row], rank, alike, looks)
                for rank, (row, alike, looks) in enumerate(zip(*one, strict=True), 1)
                if row >= 0
            ]
            for one in zip(*columns, strict=True)
        ]

    def about(self) -> Mapping[str, Any]:
        """What the page says of the collection."""
        return {
            "name": self.name,
            "images": len(self),
            "captions": len(self._captions),
            "axes": {
                "relation": _axis(self.relation),
                "look": None if self.look is None else _axis(self.look),
            },
        }


def _axis(table: VectorTable) -> dict[str, Any]:
    origin = dict(table.origin)
    return {
        "encoder": origin.get("encoder", "relational"),
        "checkpoint": origin.get("checkpoint_dir"),
        "dimension": table.dimension,
    }


def _look(question: Question) -> Vectors:
    assert question.look is not None  # noqa: S101 - see above
    return question.look


def _stacked(vectors: Sequence[Vectors]) -> Vectors:
    return np.stack(vectors)
