"""What follows from the bytes of an image: its size, format, digest and perceptual hash."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from PIL import Image

from relsim.data.images import DEFAULT_LIMITS, Limits, decode_with_format

_SIDE, _KEPT = 32, 8
_DIGITS = 6  # what rounding leaves of a coefficient that is 0


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of one image, under the names of a shard's columns.

    `width` and `height` in pixels are those of the upright image; `format` is a name of `relsim.data.images.FORMATS`;
    `sha256` has 64 hex digits, `phash` 16.
    """

    width: int
    height: int
    format: str
    sha256: str
    phash: str


def image_facts(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> ImageFacts:
    """The facts of the bytes of an image file, which is decoded whole for it. Raises `ImageError`."""
    image, format_name = decode_with_format(data, limits=limits)
    return ImageFacts(image.width, image.height, format_name, hashlib.sha256(data).hexdigest(), perceptual_hash(image))


def perceptual_hash(image: Image.Image) -> str:
    """The 64-bit DCT hash of an image as 16 hex digits: alike images differ in few bits.

    The image is made grey (ITU-R 601-2) and, with LANCZOS, 32 x 32 pixels; of its two-dimensional DCT-II, not
    normalised, the 8 x 8 lowest frequencies are kept. A bit is 1 where a coefficient exceeds their median; bits go row
    by row (vertical frequency by vertical frequency), the first is the highest. So a picture of one colour gives
    8000000000000000, a black one zero. These are the values of the package ImageHash's `phash`, up to ties.
    """
    import numpy as np

    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    basis = _cosines()
    # Rounded, so that what is 0 or equal in theory is so on every processor.
    low = np.round(basis @ np.asarray(grey, np.float64) @ basis.T, _DIGITS)
    bits = (low > np.median(low)).ravel()
    return np.packbits(bits).tobytes().hex()


def hamming_distance(first: str, second: str) -> int:
    """Number of bits in which two perceptual hashes differ, 0 to 64."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


@functools.cache
def _cosines() -> Any:
    """The first rows of the DCT-II of 32 values, (8, 32): 2 cos(pi k (2n + 1) / 64)."""
    import numpy as np

    frequencies, places = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None]
    return 2 * np.cos(np.pi * frequencies * (2 * places + 1) / (2 * _SIDE))
