"""Printing: tables and JSON to stdout, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relsim.vectors.build import Progress
    from relsim.vectors.query import Found


def print_json(content: Any) -> None:
    """One JSON document to stdout."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[str] = ()) -> None:
    """A table to stdout, as wide as its content where the terminal allows; `numeric` columns are set right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        is_number = column in numeric
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # A pipe has no width: nothing may be folded for a program that reads lines.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=10_000)
    console.print(table)


def print_hits(found: Found) -> None:
    """Search results to stdout: one row a match, with both axes where there are two."""
    if not found.hits:
        note("nothing found")
        return
    axes = [name for name in ("relational", "attribute") if hasattr(found.hits[0], name)]
    columns = ["rank", "score", *axes, "image"]
    rows = [
        [str(hit.rank), *(f"{getattr(hit, name):.4f}" for name in ("score", *axes)), hit.image_id] for hit in found.hits
    ]
    print_table(columns, rows, numeric=columns[:-1])


def note(text: str) -> None:
    """A line for the person at the terminal, to stderr."""
    sys.stderr.write(text + "\n")


@contextmanager
def image_progress(total: int, *, quiet: bool = False) -> Iterator[Progress]:
    """A bar on stderr with count, images/s, failures and time left; call the result with each outcome.

    Without a terminal there is no bar.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _outcome: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from relsim.data.records import Failure

    columns = (
        TextColumn("embedding"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, rate="", failed="")
        failed = 0

        def advance(outcome: Any) -> None:
            nonlocal failed
            failed += isinstance(outcome, Failure)
            bar.advance(task)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(
                task,
                rate=f"{speed:.1f} images/s" if speed else "",
                failed=f"[red]{failed} failed[/red]" if failed else "",
            )

        yield advance
