"""What a query must not find: itself, the same file again, and pictures that look the same to a perceptual hash.

Of each picture two hashes are taken: the SHA-256 of its bytes and the perceptual hash of `relsim.data.facts`. A
duplicate of a query is a picture with its bytes (`exact`), or one whose perceptual hash differs from the query's in at
most `distance` bits (`near`). Only the query itself is compared, so a duplicate of a duplicate is none. The hashes of
pictures of one colour say nothing, and such pictures are duplicates by their bytes alone.

Hashes of files are kept in a manifest (see `relsim.data.manifest`), one row a picture, for the next run:

    {"image_hash": "<image_id>", "source": "…", "file": "<bytes>-<mtime in ns>", "sha256": "…", "phash": "…"}

A file that has another size or time is hashed again. Shards have the hashes of their rows already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relsim.data.curation.duplicates import FLAT
from relsim.data.curation.inventory import read_ahead
from relsim.data.curation.near_duplicates import MAX_DISTANCE, hashes_of, popcount
from relsim.data.facts import image_facts
from relsim.data.identity import printable
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.records import ImageRecord
from relsim.data.shard_address import split_address
from relsim.encoders.base import Vectors
from relsim.errors import ImageError, SearchError
from relsim.vectors.blocks import Indices
from relsim.vectors.topk import Matches, top_k

Reason = Literal["self", "exact", "near"]
Hashed = Callable[[object], None]

_SAVED_AT = 5_000  # pictures after which what is known is written down


@dataclass(frozen=True, slots=True)
class Hashes:
    """SHA-256 of a picture's bytes (64 hex digits) and its perceptual hash (16)."""

    sha256: str
    phash: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A row that a query must not find, why, and in how many bits its perceptual hash differs (None if unknown)."""

    row: int
    reason: Reason
    bits: int | None = None


def picture_hashes(
    records: Sequence[ImageRecord],
    kept: Path | None = None,
    *,
    workers: int | None = None,
    on_hashed: Hashed | None = None,
) -> dict[str, Hashes]:
    """Hashes by image id. A picture that cannot be read has none.

    `kept` is the file in which hashes of files are kept. Raises `SourceError` where that cannot be read or written.
    """
    found = _of_shards(records)
    files = [record for record in records if split_address(record.source) is None]
    rows = {} if kept is None or not kept.exists() else {row.image_hash: row for row in read_manifest(kept)}
    todo: list[tuple[ImageRecord, str]] = []
    for record in files:
        stamp, row = _stamp(record.source), rows.get(record.image_id)
        if row is not None and row.extra.get("file") == stamp and row.extra.get("source") == printable(record.source):
            found[record.image_id] = Hashes(row.extra["sha256"], row.extra["phash"])
        else:
            todo.append((record, stamp))
    new = 0
    for (record, stamp), hashes in read_ahead(todo, _hashed, workers=workers):
        if on_hashed is not None:
            on_hashed(hashes)
        if hashes is None:
            continue
        found[record.image_id] = hashes
        known = {"source": printable(record.source), "file": stamp, "sha256": hashes.sha256, "phash": hashes.phash}
        rows[record.image_id] = ManifestRow(record.image_id, extra=known)
        new += 1
        if kept is not None and new % _SAVED_AT == 0:
            write_manifest(kept, rows.values())
    if kept is not None and new % _SAVED_AT:
        write_manifest(kept, rows.values())
    return found


def exclusions_of(
    queries: Sequence[int], ids: Sequence[str], hashes: Mapping[str, Hashes], *, distance: int
) -> list[list[Exclusion]]:
    """What each query, a row of `ids`, must not find: itself first, then its duplicates in the order of their rows.

    Raises `SearchError` for a distance that is not 0 to 15 bits.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise SearchError(f"the distance is {distance} bits; name one from 0 (equal hashes) to {MAX_DISTANCE}")
    same_bytes: defaultdict[str, list[int]] = defaultdict(list)
    for row, image_id in enumerate(ids):
        if image_id in hashes:
            same_bytes[hashes[image_id].sha256].append(row)
    seen = np.array(
        [row for row, name in enumerate(ids) if name in hashes and hashes[name].phash not in FLAT], np.int64
    )
    values = hashes_of(hashes[ids[row]].phash for row in seen.tolist())
    found = []
    for query in queries:
        own = hashes.get(ids[query])
        close: dict[int, Exclusion] = {}
        if own is not None and own.phash not in FLAT:
            bits = popcount(values ^ hashes_of([own.phash])[0])
            near = np.flatnonzero(bits <= distance)
            rows = zip(seen[near].tolist(), bits[near].tolist(), strict=True)
            close = {row: Exclusion(row, "near", count) for row, count in rows}
        for row in same_bytes[own.sha256] if own is not None else ():
            close[row] = Exclusion(row, "exact", 0)
        close.pop(query, None)
        found.append([Exclusion(query, "self", 0), *(close[row] for row in sorted(close))])
    return found


def nearest_allowed(
    queries: Vectors, blocks: Sequence[Vectors], k: int, *, ids: Sequence[str], excluded: Sequence[Indices]
) -> Matches:
    """As `relsim.vectors.topk.top_k`, with any number of rows that each of (Q, D) queries must not find.

    A query with fewer than k rows left is filled up with index -1 and score -inf.
    """
    width = min(k, len(ids))
    indices = np.full((len(queries), width), -1, np.int64)
    scores = np.full((len(queries), width), -np.inf)
    counts = np.array([len(rows) for rows in excluded], np.int64)
    # Queries with many duplicates are searched apart, so that the others need not be searched as deeply.
    depths = np.array([int(count).bit_length() for count in counts])
    for depth in np.unique(depths):
        chosen = np.flatnonzero(depths == depth)
        found = top_k(queries[chosen], blocks, k + int(counts[chosen].max()), ids=ids)
        for place, query in enumerate(chosen.tolist()):
            row, score = found.indices[place], found.scores[place]
            allowed = np.flatnonzero((row >= 0) & ~np.isin(row, excluded[query]))[:width]
            indices[query, : len(allowed)] = row[allowed]
            scores[query, : len(allowed)] = score[allowed]
    return Matches(indices, scores)


def _hashed(task: tuple[ImageRecord, str]) -> Hashes | None:
    try:
        facts = image_facts(read_bytes(task[0].source))
    except ImageError:
        return None
    return Hashes(facts.sha256, facts.phash)


def _stamp(source: str) -> str:
    try:
        info = Path(source).stat()
    except (OSError, ValueError):
        return ""
    return f"{info.st_size}-{info.st_mtime_ns}"


def _of_shards(records: Iterable[ImageRecord]) -> dict[str, Hashes]:
    """The hashes that shards hold of their rows."""
    parts: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for record in records:
        place = split_address(record.source)
        if place is not None:
            parts[place[0]].append((place[1], record.image_id))
    found: dict[str, Hashes] = {}
    for part, places in parts.items():
        rows = _rows_of(part)
        for number, image_id in places:
            row = rows[number] if number < len(rows) else None
            if row is not None and row.sha256 is not None and row.phash is not None:
                found[image_id] = Hashes(row.sha256, row.phash)
    return found


def _rows_of(part: str) -> list[Any]:
    from relsim.data.shards import part_rows

    return list(part_rows(part)) if Path(part).exists() else []
