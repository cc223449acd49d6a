"""`relsim export table`: a vector table for other search engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from relsim.cli import options
from relsim.cli.output import emit, image_progress, print_json


def export_table(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table that `relsim embed` made.")],
    to: Annotated[Literal["lancedb", "qdrant"], typer.Option(metavar="lancedb|qdrant", help="What is to read it.")],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="DIR|URL", help="A folder; for Qdrant also the URL of a server.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What the table or collection is called there.")] = "relsim",
    as_json: options.AsJson = False,
) -> None:
    """Copy a table into LanceDB or Qdrant: vectors, ids, sources, fields and fingerprint.

    A table or collection of that name that is there already is refused.
    """
    from relsim.vectors.export import to_lancedb, to_qdrant
    from relsim.vectors.table import VectorTable

    if to == "lancedb" and "://" in out:
        raise typer.BadParameter("for LanceDB it is a folder", param_hint="--out")
    opened = VectorTable.open(table)
    with image_progress(len(opened), quiet=as_json, doing="copying", unit="vectors") as advance:
        if to == "lancedb":
            rows = to_lancedb(opened, Path(out), name, on_row=advance)
        else:
            rows = to_qdrant(opened, out, name, on_row=advance)
    if as_json:
        print_json(
            {
                "schema": "relsim.export_table/1",
                "table": str(table),
                "to": to,
                "out": out,
                "name": name,
                "rows": rows,
                "fingerprint": opened.fingerprint.to_dict(),
            }
        )
    else:
        emit(f"{out}: {rows:,} rows in {name}")
