"""`relsim score`: how alike images are, two by two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import emit, print_json, print_matrix

if TYPE_CHECKING:
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
    """Score two images; with more, print the matrix of all pairs.

    The score is the cosine of the two embeddings, from -1 to 1: higher is more alike in relation.
    """
    from relsim.errors import SourceError

    records = _list_with_repeats(images)
    if len(records) < 2:
        raise SourceError(f"scoring needs at least two images; {len(records)} given")
    _require_readable(records)
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


def _list_with_repeats(images: list[str]) -> list[ImageRecord]:
    """The images in order, a file that is named twice standing twice: scoring it against itself is a fair question."""
    from relsim.data.sources import list_images

    listed = list_images(images)
    if "-" in images:  # standard input can be read once
        return listed
    by_source = {record.source: record for record in listed}
    return [by_source.get(record.source, record) for image in images for record in list_images([image])]


def _require_readable(records: list[ImageRecord]) -> None:
    """Find a bad image before the model is loaded, which can take minutes."""
    from relsim.data.images import read_image
    from relsim.errors import ImageError

    for record in records:
        try:
            read_image(record)
        except ImageError as error:
            raise ImageError(error.status, f"{record.source}: {error.reason}") from error


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
