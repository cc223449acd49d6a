"""Reading a vector table: a snapshot of what it consisted of when it was opened.

Later changes by another process do not show, and cannot disturb: mapped files outlive their names.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import SearchError, TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors.checks import check_same_fingerprint, check_unit, shown
from relsim.vectors.contents import Contents, PartEntry
from relsim.vectors.parts import PartReader
from relsim.vectors.publish import sha256_of, system_errors

HASH_ON_OPEN = 16 * 2**20
"""Tables of up to this many bytes are hashed whenever they are opened (some 30 ms at most)."""

_ADVICE = "Restore the file from a copy, or embed again into a new folder."


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    image_id: str
    vector: Vectors
    source: str
    fields: Mapping[str, Any]


class Part:
    """One file of a table, mapped into memory; every error names it."""

    def __init__(self, folder: Path, entry: PartEntry, dimension: int, *, hashed: bool) -> None:
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
            self.reader = PartReader(data)
            if self.reader.num_rows != entry.rows:
                raise ValueError(f"it has {self.reader.num_rows:,} rows instead of {entry.rows:,}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn whatever goes wrong while reading this part into a `TableError` that names it."""
        try:
            yield
        except FileNotFoundError as error:
            raise TableError(f"the part {self.path} is missing. {_ADVICE}") from error
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise TableError(f"the part {self.path} is damaged: {error}. {_ADVICE}") from error

    @cached_property
    def blocks(self) -> list[Vectors]:
        """Arrays of shape (rows, D), one per row group."""
        with self.reading():
            return self.reader.blocks(self.dimension)

    @cached_property
    def ids(self) -> list[str]:
        """The names of the rows."""
        with self.reading():
            return self.reader.ids()

    def records(self, rows: Sequence[int] | None = None) -> list[ImageRecord]:
        """The records of these rows, or of all."""
        with self.reading():
            return self.reader.records(rows)

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
        start = 0
        for group, block in enumerate(self.blocks):
            with self.reading():
                if not np.array_equal(block, self.reader.decode(group, self.dimension)):
                    raise ValueError("its vectors do not lie where the footer puts them")
            try:
                check_unit(block, self.ids[start:])
            except TableError as error:
                raise TableError(f"the part {self.path} is damaged: {error}") from error
            start += len(block)


