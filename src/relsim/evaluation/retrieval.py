"""A retrieval run: several encoders answer the same queries over the same collection, with and without duplicates.

The database is every picture that has a vector under every encoder, so that all of them rank the same pictures; the
others are told with their reasons. Queries are pictures of the database that are not distractors: all of them, a
seeded sample, or a list. A query never finds itself. Everything is found twice: with its duplicates left out (see
`relsim.evaluation.exclusions`), which is what counts, and with them kept. Search is exact, ties by id.

A second look (`relsim.evaluation.reranking`) makes one more method of each encoder.

Where pictures have labels, each encoder gets the metrics of `relsim.evaluation.retrieval_metrics`, and every two are
compared on the same queries. A picture without a label is relevant to none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import SearchError
from relsim.evaluation.comparisons import Comparison, compare
from relsim.evaluation.exclusions import Exclusion, Hashes, exclusions_of, nearest_allowed
from relsim.evaluation.labels import relation_of
from relsim.evaluation.reranking import SecondLook
from relsim.evaluation.retrieval_choice import (
    Ask,
    LeftOut,
    RetrievalSettings,
    Unusable,
    asked_by,
    choose,
    first_reason,
    unusable_in,
)
from relsim.evaluation.retrieval_metrics import RetrievalReport, chosen_to_images, hits_to_report
from relsim.fingerprint import Fingerprint
from relsim.vectors.search import vectors_of
from relsim.vectors.topk import Matches
from relsim.vectors.view import TableView


@dataclass(frozen=True, slots=True)
class Method:
    """What one encoder found: rows of the database for each query, without duplicates (`distinct`) and with (`kept`).

    A report is None where no query has a relevant picture. `unmeasured` are pictures that a second look could not use.
    """

    name: str
    fingerprint: Fingerprint
    origin: Mapping[str, Any]
    distinct: Matches
    kept: Matches
    distinct_report: RetrievalReport | None
    kept_report: RetrievalReport | None
    unmeasured: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalRun:
    """All that was asked and found. `records` and `labels` are those of the database, in the order of the ids.

    `queries` are rows of it, `exclusions` what each must not find; `unhashed` counts pictures without hashes, whose
    duplicates cannot be told.
    """

    settings: RetrievalSettings
    records: Sequence[ImageRecord]
    labels: Sequence[str | None]
    distractors: int
    queries: Sequence[int]
    exclusions: Sequence[Sequence[Exclusion]]
    methods: Sequence[Method]
    comparisons: Sequence[Comparison] = ()
    unusable: Sequence[Unusable] = ()
    left_out: Sequence[LeftOut] = ()
    unhashed: int = 0
    sources: Mapping[str, Any] = field(default_factory=dict)


def run_retrieval(
    collection: Sequence[ImageRecord],
    tables: Mapping[str, TableView],
    *,
    distractors: Sequence[ImageRecord] = (),
    hashes: Mapping[str, Hashes] | None = None,
    settings: RetrievalSettings | None = None,
    sources: Mapping[str, Any] | None = None,
    ask: Mapping[str, Ask] | None = None,
    second: SecondLook | None = None,
) -> RetrievalRun:
    """Ask every table the same queries. `tables` are by the encoders' names; ids must be unique.

    `ask` embeds the queries of tables whose encoder embeds them otherwise than the collection (see `QueryEncoder`);
    a query that it cannot embed is left out everywhere.

    With `second`, each encoder's candidates are also ranked anew, as one more method; it looks at `top_k` at least.

    `hashes` tell duplicates; without them only the query itself is left out. `sources` is kept as it is, for the
    record. Raises `SearchError` where fewer than two pictures, or none of the queries, can be used.
    """
    settings, hashes = settings or RetrievalSettings(), hashes or {}
    if not tables:
        raise SearchError("no encoder and no table is named; a retrieval run needs one at least")
    if settings.reference not in (None, *tables, *(map(second.label, tables) if second else ())):
        raise SearchError(f"there is no method {settings.reference} to compare the others with")
    everything = {record.image_id: record for record in (*collection, *distractors)}
    unusable = unusable_in(list(everything.values()), tables)
    bad = {one.failure.record.image_id: one.failure for one in unusable}
    ids = sorted(everything.keys() - bad.keys())
    if len(ids) < 2:
        raise SearchError(
            f"{len(ids)} of {len(everything):,} pictures can be used, and a retrieval needs two{first_reason(bad)}"
        )
    rows = {image_id: row for row, image_id in enumerate(ids)}
    pool = [record.image_id for record in collection]
    chosen, left_out = choose(pool, rows, bad, settings)
    chosen, asked, lost = asked_by(chosen, everything, tables, ask or {})
    left_out += lost
    if not chosen:
        why = f": {left_out[0].image_id} is {left_out[0].reason}" if left_out else "; all are distractors"
        raise SearchError(f"none of the queries can be used{why}")
    records = [everything[image_id] for image_id in ids]
    labels = [relation_of(record, settings.label) for record in records]
    queries = [rows[image_id] for image_id in chosen]
    exclusions = exclusions_of(queries, ids, hashes, distance=settings.distance)
    task = _Task(records, labels, queries, [[one.row for one in some] for some in exclusions], settings)
    methods = [task.run(name, table, asked.get(name)) for name, table in tables.items()]
    if second is not None:
        methods += [task.look_again(method, tables[method.name], asked.get(method.name), second) for method in methods]
    return RetrievalRun(
        settings=settings,
        records=records,
        labels=labels,
        distractors=len(rows.keys() - set(pool)),
        queries=queries,
        exclusions=exclusions,
        methods=methods,
        comparisons=_compared(methods, settings),
        unusable=unusable,
        left_out=left_out,
        unhashed=sum(image_id not in hashes for image_id in ids),
        sources=sources or {},
    )


@dataclass(frozen=True, slots=True)
class _Task:
    """The same questions for every encoder."""

    records: Sequence[ImageRecord]
    labels: Sequence[str | None]
    queries: Sequence[int]
    excluded: Sequence[Sequence[int]]
    settings: RetrievalSettings

    @property
    def ids(self) -> list[str]:
        return [record.image_id for record in self.records]

    def run(self, name: str, table: TableView, queries: TableView | None) -> Method:
        vectors, asked = self._vectors(table, queries)
        own, top_k = self._own, self.settings.top_k
        return Method(
            name,
            table.fingerprint,
            table.origin,
            self._found(vectors, asked, self.excluded, top_k),
            self._found(vectors, asked, own, top_k),
            self._report(vectors, asked, self.excluded),
            self._report(vectors, asked, own),
        )

    def look_again(self, first: Method, table: TableView, queries: TableView | None, second: SecondLook) -> Method:
        top_k, depth = self.settings.top_k, max(second.depth, self.settings.top_k)
        vectors, asked = self._vectors(table, queries)
        found = [self._found(vectors, asked, barred, depth) for barred in (self.excluded, self._own)]
        named = [self.records[row] for row in self.queries]
        (distinct, kept), unmeasured = second.ranked(named, self.records, found)
        return Method(
            second.label(first.name),
            second.pairwise.fingerprint,
            {**first.origin, **second.origin},
            Matches(distinct.indices[:, :top_k], distinct.scores[:, :top_k]),
            Matches(kept.indices[:, :top_k], kept.scores[:, :top_k]),
            self._report_of(distinct, self.excluded),
            self._report_of(kept, self._own),
            unmeasured,
        )

    @property
    def _own(self) -> list[list[int]]:
        return [[row] for row in self.queries]

    def _vectors(self, table: TableView, queries: TableView | None) -> tuple[Vectors, Vectors]:
        ids = self.ids
        return vectors_of(table, ids), vectors_of(queries or table, [ids[row] for row in self.queries])

    def _found(self, vectors: Vectors, asked: Vectors, excluded: Sequence[Sequence[int]], k: int) -> Matches:
        rows = [np.array(some, np.int64) for some in excluded]
        return nearest_allowed(asked, [vectors], k, ids=self.ids, excluded=rows)

    @property
    def _labels(self) -> list[Hashable]:
        """What has no label has one of its own, which nothing else has."""
        return [(row,) if label is None else label for row, label in enumerate(self.labels)]

    def _relevant(self, excluded: Sequence[Sequence[int]]) -> list[int]:
        labels = self._labels
        common = Counter(labels)
        return [
            common[labels[query]] - sum(labels[row] == labels[query] for row in some)
            for query, some in zip(self.queries, excluded, strict=True)
        ]

    def _report(self, vectors: Vectors, asked: Vectors, excluded: Sequence[Sequence[int]]) -> RetrievalReport | None:
        if not any(self._relevant(excluded)):
            return None
        metrics = self.settings.metrics
        return chosen_to_images(
            vectors, self._labels, self.queries, excluded, asked=asked, ids=self.ids, settings=metrics
        )

    def _report_of(self, found: Matches, excluded: Sequence[Sequence[int]]) -> RetrievalReport | None:
        relevant = self._relevant(excluded)
        if not any(relevant):
            return None
        numbers = {label: number for number, label in enumerate(dict.fromkeys(self._labels))}
        labels = np.array([numbers[label] for label in self._labels])
        hits = (labels[found.indices] == labels[list(self.queries)][:, None]) & (found.indices >= 0)
        return hits_to_report(hits, np.array(relevant), self.settings.metrics)


def _compared(methods: Sequence[Method], settings: RetrievalSettings) -> list[Comparison]:
    per_query = {
        method.name: method.distinct_report.per_query for method in methods if method.distinct_report is not None
    }
    return compare(per_query, reference=settings.reference, seed=settings.seed, resamples=settings.resamples)
