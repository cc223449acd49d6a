"""`relsim score`: how alike images are, two by two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import emit, print_json, print_matrix

if TYPE_CHECKING:
    from relsim.data.dataset import ImageDataset
    from relsim.data.records import ImageRecord
    from relsim.metric import RelationalSimilarity


def score(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES", help="Two image files or more; folders count as all they hold.")
    ],
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    as_json: options.AsJson = False,  # noqa: FBT002 - typer makes a flag of it
) -> None:
    """Score two images; of more, print the matrix.

    The score is the cosine of the two embeddings, from -1 to 1: higher is more alike in relation.
    """
    from relsim.errors import SourceError

    dataset = _open_with_repeats(images)
    records = dataset.records
    if len(records) < 2:
        raise SourceError(f"scoring needs at least two images; {len(records)} given")
    _require_readable(dataset)
    given = options.model_options(checkpoint, base_model, device, dtype, recipe)
    model = options.load_model(options.with_environment(given))
    vectors = model.embed_files([record.source for record in records])
    scores = (vectors @ vectors.T).tolist()
    if as_json:
        print_json(_document(records, scores, model))
    elif len(records) == 2:
        emit(f"{scores[0][1]:.4f}{_percentile(model, scores[0][1])}")
    else:
        print_matrix([record.image_id for record in records], scores)


def _open_with_repeats(images: list[str]) -> ImageDataset:
    """The images in order, a file that is named twice standing twice: scoring it against itself is a fair question."""
    from relsim.data.dataset import ImageDataset

    dataset = ImageDataset.open(images)
    if "-" in images:  # standard input can be read once
        return dataset
    by_source = {record.source: record for record in dataset.records}
    named = (record for image in images for record in ImageDataset.open([image]).records)
    return ImageDataset([by_source.get(record.source, record) for record in named])


def _require_readable(dataset: ImageDataset) -> None:
    """Find a bad image before the model is loaded, which can take minutes."""
    from relsim.data.records import Failure
    from relsim.errors import ImageError

    for number in range(len(dataset)):
        outcome = dataset[number]
        if isinstance(outcome, Failure):
            raise ImageError(outcome.status.value, f"{outcome.record.source}: {outcome.reason}")


def _document(records: list[ImageRecord], scores: list[list[float]], model: RelationalSimilarity) -> dict[str, Any]:
    calibrated = model.vlm.checkpoint.null_distribution is not None
    return {
        "schema": "relsim.scores/1",
        "images": [{"image_id": record.image_id, "source": record.source} for record in records],
        "scores": scores,
        "percentiles": [[model.percentile(value) for value in row] for row in scores] if calibrated else None,
        "fingerprint": model.fingerprint.to_dict(),
    }


def _percentile(model: RelationalSimilarity, value: float) -> str:
    if model.vlm.checkpoint.null_distribution is None:
        return ""
    return f"  (above {model.percentile(value):.1f} % of unrelated pairs)"
