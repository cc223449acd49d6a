"""Corrections of a list of images by people: a file of changes beside the list, which itself is never written.

    {"id": "399f03d2…", "row": 17, "field": "caption", "old": "A red {Car}", "new": "A {Vehicle}",
     "who": "Ada", "when": "2026-11-27T12:00:00+00:00"}

One JSON object a line, in the order of time: the last line of a row counts. `row` is the place in the list, from 0,
because an id may stand there twice. A line with `"undo": true` takes back the last change that stands, so a row may be
undone as far as what the list says. `old` is what stood there before; where it does not fit, the file belongs to
another list, or to another state of it, and is refused. Lines are only ever added, flushed to the disk one by one, by
one process at a time: the first that writes holds the file until it is closed, and the others go on reading.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from relsim.data.cleaning import CAPTION_CLEAN, clean_caption, cleaned
from relsim.data.curation.inventory import Item
from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow
from relsim.errors import SourceError
from relsim.files import FileInUseError, LineFile

SUFFIX = ".changes.jsonl"
FIELD = "caption"
LONGEST_CAPTION, LONGEST_NAME = 4_000, 200
_TEXTS = ("id", "field", "who", "when")
_log = logging.getLogger(__name__)


class OutOfDateError(SourceError):
    """Somebody has changed the caption since it was looked at."""


class InUseError(SourceError):
    """Another process writes the changes."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the file."""

    image_id: str
    row: int
    old: str | None
    new: str | None
    who: str
    when: str
    undo: bool = False

    def line(self) -> bytes:
        """The line as it is written, with its end."""
        value = {"id": self.image_id, "row": self.row, "field": FIELD, "old": self.old, "new": self.new}
        value |= {"who": self.who, "when": self.when} | ({"undo": True} if self.undo else {})
        # ASCII, since half of a surrogate pair is legal in JSON as an escape and cannot be written as UTF-8.
        return json.dumps(value).encode() + b"\n"


