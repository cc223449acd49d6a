"""A vector table: vectors with their ids, sources and fingerprint, in a folder of Parquet files.

    features/
        table.json                              what belongs to the table; rewritten last at every change
        part-000000-1f2e3d4c5b6a.parquet        rows with a vector
        failures-000000-77aa01b2c3d4.parquet    images that have none: status and reason
        .lock                                   held by the one process that writes

Opening maps the parts into memory and copies no vector. It checks the size and the footer of every file, and the
SHA-256 as well if all files together have at most 16 MiB; `verify` checks everything always. A process that is
killed at any moment leaves a table that equals its last finished change; files it left over are ignored, and
removed by the next writer. Vectors of another fingerprint are refused.

A failure row counts only while its id has no vector, and the last one of an id counts.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, final

import numpy as np

from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import TableError
from relsim.files import TEMPORARY_PREFIX
from relsim.fingerprint import Fingerprint
from relsim.vectors.checks import check_rows, check_same_fingerprint, shown
from relsim.vectors.compaction import grouped, merged_failures
from relsim.vectors.contents import CONTENTS_NAME, OWN_FILE, Contents, PartEntry
from relsim.vectors.part import Part
from relsim.vectors.parts import rows_per_group, write_failures, write_part
from relsim.vectors.publish import LOCK_NAME, FolderLock, publish_hashed, system_errors
from relsim.vectors.view import TableView

_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COMPACTED = "compacted-"


@final
class VectorTable(TableView):
    """A vector table on disk, to read and to change. Make one with `create`, `open` or `open_or_create`.

    The first change takes the table's lock, which `close` (or leaving a `with`) gives back; before it, changes
    that others made since opening are read in. Reading works with and without the lock. Not for several threads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = FolderLock(path)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        fingerprint: Fingerprint,
        dimension: int,
        *,
        origin: Mapping[str, Any] | None = None,
    ) -> VectorTable:
        """A new, empty table in a folder that is absent or empty; the caller holds its lock.

        `origin` tells how to make the encoder again (its name and options); it is kept and not compared.
        """
        folder = Path(path)
        if dimension < 1:
            raise TableError(f"dimension is {dimension}; a vector has at least 1 number.")
        with system_errors("make", folder):
            folder.mkdir(parents=True, exist_ok=True)
            names = sorted(entry.name for entry in folder.iterdir())
        if CONTENTS_NAME in names:
            raise TableError(f"{folder} already is a vector table. Open it, or choose another folder.")
        # Part files without table.json are foreign too: no interrupted `create` leaves them, but a lost file would.
        foreign = [name for name in names if name != LOCK_NAME and not name.startswith(TEMPORARY_PREFIX)]
        if foreign:
            raise TableError(
                f"{folder} is not a vector table and holds other files ({shown(foreign)}). "
                "Choose a new or an empty folder."
            )
        lock = FolderLock(folder)
        lock.acquire()
        if (folder / CONTENTS_NAME).exists():
            raise TableError(f"{folder} was made a vector table by another process just now. Open it instead.")
        Contents(dimension, fingerprint, origin=dict(origin or {})).save(folder)
        table = cls(folder)
        table._lock = lock
        return table

    @classmethod
    def open(cls, path: str | os.PathLike[str], fingerprint: Fingerprint | None = None) -> VectorTable:
        """An existing table. With `fingerprint`, one that differs raises `FingerprintMismatchError`."""
        table = cls(Path(path))
        if fingerprint is not None:
            check_same_fingerprint(table.path, table.fingerprint, fingerprint)
        return table

    @classmethod
    def open_or_create(
        cls,
        path: str | os.PathLike[str],
        fingerprint: Fingerprint,
        dimension: int,
        *,
        origin: Mapping[str, Any] | None = None,
    ) -> VectorTable:
        """The table at `path` if there is one, which must have this fingerprint and dimension, or a new one."""
        if not (Path(path) / CONTENTS_NAME).exists():
            return cls.create(path, fingerprint, dimension, origin=origin)
        table = cls.open(path, fingerprint)
        if table.dimension != dimension:
            raise TableError(f"{path} has vectors of {table.dimension} numbers, not of {dimension}. Use a new folder.")
        return table

    def append(
        self, part: str, records: Sequence[ImageRecord], vectors: Vectors, failures: Sequence[Failure] = ()
    ) -> None:
        """Store rows, and failures of the same batch, under a part name: all of it or, if interrupted, nothing.

        `vectors` has shape (len(records), D), finite, rows of unit length. A name that is there already gets these
        rows instead. Raises `TableError` for an id that another part holds.
        """
        if not _PART_NAME.fullmatch(part) or part.startswith(_COMPACTED):
            raise TableError(
                f"{part!r} cannot name a part: use up to 100 letters, digits, dots, dashes and underscores, "
                f"not beginning with {_COMPACTED}"
            )
        checked = check_rows(records, vectors, self.dimension)
        self._begin()
        old = next((opened for opened in self._parts if opened.entry.name == part), None)
        own = frozenset(old.ids) if old else frozenset()
        taken = [r.image_id for r in records if r.image_id in self.positions and r.image_id not in own]
        if taken:
            raise TableError(
                f"{self.path} already has a vector for {shown(taken)}. Skip these ids, or delete their rows first."
            )
        new_part = new_failures = None
        positions, rows = self._positions, len(self)
        with self._undo_on_error() as written:
            if records or not failures:
                new_part = self._write("part", part, len(records), lambda path: write_part(path, records, checked))
                written.append(new_part)
            if failures:
                new_failures = self._write_failures(part, failures)
                written.append(new_failures)
            self._commit(self._contents.with_part(part, new_part, new_failures))
        if old is None and positions is not None:
            # Saves reading every id again at each of a thousand appends.
            positions.update((record.image_id, rows + row) for row, record in enumerate(records))
            self._positions = positions

    def record_failures(self, part: str, failures: Sequence[Failure]) -> None:
        """Store failures under a part name that holds no vectors; rows with vectors go through `append`."""
        if part in self.part_names:
            raise TableError(f"the part {part} holds vectors: append its rows and failures together.")
        self.append(part, (), np.zeros((0, self.dimension), np.float32), failures)

    def delete(self, ids: Collection[str]) -> int:
        """Remove rows and failures by id; returns how many of the ids were there. The vectors leave the disk."""
        self._begin()
        unwanted = frozenset(ids)
        found = unwanted & self.positions.keys()
        contents = self._contents
        with self._undo_on_error() as written:
            for part in self._parts:
                kept = [row for row, image_id in enumerate(part.ids) if image_id not in unwanted]
                if len(kept) < part.entry.rows:
                    entry = self._rewrite(part.entry.name, [part], kept)
                    written.append(entry)
                    contents = contents.exchanging(part.entry, entry)
            for part in self._failures:
                failures = part.failures()
                found |= unwanted & {failure.record.image_id for failure in failures}
                left = [failure for failure in failures if failure.record.image_id not in unwanted]
                if len(left) < len(failures):
                    entry = self._write_failures(part.entry.name, left)
                    written.append(entry)
                    contents = contents.exchanging(part.entry, entry)
            if written:
                self._commit(contents)
        return len(found)

    def compact(self) -> None:
        """Merge consecutive parts into files of up to 64 MiB of vectors, and failures into files of 16,384.

        The rows are the same after it. Files that are full stay as they are; failures of images that have a vector go.
        """
        self._begin()
        groups = grouped(self._parts, rows_per_group(self.dimension))
        failed = merged_failures(self._failures, self.positions if self._failures else ())
        positions = self._positions
        if len(groups) == len(self._parts) and all(isinstance(one, PartEntry) for one in failed):
            return
        with self._undo_on_error() as written:
            for number, group in enumerate(groups):
                # A file alone stays; only its name in table.json changes, so that names remain unique.
                name, entry = f"{_COMPACTED}{number:06d}", group[0].entry
                written.append(replace(entry, name=name) if len(group) == 1 else self._rewrite(name, group, None))
            for number, one in enumerate(failed):
                name = f"{_COMPACTED}{number:06d}"
                written.append(
                    replace(one, name=name) if isinstance(one, PartEntry) else self._write_failures(name, one)
                )
            parts, failures = tuple(written[: len(groups)]), tuple(written[len(groups) :])
            self._commit(replace(self._contents, parts=parts, failures=failures))
        self._positions = positions

    @property
    def loose_files(self) -> int:
        """How many files of rows and of failures no compaction has seen."""
        entries = (*self._contents.parts, *self._contents.failures)
        return sum(not entry.name.startswith(_COMPACTED) for entry in entries)

    def lock(self) -> None:
        """Take the right to write now rather than at the first change, and read in what others wrote until now."""
        self._begin()

    def close(self) -> None:
        """Give the lock back. The table can still be read, and a further change takes the lock again."""
        self._lock.release()

    def __enter__(self) -> VectorTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        """Take the lock if it is not held, see what others changed, and remove what a killed writer left over."""
        if self._lock.held:
            return
        self._lock.acquire()
        contents = Contents.load(self.path)
        if contents != self._contents:
            check_same_fingerprint(self.path, contents.fingerprint, self.fingerprint)
            self._load(contents)
        with system_errors("clean", self.path):
            for entry in self.path.iterdir():
                is_own = entry.name.startswith(TEMPORARY_PREFIX) or OWN_FILE.fullmatch(entry.name)
                if is_own and entry.name not in contents.files:
                    entry.unlink()

    def _rewrite(self, name: str, parts: Sequence[Part], kept: Sequence[int] | None) -> PartEntry:
        """One file of the rows of these parts (or of the `kept` ones of a single part)."""
        records = [record for part in parts for some in part.all_records() for record in some]
        rows = np.concatenate([block for part in parts for block in part.blocks])
        if kept is not None:
            records, rows = [records[row] for row in kept], rows[list(kept)]
        return self._write("part", name, len(records), lambda path: write_part(path, records, rows))

    def _write_failures(self, name: str, failures: Sequence[Failure]) -> PartEntry:
        return self._write("failures", name, len(failures), lambda path: write_failures(path, failures))

    def _write(self, kind: str, name: str, rows: int, write: Callable[[Path], None]) -> PartEntry:
        """Write one file and put it under its final name, where nobody looks at it until `_commit`."""
        file, size, digest = publish_hashed(self.path, f"{kind}-{name}", ".parquet", write)
        return PartEntry(name, file, rows, size, digest)

    def _commit(self, contents: Contents) -> None:
        """Make these contents the table's, then remove the files that no longer belong to it."""
        contents.save(self.path)
        opened = {part.entry: part for part in (*self._parts, *self._failures)}

        def map_entries(entries: tuple[PartEntry, ...]) -> tuple[Part, ...]:
            return tuple(opened.get(e) or self._part(e, self.dimension, hashed=False) for e in entries)

        old_files = self._contents.files
        self._parts, self._failures = map_entries(contents.parts), map_entries(contents.failures)
        self._contents = contents
        self._forget()
        for name in old_files - contents.files:
            with system_errors("remove", self.path / name):
                (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _undo_on_error(self) -> Iterator[list[PartEntry]]:
        """Collects files of a change; if it fails, those that did not become part of the table go."""
        written: list[PartEntry] = []
        try:
            yield written
        except BaseException:
            # The disk decides: an error may also come after table.json was replaced.
            contents = Contents.load(self.path)
            for entry in written:
                if entry.file not in contents.files:
                    with contextlib.suppress(OSError):
                        (self.path / entry.file).unlink(missing_ok=True)
            if contents != self._contents:
                self._load(contents)
            raise
