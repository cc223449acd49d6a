"""How a download goes, on stderr: a bar in a terminal, elsewhere one line a minute.

Both go on while stdout has JSON. A line comes also when nothing has happened since the last one: silence would look
like a process that hangs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from relsim.cli.output import clock, note

if TYPE_CHECKING:
    from relsim.data.download import Watcher
    from relsim.data.records import Status

INTERVAL = 60.0
"""Seconds between two lines."""
_REDRAWN = 0.1  # seconds
_MB = 1e6


@contextmanager
def download_progress() -> Iterator[Watcher]:
    """What is told of each row, and tells the person: rows/s, MB/s, rows by status, time left."""
    if not sys.stderr.isatty():
        lines = Lines()
        with _every(INTERVAL, lines.write):
            yield lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("downloading"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[outcomes]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)


class _Tally:
    """What has been done in this run, and how fast, by a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts: Counter[str] = Counter()
        self._bytes = 0
        self._todo = self._total = 0
        self._began = now()

    def started(self, todo: int, total: int) -> None:
        self._todo, self._total = todo, total
        self._began = self._now()

    def finished(self, status: Status, size: int) -> None:
        self._counts[status.value] += 1
        self._bytes += size

    @property
    def done(self) -> int:
        """Rows that are finished."""
        return self._counts.total()

    def speed(self) -> str:
        """Rows and bytes a second since the beginning, and how long the rest takes at that speed."""
        seconds = max(self._now() - self._began, 1e-3)
        left = clock((self._todo - self.done) * seconds / self.done) if self.done else "unknown time"
        return f"{self.done / seconds:,.1f} rows/s, {self._bytes / _MB / seconds:,.1f} MB/s, {left} left"

    def outcomes(self) -> str:
        """Rows by status, the most frequent first."""
        return ", ".join(f"{rows:,} {name}" for name, rows in self._counts.most_common())


class Lines(_Tally):
    """A download as lines of text: `write` writes the next one. It may be called in another thread."""

    def write(self) -> None:
        """Write where the download is, once it has begun."""
        if not self._total:
            return
        rows = self._total - self._todo + self.done
        outcomes = self.outcomes()
        text = f"{rows:,} of {self._total:,} rows ({rows / self._total:.1%}), {self.speed()}"
        # Whoever closed stderr wants the images all the same.
        with contextlib.suppress(OSError, ValueError):
            note(f"{text}: {outcomes}" if outcomes else text)
            sys.stderr.flush()


class _Bar(_Tally):
    """A download as a bar."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar
        self._task = bar.add_task("", total=None, speed="", outcomes="")
        self._drawn = self._began

    def started(self, todo: int, total: int) -> None:
        super().started(todo, total)
        self._bar.update(self._task, total=todo)
        if todo < total:
            self._bar.console.print(f"{total - todo:,} of {total:,} rows are there")

    def finished(self, status: Status, size: int) -> None:
        super().finished(status, size)
        now = self._now()
        if now - self._drawn < _REDRAWN and self.done < self._todo:
            return
        self._drawn = now
        self._bar.update(self._task, completed=self.done, speed=self.speed(), outcomes=self.outcomes())


@contextmanager
def _every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Do something again and again in a thread of its own, until the end of the block."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
