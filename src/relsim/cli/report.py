"""`relsim report`: result files of any kind on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relsim.cli.output import emit, note

EXIT_SOME_FAILED = 3


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...",
            help="Triplets, retrieval runs, judges' outputs, calibrations and agreement, studies and their results, "
            "pairs, MTEB, training runs, downloads, similarity spaces, explanations.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path("report.html"),
    title: Annotated[str, typer.Option(metavar="TEXT", help="Its heading.")] = "Results",
) -> None:
    """Put result files of any kind on one page that needs nothing else: tables, figures and pictures are inside.

    Exits with 3 if some files are no results; they are named on the page.
    """
    from relsim.figures.report import write_report

    left_out = write_report(out, results, title=title)
    for reason in left_out.values():
        note(f"relsim: not shown: {reason}")
    emit(f"{out}: {len(results) - len(left_out):,} of {len(results):,} files")
    if left_out:
        raise typer.Exit(EXIT_SOME_FAILED)
