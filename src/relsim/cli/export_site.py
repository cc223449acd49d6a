"""`relsim export site`: the page of a collection and of retrieval runs as static files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relsim.cli import options
from relsim.cli.output import emit, image_progress, print_json

_MIB = 2**20


def export_site(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The new folder.")],
    table: Annotated[
        Path | None,
        typer.Argument(metavar="[TABLE]", help="A table that `relsim embed` made. Default: the drawn collection."),
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="A second table of the same images: the axis of looks.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What the page calls the collection.")] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A run of `relsim evaluate retrieval`, as for `serve`; again for more."),
    ] = None,
    image_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where pictures of --results are, as for `serve`.")
    ] = None,
    matches: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="Matches of each picture.")] = 24,
    spaces: Annotated[
        int, typer.Option(metavar="N", min=0, help="Pictures that have a similarity space: the first ones.")
    ] = 100,
    points: Annotated[int, typer.Option(metavar="N", min=1, max=3_000, help="Pictures in a similarity space.")] = 200,
    as_json: options.AsJson = False,
) -> None:
    """Write the page of a collection as files that need no server.

    They open from a disk or from any web host: pictures and what is most alike to each, similarity spaces, the map, and
    retrieval runs. Questions with pictures or sentences of one's own need `relsim serve`.
    """
    from relsim.cli.serve import check_tables, open_library

    try:
        from relsim.web.site import SiteOptions, write_site
    except ImportError as error:
        from relsim.errors import MissingExtraError

        raise MissingExtraError(error.name or "fastapi", "web", "the page") from error
    from relsim.web.results import Results

    check_tables(table, attributes)
    library = open_library(table, attributes, name)
    runs = Results(results, image_folder) if results else None
    total = len(library) + sum(len(run.queries) for run in (runs.runs if runs else ()))
    with image_progress(total, quiet=as_json, doing="recording") as advance:
        made = write_site(
            out,
            library,
            results=runs,
            options=SiteOptions(matches=matches, spaces=spaces, points=points),
            tick=lambda: advance(1),
        )
    if as_json:
        print_json({"schema": "relsim.site/1", "out": str(out), **{key: getattr(made, key) for key in made.__slots__}})
        return
    emit(f"{out / 'index.html'}: {made.images:,} images, {made.runs:,} runs, {made.bytes / _MIB:.1f} MiB")
    if made.missing:
        emit(f"{made.missing:,} pictures cannot be shown")