class TableView:
    """A vector table as it was when it was opened. N rows of D numbers, in the order of the parts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._load(Contents.load(path))

    def _load(self, contents: Contents) -> None:
        """Map the files of these contents; if a writer removes some meanwhile, read `table.json` again."""
        try:
            self._parts, self._failures = self._map(contents)
        except TableError:
            newer = Contents.load(self.path)
            if newer == contents:
                raise
            self._load(newer)
            return
        self._contents = contents
        self._forget()

    def _map(self, contents: Contents) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
        hashed = sum(entry.bytes for entry in (*contents.parts, *contents.failures)) <= HASH_ON_OPEN
        with system_errors("read", self.path):
            parts = tuple(Part(self.path, entry, contents.dimension, hashed=hashed) for entry in contents.parts)
            failed = tuple(Part(self.path, entry, contents.dimension, hashed=hashed) for entry in contents.failures)
        return parts, failed

    def _forget(self) -> None:
        self._ids: list[str] | None = None
        self._positions: dict[str, int] | None = None

    def __len__(self) -> int:
        return self._contents.rows

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.positions

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self._contents.dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """What the vectors depend on."""
        return self._contents.fingerprint

    @property
    def origin(self) -> Mapping[str, Any]:
        """How to make the encoder of these vectors again, as far as whoever made the table recorded it."""
        return self._contents.origin

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the parts, in the order of their rows."""
        return tuple(entry.name for entry in self._contents.parts)

    @property
    def part_digests(self) -> tuple[tuple[int, str], ...]:
        """Rows and SHA-256 of each part, in the order of their rows: equal ones hold equal rows."""
        return tuple((entry.rows, entry.sha256) for entry in self._contents.parts)

    def has_part(self, name: str) -> bool:
        """Whether vectors or failures were stored under this name. Compaction forgets names; ids remain."""
        return any(entry.name == name for entry in (*self._contents.parts, *self._contents.failures))

    @property
    def ids(self) -> Sequence[str]:
        """The names of all rows, in order."""
        if self._ids is None:
            self._ids = [image_id for part in self._parts for image_id in part.ids]
        return self._ids

    @property
    def positions(self) -> Mapping[str, int]:
        """The row number of each id."""
        if self._positions is None:
            self._positions = {image_id: row for row, image_id in enumerate(self.ids)}
        return self._positions

    @property
    def blocks(self) -> list[Vectors]:
        """The vectors as read-only arrays of shape (n, D), in order, where they lie in the files."""
        return [block for part in self._parts for block in part.blocks]

    @property
    def vectors(self) -> Vectors:
        """The vectors as one array of shape (N, D): the file's own bytes if there is one block, a copy otherwise."""
        blocks = self.blocks
        if len(blocks) == 1:
            return blocks[0]
        return np.concatenate(blocks) if blocks else np.zeros((0, self.dimension), np.float32)

    def vector(self, image_id: str) -> Vectors:
        """The vector of one id, shape (D,). Raises `SearchError` for an id that has none."""
        row = self.positions.get(image_id)
        if row is None:
            failed = next((f for f in self.failures() if f.record.image_id == image_id), None)
            why = f"it failed: {failed.status.value}, {failed.reason}" if failed else "it holds no such image_id"
            raise SearchError(f"{self.path} has no vector for {image_id}: {why}.")
        part, inside = self._locate([row])[0]
        for block in part.blocks:
            if inside < len(block):
                vector: Vectors = block[inside]
                return vector
            inside -= len(block)
        raise TableError(f"the part {part.path} has fewer vectors than ids. {_ADVICE}")

    def records(self, rows: Sequence[int]) -> list[ImageRecord]:
        """The records of these row numbers, in the order asked for."""
        wanted: dict[str, tuple[Part, list[int], list[int]]] = {}
        for place, (part, inside) in enumerate(self._locate(rows)):
            _, places, insides = wanted.setdefault(part.entry.name, (part, [], []))
            places.append(place)
            insides.append(inside)
        found: dict[int, ImageRecord] = {}
        for part, places, insides in wanted.values():
            found.update(zip(places, part.records(insides), strict=True))
        return [found[place] for place in range(len(rows))]

    def field(self, name: str) -> list[Any]:
        """What every image has in a field of its record, None where it has none; in order."""
        return [value for part in self._parts for value in part.field(name)]

    def rows(self) -> Iterator[Row]:
        """All rows, in order; one part is read at a time."""
        for part in self._parts:
            vectors = (vector for block in part.blocks for vector in block)
            for record, vector in zip(part.records(), vectors, strict=True):
                yield Row(record.image_id, vector, record.source, record.fields)

    def failures(self) -> list[Failure]:
        """The images that have no vector, and why; the last failure of an id counts."""
        latest: dict[str, Failure] = {}
        for part in self._failures:
            for failure in part.failures():
                latest.pop(failure.record.image_id, None)
                latest[failure.record.image_id] = failure
        return [failure for image_id, failure in latest.items() if image_id not in self.positions]

    def require_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Raise `FingerprintMismatchError` if vectors of this fingerprint cannot be compared with the table's."""
        check_same_fingerprint(self.path, self.fingerprint, fingerprint)

    def verify(self) -> None:
        """Read every byte: hashes, layout, lengths, unique ids. Raises `TableError` that names each bad part."""
        entries = (*self._contents.parts, *self._contents.failures)
        problems = [problem for entry in entries if (problem := self._problem(entry))]
        if problems:
            raise TableError("\n".join(problems))
        if len(self.positions) < len(self):
            repeated = [image_id for image_id, count in Counter(self.ids).items() if count > 1]
            raise TableError(f"{self.path} holds an image_id twice: {shown(repeated)}.")

    def _problem(self, entry: PartEntry) -> str | None:
        try:
            part = Part(self.path, entry, self.dimension, hashed=True)
            if entry in self._contents.parts:
                part.verify_vectors()
            part.records()
        except TableError as error:
            return str(error)
        return None

    def _locate(self, rows: Sequence[int]) -> list[tuple[Part, int]]:
        """The part of each row number, and the number inside it."""
        ends = np.cumsum([part.entry.rows for part in self._parts])
        places = np.searchsorted(ends, rows, side="right")
        parts = [self._parts[place] for place in places]
        return [
            (part, int(row - ends[place] + part.entry.rows))
            for part, place, row in zip(parts, places, rows, strict=True)
        ]
