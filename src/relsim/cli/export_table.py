"""`relsim export table`: a vector table for other search engines."""

from __future__ import annotations

import os
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
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the key of a Qdrant server.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Copy a table into LanceDB or Qdrant: vectors, ids, sources, fields and fingerprint.

    A table or collection of that name that is there already is refused; a collection of Qdrant that the same
    command left unfinished is gone on with.
    """
    from relsim.vectors.export import to_lancedb
    from relsim.vectors.qdrant import is_server, to_qdrant
    from relsim.vectors.table import VectorTable

    if to == "lancedb" and "://" in out:
        raise typer.BadParameter("for LanceDB it is a folder", param_hint="--out")
    if api_key_env is not None and (to == "lancedb" or not is_server(out)):
        raise typer.BadParameter("only a Qdrant server takes a key", param_hint="--api-key-env")
    key = None if api_key_env is None else _key_of(api_key_env)
    opened = VectorTable.open(table)
    with image_progress(len(opened), quiet=as_json, doing="copying", unit="vectors") as advance:
        if to == "lancedb":
            rows = to_lancedb(opened, Path(out), name, on_row=advance)
        else:
            try:
                rows = to_qdrant(opened, out, name, key=key, on_row=advance)
            except KeyboardInterrupt:
                raise KeyboardInterrupt("what was copied is kept, run it again to go on") from None
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


def _key_of(variable: str) -> str:
    """The key that an environment variable holds."""
    key = os.environ.get(variable, "").strip()
    if not key:
        # The value may be the key itself, given by mistake, and is not repeated.
        raise typer.BadParameter("no environment variable of that name holds a key", param_hint="--api-key-env")
    return key
