"""Small pictures for figures: read and shrunk, or a grey square that stands for what cannot be read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord

_GREY, _MARK = 232, 150


def small_picture(source: str, side: int) -> NDArray[np.uint8] | None:
    """The picture of a file or a row of a shard, (H, W, 3), at most `side` long; None if it is unreadable."""
    loaded = load_image(ImageRecord(source, source))
    if isinstance(loaded, Failure):
        return None
    image = loaded.image
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8)


def stand_in(side: int) -> NDArray[np.uint8]:
    """A grey square with a cross, in the place of a picture that cannot be read."""
    pixels = np.full((side, side, 3), _GREY, np.uint8)
    line = np.arange(side)
    for shift in range(max(1, side // 40)):
        pixels[line, np.clip(line + shift, 0, side - 1)] = _MARK
        pixels[line, np.clip(side - 1 - line - shift, 0, side - 1)] = _MARK
    return pixels


def picture_or_stand_in(source: str, side: int) -> tuple[NDArray[np.uint8], bool]:
    """The picture, or the square that stands for it, and whether it could be read."""
    found = small_picture(source, side)
    return (stand_in(side), False) if found is None else (found, True)
