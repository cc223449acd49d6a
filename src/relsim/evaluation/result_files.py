"""Result files: what kind one is, by its `schema` or by the published form, and the rankings that retrieval files hold.

| kind | recognised by |
| --- | --- |
| triplets, retrieval, judge, judge_calibration, judge_agreement, pairs, mteb, study, study_results | `schema` |
| download, train, space, explain | `schema` |
| retrieved | the published `retrieved_images.json`: lists of `query_image_id` by method |
| judge | also the published output: `summary` and `detailed_results` |
| xy | the published similarity space: `clip_score` and `our_score` by id |
| training | JSON Lines of a run, with `step` |
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.errors import ResultError
from relsim.files import flush, temporary_beside

LOG = "train.jsonl"
_IN_FOLDERS = (LOG, "retrieval.json", "summary.json", "retrieved_images.json")
_SCHEMAS = (
    *("triplets", "retrieval", "judge", "judge_calibration", "judge_agreement", "pairs", "mteb"),
    *("study", "study_results", "download", "train", "space", "explain"),
)


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of results: its kind (see the module), and its content, of JSON Lines a list."""

    path: Path
    kind: str
    content: Any


@dataclass(frozen=True, slots=True)
class Ranked:
    """A picture that a method found, with its rank from 1; `relevant` is None where nothing is known of that."""

    image_id: str
    path: str
    score: float
    rank: int
    label: str | None = None
    relevant: bool | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A query and what one method found for it, best first."""

    query_id: str
    query_path: str
    matches: tuple[Ranked, ...]
    label: str | None = None


def read_result(path: Path) -> ResultFile:
    """Read a file; a folder stands for the result file in it. Raises `ResultError`, also for an unknown kind."""
    file = _in_folder(path) if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise ResultError(f"the results in {file} cannot be read: {reason}") from error
    try:
        content = json.loads(text)
    except ValueError as error:
        lines = _lines(text)
        if lines is None:
            raise ResultError(f"{file} is no file of results: it is neither JSON nor a log of training") from error
        content = lines
    kind = kind_of(content)
    if kind is None:
        schema = content.get("schema") if isinstance(content, dict) else None
        what = f"its schema is {schema}" if isinstance(schema, str) else "it has no schema"
        raise ResultError(f"{file} is no file of results that is known here: {what}. Known are {', '.join(_SCHEMAS)}")
    return ResultFile(file, kind, content)


def kind_of(content: Any) -> str | None:
    """The kind of a document, None for one that is not known."""
    if isinstance(content, list):
        return "training" if content and all(isinstance(row, dict) and "step" in row for row in content) else None
    if not isinstance(content, dict) or not content:
        return None
    schema = content.get("schema")
    if isinstance(schema, str):
        return next((kind for kind in _SCHEMAS if schema.startswith(f"relsim.{kind}/")), None)
    return _published_kind(content)


def _published_kind(content: dict[str, Any]) -> str | None:
    """The kind of a document without a schema: a published form, or a log of one line."""
    first = next(iter(content.values()))
    if isinstance(content.get("summary"), dict) and "detailed_results" in content:
        return "judge"
    if "step" in content:
        return "training"
    if isinstance(first, dict) and {"clip_score", "our_score"} <= first.keys():
        return "xy"
    rows = [row for part in content.values() for row in (part if isinstance(part, list) else [None])]
    return "retrieved" if all(isinstance(row, dict) and "query_image_id" in row for row in rows) else None


def require(path: Path, *kinds: str) -> ResultFile:
    """Read a file that must be of one of these kinds. Raises `ResultError`."""
    result = read_result(path)
    if result.kind not in kinds:
        raise ResultError(f"{result.path} holds results of the kind {result.kind}; this needs {' or '.join(kinds)}")
    return result


def rankings(result: ResultFile) -> dict[str, list[Ranking]]:
    """What each method found, by the methods' names: of retrieval.json (without duplicates) or the published form.

    Raises `ResultError`.
    """
    try:
        found = _whole(result.content) if result.kind == "retrieval" else _published(result.content)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{result.path} is damaged: {type(error).__name__} {error}") from error
    if not any(found.values()):
        raise ResultError(f"{result.path} holds no query")
    return found


def only(found: dict[str, list[Ranking]], methods: Sequence[str]) -> dict[str, list[Ranking]]:
    """The methods of these names, in this order; all without names. Raises `ResultError` for one that is not there."""
    missing = next((name for name in methods if name not in found), None)
    if missing is not None:
        raise ResultError(f"there is no method {missing}; there are {', '.join(found)}")
    return {name: found[name] for name in methods} if methods else found


def _whole(content: dict[str, Any]) -> dict[str, list[Ranking]]:
    queries = {query["image_id"]: query for query in content["queries"]}
    return {
        method: [
            Ranking(
                row["query_image_id"],
                queries[row["query_image_id"]]["path"],
                tuple(
                    Ranked(
                        match["image_id"],
                        match["path"],
                        float(match["score"]),
                        match["rank"],
                        match["label"],
                        match["relevant"],
                    )
                    for match in row["matches"]
                ),
                queries[row["query_image_id"]]["label"],
            )
            for row in rows
        ]
        for method, rows in content["results"].items()
    }


def _published(content: dict[str, Any]) -> dict[str, list[Ranking]]:
    return {method: [_published_row(row) for row in rows] for method, rows in content.items()}


def _published_row(row: dict[str, Any]) -> Ranking:
    columns = zip(row["top_k_image_ids"], row["top_k_image_paths"], row["top_k_scores"], strict=True)
    matches = tuple(Ranked(str(name), path, float(score), rank) for rank, (name, path, score) in enumerate(columns, 1))
    return Ranking(str(row["query_image_id"]), row["query_image_path"], matches)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises `ResultError` where the system refuses."""
    try:
        with temporary_beside(path) as temporary:
            temporary.write_bytes(data)
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    except OSError as error:
        raise ResultError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def write_json(path: Path, content: Any) -> None:
    """Write a document, whole or not at all. Raises `ResultError` where the system refuses."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def _in_folder(folder: Path) -> Path:
    found = next((folder / name for name in _IN_FOLDERS if (folder / name).is_file()), None)
    if found is None:
        raise ResultError(f"{folder} holds none of {', '.join(_IN_FOLDERS)}; name the file of results")
    return found


def _lines(text: str) -> Sequence[Any] | None:
    """JSON Lines. A torn last line, which a killed run leaves, is passed over; None where others are no JSON."""
    rows: list[Any] = []
    lines = [line for line in text.split("\n") if line.strip()]
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError:
            return rows if rows and number == len(lines) - 1 else None
    return rows
