"""Writing shard folders: part by part, each published whole.

A part is written under a temporary name, flushed and renamed; `shards.json` comes last. So a killed writer leaves whole
parts and temporary files, and the next writer in the folder removes these and goes on with the next part. One process
writes at a time: it holds the lock on `.shards.lock`. Row groups end after 100 rows or 32 MiB of images; no more than
one waits in memory.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from relsim.data.shard_contents import (
    Contents,
    PartEntry,
    part_name,
    part_number,
    parts_in,
    read_contents,
    reading,
    writing,
)
from relsim.data.shard_rows import COLUMNS, IMAGE, ShardRow, schema, to_batch
from relsim.errors import ShardError
from relsim.files import TEMPORARY_PREFIX, FileInUseError, exclusive_lock, flush, temporary_beside

LOCK_NAME = ".shards.lock"
PART_ROWS = 1_000
PART_BYTES = 256 * 2**20
GROUP_ROWS = 100
GROUP_BYTES = 32 * 2**20
_UNENDING = 2**31 - 1
_IMAGE_BYTES = f"{IMAGE}.bytes"
_REPEATS = ["status", "format", "reason", "http_code"]


@final
class ShardWriter:
    """Appends rows to a shard folder, new or there already. A context, at whose good end `shards.json` is written.

    Rows stay in the order in which they come. If the body fails, rows since the last finished part are dropped, and
    `shards.json` stays as it was. `origin` says what list the rows are of (see `Contents`); a folder with rows of
    another is refused. Raises `ShardError`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        about: str = "images",
        origin: Mapping[str, Any] | None = None,
        part_rows: int = PART_ROWS,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.folder = Path(folder)
        self._about, self._origin = about, origin
        self._part_rows, self._part_bytes = part_rows, part_bytes
        self._next = 0
        self._part: _Part | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> ShardWriter:
        with contextlib.ExitStack() as held:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    held.enter_context(exclusive_lock(self.folder / LOCK_NAME))
                except FileInUseError as error:
                    raise ShardError(
                        f"{self.folder} is being written by another process; wait until it has ended, or stop it"
                    ) from error
            known = read_contents(self.folder)
            if known is not None and known.origin != self._origin:
                raise ShardError(
                    f"{self.folder} holds images of {_named(known.origin)}, not of {_named(self._origin)}; "
                    "name another folder"
                )
            with writing(self.folder):
                for path in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
                    path.unlink(missing_ok=True)
            self._next = max(map(part_number, parts_in(self.folder)), default=-1) + 1
            self._held = held.pop_all()
        return self

    def append(self, row: ShardRow) -> None:
        """Add a row; a part that has reached its size is published."""
        if self._part is None:
            self._part = _Part(self.folder / part_name(self._next))
        self._part.append(row)
        if self._part.rows >= self._part_rows or self._part.bytes >= self._part_bytes:
            self.finish_part()

    def finish_part(self) -> PartEntry | None:
        """Publish the rows since the last part as a part; None if there are none."""
        if self._part is None:
            return None
        part, self._part = self._part, None
        entry = part.publish()
        self._next += 1
        return entry

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if kind is None:
                self.finish_part()
                write_contents(self.folder, about=self._about, origin=self._origin)
            elif self._part is not None:
                self._part.discard()


def write_part(path: str | os.PathLike[str], rows: Iterable[ShardRow]) -> PartEntry:
    """Write a part whole, in the place of one that has this name. Raises `ShardError`; then `path` is as it was."""
    part = _Part(Path(path))
    try:
        for row in rows:
            part.append(row)
        return part.publish()
    finally:
        part.discard()


def write_contents(
    folder: str | os.PathLike[str], *, about: str = "images", origin: Mapping[str, Any] | None = None
) -> Contents:
    """Write `shards.json` for all parts that lie in the folder. Raises `ShardError`, also for a damaged part."""
    folder = Path(folder)
    parts: list[PartEntry] = []
    counts: Counter[str] = Counter()
    for path in parts_in(folder):
        with reading(path):
            states = pq.read_table(path, columns=["status"], use_threads=False)["status"].to_pylist()
            parts.append(PartEntry(path.name, len(states), path.stat().st_size))
        counts.update(states)
    statuses = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    contents = Contents(sum(part.rows for part in parts), tuple(parts), statuses, about, origin)
    contents.save(folder)
    return contents


class _Part:
    """A part while it is written, under a temporary name beside its own. Ends with `publish` or `discard`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = self.bytes = 0
        self._group: list[ShardRow] = []
        self._group_bytes = 0
        self._held = contextlib.ExitStack()
        self._temporary = self._held.enter_context(temporary_beside(path))
        try:
            with writing(path):
                file = self._held.enter_context(pa.OSFile(str(self._temporary), "wb"))
                self._writer = pq.ParquetWriter(file, schema(), **_options())
        except BaseException:
            self._held.close()
            raise

    def append(self, row: ShardRow) -> None:
        size = len(row.image or b"")
        self._group.append(row)
        self._group_bytes += size
        self.rows, self.bytes = self.rows + 1, self.bytes + size
        if len(self._group) >= GROUP_ROWS or self._group_bytes >= GROUP_BYTES:
            self._end_group()

    def publish(self) -> PartEntry:
        try:
            self._end_group()
            with writing(self.path):
                self._writer.close()
                flush(self._temporary)
                size = self._temporary.stat().st_size
                self._temporary.replace(self.path)
                flush(self.path.parent)
        finally:
            self.discard()
        return PartEntry(self.path.name, self.rows, size)

    def discard(self) -> None:
        """Remove what is not published; harmless afterwards."""
        with contextlib.suppress(OSError, pa.ArrowException):  # the footer of a file on a full disk
            self._writer.close()
        with contextlib.suppress(OSError):
            self._held.close()

    def _end_group(self) -> None:
        if not self._group:
            return
        batch = to_batch(self._group)
        with writing(self.path):
            self._writer.write_table(pa.Table.from_batches([batch]), row_group_size=len(self._group))
        self._group, self._group_bytes = [], 0


def _options() -> dict[str, Any]:
    """How Parquet writes a part.

    Images are stored as they are, plain and as one page per row group, so that each lies whole at a place that
    `relsim.data.shard_parts` finds. Everything else is compressed and, where values repeat, goes by a dictionary. A
    page has a checksum. Statistics and a Bloom filter of `image_hash` let other readers skip row groups.
    """
    plain = [name for name in COLUMNS if name != IMAGE]
    wanted = {
        "compression": {**dict.fromkeys([*plain, f"{IMAGE}.path"], "ZSTD"), _IMAGE_BYTES: "NONE"},
        "use_dictionary": _REPEATS,
        "write_statistics": plain,
        "data_page_size": _UNENDING,
        "write_page_checksum": True,
        "write_page_index": True,
        # Newer pyarrow ends a page after 20,000 rows unless told otherwise, and knows Bloom filters.
        "max_rows_per_page": _UNENDING,
        "bloom_filter_options": {"image_hash": {"ndv": GROUP_ROWS, "fpp": 0.01}},
    }
    known = inspect.signature(pq.ParquetWriter.__init__).parameters
    return {name: value for name, value in wanted.items() if name in known}


def _named(origin: Mapping[str, Any] | None) -> str:
    return "no list" if origin is None else f"{origin.get('name')} (sha256 {str(origin.get('sha256'))[:12]}…)"
