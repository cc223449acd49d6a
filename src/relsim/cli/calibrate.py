"""`relsim calibrate`: give a checkpoint the scores of unrelated pairs, so that `score` can say what a score means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import emit, image_progress, note_failures, print_json

EXIT_SOME_FAILED = 3


def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A folder of yours: a run's, or a download's.")],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="COLLECTION...", help="Manifests or shards with relations, groups or captions."),
    ],
    pairs: Annotated[
        int, typer.Option(metavar="N", min=1_000, help="Unrelated pairs to score; they may repeat.")
    ] = 100_000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which pairs are drawn.")] = 0,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    image_folder: options.ImageFolder = None,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure how a checkpoint scores unrelated images, and keep that beside it.

    `relsim score` then says above how many unrelated pairs a score stands, and `model.percentile` in Python. Unrelated
    are images of different relations or groups, or, where the rows name neither, with different captions. Only
    relsim.json in the folder changes; weights, fingerprint and tables made with the checkpoint stay as they are. Use
    images that training has not seen. Exits with 3 if some images could not be used.
    """
    from relsim.data.dataset import ImageDataset
    from relsim.errors import CheckpointError
    from relsim.evaluation.calibrating import calibrate as measure
    from relsim.evaluation.triplet_runs import find_manifest
    from relsim.models.metadata import write_null_distribution

    if not folder.is_dir():
        raise CheckpointError(
            f"there is no folder {folder}; a checkpoint that shall be written to is a folder of yours"
        )
    manifests = [find_manifest(Path(source)) if Path(source).is_dir() else source for source in sources]
    records = ImageDataset.open(manifests, image_folder=image_folder).records
    model = options.load_model(options.model_options(str(folder), base_model, device, dtype, recipe))
    with image_progress(len(records), quiet=as_json) as advance:
        found = measure(records, model.encoder, pairs=pairs, seed=seed, workers=workers, on_outcome=advance)
    write_null_distribution(folder, found.null)
    if as_json:
        print_json(
            {
                "schema": "relsim.calibration/1",
                "checkpoint": str(folder),
                "pictures": found.pictures,
                "labels": found.labels,
                "pairs": pairs,
                "null_distribution": found.null,
            }
        )
    else:
        middle, high = (_score_at(found.null, share) for share in (50, 99))
        emit(f"{found.pictures:,} images with {found.labels:,} labels, {pairs:,} unrelated pairs")
        emit(f"half of them score below {middle:.3f}, 99 % below {high:.3f}")
        note_failures(found.failures)
    if found.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _score_at(null: Mapping[str, Any], share: float) -> float:
    """The score below which that share (in percent) of the unrelated pairs is."""
    return float(null["scores"][null["percentiles"].index(share)])
