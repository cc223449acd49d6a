"""The folder of a download: what is finished, what comes next, and how rows become parts.

    out/
        part-00000.parquet …     rows 0 to 999, 1,000 to 1,999, …      (--layout files: status/part-00000.parquet …)
        shards.json              written when all rows are done
        <image_hash>.jpg …       --layout files; group_<number>/<image_hash>.jpg of seed groups
        summary.json, outcomes.svg
        .download/run.json       which list this is the download of
        .download/part-00003.spool   finished rows of parts that are not
        .shards.lock             held by the one process that writes

A finished row is appended to the spool of its part at once; when the part has all its rows they are written as Parquet,
in order, and the spool goes. So what a folder holds in the end does not depend on how often a download was stopped. A
row of the spool takes the place of the row that the part has: that is how rows are tried again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, final

from relsim.data.download.names import NameTakenError, name_of
from relsim.data.download.options import DownloadOptions
from relsim.data.download.record import Retry, RunRecord, record_of
from relsim.data.download.spool import Spool
from relsim.data.download.status_table import table_rows, write_table_part
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status
from relsim.data.shard_address import CONTENTS_NAME
from relsim.data.shard_contents import part_name, parts_in, reading, writing
from relsim.data.shard_rows import COLUMNS, SUFFIXES, ShardRow
from relsim.data.shard_writing import LOCK_NAME, write_contents, write_part
from relsim.data.shards import part_rows
from relsim.errors import ShardError
from relsim.files import TEMPORARY_PREFIX, FileInUseError, exclusive_lock, flush

HIDDEN = ".download"
TABLE = "status"
RECORD = "run.json"
_PNG = "png"


@final
class Store:
    """An opened folder, as a context that holds its lock. Raises `ShardError`."""

    def __init__(self, folder: Path, rows: Sequence[ManifestRow], name: str, options: DownloadOptions) -> None:
        self.folder = folder
        self.rows = rows
        self._wanted = record_of(name, rows, options.layout, options.reencode, options.part_rows)
        self.record = self._wanted
        self.hidden = folder / HIDDEN
        self._spools: dict[int, Spool] = {}
        self._left: Counter[int] = Counter()
        self._held = contextlib.ExitStack()
        self._files = options.layout == "files"
        self._parts = folder / TABLE if self._files else folder

    def __enter__(self) -> Store:
        with contextlib.ExitStack() as held:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    held.enter_context(exclusive_lock(self.folder / LOCK_NAME))
                except FileInUseError as error:
                    raise ShardError(
                        f"{self.folder} is being written by another process; wait until it has ended, or stop it"
                    ) from error
            self._open()
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            for spool in self._spools.values():
                spool.close()

    def begin(self, retry: frozenset[Status]) -> list[int]:
        """The rows that are to be fetched, in order; parts that lack nothing any more are finished.

        A retry that was interrupted goes on, unless `retry` names other statuses.
        """
        statuses = tuple(sorted(status.value for status in retry))
        if statuses and (self.record.retry is None or self.record.retry.statuses != statuses):
            self._save(replace(self.record, retry=Retry(statuses, datetime.now(timezone.utc).isoformat())))
        pending = [row for part in range(self.part_count) for row in self._pending(part)]
        self._left = Counter(row // self.record.part_rows for row in pending)
        for part in list(self._spools):
            if not self._left[part]:
                self.finish_part(part)
        return pending

    @property
    def part_count(self) -> int:
        """Number of parts that the list has."""
        return -(-len(self.rows) // self.record.part_rows)

    def add(self, row: int, facts: Mapping[str, Any], image: Iterable[bytes] = (), size: int = 0) -> int | None:
        """Keep a finished row: the columns of `ShardRow` that the list does not give, and its image.

        Returns the number of its part if that lacks nothing any more; `finish_part` is then due.
        """
        part = row // self.record.part_rows
        spool = self._spools.get(part)
        if spool is None:
            spool = self._spools[part] = Spool(self._spool_path(part))
        with writing(self.hidden):
            spool.append(row, facts, image, size)
        self._left[part] -= 1
        return None if self._left[part] else part

    def publish_file(self, row: int, format_name: str, data: Iterable[bytes]) -> None:
        """Put an image under its name in the folder, whole.

        Raises `NameTakenError` if something is in the way there, `ShardError` if the place would be outside.
        """
        name = self._file_name(row, format_name)
        target = self.folder / name
        with writing(target):
            with _free(name):
                target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(self.folder.resolve()):
                raise ShardError(
                    f"{target.parent} is a link that leads out of {self.folder}; remove it, then run again"
                )
            temporary = self.hidden / f"{TEMPORARY_PREFIX}file-{secrets.token_hex(6)}"
            try:
                with temporary.open("xb") as file:
                    file.writelines(data)
                    file.flush()
                    os.fsync(file.fileno())
                with _free(name):
                    temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def finish_part(self, part: int, reasons: Mapping[int, str | None] | None = None) -> None:
        """Write a part of its old rows and those of its spool, then remove the spool.

        `reasons` gives rows another reason. A part that is there already is exchanged.
        """
        path = self._part_path(part)
        if path.exists():
            # The folder is not what shards.json says until it is written anew.
            with writing(self.folder):
                (self.folder / CONTENTS_NAME).unlink(missing_ok=True)
                flush(self.folder)
        rows = self._merged(part, reasons or {})
        if self._files:
            with writing(self._parts):
                self._parts.mkdir(exist_ok=True)
            write_table_part(path, rows, lambda row: self._file_name(row.row, row.format or ""))
        else:
            write_part(path, rows)
        spool = self._spools.pop(part, None)
        if spool is not None:
            with writing(self.hidden):
                spool.remove()

    def finished_rows(self, columns: Iterable[str]) -> Iterator[ShardRow]:
        """The rows of all parts with some of their columns, in order."""
        for part in range(self.part_count):
            yield from self._read(part, columns)

    def finish(self) -> None:
        """Say that all is done: write `shards.json`, forget the retry."""
        if self.record.retry is not None:
            self._save(replace(self.record, retry=None))
        if not self._files:
            origin = {"name": self.record.name, "sha256": self.record.sha256, "rows": self.record.rows}
            write_contents(self.folder, about="downloaded images", origin=origin)

    def stored_bytes(self) -> int:
        """Bytes of all parts and, with --layout files, of the images."""
        total = 0
        with reading(self._parts):
            total += sum(path.stat().st_size for path in parts_in(self._parts)) if self._parts.is_dir() else 0
            if self._files:
                ok = (row for row in self.finished_rows(("format",)) if row.status is Status.OK)
                for row in ok:
                    with contextlib.suppress(FileNotFoundError):
                        total += (self.folder / self._file_name(row.row, row.format or "")).stat().st_size
        return total

    def _open(self) -> None:
        known = RunRecord.load(self.hidden / RECORD)
        if known is None:
            if parts_in(self.folder) or (self.folder / CONTENTS_NAME).exists():
                raise ShardError(f"{self.folder} holds shards that no download made; name another folder")
            with writing(self.hidden):
                self.hidden.mkdir(exist_ok=True)
            self._save(self._wanted)
        else:
            known.check(self._wanted, self.folder)
            self.record = known
        with writing(self.folder):
            for place in (self.folder, self.hidden, self._parts):
                for path in place.glob(f"{TEMPORARY_PREFIX}*"):
                    path.unlink(missing_ok=True)
        with reading(self.hidden):
            for part in range(self.part_count):
                if self._spool_path(part).exists():
                    self._spools[part] = Spool(self._spool_path(part))

    def _save(self, record: RunRecord) -> None:
        record.save(self.hidden / RECORD)
        self.record = record

    def _pending(self, part: int) -> list[int]:
        """Rows of a part that have no outcome, or one that the retry is about."""
        retry = self.record.retry
        outcomes: dict[int, tuple[str, datetime | None]] = {}
        if self._part_path(part).exists():
            for row in self._read(part, ("fetched_at",) if retry else ()):
                outcomes[row.row] = row.status.value, row.fetched_at
        spool = self._spools.get(part)
        for number in spool.rows if spool is not None else ():
            facts = spool.facts(number) if spool is not None else {}
            outcomes[number] = facts["status"], datetime.fromisoformat(facts["fetched_at"])
        return [row for row in self._range(part) if row not in outcomes or is_due(*outcomes[row], retry)]

    def _merged(self, part: int, reasons: Mapping[int, str | None]) -> Iterator[ShardRow]:
        spool = self._spools.get(part)
        ours = frozenset(spool.rows) if spool is not None else frozenset()
        columns = tuple(name for name in COLUMNS if not (self._files and name == "image"))
        old = self._read(part, columns) if self._part_path(part).exists() else iter(())
        for number in self._range(part):
            before = next(old, None)
            if spool is not None and number in ours:
                row = self._row(*spool.read(number))
            elif before is not None and before.row == number:
                row = before
            else:
                raise ShardError(f"{self._part_path(part)} lacks row {number:,}; remove it and run again")
            yield replace(row, reason=reasons[number]) if number in reasons else row

    def _row(self, facts: dict[str, Any], image: bytes) -> ShardRow:
        number, status = facts.pop("row"), Status(facts.pop("status"))
        facts["fetched_at"] = datetime.fromisoformat(facts["fetched_at"])
        return ShardRow.of(number, self.rows[number], status, image=image or None, **facts)

    def _read(self, part: int, columns: Iterable[str]) -> Iterator[ShardRow]:
        """The rows of a part that is there, checked to be those that belong there."""
        path = self._part_path(part)
        wanted = (*columns, "row")
        rows = table_rows(path, wanted) if self._files else part_rows(path, wanted)
        numbers = self._range(part)
        for number, row in zip_longest(numbers, rows):
            if row is None or row.row != number:
                raise ShardError(
                    f"{path} does not have the rows {numbers[0]:,} to {numbers[-1]:,}; remove it, then run again"
                )
            yield row

    def _range(self, part: int) -> range:
        first = part * self.record.part_rows
        return range(first, min(first + self.record.part_rows, len(self.rows)))

    def _part_path(self, part: int) -> Path:
        return self._parts / part_name(part)

    def _spool_path(self, part: int) -> Path:
        return self.hidden / Path(part_name(part)).with_suffix(".spool")

    def _file_name(self, row: int, format_name: str) -> str:
        suffix = _PNG if self.record.reencode == _PNG else SUFFIXES[format_name]
        return f"{name_of(self.rows[row])}.{suffix}"


@contextlib.contextmanager
def _free(name: str) -> Iterator[None]:
    """What the system says of a place that is taken is this row's affair; a full disk is everybody's."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise NameTakenError(f"something else is in the place of the file {name} or of its folder") from error


def is_due(status: str, fetched: datetime | None, retry: Retry | None) -> bool:
    """Whether a row that was fetched then, with that outcome, is to be tried again."""
    return retry is not None and status in retry.statuses and (fetched is None or fetched < retry.moment)
