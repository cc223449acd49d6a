"""Manifests that grow: rows are added while a long run goes on, and a run that was ended goes on after the last row.

    <name>.jsonl              the rows, a manifest (see `relsim.data.manifest`)
    <name>.jsonl.head.json    what made them: {"schema": "relsim.rows/1", "kind": "…", "made_by": {fact: value, …}}

The head is written first and whole. Rows are only ever added, whole lines at once, and flushed to the disk, so that a
kill or a power cut leaves the rows of finished calls and at most a torn line, which the next writer takes away. The
file itself is what a writer locks: a second one is refused, and so is one that would write other rows than the first.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import final

from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow, read_manifest, row_line
from relsim.data.records import ImageRecord
from relsim.errors import SourceError
from relsim.files import FileInUseError, LineFile, flush, temporary_beside
from relsim.fingerprint import Fingerprint

SCHEMA = "relsim.rows/1"
_log = logging.getLogger(__name__)


@final
class RowsFile:
    """The only writer of a manifest, as a context: `rows` are those that are there, `append` adds more.

    `kind` and `made_by` say what the rows depend on; a file whose head says something else is refused, as is one
    without a head, with a `SourceError` that names the difference. A missing or empty file is begun. `remedy` ends the
    message about a difference: what the person may do.
    """

    def __init__(
        self, path: str | Path, kind: str, made_by: Fingerprint, *, remedy: str = "Write to another file."
    ) -> None:
        self.path = Path(path)
        self.rows: list[ManifestRow] = []
        self._kind, self._made_by, self._remedy = kind, made_by, remedy
        self._held = contextlib.ExitStack()
        self._lines: LineFile | None = None

    def __enter__(self) -> RowsFile:
        with contextlib.ExitStack() as held:
            try:
                lines = held.enter_context(LineFile(self.path))
                self._begin(lines)
            except FileInUseError as error:
                raise SourceError(
                    f"{self._shown} is being written by another process; wait until it has ended, or stop it"
                ) from error
            except OSError as error:
                raise self._not_written(error) from error
            self._lines = lines
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines = None
        self._held.close()

    def append(self, rows: Iterable[ManifestRow]) -> None:
        """Add rows, all of them or none, and block until they are on the disk.

        Raises `SourceError` for a row that no manifest may hold and for a disk that takes no more.
        """
        if self._lines is None:
            raise ValueError(f"{self._shown} is not open; use it as a context")
        added = list(rows)
        data = b"".join(row_line(row, number) for number, row in enumerate(added, start=len(self.rows) + 1))
        try:
            self._lines.append(data)
        except OSError as error:
            raise self._not_written(error) from error
        self.rows += added

    @property
    def head(self) -> Path:
        """The file that says what made the rows."""
        return head_of(self.path)

    @property
    def _shown(self) -> str:
        return printable(str(self.path))

    def _begin(self, lines: LineFile) -> None:
        """Check the head or write it, mend the end of the file and read its rows."""
        self.rows = []
        if self.path.stat().st_size:
            self._check()
            if dropped := lines.mend():
                _log.warning("dropped the last %d bytes of %s: no whole line", dropped, self.path)
            self.rows = read_manifest(self.path)
            return
        text = json.dumps({"schema": SCHEMA, "kind": self._kind, "made_by": self._made_by.to_dict()}, indent=2)
        with temporary_beside(self.head) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(self.head)
        flush(self.path.parent)

    def _check(self) -> None:
        kind, made_by = read_head(self.path)
        if kind != self._kind:
            raise SourceError(f"{self._shown} holds {printable(kind)}, not {self._kind}; write to another file")
        differences = made_by.differences(self._made_by)
        if differences:
            facts = "; ".join(f"{name}: {there!r} there, {here!r} here" for name, (there, here) in differences.items())
            raise SourceError(f"{self._shown} was begun with other settings ({facts}). {self._remedy}")

    def _not_written(self, error: OSError) -> SourceError:
        return SourceError(f"{self._shown} cannot be written: {(error.strerror or str(error)).lower()}")


def head_of(path: Path) -> Path:
    """The file beside a manifest that says what made its rows."""
    return path.with_name(f"{path.name}.head.json")


def read_head(path: Path) -> tuple[str, Fingerprint]:
    """Kind of the rows of a manifest and what made them. Raises `SourceError` where no head says so."""
    shown, head = printable(str(path)), head_of(path)
    try:
        found = json.loads(head.read_bytes())
        if found["schema"] != SCHEMA or not isinstance(found["kind"], str):
            raise ValueError("another schema")  # noqa: TRY301 - one message for all that is wrong with a head
        return found["kind"], Fingerprint.of(found["made_by"])
    except FileNotFoundError as error:
        raise SourceError(
            f"{shown} is there already, and no {head.name} beside it says what made it; write to another file"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{printable(str(head))} cannot be read as {SCHEMA}; write to another file") from error


def check_source(row: ManifestRow, record: ImageRecord, path: Path) -> None:
    """Refuse a record that has the id of a row of `path` which was made of another image. Raises `SourceError`."""
    if row.extra["source"] != printable(record.source):
        raise SourceError(
            f"{printable(str(path))} has a row {record.image_id} of {row.extra['source']}, which is not "
            f"{printable(record.source)}; write to another file"
        )
