"""How far an embedding or a download is, from the files that it writes anyway, and how fast it gets on."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

from relsim.data.download.progress import DownloadFolder
from relsim.data.records import Status
from relsim.files import is_locked
from relsim.vectors.contents import CONTENTS_NAME
from relsim.vectors.publish import LOCK_NAME
from relsim.vectors.table import VectorTable

_SHOWN = 8
_WINDOW = 120.0  # seconds over which a speed is taken
_NONE: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Failures:
    """Images that share a status and a reason."""

    status: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Images that are finished, of how many where that is known, and what became of those that failed.

    `failures` are the most frequent ones. `busy` tells whether a process writes now.
    """

    done: int
    total: int | None
    failed: int
    failures: tuple[Failures, ...]
    busy: bool


class Folder(Protocol):
    """The folder that a job fills. Not for several threads."""

    def look(self) -> Progress:
        """How far it is now. Raises `RelsimError` where it cannot be read."""


@final
class Table:
    """A vector table, which has no total of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = _NONE
        self._known = Progress(0, None, 0, (), busy=False)

    def look(self) -> Progress:
        """Rows and failures, read when `table.json` has changed. Raises `TableError`."""
        facts = (self.path / CONTENTS_NAME).stat()
        stamp = (facts.st_mtime_ns, facts.st_size)
        busy = is_locked(self.path / LOCK_NAME)
        if stamp != self._stamp:
            table = VectorTable.open(self.path)
            failed = table.failures()
            kinds = Counter((failure.status.value, failure.reason) for failure in failed)
            self._known = Progress(len(table) + len(failed), None, len(failed), _most(kinds), busy)
            self._stamp = stamp
        known = self._known
        return Progress(known.done, None, known.failed, known.failures, busy)


@final
class Download:
    """The folder of a download."""

    def __init__(self, path: Path) -> None:
        self._folder = DownloadFolder(path)

    def look(self) -> Progress:
        """Rows of the list. Raises `ShardError`."""
        found = self._folder.look()
        ok = found.statuses.get(Status.OK.value, 0)
        return Progress(found.done, found.total, found.done - ok, _most(Counter(found.failures)), found.busy)


def folder_at(path: Path) -> Folder | None:
    """The table or the download at a path, None where there is neither."""
    if (path / CONTENTS_NAME).is_file():
        return Table(path)
    return Download(path) if DownloadFolder.is_one(path) else None


class Pace:
    """How fast something gets on, by a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, done: int) -> None:
        """So many are done now."""
        now = self._now()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """How many are done in a second, None while that cannot be told."""
        if not self._seen:
            return None
        (began, before), (now, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - began) if done > before and now > began else None


def _most(kinds: Counter[tuple[str, str]]) -> tuple[Failures, ...]:
    return tuple(Failures(status, reason, count) for (status, reason), count in kinds.most_common(_SHOWN))
