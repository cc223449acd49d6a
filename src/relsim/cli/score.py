"""`relsim score`: how alike images are, two by two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import print_json, print_table

if TYPE_CHECKING:
    from relsim.data.records import ImageRecord
    from relsim.metric import RelationalSimilarity


def score(
    images: Annotated[
        list[str], typer.Argument(metavar="A B [C ...]", help="Image files; folders count as all they hold.")
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
    from relsim.data.images import read_image
    from relsim.data.sources import list_images
    from relsim.errors import ImageError, SourceError

    records = list_images(images)
    if len(records) < 2:
        raise SourceError(f"scoring needs at least two images; {len(records)} given (the same file counts once)")
    loaded = []
    for record in records:
        try:
            loaded.append(read_image(record).image)
        except ImageError as error:
            raise ImageError(error.status, f"{record.source}: {error.reason}") from error
    model = options.load_model(options.model_options(checkpoint, base_model, device, dtype, recipe))
    scores = model.similarity(loaded).tolist()
    if as_json:
        print_json(_document(records, scores, model))
    elif len(records) == 2:
        value = scores[0][1]
        typer.echo(f"{value:.4f}{_percentile(model, value)}")
    else:
        names = [record.image_id for record in records]
        rows = [[name, *(f"{value:.3f}" for value in row)] for name, row in zip(names, scores, strict=True)]
        print_table(["", *names], rows, numeric=names)


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
