"""`relsim embed`: images into a vector table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options, ray_engines, specs
from relsim.cli.index import build, document, line
from relsim.cli.output import emit, image_progress, note, note_failures, print_json
from relsim.encoders import DEFAULT_ENCODER
from relsim.errors import RelsimError, TableError

if TYPE_CHECKING:
    from relsim.vectors.build import BuildSummary
    from relsim.vectors.index_search import VectorIndex
    from relsim.vectors.table import VectorTable

EXIT_SOME_FAILED = 3


def embed(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCES", help=options.SOURCES_HELP),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="TABLE", help="Folder of the table, new or to be continued.")
    ],
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    decode: options.Decode = "exact",
    encoder: specs.One = DEFAULT_ENCODER,
    image_folder: options.ImageFolder = None,
    ids: Annotated[
        Literal["relative", "stem"],
        typer.Option(metavar="relative|stem", help="Name images by their path below the source, or by file stem."),
    ] = "relative",
    part_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images that are stored together; what a kill may cost.")
    ] = 256,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Decoding threads (default: one per core); with --engine ray, the same as --ray-workers.",
        ),
    ] = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Size of a batch, in tokens. Default: 4,096; on cuda 17,500."),
    ] = None,
    index: Annotated[
        Literal["hnsw", "binary"] | None,
        typer.Option(metavar="hnsw|binary", help="Build an index of the table as well, as `relsim index` does."),
    ] = None,
    engine: ray_engines.Engine = "local",
    ray_address: ray_engines.Address = None,
    ray_workers: ray_engines.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Embed images into a table; run again to go on.

    Images that are in the table are skipped, images that failed are tried again. Exits with 3 if some failed.
    """
    from relsim.cli.embedding_engines import here, on_ray
    from relsim.data.dataset import ImageDataset
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.vectors.index_kinds import KINDS
    from relsim.vectors.table import VectorTable

    where = ray_engines.Where(engine, ray_address, ray_workers)
    if workers is not None and ray_workers is not None:
        raise typer.BadParameter("with --ray-workers it has nothing left to say", param_hint="--workers")
    options.check_local(out)
    records = ImageDataset.open(sources, image_folder=image_folder, ids=ids, same_id="refuse").records
    given = options.model_options(checkpoint, base_model, device, dtype, recipe, decode)
    spec = EncoderSpec.parse(encoder)
    if index is not None:
        KINDS[index].made_by()  # what it needs is asked for now, not after hours of embedding
    if (out / "table.json").exists():
        VectorTable.open(out)  # what is wrong with the table shows before the model is loaded, which can take minutes
    limits: dict[str, Any] = {"part_rows": part_rows, "workers": workers, "budget": batch_tokens}
    with (
        on_ray(spec, given, where=where, **limits) if where.on_ray else here(spec, given, **limits) as filler,
        VectorTable.open_or_create(out, filler.fingerprint, filler.dimension, origin=filler.origin) as table,
    ):
        started = time.monotonic()
        missing = sum(record.image_id not in table for record in records)
        try:
            with image_progress(missing, quiet=as_json) as advance:
                summary = filler.fill(table, records, advance)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("finished parts are kept, run it again to go on") from None
        seconds = time.monotonic() - started
    _conclude(table, summary, seconds, index, as_json=as_json)
    if summary.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _conclude(table: VectorTable, summary: BuildSummary, seconds: float, index: str | None, *, as_json: bool) -> None:
    """Tell what was embedded, and build the index if one is asked for, which may take hours and may fail."""
    if not as_json:
        _report(table, summary, seconds)
    built: VectorIndex | None = None
    problem: RelsimError | KeyboardInterrupt | None = None
    if index is not None:
        try:
            built = _index(table, index, quiet=as_json)
        except RelsimError as error:
            problem = TableError(f"the images are in the table, but its index was not built: {error}")
        except KeyboardInterrupt as error:
            problem = error
    if as_json:
        print_json(_document(table, summary, seconds, built, problem))
    elif built is not None:
        emit(line(table, built))
    if problem is not None:
        raise problem


def _index(table: VectorTable, kind: str, *, quiet: bool) -> VectorIndex:
    """The table's index of that kind, if it holds for nearly all rows; else a new one, by the settings of that."""
    from relsim.vectors.index_build import current_index, settings_there

    return current_index(table, kind) or build(table, kind, quiet=quiet, **settings_there(table, kind))


def _document(
    table: VectorTable,
    summary: BuildSummary,
    seconds: float,
    built: VectorIndex | None,
    problem: BaseException | None,
) -> dict[str, Any]:
    return {
        "schema": "relsim.embed/1",
        "table": str(table.path),
        "rows": len(table),
        "images": summary.total,
        "embedded": summary.embedded,
        "skipped": summary.skipped,
        "failed": summary.reasons,
        "failures": [
            {
                "image_id": failure.record.image_id,
                "source": failure.record.source,
                "status": failure.status.value,
                "reason": failure.reason,
            }
            for failure in summary.failures
        ],
        "seconds": round(seconds, 3),
        "index": None if built is None else document(built),
        "index_problem": None if problem is None else str(problem),
        "fingerprint": table.fingerprint.to_dict(),
    }


def _report(table: VectorTable, summary: BuildSummary, seconds: float) -> None:
    speed = f" in {seconds:.1f} s ({summary.embedded / seconds:.1f} images/s)" if summary.embedded and seconds else ""
    there = f", {summary.skipped:,} were there" if summary.skipped else ""
    emit(f"{table.path}: {summary.embedded:,} embedded{speed}{there}; {len(table):,} rows in the table")
    if not summary.failures:
        return
    note(f"{len(summary.failures):,} failed: " + ", ".join(f"{n:,} {reason}" for reason, n in summary.reasons.items()))
    note_failures(summary.failures)
