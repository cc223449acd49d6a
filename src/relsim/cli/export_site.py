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
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A list of images, or a folder of shards or images; again for more."),
    ] = None,
    images: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images of the collection: the first ones, among which matches are.")
    ] = 5_000,
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of each list: the first ones.")] = 10_000,
    matches: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="Matches of each picture.")] = 24,
    spaces: Annotated[
        int, typer.Option(metavar="N", min=0, help="Pictures that have a similarity space: the first ones.")
    ] = 100,
    points: Annotated[int, typer.Option(metavar="N", min=1, max=3_000, help="Pictures in a similarity space.")] = 200,
    as_json: options.AsJson = False,
) -> None:
    """Write the page of a collection as files that need no server.

    They open from a disk or from any web host: pictures and what is most alike to each, similarity spaces, the map,
    lists with their filters, and retrieval runs. Questions with pictures or sentences of one's own, and corrections,
    need `relsim serve`. What is left out of a large collection or list is told here and on the page.
    """
    from relsim.cli.serve import check_tables, open_library, view_extras

    try:
        from relsim.web.site import SiteOptions, write_site
    except ImportError as error:
        from relsim.errors import MissingExtraError

        raise MissingExtraError(error.name or "fastapi", "web", "the page") from error
    check_tables(table, attributes)
    library = open_library(table, attributes, name)
    extras = view_extras(data or [], results or [], image_folder, quiet=as_json)
    runs = extras.results.runs if extras.results else ()
    total = min(len(library), images) + sum(len(run.queries) for run in runs)
    total += sum(min(len(one), rows) for one in extras.data.values())
    with image_progress(total, quiet=as_json, doing="recording") as advance:
        made = write_site(
            out,
            library,
            results=extras.results,
            data=extras.data,
            options=SiteOptions(images=images, matches=matches, spaces=spaces, points=points, rows=rows),
            tick=lambda: advance(1),
        )
    if as_json:
        print_json({"schema": "relsim.site/1", "out": str(out), **{key: getattr(made, key) for key in made.__slots__}})
        return
    parts = f"{made.images:,} images, {made.lists:,} lists of {made.rows:,} rows, {made.runs:,} runs"
    emit(f"{out / 'index.html'}: {parts}, {made.bytes / _MIB:.1f} MiB")
    if made.images_left_out:
        emit(f"the last {made.images_left_out:,} images of the collection are left out (--images)")
    for one in extras.data.values():
        if len(one) > rows:
            emit(f"the last {len(one) - rows:,} rows of {one.name} are left out (--rows)")
    if made.missing:
        emit(f"{made.missing:,} pictures cannot be shown")
