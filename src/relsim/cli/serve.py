"""`relsim serve`: the page and its JSON API, over tables or over a drawn collection."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import emit, image_progress, note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relsim.web.datasets import Dataset
    from relsim.web.extras import Extras
    from relsim.web.jobs import Jobs
    from relsim.web.library import Library

_SERVER, _VIEWS = "Server", "More views"
_TOKEN = "RELSIM_TOKEN"
_MIB = 2**20


def serve(
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TABLE]",
            help="A table that `relsim embed` made. Default: a drawn collection, made when first needed.",
        ),
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="A second table of the same images: the axis of looks.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What the page calls the collection.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A list of images (seed groups, a manifest) or a folder of shards or images, to look through and to "
            "correct captions; again for more.",
            rich_help_panel=_VIEWS,
        ),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A run of `relsim evaluate retrieval` (its folder, retrieval.json or retrieved_images.json), with "
            "judged.json of `relsim judge` beside it where that is there; again for more.",
            rich_help_panel=_VIEWS,
        ),
    ] = None,
    image_folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where pictures of --results are; without it, or for those that are not in it, the table knows.",
            rich_help_panel=_VIEWS,
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A study that `relsim study new` made, for people to answer.",
            rich_help_panel=_VIEWS,
        ),
    ] = None,
    study_results: Annotated[
        bool,
        typer.Option(
            "--study-results",
            help="Let whoever opens the page see the study's results while it goes on, not only when all is answered.",
            rich_help_panel=_VIEWS,
        ),
    ] = False,
    jobs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder in which whoever opens the page may start embedding and downloading: of the folders and "
            "lists in it and of --data, into new folders in it.",
            rich_help_panel=_VIEWS,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen.", rich_help_panel=_SERVER)
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", "-p", metavar="N", min=0, max=65_535, help="0 takes a free one.", rich_help_panel=_SERVER
        ),
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Who asks must know it. Default: $RELSIM_TOKEN, which is printed nowhere; else one is made up where "
            "others can reach --host.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    server_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers may call the server.", rich_help_panel=_SERVER),
    ] = None,
    max_upload: Annotated[
        int, typer.Option(metavar="MIB", min=1, help="Largest picture that is received.", rich_help_panel=_SERVER)
    ] = 32,
    log_requests: Annotated[
        bool,
        typer.Option(
            "--log-requests", help="A line of JSON on stderr for each request and warning.", rich_help_panel=_SERVER
        ),
    ] = False,
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Open a page to look at a collection: search by picture or sentence, on one axis or two.

    Without a table it draws a small collection whose relations are known. It listens on this machine alone unless told
    otherwise, and stops at Ctrl-C.
    """
    try:
        from relsim.web.app import create_app
        from relsim.web.server import address, listen
        from relsim.web.server import serve as run
        from relsim.web.settings import ServerSettings, is_loopback
    except ImportError as error:
        from relsim.errors import MissingExtraError

        raise MissingExtraError(error.name or "fastapi", "web", "the page") from error
    from relsim.web.models import Models
    from relsim.web.sitting import Sitting

    # Children, such as jobs, have no need of it.
    secret = os.environ.pop(_TOKEN, None) or None
    if token is None and secret is None and not is_loopback(host):
        token = secrets.token_urlsafe(18)
    settings = ServerSettings(
        host=host, port=port, token=token or secret, names=tuple(server_name or ()), max_upload_bytes=max_upload * _MIB
    )
    check_tables(table, attributes)
    listening = listen(settings)
    with listening:
        library = open_library(table, attributes, name)
        if (why_not := library.take_index()) is not None:
            note(f"relsim: {why_not}")
        given = options.model_options(checkpoint, base_model, device, dtype, None)
        models = Models(library, given)
        extras = view_extras(data or [], results or [], image_folder)
        if study is not None:
            extras = replace(extras, study=Sitting.open(study, results=study_results))
        if jobs is not None:
            extras = replace(extras, jobs=_jobs(jobs, library, given, extras.data))
        app = create_app(library, models, settings, extras)
        where = address(settings, listening, with_token=token is not None)
        emit(f"{library.name}: {len(library):,} images at {where}")
        if token is None and secret is not None:
            note(f"the first visit needs the token: {where}/?token=…, with what {_TOKEN} has")
        if study is not None:
            opened = "now" if study_results else "when all is answered; until then see relsim study results"
            note(f"what people answer is counted in the view #/study/results, which is open {opened}")
        note("Ctrl-C stops it")
        run(app, listening, log_requests=log_requests)


def view_extras(data: list[Path], results: list[Path], image_folder: Path | None, *, quiet: bool = False) -> Extras:
    """Lists and retrieval runs, opened; what takes a while is shown on stderr unless `quiet`."""
    from relsim.cli.data import progress, report_bad_lines
    from relsim.web.datasets import open_datasets
    from relsim.web.extras import Extras
    from relsim.web.results import Results

    return Extras(
        data=open_datasets(data, progress=progress(quiet=quiet), reporter=report_bad_lines),
        results=Results(results, image_folder) if results else None,
    )


def _jobs(folder: Path, library: Library, given: dict[str, str], data: Mapping[str, Dataset]) -> Jobs:
    """Jobs with the encoders of the collection, made as those of the page are."""
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.web.jobs import Jobs

    tables = {"relation": library.relation, "look": library.look}
    axes = {axis: table for axis, table in tables.items() if table is not None}
    return Jobs(
        folder,
        encoders={axis: EncoderSpec.of({**table.origin, **given}).label for axis, table in axes.items()},
        sources={name: one.inventory.path for name, one in data.items() if one.inventory.path is not None},
        watched={f"the collection ({axis})": table.path for axis, table in axes.items()},
    )


def check_tables(table: Path | None, attributes: Path | None) -> None:
    """Refuse a table of looks alone."""
    if table is None and attributes is not None:
        raise typer.BadParameter("--attributes needs a table of relations beside it")


def open_library(table: Path | None, attributes: Path | None, name: str | None) -> Library:
    """The tables as a library; without one the drawn collection, from the cache where an earlier call has put it."""
    from relsim.web.library import Library

    if table is not None:
        return Library.open(table, attributes, name=name)
    from relsim.demo.collection import drawn_collection

    made = drawn_collection(_watch)
    return Library.open(made.relation, made.look, name=name or "drawn world")


def _watch(total: int) -> Any:
    return image_progress(total, quiet=False)
