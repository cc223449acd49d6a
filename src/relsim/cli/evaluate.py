"""`relsim evaluate triplets`: does an encoder see the relation where looks say otherwise?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options, specs
from relsim.cli.output import image_progress, note, note_failures, print_json, print_rows
from relsim.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relsim.data.records import ImageRecord
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.triplet_runs import TripletRun
    from relsim.evaluation.triplets import Triplet

EXIT_SOME_FAILED = 3


def triplets(
    place: Annotated[
        Path, typer.Argument(metavar="FOLDER|MANIFEST", help="A manifest (.jsonl), the folder of one, or shards.")
    ],
    encoder: specs.One = DEFAULT_ENCODER,
    count: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Make N triplets of each kind from relation labels. Default: those in triplets.jsonl, else 1,000.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which triplets are made.")] = 0,
    by: Annotated[
        Literal["family", "relation"], typer.Option(metavar="family|relation", help="Rows of the table.")
    ] = "family",
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    image_folder: options.ImageFolder = None,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure how often the image with the anchor's relation is nearer than one with another relation.

    In conflict triplets only the other one looks like the anchor. Exits with 3 if some images could not be used.
    """
    from relsim.data.dataset import ImageDataset
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.triplet_runs import find_manifest, find_triplets

    manifest = find_manifest(place)
    records = ImageDataset.open([manifest], image_folder=image_folder).records
    chosen = find_triplets(manifest, records, count=count, seed=seed)
    given = options.model_options(checkpoint, base_model, device, dtype, recipe)
    run = _run(records, chosen, EncoderSpec.parse(encoder), given, workers=workers, quiet=as_json)
    if as_json:
        print_json(_document(run, manifest))
    else:
        columns, *rows = run.report.rows(by)
        print_rows(columns, rows)
        _report(run)
    if run.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _run(
    records: Sequence[ImageRecord],
    chosen: Sequence[Triplet],
    spec: EncoderSpec,
    given: Mapping[str, Any],
    *,
    workers: int | None,
    quiet: bool,
) -> TripletRun:
    """By an encoder, or by a measure of pairs."""
    from relsim.encoders.registry import PAIRWISE
    from relsim.evaluation.triplet_runs import distinct_pairs, measure_triplets, records_of, run_triplets

    if spec.name in PAIRWISE:
        pairwise = specs.load_measure(spec, given)
        with image_progress(len(distinct_pairs(records, chosen)), quiet=quiet, doing="measuring") as advance:
            return measure_triplets(records, chosen, pairwise, workers=workers, on_measured=advance)
    encoder, _ = specs.load_spec(spec, given)
    with image_progress(len(records_of(records, chosen)), quiet=quiet) as advance:
        return run_triplets(records, chosen, encoder, workers=workers, on_outcome=advance)


def _document(run: TripletRun, manifest: Path) -> dict[str, Any]:
    document = run.to_json()
    return {"schema": document.pop("schema"), "manifest": str(manifest), **document}


def _report(run: TripletRun) -> None:
    """Tell what could not be used."""
    if run.report.missing:
        note(
            f"{run.report.missing:,} triplets left out: a picture of theirs could not be used or is not in the manifest"
        )
    note_failures(run.failures)
