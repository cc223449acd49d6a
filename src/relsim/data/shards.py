"""Shard folders, opened for reading: rows in order, and any row by its id.

A shard folder holds the rows of a list of images in Parquet parts, each with the image's original bytes, and
`shards.json`, which names the parts (see `relsim.data.shard_contents`). `relsim.data.shard_writing` makes one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pyarrow.parquet as pq

from relsim.data.identity import printable
from relsim.data.records import Status
from relsim.data.shard_contents import CONTENTS_NAME, Contents, PartEntry, parts_in, read_contents, reading
from relsim.data.shard_rows import COLUMNS, IMAGE, NEVER_NULL, ShardRow, from_batch, schema
from relsim.errors import ShardError

__all__ = ["CONTENTS_NAME", "Contents", "PartEntry", "ShardFolder", "ShardRow", "is_shard_folder", "part_rows"]

TEXT_COLUMNS = tuple(name for name in COLUMNS if name != IMAGE)
"""All columns but the image: what is read unless more is asked for."""


def is_shard_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a shard folder, by its `shards.json`."""
    return (Path(path) / CONTENTS_NAME).is_file()


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
        return [row.image_hash for row in self.rows(NEVER_NULL)]

    def rows(self, columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[ShardRow]:
        """All rows in the order in which they are stored, one row group in memory at a time.

        `columns` names what is read beside `row`, `image_hash` and `status`; the image only if it is named.
        """
        for part in self.contents.parts:
            yield from part_rows(self.path / part.name, columns)

    def read(self, image_id: str) -> ShardRow:
        """The row of that id with its image: of several the first that is ok, else the first.

        Raises `ShardError` for an id that the folder does not have.
        """
        place = self._places.get(image_id)
        if place is None:
            raise ShardError(f"{self.path} has no image {printable(image_id)}")
        part, group, position = place
        path = self.path / self.contents.parts[part].name
        with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read_row_group(group, use_threads=False).slice(position, 1)
            return from_batch(table.combine_chunks().to_batches()[0])[0]

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        places: dict[str, tuple[int, int, int]] = {}
        fine: set[str] = set()
        for number, part in enumerate(self.contents.parts):
            for group, rows in enumerate(_groups(self.path / part.name, NEVER_NULL)):
                for position, row in enumerate(rows):
                    if row.image_hash not in places or (row.status is Status.OK and row.image_hash not in fine):
                        places[row.image_hash] = (number, group, position)
                    if row.status is Status.OK:
                        fine.add(row.image_hash)
        return places


def part_rows(path: str | os.PathLike[str], columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[ShardRow]:
    """The rows of one part, which need not be in a finished folder; `columns` is as in `ShardFolder.rows`."""
    for rows in _groups(Path(path), columns):
        yield from rows


def _groups(path: Path, columns: Sequence[str]) -> Iterator[list[ShardRow]]:
    unknown = set(columns) - set(COLUMNS)
    if unknown:
        raise ShardError(f"a shard has no column {', '.join(sorted(unknown))}; its columns are {', '.join(COLUMNS)}")
    wanted = [name for name in COLUMNS if name in columns or name in NEVER_NULL]
    with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=wanted, use_threads=False).combine_chunks()
            yield [row for batch in table.to_batches() for row in from_batch(batch)]


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
