"""Retrieval runs as the page shows them: several methods side by side for each query, with scores of a judge.

A run is `retrieval.json` or the published `retrieved_images.json`. Where `judged.json` of `relsim judge` lies beside
it, its scores are joined by method, query and rank; one that names another picture at that rank is of another run, and
is counted as such. Where a picture lies is told to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import fmean
from typing import Any, TypeAlias, final

from relsim.data.records import ImageRecord
from relsim.data.sources import list_images
from relsim.errors import ResultError
from relsim.evaluation.result_files import Ranking, rankings, read_result, require

JUDGED = "judged.json"
JUDGE = "judge"
"""Name of the measure that is the mean score of a query's judged matches."""
KINDS = ("retrieval", "retrieved")
Place: TypeAlias = tuple[str, str, int]
"""Method, query and rank."""


@dataclass(frozen=True, slots=True)
class Found:
    """A match of a method for a query; `judged` is a judge's score, None where it gave none."""

    id: str
    rank: int
    score: float
    label: str | None
    relevant: bool | None
    judged: float | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A query: by measure, a score for each method in the order of the run's methods, None where it has none."""

    id: str
    label: str | None
    scores: Mapping[str, tuple[float | None, ...]]
    matches: tuple[tuple[Found, ...], ...]


class PictureFolder:
    """Pictures of a folder, by the ids and paths of a run that was made elsewhere. Raises `SourceError`."""

    def __init__(self, folder: Path) -> None:
        listed = list_images([folder])
        self._paths = {record.image_id: record.source for record in listed}
        stems: dict[str, list[str]] = {}
        for name, source in self._paths.items():
            stems.setdefault(PurePosixPath(name).stem, []).append(source)
        self._stems = {stem: sources[0] for stem, sources in stems.items() if len(sources) == 1}

    def find(self, image_id: str, path: str) -> str | None:
        """Where the picture lies: by its id, by the longest end of its path, or by a stem that is there once."""
        parts = PurePosixPath(path.replace("\\", "/")).parts
        ends = ["/".join(parts[place:]) for place in range(len(parts))]
        found = next((self._paths[name] for name in (image_id, *ends) if name in self._paths), None)
        return found or self._stems.get(image_id) or self._stems.get(PurePosixPath(image_id).stem)


@final
class Run:
    """A retrieval run, and what a judge said of it. Nothing of it changes after it is made."""

    def __init__(self, path: Path) -> None:
        """Read a file, or the one in a folder. Raises `ResultError`."""
        result = read_result(path)
        if result.kind not in KINDS:
            raise ResultError(f"{result.path} holds results of the kind {result.kind}; a retrieval run is needed")
        found = rankings(result)
        self.name = str(PurePosixPath(result.path.resolve().parent.name) / result.path.name)
        self.methods: tuple[str, ...] = tuple(found)
        judged, self.unmatched, self.judge = _judged(result.path.parent / JUDGED, found)
        metrics = _metrics(result.content) if result.kind == "retrieval" else {}
        self._paths = _paths(found)
        by_query = {method: {one.query_id: one for one in some} for method, some in found.items()}
        ids = dict.fromkeys(one.query_id for some in found.values() for one in some)
        names = list(dict.fromkeys(name for scores in metrics.values() for name in scores))
        self.measures: tuple[str, ...] = (*([JUDGE] if judged else []), *names)
        self.queries: tuple[Asked, ...] = tuple(self._asked(query, by_query, judged, metrics) for query in ids)

    def means(self, measure: str) -> tuple[float | None, ...]:
        """The mean of a measure over the queries that have it, for each method."""
        columns = zip(*(query.scores[measure] for query in self.queries), strict=True)
        known = ([value for value in column if value is not None] for column in columns)
        return tuple(fmean(values) if values else None for values in known)

    def path(self, image_id: str) -> str | None:
        """The path by which the run knew a picture, None for an id that is not in it."""
        return self._paths.get(image_id)

    def _asked(
        self,
        query: str,
        by_query: Mapping[str, Mapping[str, Ranking]],
        judged: Mapping[Place, float],
        metrics: Mapping[tuple[str, str], Mapping[str, float]],
    ) -> Asked:
        lists = [by_query[method].get(query) for method in self.methods]
        matches = tuple(
            tuple(
                Found(one.image_id, one.rank, one.score, one.label, one.relevant, judged.get((method, query, one.rank)))
                for one in (ranking.matches if ranking else ())
            )
            for method, ranking in zip(self.methods, lists, strict=True)
        )
        scores: dict[str, tuple[float | None, ...]] = {
            name: tuple(metrics.get((method, query), {}).get(name) for method in self.methods) for name in self.measures
        }
        if JUDGE in scores:
            scores[JUDGE] = tuple(_mean([one.judged for one in some]) for some in matches)
        label = next((one.label for one in lists if one is not None), None)
        return Asked(query, label, scores, matches)


@final
class Results:
    """Runs by their number, and where their pictures are: in a folder, or else in the collection that is served."""

    def __init__(self, paths: Sequence[Path], image_folder: Path | None = None) -> None:
        """Read the runs. Raises `ResultError`, and `SourceError` for a bad folder."""
        self.runs = tuple(Run(path) for path in paths)
        self._folder = None if image_folder is None else PictureFolder(image_folder)

    def picture(self, run: Run, image_id: str, known: Callable[[str], ImageRecord | None]) -> ImageRecord | None:
        """The picture of an id of a run: that of the folder, else the `known` one. No other id is looked for."""
        path = run.path(image_id)
        if path is None:
            return None
        found = None if self._folder is None else self._folder.find(image_id, path)
        # Thumbnails are kept by id: a NUL can be in no id of a collection.
        return known(image_id) if found is None else ImageRecord(f"\0results\0{found}", found)


def _paths(found: Mapping[str, Sequence[Ranking]]) -> dict[str, str]:
    paths: dict[str, str] = {}
    for ranking in (one for some in found.values() for one in some):
        paths.setdefault(ranking.query_id, ranking.query_path)
        for match in ranking.matches:
            paths.setdefault(match.image_id, match.path)
    return paths


def _judged(path: Path, found: Mapping[str, Sequence[Ranking]]) -> tuple[dict[Place, float], int, str | None]:
    """Scores by place, how many belong to no match of the run, and the judge's name."""
    if not path.is_file():
        return {}, 0, None
    content = require(path, "judge").content
    there = {
        (method, ranking.query_id, match.rank): match.image_id
        for method, some in found.items()
        for ranking in some
        for match in ranking.matches
    }
    try:
        model = content.get("fingerprint", {}).get("model")
        return *_joined(content["detailed_results"], there), model if isinstance(model, str) else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path} is damaged: {type(error).__name__} {error}") from error


def _joined(
    rows_of: Mapping[str, Sequence[Mapping[str, Any]]], there: Mapping[Place, str]
) -> tuple[dict[Place, float], int]:
    scores: dict[Place, float] = {}
    unmatched = 0
    for method, rows in rows_of.items():
        for row in rows:
            place = (method, str(row["query_id"]), int(row["rank"]))
            if row["score"] is None:
                continue
            if place in there and row.get("retrieved_id", there[place]) == there[place]:
                scores[place] = float(row["score"])
            else:
                unmatched += 1
    return scores, unmatched


def _metrics(content: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, float]]:
    """Numbers of each method and query of a whole run, which `rankings` has found sound."""
    return {
        (method, row["query_image_id"]): row["metrics"]
        for method, rows in content["results"].items()
        for row in rows
        if isinstance(row.get("metrics"), dict)
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
