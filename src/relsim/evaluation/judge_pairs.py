"""Pairs to be judged, from either of two files, and where their images are.

`retrieved_images.json`, the published form of a retrieval run: an object with a list for each method, whose entries
have `query_image_id`, `query_image_path`, `top_k_image_ids` and `top_k_image_paths`. Each query makes a pair with each
of its first `top_k` matches.

A list of pairs (`.jsonl`), one object a line: `a` and `b` are two images, by id or path; `method` is what the pair is
counted under (by default `pairs`), `query` what it is averaged over and compared by (by default `a`), `rank` a number.

Images are looked for by id in the collection that is given, with or without a suffix. Without a collection they are
files, by paths that count from the file's own folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.data.dataset import ImageDataset
from relsim.data.identity import printable
from relsim.data.manifest import BadLine
from relsim.data.objects import read_objects, refuse_bad_lines
from relsim.data.records import ImageRecord
from relsim.errors import SourceError

METHOD = "pairs"


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two images that a method puts together: a query and its match of that rank, counted from 1."""

    method: str
    query_id: str
    query: ImageRecord
    match: ImageRecord
    rank: int = 1


def read_pairs(
    path: Path,
    *,
    images: Sequence[str | Path] = (),
    image_folder: str | Path | None = None,
    methods: Sequence[str] = (),
    top_k: int = 1,
    limit: int | None = None,
) -> list[JudgePair]:
    """The pairs of a file of either form, of `methods` or of all, in order.

    `images` and `image_folder` name a collection as `ImageDataset.open` takes it. `limit` keeps the first queries of
    each method. Raises `SourceError` for a file that is neither form, or without pairs.
    """
    found = _Images(images, image_folder, path.parent)
    pairs = _of_list(path, found) if path.suffix.lower() == ".jsonl" else _of_run(path, found, top_k)
    known = list(dict.fromkeys(pair.method for pair in pairs))
    unknown = [method for method in methods if method not in known]
    if unknown:
        raise SourceError(
            f"{printable(str(path))} has no method {printable(unknown[0])}; it has {printable(', '.join(known))}"
        )
    kept = [pair for pair in pairs if not methods or pair.method in methods]
    if limit is not None:
        kept = _first_queries(kept, limit)
    if not kept:
        raise SourceError(f"{printable(str(path))} has no pairs to judge")
    return kept


class _Images:
    """Records by id or path."""

    def __init__(self, sources: Sequence[str | Path], image_folder: str | Path | None, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, ImageRecord] | None = None
        if not sources and image_folder is not None:
            sources = [image_folder]
        if sources:
            records = ImageDataset.open(sources, image_folder=image_folder).records
            # A published id is the stem of the image's name; whole ids count first.
            stems: dict[str, ImageRecord | None] = {}
            for record in records:
                stem = os.path.splitext(record.image_id.rsplit("/", 1)[-1])[0]  # noqa: PTH122 - an id is no path
                stems[stem] = None if stem in stems else record
            self._records = {stem: record for stem, record in stems.items() if record is not None}
            self._records |= {record.image_id: record for record in records}

    def record(self, image_id: str, path: str | None) -> ImageRecord:
        """The image of an id, or at a path; one that the collection lacks becomes a record that leads nowhere."""
        if self._records is not None:
            return self._records.get(image_id) or ImageRecord(image_id, image_id)
        place = self._folder / (image_id if path is None else path)
        return ImageRecord(image_id, os.path.abspath(place))  # noqa: PTH100 - Path.absolute keeps ".."


def _of_run(path: Path, images: _Images, top_k: int) -> list[JudgePair]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SourceError(f"cannot read {printable(str(path))}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{printable(str(path))} is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(entries, list) for entries in content.values()):
        raise _no_run(path, "it is no object with a list for each method")
    pairs = []
    for method, entries in content.items():
        for number, entry in enumerate(entries, start=1):
            where = f"entry {number:,} of {printable(method)}"
            query_id, query, ids, paths = _entry(entry, path, where)
            record = images.record(query_id, query)
            for rank, (image_id, place) in enumerate(zip(ids[:top_k], paths[:top_k], strict=True), start=1):
                pairs.append(JudgePair(method, query_id, record, images.record(image_id, place), rank))
    return pairs


def _entry(entry: Any, path: Path, where: str) -> tuple[str, str | None, list[str], list[str | None]]:
    """Id and path of the query, and those of its matches, of which paths may be left out."""
    if not isinstance(entry, dict) or not isinstance(entry.get("query_image_id"), str):
        raise _no_run(path, f"{where} has no query_image_id")
    query, ids, paths = (entry.get(name) for name in ("query_image_path", "top_k_image_ids", "top_k_image_paths"))
    if query is not None and not isinstance(query, str):
        raise _no_run(path, f"{where}: query_image_path must be a text")
    matches = _texts(ids)
    if matches is None:
        raise _no_run(path, f"{where}: top_k_image_ids must be a list of texts")
    if paths is None:
        return entry["query_image_id"], query, matches, [None] * len(matches)
    places = _texts(paths)
    if places is None or len(places) != len(matches):
        raise _no_run(path, f"{where}: top_k_image_paths must be a list of as many texts as top_k_image_ids")
    return entry["query_image_id"], query, matches, [*places]


def _of_list(path: Path, images: _Images) -> list[JudgePair]:
    pairs: list[JudgePair] = []
    bad: list[BadLine] = []
    for line, row in read_objects(path, bad.append):
        fault = _fault(row)
        if fault is not None:
            bad.append(BadLine(line, fault))
            continue
        first, second = row["a"], row["b"]
        method, query, rank = row.get("method") or METHOD, row.get("query") or first, row.get("rank") or 1
        pairs.append(JudgePair(method, query, images.record(first, None), images.record(second, None), rank))
    refuse_bad_lines(path, bad, "a pair needs a and b, two images by id or path")
    return pairs


def _fault(row: dict[str, Any]) -> str | None:
    for name in ("a", "b"):
        if not isinstance(row.get(name), str) or not row[name]:
            return f"{name} must be there and be an image"
    for name in ("method", "query"):
        if not isinstance(row.get(name), (str, type(None))):
            return f"{name} must be a text"
    rank = row.get("rank")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        return "rank must be a whole number from 1 up"
    return None


def _first_queries(pairs: Iterable[JudgePair], limit: int) -> list[JudgePair]:
    """The pairs of the first `limit` queries of each method."""
    kept: dict[str, dict[str, None]] = {}
    found = []
    for pair in pairs:
        queries = kept.setdefault(pair.method, {})
        if pair.query_id in queries or len(queries) < limit:
            queries[pair.query_id] = None
            found.append(pair)
    return found


def _texts(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _no_run(path: Path, what: str) -> SourceError:
    return SourceError(
        f"{printable(str(path))} is not of the form of retrieved_images.json: {what}; a list of pairs is named *.jsonl"
    )
