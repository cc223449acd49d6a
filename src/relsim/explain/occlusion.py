"""Occlusion: a patch of one colour slides over a picture, and the fall of the similarity says what it depends on.

M. D. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014. The patch has the mean
colour of what the model sees of the picture. Every covered picture goes through the model as any other picture does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.encoders.base import AnyEncoder, Vectors
from relsim.encoders.stream import encode_images
from relsim.models.attention import Map, overlaps
from relsim.models.pixels import Recipe

SHARE = 0.25
"""Side of the patch, as a share of the side of what is seen."""
STEPS = 7
"""Places of the patch along each side; with a quarter of the side it moves by half its own."""
_AT_ONCE = 32  # covered pictures that are held at a time; they are as large as the picture itself

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
Colour = tuple[int, int, int]
Scores = NDArray[np.float64]
Similarity = Callable[[Iterable[Image.Image]], Scores]
"""Similarities (N,) of N pictures to one and the same thing."""


@dataclass(frozen=True, slots=True)
class Occlusion:
    """Falls of the similarity (steps, steps) by row and column of the patch; below 0 it rose. `boxes` say where."""

    falls: Scores
    boxes: tuple[Box, ...]  # row by row
    similarity: float  # of the picture as it is

    def spread(self, width: int, height: int) -> Map:
        """A map (height, width) of the picture: of each pixel the mean fall over the patches on it, 0 under none."""
        total, count = np.zeros((height, width)), np.zeros((height, width))
        for fall, (left, top, right, bottom) in zip(self.falls.ravel(), self.boxes, strict=True):
            total[top:bottom, left:right] += fall
            count[top:bottom, left:right] += 1
        found: Map = (total / np.maximum(count, 1)).astype(np.float32)
        return found


def occlude(
    image: Image.Image, recipe: Recipe, similarity: Similarity, *, steps: int = STEPS, share: float = SHARE
) -> Occlusion:
    """Slide a patch over an RGB picture. Raises `ValueError` for fewer than 2 steps or a share not in (0, 1)."""
    if steps < 2 or not 0 < share < 1:
        raise ValueError(
            f"{steps} steps of a patch of {share} of the side: take 2 steps or more, a share between 0 and 1"
        )
    seen = recipe.seen(*image.size)
    boxes, colour = patch_boxes(seen, steps, share), mean_colour(image, seen)
    covered = (cover(image, [box], colour) for box in boxes)
    scores = similarity(_chain(image, covered))
    return Occlusion((scores[0] - scores[1:]).reshape(steps, steps), boxes, float(scores[0]))


def patch_boxes(seen: Box, steps: int, share: float) -> tuple[Box, ...]:
    """The places of the patch row by row, evenly from one border of the part that is seen to the other."""
    left, top, right, bottom = seen
    across, down = _stretches(left, right, steps, share), _stretches(top, bottom, steps, share)
    return tuple((first, upper, last, lower) for upper, lower in down for first, last in across)


def mean_colour(image: Image.Image, seen: Box) -> Colour:
    """The mean colour of a part of an RGB picture."""
    red, green, blue = np.asarray(image.crop(seen)).reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
    return red, green, blue


def cover(image: Image.Image, boxes: Sequence[Box], colour: Colour) -> Image.Image:
    """A copy of the picture with some parts in one colour."""
    covered = image.copy()
    for box in boxes:
        covered.paste(colour, box)
    return covered


def similarity_to(encoder: AnyEncoder, target: Vectors) -> Similarity:
    """What tells the similarity of pictures to a unit vector (D,); a few pictures are held at a time."""

    def measure(pictures: Iterable[Image.Image]) -> Scores:
        left, scores = iter(pictures), [np.empty(0)]
        while chunk := list(islice(left, _AT_ONCE)):
            scores.append((encode_images(encoder, chunk) @ target).astype(np.float64))
        return np.concatenate(scores)

    return measure


def means_in(values: Map, seen: Box, grid: tuple[int, int]) -> Scores:
    """Means (rows, columns) of a map over the cells of a grid that divides the part that is seen."""
    left, top, right, bottom = seen
    down = overlaps(values.shape[0], np.linspace(top, bottom, grid[0] + 1))
    across = overlaps(values.shape[1], np.linspace(left, right, grid[1] + 1))
    means: Scores = (down / down.sum(axis=0)).T @ values.astype(np.float64) @ (across / across.sum(axis=0))
    return means


def _stretches(start: int, end: int, steps: int, share: float) -> list[tuple[int, int]]:
    length = end - start
    size = max(1, round(share * length))
    firsts = np.linspace(start, end - size, steps).round().astype(int).tolist()
    return [(first, first + size) for first in firsts]


def _chain(image: Image.Image, covered: Iterable[Image.Image]) -> Iterator[Image.Image]:
    yield image
    yield from covered
