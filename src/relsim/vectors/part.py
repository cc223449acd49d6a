"""One file of a vector table, mapped into memory, whose every error names it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import TableError
from relsim.vectors.checks import check_unit
from relsim.vectors.contents import PartEntry
from relsim.vectors.part_reader import PartReader
from relsim.vectors.publish import sha256_of
from relsim.vectors.texts import KeptTexts

ADVICE = "Restore the file from a copy, or embed again into a new folder."


class Part:
    """One file of a table. Texts of rows that are asked for by number are kept in `texts`."""

    def __init__(self, folder: Path, entry: PartEntry, dimension: int, *, hashed: bool, texts: KeptTexts) -> None:
        self.entry = entry
        self.path = folder / entry.file
        self.dimension = dimension
        with self.reading():
            size = self.path.stat().st_size
            if size != entry.bytes:
                raise ValueError(f"it has {size:,} bytes instead of {entry.bytes:,}")
            # Closed at once: the mapping lives on in the buffer, and a table may have more parts than a process may
            # have open files.
            with pa.memory_map(str(self.path)) as file:
                data = file.read_buffer()
            if hashed and sha256_of(data) != entry.sha256:
                raise ValueError("its SHA-256 is not the one in table.json")
            self.reader = PartReader(data, entry.file, texts)
            if self.reader.num_rows != entry.rows:
                raise ValueError(f"it has {self.reader.num_rows:,} rows instead of {entry.rows:,}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn whatever goes wrong while reading this part into a `TableError` that names it."""
        try:
            yield
        except FileNotFoundError as error:
            raise TableError(f"the part {self.path} is missing. {ADVICE}") from error
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise TableError(f"the part {self.path} is damaged: {error}. {ADVICE}") from error

    @cached_property
    def blocks(self) -> list[Vectors]:
        """Arrays of shape (rows, D), one per row group."""
        with self.reading():
            return self.reader.blocks(self.dimension)

    @property
    def ids(self) -> list[str]:
        """The names of the rows, read anew."""
        with self.reading():
            return [image_id for ids in self.reader.ids() for image_id in ids]

    def id(self, row: int) -> str:
        """The name of a row."""
        with self.reading():
            return self.reader.id(row)

    def find(self, image_id: str) -> int | None:
        """The row of an id, None for none."""
        with self.reading():
            return self.reader.find(image_id)

    def records(self, rows: Sequence[int]) -> list[ImageRecord]:
        """The records of these rows."""
        with self.reading():
            return self.reader.records(rows)

    def all_records(self) -> Iterator[list[ImageRecord]]:
        """The records of all rows, some thousand at a time."""
        with self.reading():
            yield from self.reader.all_records()

    def field(self, name: str) -> list[Any]:
        """What every row has in a field, or None."""
        with self.reading():
            return self.reader.field(name)

    def failures(self) -> list[Failure]:
        """The rows of a file of failures."""
        with self.reading():
            return self.reader.failures()

    def verify_vectors(self) -> None:
        """Compare the vectors where they lie with what pyarrow decodes, and check their lengths."""
        start, ids = 0, self.ids
        for group, block in enumerate(self.blocks):
            with self.reading():
                if not np.array_equal(block, self.reader.decode(group, self.dimension)):
                    raise ValueError("its vectors do not lie where the footer puts them")
            try:
                check_unit(block, ids[start:])
            except TableError as error:
                raise TableError(f"the part {self.path} is damaged: {error}") from error
            start += len(block)
