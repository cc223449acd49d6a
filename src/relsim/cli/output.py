"""Printing: results to stdout, everything for the person at the terminal to stderr.

What comes from files (ids, paths, messages) is shown as text: signs that a terminal would obey are escaped.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from relsim.data.identity import printable
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.data.manifest import ManifestRow
    from relsim.data.records import Failure
    from relsim.vectors.query import Found

_SHOWN = 5
_REST = "--json lists all"
_GAP = "  "


def emit(text: str) -> None:
    """A line of the result, to stdout, at once. Raises `RelsimError` where it cannot be written."""
    try:
        # A sign that the terminal's encoding lacks is shown as its escape.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RelsimError(f"the result cannot be written: {(error.strerror or str(error)).lower()}") from error


def note(text: str) -> None:
    """A line for the person at the terminal, to stderr."""
    sys.stderr.write(printable(text) + "\n")


def print_json(content: Any) -> None:
    """One JSON document to stdout."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, from a file name that is no text
        text = json.dumps(content, indent=2)
    emit(text)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table to stdout: numbers, set right, and text in the last column, left as long as it is."""
    cells = [list(columns), *([*row[:-1], printable(row[-1])] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns) - 1)]
    for row in cells:
        numbers = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        emit(_GAP.join([*numbers, row[-1]]).rstrip())


def print_matrix(names: Sequence[str], scores: Sequence[Sequence[float]]) -> None:
    """All pairs to stdout. Columns go by the numbers of the rows; on a terminal they are cut to its width."""
    labels = [str(number) for number in range(1, len(names) + 1)]
    rows = [[label, *(f"{score:.3f}" for score in line)] for label, line in zip(labels, scores, strict=True)]
    cell = max(len(text) for row in rows for text in row[1:]) + len(_GAP)
    room = _terminal_width() - len(labels[-1])
    longest = max(len(printable(name)) for name in names) + len(_GAP)
    if cell * len(names) + longest <= room:
        print_rows(["", *labels, ""], [[*row, name] for row, name in zip(rows, names, strict=True)])
        return
    print_rows(["", ""], list(zip(labels, names, strict=True)))
    step = max(1, room // cell)
    for start in range(1, len(names) + 1, step):
        emit("")
        columns = slice(start, start + step)
        print_rows(["", *labels[start - 1 : start - 1 + step], ""], [[row[0], *row[columns], ""] for row in rows])


def print_hits(found: Found) -> None:
    """Search results to stdout: one row a match, with both axes where there are two."""
    if not found.hits:
        note("nothing found")
        return
    axes = [name for name in ("relational", "attribute") if hasattr(found.hits[0], name)]
    rows = [
        [str(hit.rank), *(f"{getattr(hit, name):.4f}" for name in ("score", *axes)), hit.image_id] for hit in found.hits
    ]
    print_rows(["rank", "score", *axes, "image"], rows)


def note_failed_rows(rows: Sequence[ManifestRow], reasons: Mapping[str, int]) -> None:
    """Tell of the rows of images that could not be used: how many for each status, and the first five."""
    if rows:
        note(f"{len(rows):,} failed: " + ", ".join(f"{count:,} {status}" for status, count in reasons.items()))
    note_some([f"{row.image_hash}: {row.extra['reason']} ({row.extra['status']})" for row in rows])


def note_failures(failures: Sequence[Failure], *, rest: str = _REST) -> None:
    """Tell of the first images that could not be used, and why."""
    lines = [f"{failure.record.image_id}: {failure.reason} ({failure.status.value})" for failure in failures]
    note_some(lines, rest=rest)


def note_some(lines: Sequence[str], *, rest: str = _REST) -> None:
    """The first five of some lines, and how many more there are; `rest` says where."""
    for line in lines[:_SHOWN]:
        note(f"  {line}")
    if len(lines) > _SHOWN:
        note(f"  ... and {len(lines) - _SHOWN:,} more; {rest}")


@contextmanager
def image_progress(
    total: int, *, quiet: bool = False, doing: str = "embedding", unit: str = "images"
) -> Iterator[Callable[[Any], None]]:
    """A bar on stderr with count, images/s (or another unit), time left and failures; call it with each outcome.

    Without a terminal there is no bar.
    """
    if quiet or not total or not sys.stderr.isatty():
        yield lambda _outcome: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from relsim.data.records import Failure

    columns = (
        TextColumn(doing),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("[red]{task.fields[failed]}[/red]"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("", total=total, speed="", failed="")
        started = time.monotonic()
        done = failed = 0

        def advance(outcome: Any) -> None:
            nonlocal done, failed
            done += 1
            failed += isinstance(outcome, Failure)
            # Since the beginning, not over the last moments: outcomes come in bursts, one for each batch.
            rate = done / max(time.monotonic() - started, 1e-3)
            speed = f"{rate:.1f} {unit}/s, {clock((total - done) / rate)} left"
            bar.update(task, advance=1, speed=speed, failed=f"{failed:,} failed" if failed else "")

        yield advance


def clock(seconds: float) -> str:
    """Seconds as `H:MM:SS`, with as many hours as there are."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _terminal_width() -> int:
    """Columns of the terminal; a pipe has no end, for nothing may be folded for a program that reads lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
