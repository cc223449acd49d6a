"""A retrieval run: several encoders answer the same queries over the same collection, with and without duplicates.

The database is every picture that has a vector under every encoder, so that all of them rank the same pictures; the
others are told with their reasons. Queries are pictures of the database that are not distractors: all of them, a
seeded sample, or a list. A query never finds itself. Everything is found twice: with its duplicates left out (see
`relsim.evaluation.exclusions`), which is what counts, and with them kept. Search is exact, ties by id.

Where pictures have labels, each encoder gets the metrics of `relsim.evaluation.retrieval_metrics`, and every two are
compared on the same queries. A picture without a label is relevant to none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shuffling import permutation
from relsim.encoders.base import Vectors
from relsim.errors import SearchError
from relsim.evaluation.comparisons import Comparison, compare
from relsim.evaluation.exclusions import Exclusion, Hashes, exclusions_of, nearest_allowed
from relsim.evaluation.labels import relation_of
from relsim.evaluation.retrieval_metrics import RetrievalReport, Settings, chosen_to_images
from relsim.evaluation.statistics import RESAMPLES
from relsim.fingerprint import Fingerprint
from relsim.vectors.query import asks_otherwise
from relsim.vectors.search import vectors_of
from relsim.vectors.topk import Matches
from relsim.vectors.view import TableView

Ask = Callable[[Sequence[ImageRecord]], TableView]
"""Embeds queries; gives a table with their vectors, and with the failures."""
DEPTHS = (1, 5, 10)
_SAMPLE = 0


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """What is asked and how deep.

    `queries` is the size of a seeded sample, None for all; `query_ids` are the ids to ask for or to sample from, by
    default those that are no distractors. `distance` is in bits, 0 to 15. `label` is a manifest's field, by default
    `relation`, or `group` where there is none. `resamples` belongs to the bootstrap.
    """

    queries: int | None = None
    query_ids: Sequence[str] | None = None
    top_k: int = 10
    seed: int = 0
    distance: int = 4
    label: str | None = None
    resamples: int = RESAMPLES

    @property
    def metrics(self) -> Settings:
        """Metrics at 1, 5, 10 and `top_k`."""
        return Settings(tuple(sorted({*DEPTHS, self.top_k})), seed=self.seed, resamples=self.resamples)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A query that was asked for and cannot be answered, and why."""

    image_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A picture that is not in the database: what failed, and under which encoders."""

    failure: Failure
    encoders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """What one encoder found: rows of the database for each query, without duplicates (`distinct`) and with (`kept`).

    A report is None where no query has a relevant picture.
    """

    name: str
    fingerprint: Fingerprint
    origin: Mapping[str, Any]
    distinct: Matches
    kept: Matches
    distinct_report: RetrievalReport | None
    kept_report: RetrievalReport | None


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
) -> RetrievalRun:
    """Ask every table the same queries. `tables` are by the encoders' names; ids must be unique.

    `ask` embeds the queries of tables whose encoder embeds them otherwise than the collection (see `QueryEncoder`);
    a query that it cannot embed is left out everywhere.

    `hashes` tell duplicates; without them only the query itself is left out. `sources` is kept as it is, for the
    record. Raises `SearchError` where fewer than two pictures, or none of the queries, can be used.
    """
    settings, hashes = settings or RetrievalSettings(), hashes or {}
    if not tables:
        raise SearchError("no encoder and no table is named; a retrieval run needs one at least")
    everything = {record.image_id: record for record in (*collection, *distractors)}
    unusable = _unusable(list(everything.values()), tables)
    bad = {one.failure.record.image_id: one.failure for one in unusable}
    ids = sorted(everything.keys() - bad.keys())
    if len(ids) < 2:
        raise SearchError(
            f"{len(ids)} of {len(everything):,} pictures can be used, and a retrieval needs two{_first_reason(bad)}"
        )
    rows = {image_id: row for row, image_id in enumerate(ids)}
    pool = [record.image_id for record in collection]
    chosen, left_out = _choose(pool, rows, bad, settings)
    chosen, asked, lost = _asked_by(chosen, everything, tables, ask or {})
    left_out += lost
    if not chosen:
        why = f": {left_out[0].image_id} is {left_out[0].reason}" if left_out else "; all are distractors"
        raise SearchError(f"none of the queries can be used{why}")
    records = [everything[image_id] for image_id in ids]
    labels = [relation_of(record, settings.label) for record in records]
    queries = [rows[image_id] for image_id in chosen]
    exclusions = exclusions_of(queries, ids, hashes, distance=settings.distance)
    task = _Task(ids, labels, queries, [[one.row for one in some] for some in exclusions], settings)
    methods = [task.run(name, table, asked.get(name)) for name, table in tables.items()]
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

    ids: Sequence[str]
    labels: Sequence[str | None]
    queries: Sequence[int]
    excluded: Sequence[Sequence[int]]
    settings: RetrievalSettings

    def run(self, name: str, table: TableView, queries: TableView | None) -> Method:
        vectors = vectors_of(table, self.ids)
        asked = vectors_of(queries or table, [self.ids[row] for row in self.queries])
        own = [[row] for row in self.queries]
        return Method(
            name,
            table.fingerprint,
            table.origin,
            self._found(vectors, asked, self.excluded),
            self._found(vectors, asked, own),
            self._report(vectors, asked, self.excluded),
            self._report(vectors, asked, own),
        )

    def _found(self, vectors: Vectors, asked: Vectors, excluded: Sequence[Sequence[int]]) -> Matches:
        rows = [np.array(some, np.int64) for some in excluded]
        return nearest_allowed(asked, [vectors], self.settings.top_k, ids=self.ids, excluded=rows)

    def _report(self, vectors: Vectors, asked: Vectors, excluded: Sequence[Sequence[int]]) -> RetrievalReport | None:
        # What has no label has one of its own, which nothing else has.
        labels: list[Hashable] = [(row,) if label is None else label for row, label in enumerate(self.labels)]
        common = Counter(labels)
        relevant = [
            common[labels[query]] - sum(labels[row] == labels[query] for row in some)
            for query, some in zip(self.queries, excluded, strict=True)
        ]
        if not any(relevant):
            return None
        metrics = self.settings.metrics
        return chosen_to_images(vectors, labels, self.queries, excluded, asked=asked, ids=self.ids, settings=metrics)


def _asked_by(
    chosen: Sequence[str], records: Mapping[str, ImageRecord], tables: Mapping[str, TableView], ask: Mapping[str, Ask]
) -> tuple[list[str], dict[str, TableView], list[LeftOut]]:
    """The queries that all can embed, tables of those that are embedded otherwise, and the queries that are lost."""
    asked: dict[str, TableView] = {}
    lost: dict[str, LeftOut] = {}
    for name, table in tables.items():
        if not asks_otherwise(table):
            continue
        if name not in ask:
            raise SearchError(f"queries to {name} are embedded otherwise than its rows; nothing is given to embed them")
        asked[name] = ask[name]([records[image_id] for image_id in chosen])
        told = {failure.record.image_id: failure.reason for failure in asked[name].failures()}
        for image_id in chosen:
            if image_id not in asked[name]:
                lost.setdefault(
                    image_id, LeftOut(image_id, f"no query to {name}: {told.get(image_id, 'not embedded')}")
                )
    return [image_id for image_id in chosen if image_id not in lost], asked, list(lost.values())


def _unusable(records: Sequence[ImageRecord], tables: Mapping[str, TableView]) -> list[Unusable]:
    """Pictures that lack a vector somewhere, with the first reason that a table knows."""
    known = {name: {failure.record.image_id: failure for failure in table.failures()} for name, table in tables.items()}
    found = []
    for record in records:
        lacking = [name for name, table in tables.items() if record.image_id not in table]
        if lacking:
            told = next((known[name][record.image_id] for name in lacking if record.image_id in known[name]), None)
            reason = f"the table {tables[lacking[0]].path} holds no such image_id"
            failure = Failure(record, Status.MISSING, reason) if told is None else told
            found.append(Unusable(failure, tuple(lacking)))
    return found


def _choose(
    pool: Sequence[str], rows: Mapping[str, int], bad: Mapping[str, Failure], settings: RetrievalSettings
) -> tuple[list[str], list[LeftOut]]:
    """The ids that are asked, in order, and those that were named and cannot be.

    A sample takes ids in a seeded order of all that there are, so that a smaller one is the beginning of a larger one.
    """
    known = set(pool)
    named = pool if settings.query_ids is None else list(dict.fromkeys(settings.query_ids))
    usable, left_out = [], []
    for image_id in named:
        if image_id in known and image_id in rows:
            usable.append(image_id)
        elif settings.query_ids is not None:
            left_out.append(LeftOut(image_id, _why_not(image_id, known, rows, bad)))
    if settings.queries is None:
        return usable, left_out
    in_order = sorted(named)
    drawn = [in_order[place] for place in permutation(settings.seed, _SAMPLE, len(in_order)).tolist()]
    allowed = set(usable)
    return [image_id for image_id in drawn if image_id in allowed][: settings.queries], left_out


def _why_not(image_id: str, known: set[str], rows: Mapping[str, int], bad: Mapping[str, Failure]) -> str:
    if image_id in bad:
        return f"without a vector: {bad[image_id].status.value}, {bad[image_id].reason}"
    return (
        "a distractor, which is there to be found only" if image_id in rows and image_id not in known else "not there"
    )


def _first_reason(bad: Mapping[str, Failure]) -> str:
    if not bad:
        return ""
    reasons = Counter(failure.status.value for failure in bad.values())
    first = next(iter(bad.values()))
    counts = ", ".join(f"{count:,} {status}" for status, count in reasons.most_common())
    return f" ({counts}; the first is {first.record.image_id}: {first.reason})"


def _compared(methods: Sequence[Method], settings: RetrievalSettings) -> list[Comparison]:
    per_query = {
        method.name: method.distinct_report.per_query for method in methods if method.distinct_report is not None
    }
    return compare(per_query, seed=settings.seed, resamples=settings.resamples)
