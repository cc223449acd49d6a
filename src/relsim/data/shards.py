"""Shard folders, opened for reading: rows in order, and any row by its id.

A shard folder holds the rows of a list of images in Parquet parts, each with the image's original bytes, and
`shards.json`, which names the parts (see `relsim.data.shard_contents`). `relsim.data.shard_writing` makes one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from relsim.data.identity import printable
from relsim.data.images import read_bytes
from relsim.data.records import ImageRecord, Status
from relsim.data.remote import opened
from relsim.data.shard_address import CONTENTS_NAME, address, is_shard_folder
from relsim.data.shard_contents import Contents, PartEntry, parts_in, read_contents, reading
from relsim.data.shard_parts import text_file
from relsim.data.shard_rows import COLUMNS, IMAGE, NEVER_NULL, ShardRow, from_batch, schema
from relsim.errors import ImageError, ShardError

__all__ = ["CONTENTS_NAME", "Contents", "PartEntry", "ShardFolder", "ShardRow", "is_shard_folder", "part_rows"]

TEXT_COLUMNS = tuple(name for name in COLUMNS if name != IMAGE)
"""All columns but the image: what is read unless more is asked for."""
_LIST_COLUMNS = ("url_link", "caption", "extra")


_log = logging.getLogger(__name__)


@final
class ShardFolder:
    """A shard folder. Opening it looks at every part's size and footer; rows are read when asked for.

    It may be pickled and sent to other processes, and keeps no file open.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path = path
        self.contents = contents

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ShardFolder:
        """Open a folder. Raises `ShardError` if it is none, unfinished, or if a part is damaged, which is named."""
        folder = Path(path).absolute()
        contents = read_contents(folder)
        if contents is None:
            unfinished = folder.is_dir() and parts_in(folder)
            what = "an unfinished shard folder" if unfinished else "not a shard folder"
            raise ShardError(
                f"{folder} is {what} ({CONTENTS_NAME} is missing); "
                + ("run the download again to go on with it" if unfinished else "relsim download makes one")
            )
        for part in contents.parts:
            _check_part(folder / part.name, part)
        return cls(folder, contents)

    def __len__(self) -> int:
        """Number of rows, whatever their status."""
        return self.contents.rows

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardFolder, (self.path, self.contents)

    @cached_property
    def ids(self) -> list[str]:
        """`image_hash` of every row, in the order in which they are stored; an id may come twice."""
        return [image_id for part in self._paths for image_id in _values(part, ["image_hash"])[0]]

    def rows(self, columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[ShardRow]:
        """All rows in the order in which they are stored, one row group in memory at a time.

        `columns` names what is read beside `row`, `image_hash` and `status`; the image only if it is named.
        """
        for part in self.contents.parts:
            yield from part_rows(self.path / part.name, columns)

    def records(self) -> list[ImageRecord]:
        """One record for each id, in the order of the input list, without opening an image.

        Of several rows of an id it stands at the place of the first and reads the first that is ok, or, if none is,
        the first; how many were passed over is logged. `source` is the row's address; `fields` are those of the list.
        """
        return records_of(str(self.path), self._paths, self.contents)

    def read(self, image_id: str) -> ShardRow:
        """The row of that id, every column: of several the first that is ok, else the first, in the order of the list.

        Raises `ShardError` for an id that the folder does not have, and for a damaged image.
        """
        place = self._places.get(image_id)
        if place is None:
            raise ShardError(f"{self.path} has no image {printable(image_id)}")
        part, number = place
        path = self.path / self.contents.parts[part].name
        row = _row_at(path, number)
        if row.status is not Status.OK:
            return row
        try:
            return replace(row, image=read_bytes(address(str(path), number)))
        except ImageError as error:
            raise ShardError(f"{path}, row {number:,} ({printable(image_id)}): {error.reason}") from error

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """The number of its part, and of its row in that, for each id."""
        return {name: (part, row) for name, (_, part, row) in _chosen(self._paths, ()).items()}

    @property
    def _paths(self) -> list[str]:
        return [str(self.path / part.name) for part in self.contents.parts]


def records_of(folder: str, parts: Sequence[str], contents: Contents) -> list[ImageRecord]:
    """What `ShardFolder.records` gives, of parts that are here or at addresses (`relsim.data.remote`).

    Raises `ShardError` for a part that is damaged or has other rows than the contents say.
    """
    chosen = _chosen(parts, _LIST_COLUMNS, [part.rows for part in contents.parts])
    if len(chosen) < contents.rows:
        count = contents.rows - len(chosen)
        _log.warning("%s: %d rows repeat an id; the first row that is ok counts for each", folder, count)
    with reading(folder):
        return [
            ImageRecord(name, address(parts[part], row), _fields(*values))
            for name, (_, part, row, *values) in chosen.items()
        ]


def _chosen(
    parts: Sequence[str], columns: Sequence[str], counts: Sequence[int] | None = None
) -> dict[str, tuple[Any, ...]]:
    """The row that counts for each id, in the order of the list: whether ok, part, row in the part, columns."""
    lines: list[tuple[Any, ...]] = []
    for number, part in enumerate(parts):
        rows, ids, states, *values = _values(part, ["row", "image_hash", "status", *columns])
        if counts is not None and len(rows) != counts[number]:
            raise ShardError(f"{part} has {len(rows):,} rows, and {CONTENTS_NAME} says {counts[number]:,}")
        fine = [state == Status.OK.value for state in states]
        lines += zip(rows, ids, fine, [number] * len(rows), range(len(rows)), *values, strict=True)
    lines.sort(key=lambda line: line[0])
    chosen: dict[str, tuple[Any, ...]] = {}
    for _, image_id, fine, *rest in lines:
        if image_id not in chosen or (fine and not chosen[image_id][0]):
            chosen[image_id] = (fine, *rest)
    return chosen


def _values(part: str, columns: Sequence[str]) -> list[list[Any]]:
    """Columns of a part, read at once: listing a folder takes a tenth of the time that it takes row by row."""
    with reading(part), opened(part) as source, text_file(source) as file:
        table = file.read(columns=list(columns), use_threads=False)
        return [table[name].to_pylist() for name in columns]


def part_rows(path: str | os.PathLike[str], columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[ShardRow]:
    """The rows of one part, which need not be in a finished folder; `columns` is as in `ShardFolder.rows`."""
    for rows in _groups(Path(path), columns):
        yield from rows


def _fields(url_link: str | None, caption: str | None, extra: str | None) -> dict[str, Any]:
    """What a record of the list has beside the id, as `relsim.data.sources` gives it for a manifest."""
    fields = {} if url_link is None else {"url_link": url_link}
    if caption is not None:
        fields["caption"] = caption
    return fields if extra is None else fields | json.loads(extra)


def _row_at(path: Path, number: int) -> ShardRow:
    """The row of that number in a part, without its image."""
    with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if number < rows:
                table = file.read_row_group(group, columns=list(TEXT_COLUMNS), use_threads=False)
                return _rows(table.slice(number, 1))[0]
            number -= rows
        raise ValueError("it has fewer rows than when it was opened")


def _rows(table: pa.Table) -> list[ShardRow]:
    return [row for batch in table.combine_chunks().to_batches() for row in from_batch(batch)]


def _groups(path: Path, columns: Sequence[str]) -> Iterator[list[ShardRow]]:
    unknown = set(columns) - set(COLUMNS)
    if unknown:
        raise ShardError(f"a shard has no column {', '.join(sorted(unknown))}; its columns are {', '.join(COLUMNS)}")
    wanted = [name for name in COLUMNS if name in columns or name in NEVER_NULL]
    with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            yield _rows(file.read_row_group(group, columns=wanted, use_threads=False))


def _check_part(path: Path, entry: PartEntry) -> None:
    with reading(path):
        size = path.stat().st_size
        if size != entry.bytes:
            raise ValueError(f"it has {size:,} bytes, and {CONTENTS_NAME} says {entry.bytes:,}")
        footer = pq.read_metadata(path)
        if footer.num_rows != entry.rows:
            raise ValueError(f"it has {footer.num_rows:,} rows, and {CONTENTS_NAME} says {entry.rows:,}")
        if footer.schema.to_arrow_schema() != schema():
            raise ValueError("its columns are not those of a shard")
