"""`relsim embed`: images into a vector table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options, specs
from relsim.cli.index import build, document, line
from relsim.cli.output import emit, image_progress, note, note_failures, print_json
from relsim.encoders import DEFAULT_ENCODER

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
            help="Decoding threads (default: one per core); with --engine ray, workers that hold the model.",
        ),
    ] = None,
    batch_tokens: Annotated[int, typer.Option(metavar="N", min=1, help="Size of a batch, in tokens.")] = 4096,
    index: Annotated[
        Literal["hnsw", "binary"] | None,
        typer.Option(metavar="hnsw|binary", help="Build an index of the table as well, as `relsim index` does."),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(metavar="local|ray", help="Embed in this process, or by workers of Ray (docs/scale.md)."),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A running Ray, such as auto. Default: one on this machine, for this run."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Embed images into a table; run again to go on.

    Images that are in the table are skipped, images that failed are tried again. Exits with 3 if some failed.
    """
    from relsim.cli.embedding_engines import here, on_ray
    from relsim.data.dataset import ImageDataset
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.vectors.table import VectorTable

    if ray_address is not None and engine != "ray":
        raise typer.BadParameter("it is for --engine ray", param_hint="--ray-address")
    options.check_local(out)
    records = ImageDataset.open(sources, image_folder=image_folder, ids=ids, same_id="refuse").records
    given = options.model_options(checkpoint, base_model, device, dtype, recipe, decode)
    spec = EncoderSpec.parse(encoder)
    if (out / "table.json").exists():
        VectorTable.open(out)  # what is wrong with the table shows before the model is loaded, which can take minutes
    limits: dict[str, Any] = {"part_rows": part_rows, "workers": workers, "budget": batch_tokens}
    with (
        on_ray(spec, given, address=ray_address, **limits)
        if engine == "ray"
        else here(spec, given, **limits) as filler,
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
    built = None if index is None else _index(table, index, quiet=as_json)
    if as_json:
        print_json(_document(table, summary, seconds, built))
    else:
        _report(table, summary, seconds)
        if built is not None:
            emit(line(table, built))
    if summary.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _index(table: VectorTable, kind: str, *, quiet: bool) -> VectorIndex:
    """The table's index of that kind: the one that is there if it still holds for every row, else a new one."""
    from relsim.vectors.index_build import current_index

    return current_index(table, kind) or build(table, kind, quiet=quiet)


def _document(table: VectorTable, summary: BuildSummary, seconds: float, built: VectorIndex | None) -> dict[str, Any]:
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