@final
class Corrections:
    """The captions of a list as people have corrected them. Safe to use from any number of threads.

    Raises `SourceError` for a file of changes that cannot be read or that belongs to another list.
    """

    def __init__(self, path: Path, items: Sequence[Item]) -> None:
        self.path, self._items = path, items
        self._guard = threading.RLock()
        self._held = contextlib.ExitStack()
        self._file: LineFile | None = None
        self._forget()
        self.refresh()

    def close(self) -> None:
        """Let others write."""
        with self._guard:
            self._file = None
            self._held.close()

    @property
    def changes(self) -> int:
        """Lines that count so far; a new one makes it larger."""
        return self._lines

    @property
    def changed(self) -> list[int]:
        """Rows whose caption is another one than in the list, in order."""
        with self._guard:
            return sorted(row for row in self._values if self._value(row) != self._items[row].caption)

    def caption(self, row: int) -> str | None:
        """The caption of a row as it stands, without stray quotes."""
        values = self._values.get(row)
        if not values:
            return self._items[row].clean_caption
        return None if values[-1] is None else clean_caption(values[-1])

    def history(self, row: int) -> list[Change]:
        """All changes of a row, the first one first."""
        with self._guard:
            return list(self._history.get(row, ()))

    def people(self, first: int | None = None) -> list[str]:
        """Who has changed something, by name; something of the first rows, where so many are meant."""
        most = len(self._items) if first is None else first
        with self._guard:
            return sorted({change.who for row, made in self._history.items() if row < most for change in made})

    def change(self, row: int, caption: str, *, was: str | None, who: str, now: datetime) -> Change:
        """Put a caption in the place of the one that was seen, `was`; when this returns it is on the disk.

        White space is made single spaces. Raises `OutOfDateError` if another caption stands there, `InUseError` if
        another process writes, and `SourceError` for a caption or name that cannot be and for a full disk.
        """
        new = " ".join(caption.split())
        if not new or len(new) > LONGEST_CAPTION:
            raise SourceError(f"a caption has at least one word and at most {LONGEST_CAPTION:,} signs")
        with self._guard:
            self._take()
            if self.caption(row) != was:
                raise OutOfDateError("somebody has changed this caption since you saw it; look at it again")
            return self._add(row, new, who, now, undo=False)

    def undo(self, row: int, *, who: str, now: datetime) -> Change:
        """Take back the last change of a row that stands. Raises as `change`, and `OutOfDateError` if there is none."""
        with self._guard:
            self._take()
            values = self._values.get(row)
            if not values:
                raise OutOfDateError("there is nothing to take back: this caption is as the list says")
            before = values[-2] if len(values) > 1 else self._items[row].caption
            return self._add(row, before, who, now, undo=True)

    def refresh(self) -> None:
        """Read what has been added since, by this process or another."""
        with self._guard:
            try:
                size = self.path.stat().st_size if self.path.exists() else 0
                if size < self._read:
                    self._forget()
                if size == self._read:
                    return
                with self.path.open("rb") as file:
                    file.seek(self._read)
                    data = file.read()
            except OSError as error:
                raise SourceError(f"cannot read {self._shown}: {_reason(error)}") from error
            whole = data[: data.rfind(b"\n") + 1]  # what follows is still being written, or was torn by a kill
            try:
                for line in whole.splitlines():
                    self._apply(self._parsed(line))
            except SourceError:
                self._forget()  # the next look tells the same
                raise
            self._read += len(whole)

    def corrected(self) -> Iterator[ManifestRow]:
        """All rows of the list with the captions as they stand."""
        for number, item in enumerate(self._items):
            row = item.manifest_row
            if not self._values.get(number) or self._value(number) == item.caption:
                yield row
                continue
            extra = {name: value for name, value in row.extra.items() if name != CAPTION_CLEAN}
            yield cleaned(ManifestRow(row.image_hash, row.url_link, self._value(number), extra))

    @property
    def _shown(self) -> str:
        return printable(str(self.path))

    def _value(self, row: int) -> str | None:
        """The caption as it is written."""
        values = self._values.get(row)
        return values[-1] if values else self._items[row].caption

    def _forget(self) -> None:
        self._values: dict[int, list[str | None]] = {}
        self._history: defaultdict[int, list[Change]] = defaultdict(list)
        self._read = self._lines = 0

    def _take(self) -> None:
        """Become the one that writes, and know all that was written before."""
        if self._file is None:
            try:
                with contextlib.ExitStack() as held:
                    file = held.enter_context(LineFile(self.path))
                    if dropped := file.mend():
                        _log.warning("dropped the last %d bytes of %s: no whole line", dropped, self.path)
                    self._held = held.pop_all()
            except FileInUseError as error:
                raise InUseError(
                    f"{self.path.name} is being written by another process; only one at a time may change captions"
                ) from error
            except OSError as error:
                raise self._not_written(error) from error
            self._file = file
        self.refresh()

    def _add(self, row: int, new: str | None, who: str, now: datetime, *, undo: bool) -> Change:
        who = " ".join(who.split())
        if not who or len(who) > LONGEST_NAME or not who.isprintable():
            raise SourceError(f"a name has 1 to {LONGEST_NAME} signs that can be printed")
        change = Change(self._items[row].image_id, row, self._value(row), new, who, now.isoformat(), undo)
        line = change.line()
        assert self._file is not None  # noqa: S101 - `_take` has seen to it
        try:
            self._file.append(line)
        except OSError as error:
            raise self._not_written(error) from error
        self._apply(change)
        self._read += len(line)
        return change

    def _apply(self, change: Change) -> None:
        where = f"{self._shown}, line {self._lines + 1:,}"
        if not 0 <= change.row < len(self._items) or self._items[change.row].image_id != change.image_id:
            raise SourceError(f"{where}: the list has no {printable(change.image_id)} in row {change.row:,}")
        if change.old != self._value(change.row):
            raise SourceError(
                f"{where}: row {change.row:,} was {change.old!r} when it was changed, and it is "
                f"{self._value(change.row)!r}; these changes are of another state of the list"
            )
        values = self._values.setdefault(change.row, [])
        if change.undo and values:
            values.pop()
        else:
            values.append(change.new)
        self._history[change.row].append(change)
        self._lines += 1

    def _parsed(self, line: bytes) -> Change:
        try:
            value: dict[str, Any] = json.loads(line)
            texts = [value[name] for name in _TEXTS]
            old, new = value["old"], value["new"]
            good = all(isinstance(text, str) for text in texts) and value["field"] == FIELD
            good = good and all(caption is None or isinstance(caption, str) for caption in (old, new))
            if not good or type(value["row"]) is not int or type(value.get("undo", False)) is not bool:
                raise ValueError("a field has another kind of value")  # noqa: TRY301 - one message for all of it
            return Change(value["id"], value["row"], old, new, value["who"], value["when"], value.get("undo", False))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SourceError(f"{self._shown}, line {self._lines + 1:,}, is no change of a caption: {error}") from error

    def _not_written(self, error: OSError) -> SourceError:
        return SourceError(f"{self.path.name} cannot be written: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
