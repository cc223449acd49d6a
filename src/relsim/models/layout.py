"""Where every patch and token of a batch stands: order, windows, segments and positions. Integers only, no weights.

A batch is packed along one axis. Segments of equal length (windows of the vision tower, pictures, prompts) are laid
next to each other, so that an attention over all of them is one dense product per length and nothing is padded.

What depends on a picture's grid alone is computed once per grid (`grid_layout`); a `BatchLayout` puts the grids of
one batch together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Grid = tuple[int, int]
"""Rows and columns of patches."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segments:
    """`count` segments of `length` rows, one after another from row `start`; `rows` where they must be gathered.

    Rows are made as an array here and are a tensor once they are on a device (see `tables.py`).
    """

    start: int
    count: int
    length: int
    rows: Indices | Tensor | None = None

    @property
    def stop(self) -> int:
        """First row after the last segment."""
        return self.start + self.count * self.length


def equal_runs(lengths: Sequence[int]) -> tuple[Segments, ...]:
    """Consecutive lengths as runs of equal ones: `(64, 64, 16)` is two segments of 64, then one of 16."""
    runs: list[Segments] = []
    start = 0
    for length, run in groupby(lengths):
        segments = Segments(start, len(list(run)), length)
        runs.append(segments)
        start = segments.stop
    return tuple(runs)


@dataclass(frozen=True, slots=True)
class GridLayout:
    """What one grid of patches fixes. Rows count patches of this picture from 0."""

    order: Indices  # (n,) patches in window order, as rows of the processor's order
    windows: tuple[int, ...]  # length of each window, in patches
    positions: Indices  # (n, 2) row and column of each patch in the picture, in window order
    reading: Indices  # (n / merge²,) for each merged token in reading order, its place in window order


@lru_cache(maxsize=4096)
def grid_layout(grid: Grid, merge: int, window: int) -> GridLayout:
    """Layout of one grid; `window` is the side of a window in merged tokens.

    Windows at the right and lower border are cut off, not padded, as in Qwen2.5-VL.
    """
    rows, columns = grid[0] // merge, grid[1] // merge
    tokens = np.arange(rows * columns).reshape(rows, columns)
    runs = [
        tokens[top : top + window, left : left + window].reshape(-1)
        for top in range(0, rows, window)
        for left in range(0, columns, window)
    ]
    order = np.concatenate(runs)
    unit = merge * merge
    row, column = np.divmod(order, columns)
    inner_row, inner_column = np.divmod(np.arange(unit), merge)
    return GridLayout(
        order=_patches_of(order, unit),
        windows=tuple(len(run) * unit for run in runs),
        positions=np.stack(
            [
                (row[:, None] * merge + inner_row).reshape(-1),
                (column[:, None] * merge + inner_column).reshape(-1),
            ],
            axis=1,
        ),
        reading=np.argsort(order),
    )


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """Layout of a batch whose grids come sorted by area.

    Patch rows are in *window order*: all windows of the batch, longest first. Token rows are in *prompt order*: for
    each picture its merged tokens, then the suffix.
    """

    order: Indices  # (patches,) window order, as rows of the batch's patches in processor order
    positions: Indices  # (patches, 2) row and column of each patch, in window order
    windows: tuple[Segments, ...]  # windows, contiguous in window order
    pictures: tuple[Segments, ...]  # whole pictures, as rows in window order
    tokens: Indices  # (tokens,) prompt order, as rows of [merged tokens in window order | suffix tokens]
    token_positions: Indices  # (tokens, 3) temporal, vertical, horizontal position (multimodal rotary embedding)
    prompts: tuple[Segments, ...]  # prompts, contiguous in prompt order
    last: Indices  # (pictures,) row of each picture's last token, the query


def batch_layout(grids: Sequence[Grid], *, merge: int, window: int, prefix: int, suffix: int) -> BatchLayout:
    """Layout of a batch; `prefix` and `suffix` count the prompt's tokens before and after the image."""
    layouts = [grid_layout(grid, merge, window) for grid in grids]
    areas = np.array([len(layout.order) for layout in layouts])
    first_patch = np.concatenate([[0], np.cumsum(areas)])
    unit = merge * merge

    lengths = np.concatenate([layout.windows for layout in layouts])
    starts = np.cumsum(lengths) - lengths
    by_length = np.argsort(-lengths, kind="stable")
    shuffle = _ranges(starts[by_length], lengths[by_length])
    place = np.empty_like(shuffle)
    place[shuffle] = np.arange(len(shuffle))

    pictures = tuple(
        Segments(run.start, run.count, run.length, rows=place[run.start : run.stop])
        for run in equal_runs(areas.tolist())
    )
    if np.array_equal(shuffle, np.arange(len(shuffle))):
        pictures = equal_runs(areas.tolist())

    token_place = place.reshape(-1, unit)[:, 0] // unit
    tokens, positions = [], []
    for grid, layout, start in zip(grids, layouts, first_patch[:-1] // unit, strict=True):
        tokens += [token_place[start + layout.reading], first_patch[-1] // unit + np.arange(suffix)]
        positions.append(prompt_positions((grid[0] // merge, grid[1] // merge), prefix, suffix))
    prompt_lengths = areas // unit + suffix
    return BatchLayout(
        order=np.concatenate([layout.order + first for layout, first in zip(layouts, first_patch[:-1], strict=True)])[
            shuffle
        ],
        positions=np.concatenate([layout.positions for layout in layouts])[shuffle],
        windows=equal_runs(lengths[by_length].tolist()),
        pictures=pictures,
        tokens=np.concatenate(tokens),
        token_positions=np.concatenate(positions),
        prompts=equal_runs(prompt_lengths.tolist()),
        last=np.cumsum(prompt_lengths) - 1,
    )


@lru_cache(maxsize=4096)
def prompt_positions(tokens: Grid, prefix: int, suffix: int) -> Indices:
    """Positions (n + suffix, 3) of an image's merged tokens, rows by columns, and of the prompt's end.

    Text counts on from the largest position so far; an image has one temporal position and its own rows and columns
    (multimodal rotary embedding, Qwen2-VL, arXiv 2409.12191, section 2.1).
    """
    rows, columns = np.divmod(np.arange(tokens[0] * tokens[1]), tokens[1])
    image = prefix + np.stack([np.zeros_like(rows), rows, columns], axis=1)
    after = prefix + max(tokens) + np.arange(suffix)
    return np.concatenate([image, np.repeat(after[:, None], 3, axis=1)])


def _patches_of(tokens: Indices, unit: int) -> Indices:
    """Rows of the patches of each merged token: token t owns patches t * unit to t * unit + unit - 1."""
    return (tokens[:, None] * unit + np.arange(unit)).reshape(-1)


def _ranges(starts: Indices, lengths: Indices) -> Indices:
    """The ranges `starts[i] … starts[i] + lengths[i] - 1`, one after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) - np.repeat(ends - lengths, lengths) + np.repeat(starts, lengths)
