"""What the query token attends to: its weights over the merged tokens of a picture, and their place in the picture.

The weights are those of every layer and head of the language model, softmax over the whole prompt, so over the picture
they add up to less than 1: the rest goes to the words of the prompt. A merged token has looked at the whole picture in
the vision tower, so a weight says where the query token reads and not what it reads there. How far a map can be
trusted is measured in docs/explain.md, as is why the mean over all layers and heads is the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relsim.models.layout import BatchLayout, Grid
from relsim.models.pixels import Recipe

Map = NDArray[np.float32]
"""Numbers (H, W) for the pixels of a picture."""


@dataclass(frozen=True, slots=True)
class QueryAttention:
    """Weights (layers, heads, n) of the query token over n merged tokens in reading order, on a `grid` of them."""

    weights: NDArray[np.float32]
    grid: Grid

    def cells(self) -> Map:
        """One map (rows, columns) that adds up to 1: the mean over all layers and heads, of what the picture gets."""
        mean = self.weights.mean(axis=(0, 1), dtype=np.float64).reshape(self.grid)
        shares: Map = (mean / mean.sum()).astype(np.float32)
        return shares

    @property
    def on_picture(self) -> float:
        """The share of the query token's attention that the picture gets; the rest goes to the prompt's words."""
        return float(self.weights.sum(axis=-1, dtype=np.float64).mean())


class AttentionWatch:
    """Takes the query token's weights while a batch runs (see `packed.py`); `order` says which picture stands where."""

    def __init__(self, layout: BatchLayout, order: Sequence[int]) -> None:
        self._runs, self._order = layout.prompts, order
        self._layers: list[list[Tensor]] = []

    def add(self, q: Tensor, prefix: Tensor, k: Tensor) -> None:
        """One more layer: query tokens' queries (pictures, heads, d), keys of the prefix and of prompts (n, …)."""
        first = 0
        layer: list[Tensor] = []
        for run in self._runs:
            keys = k[run.start : run.stop].view(run.count, run.length, *k.shape[1:]).transpose(1, 2)
            keys = torch.cat([prefix.expand(run.count, -1, -1, -1), keys], dim=2).float()
            queries = q[first : first + run.count].float()
            # queries that share a key head are the rows of one product
            grouped = queries.view(run.count, keys.shape[1], -1, queries.shape[-1])
            scores = grouped @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
            layer += scores.softmax(-1).flatten(1, 2).unbind(0)
            first += run.count
        self._layers.append(layer)

    def found(self, before: int, after: int) -> list[Tensor]:
        """Weights (layers, heads, n) for each picture in the order given; the prompt has so many tokens around it."""
        pictures = [torch.stack(weights)[:, :, before:-after] for weights in zip(*self._layers, strict=True)]
        places = np.argsort(self._order)
        return [pictures[place] for place in places]


def spread(cells: Map, width: int, height: int, recipe: Recipe) -> Map:
    """Cells (rows, columns) of what the model sees of a picture, as a map (height, width) of the whole of it.

    Each cell is spread evenly over its part of the picture, so the map adds up to what the cells do. What the recipe
    crops away is 0.
    """
    left, top, right, bottom = recipe.seen(width, height)
    down = overlaps(height, np.linspace(top, bottom, cells.shape[0] + 1))
    across = overlaps(width, np.linspace(left, right, cells.shape[1] + 1))
    down, across = down / down.sum(axis=0), across / across.sum(axis=0)
    found: Map = (down @ cells.astype(np.float64) @ across.T).astype(np.float32)
    return found


def overlaps(length: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much (length, cells) of pixel i, from i to i + 1, lies in each cell between two edges."""
    pixels = np.arange(length)[:, None]
    shared = np.minimum(pixels + 1, edges[1:]) - np.maximum(pixels, edges[:-1])
    positive: NDArray[np.float64] = np.maximum(shared, 0.0)
    return positive
