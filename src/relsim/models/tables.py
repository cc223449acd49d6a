"""What the grids of a batch fix, on the device: indices, segments and rotations.

Pictures of a fixed size make the same few batches again and again, so the tables of the last batches are kept.
Pictures of their own sizes hardly ever do; for them a patch's rotation is looked up by row and column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from relsim.models.layers import rotation_of
from relsim.models.layout import BatchLayout, Grid, Segments, batch_layout

KEPT_TABLES = 8
"""Batches whose tables are kept: for 4,096 tokens of the 7B network 8 MB each, mostly rotations."""


@dataclass(frozen=True, slots=True)
class BatchTables:
    """A layout and what the passes of a network need of it, as tensors on one device."""

    layout: BatchLayout
    order: Tensor  # (patches,), `layout.order`
    rotation: Tensor  # (patches, 1, d / 2) of patches, in window order
    windows: tuple[Segments, ...]
    pictures: tuple[Segments, ...]
    tokens: Tensor  # (tokens,), `layout.tokens`
    token_rotation: Tensor  # (tokens, 1, d / 2), in prompt order
    last: Tensor  # (pictures,), `layout.last`


class PatchRotations:
    """Rotations of patches from a table of places along one axis, which grows with the largest grid. Thread-safe."""

    def __init__(self, frequencies: Tensor) -> None:
        self._frequencies = frequencies  # (F,)
        self._table = frequencies.new_empty((0, len(frequencies)), dtype=torch.complex64)

    def __call__(self, positions: Tensor, places: int) -> Tensor:
        """Unit complex numbers (n, 1, 2 F) for rows and columns (n, 2), all below `places`."""
        table = self._table
        if len(table) < places:
            axis = torch.arange(2 * places, device=self._frequencies.device)
            # Whoever else makes one at the same time makes the same.
            self._table = table = rotation_of(axis[:, None] * self._frequencies)[:, 0]
        return table[positions].flatten(1)[:, None]


class TokenRotations:
    """Rotations of tokens. `sections` counts the frequencies (F,) that turn with each of the three axes."""

    def __init__(self, frequencies: Tensor, sections: Sequence[int]) -> None:
        self._frequencies = frequencies
        device = frequencies.device
        self._axes = torch.arange(3, device=device).repeat_interleave(torch.tensor(sections, device=device))

    def __call__(self, positions: Tensor) -> Tensor:
        """Unit complex numbers (n, 1, F) for positions (n, 3): temporal, vertical, horizontal."""
        return rotation_of(positions[:, self._axes] * self._frequencies)


@dataclass(frozen=True, slots=True)
class TableMaker:
    """Tables of batches, by a network's rotations and the lengths of its prompt around the image.

    It holds no weights, so that a network that is given up does not stay in memory for the sake of its tables.
    """

    patches: PatchRotations
    text: TokenRotations
    merge: int
    window: int
    prefix: int
    suffix: int
    device: torch.device

    def kept(self) -> Callable[[tuple[Grid, ...]], BatchTables]:
        """The tables of a batch whose grids come sorted by area, those of the last `KEPT_TABLES` as they were made."""
        return lru_cache(KEPT_TABLES)(self.make)

    def make(self, grids: tuple[Grid, ...]) -> BatchTables:
        """New tables."""
        layout = batch_layout(grids, merge=self.merge, window=self.window, prefix=self.prefix, suffix=self.suffix)
        order, positions, tokens, token_positions, last = (
            torch.from_numpy(rows).to(self.device)
            for rows in (layout.order, layout.positions, layout.tokens, layout.token_positions, layout.last)
        )
        return BatchTables(
            layout,
            order,
            self.patches(positions, max(map(max, grids))),
            self._placed(layout.windows),
            self._placed(layout.pictures),
            tokens,
            self.text(token_positions),
            last,
        )

    def _placed(self, segments: Sequence[Segments]) -> tuple[Segments, ...]:
        """The same segments, with rows that are gathered as tensors on the device."""
        return tuple(
            run if run.rows is None else replace(run, rows=torch.as_tensor(run.rows, device=self.device))
            for run in segments
        )
