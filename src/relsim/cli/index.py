"""`relsim index`: an approximate index of a large table, with its recall measured on the table's own vectors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options
from relsim.cli.output import clock, emit, note, print_json

if TYPE_CHECKING:
    from relsim.vectors.index_search import VectorIndex
    from relsim.vectors.view import TableView

_SMALL = 100_000
_PANEL = "Settings of the index"


def index(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table that `relsim embed` made.")],
    kind: Annotated[
        Literal["hnsw", "binary"],
        typer.Option(metavar="hnsw|binary", help="A graph of neighbours: fast; or a bit for each number: small."),
    ] = "hnsw",
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows that are asked for, to measure the recall.")
    ] = 256,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which rows these are.")] = 0,
    shortlist: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Rows compared exactly for ten matches. Default: 48; binary: 400, or more for the recall.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    connectivity: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="hnsw: links of a row. Default: 16.", rich_help_panel=_PANEL)
    ] = None,
    expansion_add: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="hnsw: rows looked at to link one. Default: 128.", rich_help_panel=_PANEL
        ),
    ] = None,
    expansion_search: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="hnsw: rows looked at in a search. Default: 192, or more for the recall.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Build an index beside a large table, and measure how much of the exact search it finds.

    `relsim search` uses it from then on. Vectors that are added later are searched exactly until it is built again.
    `relsim embed --index` does that, by the settings given here, when they are more than a tenth.
    """
    from relsim.vectors.table import VectorTable

    settings = {
        "shortlist": shortlist,
        "connectivity": connectivity,
        "expansion_add": expansion_add,
        "expansion_search": expansion_search,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    opened = VectorTable.open(table)
    built = build(opened, kind, quiet=as_json, queries=queries, seed=seed, **given)
    if as_json:
        print_json({"schema": "relsim.index/1", "table": str(table), "index": document(built)})
    else:
        emit(line(opened, built))


def build(table: TableView, kind: str, *, quiet: bool, **settings: int) -> VectorIndex:
    """Build an index and tell on stderr how far it is."""
    from relsim.vectors.index_build import build_index

    total, started, told = len(table), time.monotonic(), 0

    def tell(done: int) -> None:
        nonlocal told
        if not quiet and total >= _SMALL and done * 10 // total > told:
            told = done * 10 // total
            left = (time.monotonic() - started) * (total - done) / done
            note(f"{done:,} of {total:,} rows, {clock(left)} left")

    try:
        built = build_index(table, kind, on_rows=tell, **settings)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the index that was there, if any, stays; run it again to build one") from None
    if not quiet and total < _SMALL:
        note(f"{total:,} rows are searched exactly in a moment; an index pays from about a million")
    return built


def document(built: VectorIndex) -> dict[str, Any]:
    """What documents tell of an index: its own document without the list of parts."""
    facts = built.facts.to_json()
    return {name: value for name, value in facts.items() if name not in {"format", "version", "parts", "fingerprint"}}


def line(table: TableView, built: VectorIndex) -> str:
    """What people are told of an index."""
    facts, mib = built.facts, 2**20
    newer = len(table) - built.covered
    return (
        f"{table.path}: index {facts.kind} of {facts.rows:,} rows in {facts.seconds:.1f} s, "
        f"{facts.bytes / mib:,.1f} MiB, {facts.memory / mib:,.1f} MiB while searching; recall@{facts.recall.k} "
        f"{facts.recall.value:.4f} over {facts.recall.queries} queries (the worst {facts.recall.lowest:.2f})"
        + (f"; {newer:,} newer rows are searched exactly until `relsim index` builds it again" if newer else "")
    )
