"""The files of a retrieval run.

`retrieved_images.json` is the published form, keys in this order, a list for each method in the order of the queries:

    {"<method>": [{"query_image_id", "query_image_path", "top_k_image_ids", "top_k_image_paths", "top_k_scores"}]}

`retrieval.json` (schema `relsim.retrieval/1`) holds everything: see docs/formats.md. Both follow from the vectors, the
pictures and the settings alone, so a second run writes the same bytes. Both hold matches without duplicates of the
query; the second holds those with them as well, where they differ.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from relsim.data.identity import printable
from relsim.data.manifest import read_manifest
from relsim.errors import SourceError
from relsim.evaluation.retrieval import Method, RetrievalRun
from relsim.evaluation.retrieval_metrics import RetrievalReport
from relsim.vectors.publish import publish
from relsim.vectors.topk import Matches

SCHEMA = "relsim.retrieval/1"
PUBLISHED, WHOLE = "retrieved_images.json", "retrieval.json"


def write_run(folder: Path, run: RetrievalRun) -> None:
    """Write both files into a folder that is there. Raises `TableError` where they cannot be written."""
    for name, content in ((PUBLISHED, published_form(run)), (WHOLE, whole_form(run))):
        publish(folder / name, partial(_write, content))


def published_form(run: RetrievalRun) -> dict[str, list[dict[str, Any]]]:
    """The published `retrieved_images.json`."""
    return {
        method.name: [_published(run, method, place) for place in range(len(run.queries))] for method in run.methods
    }


def whole_form(run: RetrievalRun) -> dict[str, Any]:
    """The document of the schema `relsim.retrieval/1`, with every query and match."""
    return {
        **summary_form(run),
        "queries": [_query(run, place) for place in range(len(run.queries))],
        "results": {
            method.name: [_result(run, method, place) for place in range(len(run.queries))] for method in run.methods
        },
    }


def summary_form(run: RetrievalRun) -> dict[str, Any]:
    """The same document without queries and matches."""
    settings, reasons = run.settings, Counter(one.reason for some in run.exclusions for one in some)
    return {
        "schema": SCHEMA,
        "sources": dict(run.sources),
        "database": len(run.records),
        "distractors": run.distractors,
        "asked": len(run.queries),
        "top_k": settings.top_k,
        "seed": settings.seed,
        "label": _label(run),
        "labelled": sum(label is not None for label in run.labels),
        "duplicates": {
            "distance": settings.distance,
            "queries": sum(len(some) > 1 for some in run.exclusions),
            "exact": reasons["exact"],
            "near": reasons["near"],
            "unhashed": run.unhashed,
        },
        "methods": {method.name: _method(method) for method in run.methods},
        "comparisons": [comparison.to_json() for comparison in run.comparisons],
        "left_out": [{"image_id": one.image_id, "reason": one.reason} for one in run.left_out],
        "failures": [
            {
                "image_id": one.failure.record.image_id,
                "source": printable(one.failure.record.source),
                "status": one.failure.status.value,
                "reason": one.failure.reason,
                "methods": list(one.encoders),
            }
            for one in run.unusable
        ],
    }


def _write(content: Any, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def read_query_ids(path: Path) -> list[str]:
    """The ids of a list of queries: a manifest (`.jsonl`), or a text file with one id a line. Raises `SourceError`."""
    if path.suffix.lower() == ".jsonl":
        found = [row.image_hash for row in read_manifest(path)]
    else:
        try:
            found = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
            raise SourceError(f"the list of queries {printable(str(path))} cannot be read: {reason.lower()}") from error
    if not found:
        raise SourceError(f"the list of queries {printable(str(path))} names no picture")
    return found


def _label(run: RetrievalRun) -> str | None:
    """The field that labels came from; None where no picture has one."""
    if all(label is None for label in run.labels):
        return None
    if run.settings.label is not None:
        return run.settings.label
    return "relation" if any(record.fields.get("relation") is not None for record in run.records) else "group"


def _method(method: Method) -> dict[str, Any]:
    lost = [
        {"image_id": one.record.image_id, "status": one.status.value, "reason": one.reason} for one in method.unmeasured
    ]
    return {
        "fingerprint": method.fingerprint.to_dict(),
        "origin": dict(method.origin),
        "without_duplicates": _report(method.distinct_report),
        "with_duplicates": _report(method.kept_report),
        **({"unmeasured": lost} if "rerank" in method.origin else {}),
    }


def _report(report: RetrievalReport | None) -> dict[str, Any] | None:
    return None if report is None else report.to_json()


def _query(run: RetrievalRun, place: int) -> dict[str, Any]:
    record = run.records[run.queries[place]]
    return {
        "image_id": record.image_id,
        "path": printable(record.source),
        "label": run.labels[run.queries[place]],
        "excluded": [
            {"image_id": run.records[one.row].image_id, "reason": one.reason, "bits": one.bits}
            for one in run.exclusions[place]
        ],
    }


def _result(run: RetrievalRun, method: Method, place: int) -> dict[str, Any]:
    query = run.queries[place]
    result: dict[str, Any] = {
        "query_image_id": run.records[query].image_id,
        "metrics": _metrics_of(method.distinct_report, place),
        "matches": _matches(run, method.distinct, place),
    }
    if len(run.exclusions[place]) > 1:
        result["matches_with_duplicates"] = _matches(run, method.kept, place)
    return result


def _metrics_of(report: RetrievalReport | None, place: int) -> dict[str, float] | None:
    """The numbers of one query; None for one without a relevant picture."""
    if report is None:
        return None
    at = int(np.searchsorted(report.asked, place))
    if at == len(report.asked) or report.asked[at] != place:
        return None
    return {name: float(values[at]) for name, values in report.per_query.items()}


def _matches(run: RetrievalRun, matches: Matches, place: int) -> list[dict[str, Any]]:
    found = []
    wanted = run.labels[run.queries[place]]
    for rank, (row, score) in enumerate(_rows(matches, place), 1):
        label = run.labels[row]
        match = {
            "rank": rank,
            "image_id": run.records[row].image_id,
            "path": printable(run.records[row].source),
            "score": score,
            "label": label,
            "relevant": None if wanted is None or label is None else label == wanted,
        }
        found.append(match)
    return found


def _published(run: RetrievalRun, method: Method, place: int) -> dict[str, Any]:
    query, found = run.records[run.queries[place]], _rows(method.distinct, place)
    return {
        "query_image_id": query.image_id,
        "query_image_path": printable(query.source),
        "top_k_image_ids": [run.records[row].image_id for row, _ in found],
        "top_k_image_paths": [printable(run.records[row].source) for row, _ in found],
        "top_k_scores": [score for _, score in found],
    }


def _rows(matches: Matches, place: int) -> Sequence[tuple[int, float]]:
    rows = zip(matches.indices[place].tolist(), matches.scores[place].tolist(), strict=True)
    return [(row, score) for row, score in rows if row >= 0]
