"""`relsim score`: how alike images are, two by two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import emit, print_json, print_matrix
from relsim.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from relsim.data.dataset import ImageDataset
    from relsim.data.records import ImageRecord
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.fingerprint import Fingerprint
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
    encoder: specs.One = DEFAULT_ENCODER,
    as_json: options.AsJson = False,
) -> None:
    """Score two images; of more, print the matrix.

    The score is the cosine of the two embeddings, from -1 to 1: higher is more alike in relation. Other encoders mean
    other kinds of likeness; lpips gives distances: lower is more alike. With clip-t, a row's caption meets the columns.
    """
    from relsim.errors import SourceError
    from relsim.evaluation.encoder_specs import EncoderSpec

    dataset = _open_with_repeats(images)
    records = dataset.records
    if len(records) < 2:
        raise SourceError(f"scoring needs at least two images; {len(records)} given")
    _require_readable(dataset)
    spec = EncoderSpec.parse(encoder)
    given = options.model_options(checkpoint, base_model, device, dtype, recipe)
    if encoder == DEFAULT_ENCODER:
        model = options.load_model(options.with_environment(given))
        vectors = model.embed_files([record.source for record in records])
        scores, fingerprint = vectors @ vectors.T, model.fingerprint
    else:
        model = None
        scores, fingerprint = _scores(spec, given, records)
    if as_json:
        print_json(_document(records, scores.tolist(), model, fingerprint))
    elif len(records) == 2:
        emit(f"{scores[0, 1]:.4f}{_percentile(model, float(scores[0, 1]))}")
    else:
        print_matrix([record.image_id for record in records], scores.tolist())


def _scores(
    spec: EncoderSpec, given: Mapping[str, Any], records: list[ImageRecord]
) -> tuple[NDArray[np.float32], Fingerprint]:
    """Scores (N, N) of any encoder, queries in rows; of a measure of pairs the distances."""
    from relsim.encoders.base import query_side
    from relsim.encoders.pairwise import distances
    from relsim.encoders.registry import PAIRWISE
    from relsim.encoders.stream import encode_all

    if spec.name in PAIRWISE:
        pairwise = specs.load_measure(spec, given)
        return distances(pairwise, records), pairwise.fingerprint
    loaded, _ = specs.load_spec(spec, given)
    vectors, asking = encode_all(records, loaded), query_side(loaded)
    queries = vectors if asking is loaded else encode_all(records, asking)
    return queries @ vectors.T, loaded.fingerprint


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


def _document(
    records: list[ImageRecord], scores: list[list[float]], model: RelationalSimilarity | None, fingerprint: Fingerprint
) -> dict[str, Any]:
    calibrated = model is not None and model.vlm.checkpoint.null_distribution is not None
    return {
        "schema": "relsim.scores/1",
        "images": [{"image_id": record.image_id, "source": record.source} for record in records],
        "scores": scores,
        "percentiles": [[model.percentile(value) for value in row] for row in scores] if model and calibrated else None,
        "fingerprint": fingerprint.to_dict(),
    }


def _percentile(model: RelationalSimilarity | None, value: float) -> str:
    if model is None or model.vlm.checkpoint.null_distribution is None:
        return ""
    return f"  (above {model.percentile(value):.1f} % of unrelated pairs)"
