"""Reading a vector table: a snapshot of what it consisted of when it was opened.

Later changes by another process do not show, and cannot disturb: mapped files outlive their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import SearchError, TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors.checks import check_same_fingerprint, shown
from relsim.vectors.compaction import latest_failures
from relsim.vectors.contents import Contents, PartEntry
from relsim.vectors.names import Names
from relsim.vectors.part import ADVICE, Part
from relsim.vectors.publish import system_errors
from relsim.vectors.texts import KeptTexts

HASH_ON_OPEN = 16 * 2**20
"""Tables of up to this many bytes are hashed whenever they are opened (some 30 ms at most)."""

_SMALL = 50_000
"""The rows of all ids of a table of up to so many are noted when the first id is looked for: that takes 0.1 s."""

_QUESTIONS = 8
"""Whoever asks more often whether an id is there goes through a list, and the rows of all ids are noted for that."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    image_id: str
    vector: Vectors
    source: str
    fields: Mapping[str, Any]


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
        self._texts = KeptTexts(contents.rows)
        with system_errors("read", self.path):
            parts = tuple(self._part(entry, contents.dimension, hashed=hashed) for entry in contents.parts)
            failed = tuple(self._part(entry, contents.dimension, hashed=hashed) for entry in contents.failures)
        return parts, failed

    def _part(self, entry: PartEntry, dimension: int, *, hashed: bool) -> Part:
        return Part(self.path, entry, dimension, hashed=hashed, texts=self._texts)

    def _forget(self) -> None:
        """What follows from the parts is worked out again when it is asked for."""
        self._names = Names(self._parts)
        self._positions: dict[str, int] | None = None
        self._questions = 0
        self._texts.fit(self._contents.rows)

    def __len__(self) -> int:
        return self._contents.rows

    def __contains__(self, image_id: object) -> bool:
        self._questions += 1
        if self._questions > _QUESTIONS:
            return image_id in self.positions
        return isinstance(image_id, str) and self.row(image_id) is not None

    def row(self, image_id: str) -> int | None:
        """The row number of an id, None for one that is not there. A large table is not read into memory for it."""
        if self._positions is None and len(self) > _SMALL:
            return self._names.find(image_id)
        return self.positions.get(image_id)

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
        """The names of all rows, in order, read when they are asked for."""
        return self._names

    @property
    def positions(self) -> Mapping[str, int]:
        """The row number of each id, all in memory; `row` is for a few."""
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

    def known_row(self, image_id: str) -> int:
        """The row number of an id. Raises `SearchError` for one without a vector, and says why it has none."""
        row = self.row(image_id)
        if row is None:
            failed = self.failure(image_id)
            why = f"it failed: {failed.status.value}, {failed.reason}" if failed else "it holds no such image_id"
            raise SearchError(f"{self.path} has no vector for {image_id}: {why}.")
        return row

    def vector(self, image_id: str) -> Vectors:
        """The vector of one id, shape (D,). Raises `SearchError` for an id that has none."""
        part, inside = self._locate([self.known_row(image_id)])[0]
        for block in part.blocks:
            if inside < len(block):
                vector: Vectors = block[inside]
                return vector
            inside -= len(block)
        raise TableError(f"the part {part.path} has fewer vectors than ids. {ADVICE}")

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
        """All rows, in order; one row group is read at a time, and nothing of it kept."""
        for part in self._parts:
            records = (record for some in part.all_records() for record in some)
            vectors = (vector for block in part.blocks for vector in block)
            for record, vector in zip(records, vectors, strict=True):
                yield Row(record.image_id, vector, record.source, record.fields)

    def failures(self) -> list[Failure]:
        """The images that have no vector, and why; the last failure of an id counts."""
        latest = latest_failures(self._failures)
        if latest:
            embedded = self.ids if self._positions is None else latest.keys() & self._positions.keys()
            for image_id in embedded:
                latest.pop(image_id, None)
        return list(latest.values())

    def failure(self, image_id: str) -> Failure | None:
        """Why an image has no vector; None for one that has one, and for an unknown one."""
        for part in reversed(self._failures):
            if image_id in part.ids:
                return None if self.row(image_id) is not None else latest_failures([part])[image_id]
        return None

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
            part = self._part(entry, self.dimension, hashed=True)
            if entry in self._contents.parts:
                part.verify_vectors()
            for _ in part.all_records():
                pass
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
