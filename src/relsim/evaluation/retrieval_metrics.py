"""Retrieval by label: how many of the nearest pictures share the query's relation, with intervals over queries.

A picture is relevant to a query where their labels are equal. Queries are pictures of the collection itself, which then
do not find themselves, nor what else they are told not to, or sentences (any vectors of the same space). Search is
exact, ties by id. For a query with R relevant pictures, of which h(k) are among the first k:

    precision@k   h(k) / k
    recall@k      h(k) / R
    hit@k         1 where h(k) > 0, else 0
    map           mean, over its relevant pictures, of the precision at the rank of each (average precision)
    ndcg@k        sum of 1 / log2(rank + 1) over relevant pictures up to rank k, over the largest such sum there can be
                  (Järvelin and Kekäläinen, ACM TOIS 20, 2002, with gains of 1)

Queries without any relevant picture say nothing about an encoder; they are left out and counted.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors
from relsim.errors import SearchError
from relsim.evaluation.exclusions import nearest_allowed
from relsim.evaluation.statistics import RESAMPLES, Estimate, bootstrap_mean, wilson

Counts = NDArray[np.int64]
Scores = NDArray[np.float64]
Hits = NDArray[np.bool_]
"""Which ranks hold a relevant picture, (Q, K), best first."""

_SCORED_AT_ONCE = 2**21
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Metrics by name (`precision@10`, `map`, …) as means over queries with their intervals.

    `precision@1` and `hit@k` are shares of queries and have Wilson's interval, which has a length at 0 and 1 too; the
    others are means and have that of a bootstrap.

    `per_query` holds the numbers (Q,) behind each mean, for paired comparisons; `left_out` counts the queries without a
    relevant picture, which are not among them, and `asked` (Q,) are the places of those that are.
    """

    metrics: Mapping[str, Estimate]
    per_query: Mapping[str, NDArray[np.float64]]
    left_out: int
    asked: Counts

    def to_json(self) -> dict[str, Any]:
        """Metrics and counts as plain values."""
        return {
            "metrics": {name: estimate.to_json() for name, estimate in self.metrics.items()},
            "left_out": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """Depths k, whether `map` is worked out (it ranks every picture for every query), and the bootstrap's settings."""

    ks: Sequence[int] = (1, 5, 10)
    with_map: bool = True
    seed: int = 0
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise SearchError(f"depths {tuple(self.ks)} must be whole numbers from 1 up")


DEFAULT = Settings()


def images_to_images(
    vectors: Vectors, labels: Sequence[Hashable], *, ids: Sequence[str] | None = None, settings: Settings = DEFAULT
) -> RetrievalReport:
    """Every picture of (N, D) unit vectors as a query among the others. `ids` break ties, by default row numbers."""
    rows = range(len(labels))
    return chosen_to_images(vectors, labels, rows, [[row] for row in rows], ids=ids, settings=settings)


def chosen_to_images(
    vectors: Vectors,
    labels: Sequence[Hashable],
    queries: Sequence[int],
    excluded: Sequence[Sequence[int]],
    *,
    asked: Vectors | None = None,
    ids: Sequence[str] | None = None,
    settings: Settings = DEFAULT,
) -> RetrievalReport:
    """Some pictures, by their rows, as queries among (N, D) unit vectors; each with the rows that it must not find.

    They are asked by their own vectors, or by those of `asked` (Q, D). A row that is excluded is not relevant either.
    A query that may find itself does not name itself.
    """
    gallery, rows = _Gallery(vectors, labels, ids), np.asarray(queries, np.int64)
    wanted = [labels[row] for row in rows.tolist()]
    barred = [np.unique(np.asarray(one, np.int64)) for one in excluded]
    if len(barred) != len(rows):
        raise SearchError(f"there are {len(rows)} queries and {len(barred)} lists of excluded rows; give one for each")
    return _evaluate(gallery, gallery.vectors[rows] if asked is None else asked, wanted, barred, settings)


def sentences_to_images(
    sentences: Vectors,
    sentence_labels: Sequence[Hashable],
    vectors: Vectors,
    labels: Sequence[Hashable],
    *,
    ids: Sequence[str] | None = None,
    settings: Settings = DEFAULT,
) -> RetrievalReport:
    """Sentences (Q, D) as queries among pictures (N, D), all unit vectors; a label may also be a picture's own id."""
    barred = [np.empty(0, np.int64)] * len(sentence_labels)
    queries = _checked(sentences, sentence_labels)
    return _evaluate(_Gallery(vectors, labels, ids), queries, sentence_labels, barred, settings)


def hits_to_report(hits: Hits, relevant: Counts, settings: Settings = DEFAULT) -> RetrievalReport:
    """Metrics of rankings that end: `hits` (Q, K) in their order, `relevant` (Q,) pictures that could be found.

    What is beyond the end counts as not found, in `map` too. Raises `SearchError` where no query has a relevant one.
    """
    asked = np.flatnonzero(relevant > 0)
    if not len(asked):
        raise SearchError("no query has a relevant picture; are its labels those of the pictures?")
    chosen, wanted = hits[asked], relevant[asked]
    found = [metrics_at(_widened(chosen, k), wanted, k) for k in settings.ks]
    if settings.with_map:
        found.append({"map": average_precision(chosen, wanted)})
    per_query = {name: values for metrics in found for name, values in metrics.items()}
    return _report(per_query, len(hits) - len(asked), asked, settings)


def _widened(hits: Hits, k: int) -> Hits:
    """The first k places; where a ranking ends before, nothing is found."""
    found: Hits = np.zeros((len(hits), k), bool)
    found[:, : hits.shape[1]] = hits[:, :k]
    return found


def metrics_at(hits: Hits, relevant: Counts, k: int) -> dict[str, Scores]:
    """Precision, recall, hit and nDCG at k of each query: `hits` (Q, K) with K from k up, or all pictures there are."""
    hits = hits[:, :k]
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = gains.cumsum()[np.minimum(relevant, hits.shape[1]) - 1]
    found = hits.sum(axis=1)
    return {
        f"precision@{k}": found / k,
        f"recall@{k}": found / relevant,
        f"hit@{k}": (found > 0).astype(np.float64),
        f"ndcg@{k}": (hits * gains).sum(axis=1) / ideal,
    }


def average_precision(hits: Hits, relevant: Counts) -> Scores:
    """Average precision of each query from its whole ranking, `hits` (Q, N)."""
    found = hits.cumsum(axis=1)
    precision: Scores = (hits * found / np.arange(1, hits.shape[1] + 1)).sum(axis=1) / relevant
    return precision


class _Gallery:
    """The pictures that are searched: vectors, ids, and labels as numbers."""

    def __init__(self, vectors: Vectors, labels: Sequence[Hashable], ids: Sequence[str] | None) -> None:
        self.vectors = _checked(vectors, labels)
        self.ids = [f"{row:09d}" for row in range(len(labels))] if ids is None else ids
        if len(self.ids) != len(labels):
            raise SearchError(f"there are {len(self.ids)} ids and {len(labels)} pictures; give one for each")
        self._numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        self._labels = self.numbers(labels)
        self._frequency = np.bincount(self._labels)

    def numbers(self, labels: Sequence[Hashable]) -> Counts:
        """Labels as numbers, -1 for those that no picture has."""
        return np.array([self._numbers.get(label, -1) for label in labels], np.int64)

    def relevant(self, wanted: Counts, excluded: Sequence[Counts]) -> Counts:
        """How many pictures have each of these labels, those apart that the query must not find."""
        barred = [int((self._labels[rows] == label).sum()) for label, rows in zip(wanted, excluded, strict=True)]
        counts: Counts = np.where(wanted < 0, 0, self._frequency[wanted] - np.array(barred, np.int64))
        return counts

    def nearest(self, queries: Vectors, wanted: Counts, excluded: Sequence[Counts], k: int) -> Hits:
        """Hits among the k nearest of each query."""
        found = nearest_allowed(queries, [self.vectors], k, ids=self.ids, excluded=excluded).indices
        hits: Hits = (self._labels[found] == wanted[:, None]) & (found >= 0)
        return hits

    def ranking(self, queries: Vectors, wanted: Counts, excluded: Sequence[Counts]) -> Hits:
        """Hits among all pictures, nearest first; those that a query must not find come last and are no hits.

        By products in float64, rounded so that equal vectors tie; ties in the order of the ids.
        """
        scores = np.round(queries.astype(np.float64) @ self._sorted_vectors.T, _DIGITS)
        hits = self._labels[self._order][None, :] == wanted[:, None]
        for query, rows in enumerate(excluded):
            places = self._places[rows]
            scores[query, places] = -np.inf
            hits[query, places] = False
        ranked: Hits = np.take_along_axis(hits, np.argsort(-scores, axis=1, kind="stable"), axis=1)
        return ranked

    @cached_property
    def _order(self) -> Counts:
        """The rows in the order of their ids."""
        return np.array(sorted(range(len(self.ids)), key=self.ids.__getitem__), np.int64)

    @cached_property
    def _places(self) -> Counts:
        """The place of each row in that order."""
        places = np.empty(len(self.ids), np.int64)
        places[self._order] = np.arange(len(self.ids))
        return places

    @cached_property
    def _sorted_vectors(self) -> NDArray[np.float64]:
        return self.vectors[self._order].astype(np.float64)


def _evaluate(
    gallery: _Gallery,
    queries: Vectors,
    labels: Sequence[Hashable],
    excluded: Sequence[Counts],
    settings: Settings,
) -> RetrievalReport:
    wanted = gallery.numbers(labels)
    relevant = gallery.relevant(wanted, excluded)
    asked = np.flatnonzero(relevant > 0)
    if not len(asked):
        raise SearchError("no query has a relevant picture; are its labels those of the pictures?")
    deepest, step = max(settings.ks), max(1, _SCORED_AT_ONCE // len(gallery.ids))
    parts: list[dict[str, Scores]] = []
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        task = (queries[rows], wanted[rows], [excluded[row] for row in rows])
        hits = gallery.nearest(*task, deepest)
        found = [metrics_at(hits, relevant[rows], k) for k in settings.ks]
        if settings.with_map:
            found.append({"map": average_precision(gallery.ranking(*task), relevant[rows])})
        parts.append({name: values for metrics in found for name, values in metrics.items()})
    per_query = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _report(per_query, len(labels) - len(asked), asked, settings)


def _report(per_query: Mapping[str, Scores], left_out: int, asked: Counts, settings: Settings) -> RetrievalReport:
    metrics = {name: _estimate(name, values, settings) for name, values in per_query.items()}
    return RetrievalReport(metrics, per_query, left_out, asked)


def _estimate(name: str, values: Scores, settings: Settings) -> Estimate:
    """A metric over queries: of those that are 0 or 1 by their definition the share, of others the mean."""
    if name == "precision@1" or name.startswith("hit@"):
        return wilson(float(values.sum()), len(values))
    return bootstrap_mean(values, seed=settings.seed, resamples=settings.resamples)


def _checked(vectors: Vectors, labels: Sequence[Hashable]) -> Vectors:
    array = np.ascontiguousarray(vectors, np.float32)
    if array.ndim != 2 or len(array) != len(labels) or not len(labels):
        raise SearchError(f"there are vectors of shape {array.shape} and {len(labels)} labels; give one for each")
    return array
