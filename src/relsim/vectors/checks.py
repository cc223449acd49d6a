"""What may stand in a vector table: unit vectors under unique names, all of one fingerprint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relsim.data.records import ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import FingerprintMismatchError, TableError
from relsim.fingerprint import Fingerprint

UNIT_TOLERANCE = 1e-3
"""Largest difference between 1 and the length of a row; bf16 rounding stays within it."""

_CHUNK = 4096
_SHOWN = 3


def check_rows(records: Sequence[ImageRecord], vectors: Any, dimension: int) -> Vectors:
    """The vectors as a C-contiguous float32 array of shape (len(records), dimension), or a `TableError`."""
    array = np.asarray(vectors)
    if array.dtype.kind != "f":
        raise TableError(f"vectors are of type {array.dtype}; a table takes floating-point numbers.")
    if array.shape != (len(records), dimension):
        if not records and array.size == 0:
            return np.zeros((0, dimension), np.float32)
        raise TableError(
            f"vectors have shape {array.shape}; {len(records)} rows of this table need ({len(records)}, {dimension})."
        )
    ids = [record.image_id for record in records]
    if "" in ids:
        raise TableError("an image_id is empty; every row needs a name of its own.")
    repeated = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise TableError(f"image_id given twice: {shown(repeated)}. Every row needs a name of its own.")
    check_unit(array, ids)
    return np.ascontiguousarray(array, np.float32)


def check_unit(vectors: Vectors, ids: Sequence[str]) -> None:
    """Raise `TableError` that names the first rows that are not finite, or not of unit length."""
    for start in range(0, len(vectors), _CHUNK):
        chunk = vectors[start : start + _CHUNK].astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", chunk, chunk))
        # A comparison with NaN is false, so this also finds rows that are not finite.
        bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
        if len(bad):
            names = shown([ids[start + row] for row in bad])
            if not np.isfinite(lengths[bad]).all():
                raise TableError(f"vectors hold NaN or infinity: {names}. Record these images as failures instead.")
            raise TableError(
                f"vectors are not of unit length (the first has length {lengths[bad[0]]:.6g}): {names}. "
                "Divide each by its length."
            )


def check_same_fingerprint(path: Path, mine: Fingerprint, other: Fingerprint) -> None:
    """Raise `FingerprintMismatchError` that lists the facts that differ."""
    differences = mine.differences(other)
    if differences:
        facts = "; ".join(f"{name}: {here!r} there, {given!r} here" for name, (here, given) in differences.items())
        raise FingerprintMismatchError(
            f"{path} holds vectors made in another way, which cannot be compared with these ({facts}). "
            "Use the checkpoint, recipe and precision of the table, or embed into a new one."
        )


def shown(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
