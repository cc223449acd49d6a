"""Whether a map tells what a similarity depends on: rank correlation, and curves of deletion and insertion.

The part of a picture that is seen is divided into cells. Deletion covers them with the mean colour, those first that
the map ranks first, and watches the similarity fall; insertion starts from the mean colour alone and brings them back
in the same order. The area under a curve is the mean similarity along the way: a map that is right has a small area of
deletion and a large one of insertion (V. Petsiuk, A. Das and K. Saenko, RISE, BMVC 2018). Orders drawn by chance say
what a map must do better than. Half-covered pictures are none that a model was trained on, so the areas compare orders
with one another and say little by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.evaluation.agreement import spearman
from relsim.explain.occlusion import Box, Scores, Similarity, cover, mean_colour, means_in
from relsim.models.attention import Map
from relsim.models.pixels import Recipe

CELLS = 8
"""Cells along each side."""
STAGES = 8
"""Pictures on the way from the whole picture to none of it."""
DRAWS = 3
"""Orders that are drawn by chance."""

Order = NDArray[np.int64]
"""Cells (n,) row by row from 0, the first to go first."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Similarities (stages + 1,) from the whole picture to none of it, and from none of it to the whole."""

    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def areas(self) -> tuple[float, float]:
        """The mean similarity along either curve, by trapezoids."""
        return area(self.deletion), area(self.insertion)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary."""
        deletion, insertion = self.areas
        return {
            "deletion_area": deletion,
            "insertion_area": insertion,
            "deletion": list(self.deletion),
            "insertion": list(self.insertion),
        }


def curves(
    image: Image.Image,
    recipe: Recipe,
    similarity: Similarity,
    maps: Mapping[str, Map],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, Curve]:
    """A curve for each map (H, W) of the picture, and under "random" the mean of orders that are drawn by chance."""
    rng = np.random.default_rng(seed)
    seen = recipe.seen(*image.size)
    named = {name: order_of(means_in(values, seen, (CELLS, CELLS)), rng) for name, values in maps.items()}
    drawn = [rng.permutation(CELLS * CELLS) for _ in range(draws)]
    boxes, colour = cell_boxes(seen), mean_colour(image, seen)
    empty = cover(image, [seen], colour)

    def stages() -> Any:
        yield image
        yield empty
        for order in (*named.values(), *drawn):
            for gone in _cuts():
                yield cover(image, [boxes[cell] for cell in order[:gone]], colour)
            for there in _cuts():
                yield cover(image, [boxes[cell] for cell in order[there:]], colour)

    scores = similarity(stages())
    whole, none = float(scores[0]), float(scores[1])
    found = [
        Curve((whole, *deleted.tolist(), none), (none, *inserted.tolist(), whole))
        for deleted, inserted in scores[2:].reshape(len(named) + draws, 2, STAGES - 1)
    ]
    chance = found[len(named) :]
    mean = Curve(_mean([curve.deletion for curve in chance]), _mean([curve.insertion for curve in chance]))
    return {**dict(zip(named, found, strict=False)), "random": mean}


def rank_correlation(first: Scores | Map, second: Scores | Map) -> float | None:
    """Spearman's correlation of two maps of one shape, cell by cell; None where either is the same everywhere."""
    value = spearman(first.ravel().astype(np.float64), second.ravel().astype(np.float64))
    return None if math.isnan(value) else value


def order_of(values: Scores, rng: np.random.Generator) -> Order:
    """Cells from the greatest value to the least; chance decides between equal ones, which would else go row by row."""
    flat = values.ravel().round(9)
    shuffled = rng.permutation(len(flat))
    order: Order = shuffled[np.argsort(-flat[shuffled], kind="stable")]
    return order


def cell_boxes(seen: Box) -> list[Box]:
    """The cells' places in pixels, row by row."""
    left, top, right, bottom = seen
    across = np.linspace(left, right, CELLS + 1).round().astype(int).tolist()
    down = np.linspace(top, bottom, CELLS + 1).round().astype(int).tolist()
    return [
        (across[column], down[row], across[column + 1], down[row + 1])
        for row in range(CELLS)
        for column in range(CELLS)
    ]


def area(curve: Sequence[float]) -> float:
    """The area under a curve over even steps from 0 to 1, by trapezoids."""
    values = np.asarray(curve, np.float64)
    return float((values[1:] + values[:-1]).mean() / 2)


def _cuts() -> list[int]:
    """How many cells are gone at each stage but the first and the last."""
    return [round(CELLS * CELLS * stage / STAGES) for stage in range(1, STAGES)]


def _mean(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    means: list[float] = np.mean(rows, axis=0).tolist()
    return tuple(means)
