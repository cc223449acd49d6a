"""`relsim space`: the similarity space of a query, as a picture and as data."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import emit, image_progress, note, print_json
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder
    from relsim.vectors.query import Query
    from relsim.vectors.view import TableView

EXIT_SOME_FAILED = 3


def space(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="An id of the collection, or an image file.")],
    collection: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION...",
            help="A table that `relsim embed` made, with --attributes; or images to embed with the embedded models.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The picture: .png, .pdf or .svg. Data goes beside it.")
    ],
    attributes: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="A second table of the same images: the axis of looks.")
    ] = None,
    axes: Annotated[
        str,
        typer.Option(
            metavar="published|raw|percentile",
            help="Similarities stretched to 0 to 1, as they are, or as shares of less similar pictures.",
        ),
    ] = "published",
    sample: Annotated[
        int, typer.Option(metavar="N", min=0, help="Pictures to draw from the collection; 0 takes all.")
    ] = 3_000,
    grid: Annotated[str, typer.Option(metavar="CxR", help="Columns and rows of cells.")] = "20x10",
    per_cell: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures that a cell shows.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which pictures are drawn.")] = 0,
    published: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the scores in the published form (xy.json) as well.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="A line above the picture.")] = None,
    image_folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the images of manifests are.")] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Decoding threads. Default: one per core.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show where pictures stand around a query: how they look across, how they work upwards.

    The corners are analogy, literal similarity, mere appearance and anomaly. Writes the picture, and its data as .json
    beside it. Exits with 3 if some images could not be used.
    """
    from relsim.evaluation.result_files import write_json
    from relsim.figures.similarity_space import SpaceSettings, axis_name, make_space, null_scores
    from relsim.figures.space_picture import draw_space
    from relsim.figures.style import save, suffix_of
    from relsim.vectors.query import search_two_axes

    suffix_of(out)
    columns, rows = _grid(grid)
    settings = SpaceSettings(axes, sample or None, columns, rows, per_cell, seed)  # type: ignore[arg-type]  # checked there
    with ExitStack() as stack:
        tables, failed = _tables(collection, attributes, stack, image_folder, workers, quiet=as_json)
        asked, shown = _query(query, tables[0])
        found = search_two_axes(*tables, asked, len(tables[0]), _load)
        for line in found.notes:
            note(f"relsim: {line}")
        made = make_space(
            shown,
            found.hits,  # type: ignore[arg-type]  # two axes give hits with both
            settings=settings,
            names=(axis_name(tables[1]), axis_name(tables[0])),
            nulls=(null_scores(tables[1]), null_scores(tables[0])),
            fingerprints=(tables[1].fingerprint.to_dict(), tables[0].fingerprint.to_dict()),
        )
    save(draw_space(made, title=title), out)
    data = out.with_suffix(".json")
    write_json(data, made.to_json())
    if published is not None:
        write_json(published, made.published_form())
    if as_json:
        print_json(made.to_json())
    else:
        emit(f"{out}: {sum(point.shown for point in made.points):,} of {len(made.points):,} pictures; data in {data}")
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _grid(text: str) -> tuple[int, int]:
    columns, sign, rows = text.partition("x")
    if not (sign and columns.isdigit() and rows.isdigit() and 1 <= int(columns) <= 100 and 1 <= int(rows) <= 100):
        raise typer.BadParameter(
            f"{text!r} is no grid; write columns and rows, 1 to 100, as 20x10", param_hint="--grid"
        )
    return int(columns), int(rows)


def _tables(
    collection: list[str],
    attributes: Path | None,
    stack: ExitStack,
    image_folder: Path | None,
    workers: int | None,
    *,
    quiet: bool,
) -> tuple[tuple[TableView, TableView], int]:
    """The tables of relation and of look, and how many images could not be used."""
    from relsim.vectors.table import VectorTable

    first = Path(collection[0])
    if (first / "table.json").is_file():
        if attributes is None or len(collection) > 1:
            raise RelsimError(
                f"{first} is a table of one axis; name one table, and that of looks with --attributes TABLE"
            )
        return (VectorTable.open(first), VectorTable.open(attributes)), 0
    if attributes is not None:
        raise RelsimError(f"{first} is no table, and --attributes needs one beside it; leave it away to embed images")
    from relsim.data.dataset import ImageDataset
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.retrieval_tables import fill_tables
    from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES

    records = ImageDataset.open(collection, image_folder=image_folder, same_id="refuse").records
    models = [EncoderSpec(name, "relational", {"checkpoint_dir": name}) for name in (DEFAULT, DEFAULT_ATTRIBUTES)]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relsim-space-")))
    filled = fill_tables(
        folder,
        records,
        models,
        specs.load_spec,
        workers=workers,
        progress=lambda name, total: image_progress(total, quiet=quiet, doing=f"embedding with {name}"),
    )
    failures = filled[DEFAULT].summary.failures
    for failure in failures:
        note(f"  {failure.record.image_id}: {failure.reason} ({failure.status.value})")
    return (filled[DEFAULT].table, filled[DEFAULT_ATTRIBUTES].table), len(failures)


def _query(query: str, table: TableView) -> tuple[Query, Any]:
    """What is asked, and how the space names it. A file that is in the table is asked for by its id."""
    from relsim.figures.similarity_space import Query as Shown
    from relsim.vectors.query import Query, QueryKind

    asked = Query.parse(query, table)
    if asked.kind is QueryKind.TEXT:
        raise RelsimError("a sentence says nothing of looks: a similarity space needs an id or an image")
    ids = list(table.ids)
    if asked.kind is QueryKind.ID:
        (record,) = table.records([table.positions[asked.value]]) if asked.value in table else (None,)
        return asked, Shown(asked.value, record.source if record else "")
    path = str(Path(query).expanduser().resolve())
    sources = [record.source for record in table.records(range(len(ids)))]
    if path in sources:
        asked = Query(QueryKind.ID, ids[sources.index(path)])
    return asked, Shown(query, path)


def _load(origin: Mapping[str, Any]) -> AnyEncoder:
    return options.encoder_of(origin, {})
