"""How the vectors of a model in another form lie to this package's own, on drawn noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from relsim.encoders.base import Vectors
from relsim.encoders.registry import load_encoder
from relsim.models.pixels import Recipe

PARITY = "parity.json"
"""The file that keeps it, beside the other form."""

_SIDES = ((224, 160), (160, 224), (301, 299), (64, 64))


def agreement(whole: Path, recipe: Recipe, theirs: Callable[[Sequence[Image.Image]], Vectors]) -> dict[str, Any]:
    """The document `relsim.parity/1`: what `theirs` (RGB pictures in, vectors (N, D) out) says of pictures of noise.

    This package runs the checkpoint in the folder `whole` in fp32. The other model is asked, and done, before it.
    """
    pictures = [_noise(number, size) for number, size in enumerate(_SIDES)]
    found = np.asarray(theirs(pictures), np.float64)
    encoder = load_encoder("relational", checkpoint_dir=whole, device="cpu", dtype="float32", recipe=recipe.value)
    ours = encoder.encode([encoder.prepare(picture) for picture in pictures])
    cosines = (found * ours).sum(axis=1) / np.linalg.norm(found, axis=1)
    return {
        "schema": "relsim.parity/1",
        "recipe": recipe.value,
        "fingerprint": encoder.fingerprint.to_dict(),
        "pictures": [f"noise, {width} x {height}" for width, height in _SIDES],
        "lowest_cosine": float(cosines.min()),
        "largest_difference": float(np.abs(found - ours).max()),
        "between_two_pictures": float((ours @ ours.T)[~np.eye(len(ours), dtype=bool)].min()),
    }


def _noise(seed: int, size: tuple[int, int]) -> Image.Image:
    """Soft blots of colour: a picture that looks like nothing and is like no other."""
    rng = np.random.default_rng([2026, seed])
    small = rng.integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
