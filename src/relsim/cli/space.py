"""`relsim space`: the similarity space of a query, as a picture and as data."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import emit, image_progress, note, note_failures, print_json
from relsim.data.identity import printable
from relsim.errors import RelsimError
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES

if TYPE_CHECKING:
    from relsim.data.records import ImageRecord
    from relsim.encoders.base import AnyEncoder
    from relsim.vectors.query import Query
    from relsim.vectors.view import TableView

EXIT_SOME_FAILED = 3
_TABLES = "tables"


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
    image_folder: options.ImageFolder = None,
    tables: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where vectors of images are kept for the next call, as `relsim evaluate retrieval` keeps them. "
            "Default: tables, beside the picture.",
        ),
    ] = None,
    workers: options.Workers = None,
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
    data = out.with_suffix(".json")
    written = [path for path in (out, data, published) if path is not None]
    for path in written:
        options.check_target(path, [query, *collection], example="space.png")
    options.check_document(data, "space")
    if published is not None:
        options.check_document(published, "xy")
    found = _collection(collection, attributes, image_folder)
    _spare(written, found.records)
    asked, shown = _query(query, found)
    both, failed = found.tables, 0
    if both is None:
        both, failed = _embedded(found.records, tables or out.parent / _TABLES, workers, quiet=as_json)
    matches = search_two_axes(*both, asked, len(both[0]), _load)
    for line in matches.notes:
        note(f"relsim: {line}")
    known = {record.image_id for record in found.records}  # tables that are kept may hold more
    made = make_space(
        shown,
        [hit for hit in matches.hits if hit.image_id in known],  # type: ignore[misc]  # two axes give hits with both
        settings=settings,
        names=(axis_name(both[1]), axis_name(both[0])),
        nulls=(null_scores(both[1]), null_scores(both[0])),
        fingerprints=(both[1].fingerprint.to_dict(), both[0].fingerprint.to_dict()),
    )
    save(draw_space(made, title=title), out)
    write_json(data, made.to_json())
    if published is not None:
        write_json(published, made.published_form())
    if as_json:
        print_json(made.to_json())
    else:
        emit(f"{out}: {sum(point.shown for point in made.points):,} of {len(made.points):,} pictures; data in {data}")
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@dataclass(frozen=True, slots=True)
class _Collection:
    """Pictures, the ids of those that failed before, and the tables of relation and of look where they are there."""

    records: Sequence[ImageRecord]
    failed: frozenset[str] = frozenset()
    tables: tuple[TableView, TableView] | None = None


def _grid(text: str) -> tuple[int, int]:
    columns, sign, rows = text.partition("x")
    if not (sign and columns.isdigit() and rows.isdigit() and 1 <= int(columns) <= 100 and 1 <= int(rows) <= 100):
        raise typer.BadParameter(
            f"{text!r} is no grid; write columns and rows, 1 to 100, as 20x10", param_hint="--grid"
        )
    return int(columns), int(rows)


def _collection(collection: list[str], attributes: Path | None, image_folder: str | None) -> _Collection:
    from relsim.data.dataset import ImageDataset
    from relsim.vectors.table import VectorTable

    first = Path(collection[0])
    if (first / "table.json").is_file():
        if attributes is None or len(collection) > 1:
            raise RelsimError(
                f"{first} is a table of one axis; name one table, and that of looks with --attributes TABLE"
            )
        both = VectorTable.open(first), VectorTable.open(attributes)
        failed = frozenset(failure.record.image_id for failure in both[0].failures())
        return _Collection(both[0].records(range(len(both[0]))), failed, both)
    if attributes is not None:
        raise RelsimError(f"{first} is no table, and --attributes needs one beside it; leave it away to embed images")
    return _Collection(ImageDataset.open(collection, image_folder=image_folder, same_id="refuse").records)


def _spare(written: Sequence[Path], records: Sequence[ImageRecord]) -> None:
    """Refuse to write over a picture of the collection."""
    sources = {record.source for record in records}
    for path in written:
        if os.path.abspath(path) in sources:  # noqa: PTH100 - as sources are made
            raise RelsimError(f"{path} is a picture of the collection; --out names another file")


def _query(query: str, found: _Collection) -> tuple[Query, Any]:
    """What is asked, and how the space names it, found before anything is embedded.

    A file of the collection is asked for by its id. Raises `RelsimError`, and `ImageError` for what is no picture.
    """
    from relsim.data.images import read_image
    from relsim.data.records import ImageRecord
    from relsim.errors import ImageError
    from relsim.figures.similarity_space import Query as Shown
    from relsim.vectors.query import Query, QueryKind

    sources = {record.image_id: record.source for record in found.records}
    path = os.path.abspath(os.path.expanduser(query))  # noqa: PTH100, PTH111 - Path raises for an unknown user's home
    by_source = {source: image_id for image_id, source in sources.items()}
    if query in sources or query in found.failed:  # of one that failed the search says why it has no vector
        asked = Query(QueryKind.ID, query)
    elif path in by_source:
        asked = Query(QueryKind.ID, by_source[path])
    elif Path(path).is_file():
        asked = Query(QueryKind.IMAGE, query)
    else:
        near = difflib.get_close_matches(query, sources, 3) or sorted(sources)[:3]
        raise RelsimError(
            f"{printable(query)} is neither an id of the collection nor an image file, and a sentence says nothing of "
            f"looks; there are {len(sources):,} ids, such as {printable(', '.join(near)) or 'none'}"
        )
    source = sources.get(asked.value, path) if asked.kind is QueryKind.ID else path
    if found.tables is None or asked.kind is QueryKind.IMAGE:
        try:
            read_image(ImageRecord(query, source))
        except ImageError as error:
            raise ImageError(error.status, f"{query}: {error.reason}") from error
    return asked, Shown(asked.value, source)


def _embedded(
    records: Sequence[ImageRecord], folder: Path, workers: int | None, *, quiet: bool
) -> tuple[tuple[TableView, TableView], int]:
    """Tables of relation and of look by the embedded models, kept in a folder, and how many images failed."""
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.retrieval_tables import fill_tables

    models = [EncoderSpec(name, "relational", {"checkpoint_dir": name}) for name in (DEFAULT, DEFAULT_ATTRIBUTES)]
    try:
        filled = fill_tables(
            folder,
            records,
            models,
            specs.load_spec,
            workers=workers,
            progress=lambda name, total: image_progress(total, quiet=quiet, doing=f"embedding with {name}"),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished parts are kept, run it again to go on") from None
    embedded = ", ".join(f"{one.summary.embedded:,} embedded by {name}" for name, one in filled.items())
    note(f"{embedded}; vectors are in {folder}")
    failures = filled[DEFAULT].summary.failures
    note_failures(failures)
    return (filled[DEFAULT].table, filled[DEFAULT_ATTRIBUTES].table), len(failures)


def _load(origin: Mapping[str, Any]) -> AnyEncoder:
    return options.encoder_of(origin, {})
