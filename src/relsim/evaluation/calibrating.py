"""The null distribution of a checkpoint, measured on any labelled collection and kept beside the weights.

Unrelated are pictures of different relations or groups; where a manifest names neither, pictures without a caption in
common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relsim.data.cleaning import caption_to_use
from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import AnyEncoder
from relsim.encoders.stream import Outcome, encode_usable
from relsim.errors import CalibrationError
from relsim.evaluation.labels import relation_of
from relsim.vectors.calibration import PAIRS, null_distribution


@dataclass(frozen=True, slots=True)
class Calibration:
    """A null distribution, the numbers of pictures and labels behind it, and what could not be used."""

    null: Mapping[str, Any]
    pictures: int
    labels: int
    failures: tuple[Failure, ...]


def unrelated_label(record: ImageRecord) -> str | None:
    """What must differ for two pictures to count as unrelated; None where the manifest says nothing."""
    relation = relation_of(record)
    if relation is not None:
        return relation
    text = caption_to_use(record.fields.get("caption"), record.fields)
    return " ".join(text.split()).casefold() or None if text else None


def calibrate(
    records: Sequence[ImageRecord],
    encoder: AnyEncoder,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    workers: int | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Calibration:
    """Encode the labelled pictures and score `pairs` of unrelated ones.

    Raises `CalibrationError` where fewer than two labels are left.
    """
    labels = {record.image_id: label for record in records if (label := unrelated_label(record)) is not None}
    if len(set(labels.values())) < 2:
        raise CalibrationError(
            f"{len(labels):,} of {len(records):,} pictures have a label, and unrelated pairs need two different ones: "
            "give rows a relation, a group or a caption"
        )
    labelled = [record for record in records if record.image_id in labels]
    vectors, failures = encode_usable(labelled, encoder, workers=workers, on_outcome=on_outcome)
    if not vectors:
        raise CalibrationError(f"none of {len(labels):,} labelled pictures could be used")
    used = [labels[image_id] for image_id in vectors]
    null = null_distribution(np.stack(list(vectors.values())), used, count=pairs, seed=seed)
    return Calibration(null, len(used), len(set(used)), tuple(failures))
