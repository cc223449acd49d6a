"""A judge against people: scores of the same pairs, from a judged document and from a file of ratings.

The file of ratings is CSV with a header, a JSON list of objects, or one object a line: `query_id`, `retrieved_id` and
`score` from 0 to 10; anything else is ignored. Several ratings of a pair count with their mean. Ids are compared
without the suffix of an image. Documents of the published form, which name no retrieved id, go by the file's name.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np

from relsim.data.identity import printable
from relsim.data.manifest import BadLine
from relsim.data.objects import read_objects, refuse_bad_lines
from relsim.data.sources import IMAGE_SUFFIXES
from relsim.errors import SourceError
from relsim.evaluation.agreement import (
    bootstrap_groups,
    mean_absolute_difference,
    mean_difference,
    spearman,
    weighted_kappa,
)
from relsim.evaluation.judge_replies import HIGHEST, LOWEST
from relsim.evaluation.statistics import Numbers

SCHEMA = "relsim.judge_agreement/1"

Key: TypeAlias = tuple[str, str]
"""Query and match, each without the suffix of an image."""

_NEEDED = "a rating needs query_id, retrieved_id, and a score from 0 to 10"
_FIELDS = ("query_id", "retrieved_id", "score")
_MEASURES = {
    "weighted_kappa": weighted_kappa,
    "spearman": spearman,
    "mean_absolute_difference": mean_absolute_difference,
    "mean_difference": mean_difference,
}


def agreement(judged: Path, ratings: Path, *, seed: int = 0) -> dict[str, Any]:
    """The document of the schema `relsim.judge_agreement/1`; differences are judge less people.

    A measure is null where it has no meaning, such as a correlation of scores that never vary. Raises `SourceError` for
    a file that cannot be read, and where no pair has a score in both.
    """
    by_judge, without = read_judged(judged)
    by_people, count = read_ratings(ratings)
    shared = [key for key in by_people if key in by_judge]
    if not shared:
        raise SourceError(
            f"no pair of {printable(str(ratings))} has a score in {printable(str(judged))}; "
            "both must use the same query_id and retrieved_id"
        )
    first, second = (np.array([scores[key] for key in shared]) for scores in (by_judge, by_people))
    queries = [query for query, _ in shared]

    def estimate(measure: Callable[[Numbers, Numbers], float]) -> dict[str, float | int] | None:
        found = bootstrap_groups(lambda rows: measure(first[rows], second[rows]), queries, seed=seed)
        return None if found is None else found.to_json()

    return {
        "schema": SCHEMA,
        "judged": str(judged),
        "human": str(ratings),
        "pairs": len(shared),
        "queries": len(set(queries)),
        "ratings": count,
        "human_only": sum(key not in by_judge and key not in without for key in by_people),
        "without_score": sum(key in without for key in by_people),
        **{name: estimate(measure) for name, measure in _MEASURES.items()},
    }


def read_judged(path: Path) -> tuple[dict[Key, float], set[Key]]:
    """Scores of a judged document, ours or published, and the pairs without one; equal pairs count with their mean."""
    scores: defaultdict[Key, list[float]] = defaultdict(list)
    without: set[Key] = set()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        for row in (row for rows in content["detailed_results"].values() for row in rows):
            match = row["retrieved_id"] if "retrieved_id" in row else _file_name(row["retrieved_image"])
            key = (_plain(row["query_id"]), _plain(match))
            if row["score"] is None:
                without.add(key)
            else:
                scores[key].append(float(row["score"]))
    except OSError as error:
        raise SourceError(f"cannot read {printable(str(path))}: {(error.strerror or str(error)).lower()}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise SourceError(
            f"{printable(str(path))} is no judged document ({error!r}); `relsim judge` writes such"
        ) from error
    return {key: fmean(values) for key, values in scores.items()}, without - scores.keys()


def read_ratings(path: Path) -> tuple[dict[Key, float], int]:
    """The mean rating of each pair, and the number of ratings. Raises `SourceError` naming the bad lines."""
    scores: defaultdict[Key, list[float]] = defaultdict(list)
    bad: list[BadLine] = []
    count = 0
    for line, row in _rows(path, bad):
        score = _score(row.get("score"))
        ids = [row.get(name) for name in _FIELDS[:2]]
        if score is None:
            bad.append(BadLine(line, f"the score {row.get('score')!r} is no number from 0 to 10"))
        elif not all(isinstance(name, str) and name for name in ids):
            bad.append(BadLine(line, "query_id and retrieved_id must be there and be texts"))
        else:
            scores[_plain(str(ids[0])), _plain(str(ids[1]))].append(score)
            count += 1
    refuse_bad_lines(path, bad, _NEEDED)
    if not count:
        raise SourceError(f"{printable(str(path))} has no ratings; {_NEEDED}")
    return {key: fmean(values) for key, values in scores.items()}, count


def _rows(path: Path, bad: list[BadLine]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix.lower() != ".csv":
        yield from read_objects(path, bad.append)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise SourceError(f"cannot read {printable(str(path))}: {reason.lower()}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _FIELDS if name not in (reader.fieldnames or ())]
    if missing:
        raise SourceError(f"{printable(str(path))} has no column {missing[0]}; {_NEEDED}")
    try:
        yield from ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise SourceError(f"{printable(str(path))} is no CSV from line {reader.line_num:,} on: {error}") from error


def _score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return score if math.isfinite(score) and LOWEST <= score <= HIGHEST else None


def _file_name(path: str) -> str:
    """What the published form has in place of an id: a path, of which the name counts."""
    return os.path.basename(path)  # noqa: PTH119 - a text, no path of ours


def _plain(image_id: str) -> str:
    stem, suffix = os.path.splitext(image_id)  # noqa: PTH122 - an id is no path
    return stem if suffix.lower() in IMAGE_SUFFIXES else image_id
