"""An encoder without a model, whose vectors a reader can work out in the head: for tests, examples and dry runs.

The vector of a picture is (R, G, B, 1) scaled to unit length, R, G and B being its mean colour from 0 to 1. Black is
(0, 0, 0, 1), red is (1, 0, 0, 1) / sqrt(2), white is (1, 1, 1, 1) / 2. A sentence is the mean of the colours it names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.encoders.base import Vectors
from relsim.fingerprint import Fingerprint

SQUARE = 28
"""Pixels of the side of a token, as in Qwen-VL: 14 a patch, two by two patches merged."""
COLOURS = {
    "black": (0.0, 0.0, 0.0),
    "white": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
}


class FakeEncoder:
    """Mean colour as a unit vector of four numbers. The cost of a picture is its number of 28 x 28 squares."""

    name = "fake"
    dimension = 4
    fingerprint = Fingerprint.of({"encoder": "fake", "version": 1, "dimension": 4})

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The pixels (H, W, 3). Thread-safe."""
        return np.asarray(image.convert("RGB"))

    def cost(self, prepared: NDArray[np.uint8]) -> int:
        """Squares of 28 x 28 pixels that cover the picture."""
        height, width = prepared.shape[:2]
        squares: int = math.ceil(height / SQUARE) * math.ceil(width / SQUARE)
        return squares

    def encode(self, batch: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Vectors (len(batch), 4) in the order given."""
        return _unit_rows([pixels.mean(axis=(0, 1)) / 255 for pixels in batch])

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Vectors (len(sentences), 4): the mean of the colours named, black where none is."""
        return _unit_rows([np.mean(_colours_named(sentence), axis=0) for sentence in sentences])


def _colours_named(sentence: str) -> list[tuple[float, float, float]]:
    words = re.findall(r"\w+", sentence.lower())
    return [COLOURS[word] for word in words if word in COLOURS] or [COLOURS["black"]]


def _unit_rows(colours: Sequence[NDArray[np.float64]]) -> Vectors:
    rows = np.ones((len(colours), 4))
    rows[:, :3] = np.reshape(colours, (-1, 3))
    vectors: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors
