"""Several blocks of vectors as one list of rows, without joining them in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors

Indices = NDArray[np.int64]


class Rows:
    """Rows of consecutive blocks (arrays of shape (n, D)), numbered from 0; optionally a selection of them.

    With `selection`, row i is row `selection[i]` of the blocks.
    """

    def __init__(self, blocks: Sequence[Vectors], dimension: int, selection: Indices | None = None) -> None:
        self._blocks = [block for block in blocks if len(block)]
        self._ends = np.cumsum([0] + [len(block) for block in self._blocks])
        self._starts: list[int] = self._ends[:-1].tolist()
        self._selection = selection
        self.dimension = dimension

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._selection is None else len(self._selection)

    def spans(self, most: int, most_copied: int) -> Iterator[tuple[int, int]]:
        """Ranges that cover all rows, of at most `most` rows in one block or `most_copied` across blocks.

        Few ranges are better than many: a product in several threads waits for the slowest of them.
        """
        most_copied = min(most, most_copied)
        start = 0
        while start < len(self):
            stop = min(start + most_copied, len(self))
            if self._selection is None:
                borders = self._ends[self._ends > start]
                if borders[0] - start >= most_copied // 2:
                    stop = min(start + most, int(borders[0]))
                elif (inside := borders[borders <= stop])[-1] - start >= most_copied // 2:
                    # Ending at a border keeps the next range in one block.
                    stop = int(inside[-1])
            yield start, stop
            start = stop

    def between(self, start: int, stop: int) -> Vectors:
        """Rows `start` to `stop`: a view if one block holds them, a copy otherwise."""
        if self._selection is not None:
            return self.take(np.arange(start, stop))
        first = int(np.searchsorted(self._ends, start, side="right")) - 1
        pieces = []
        while start < stop:
            end = min(stop, int(self._ends[first + 1]))
            pieces.append(self._blocks[first][start - self._ends[first] : end - self._ends[first]])
            start, first = end, first + 1
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def row(self, number: int) -> Vectors:
        """One row, shape (D,), where it lies."""
        if self._selection is not None:
            number = int(self._selection[number])
        block = bisect_right(self._starts, number) - 1
        row: Vectors = self._blocks[block][number - self._starts[block]]
        return row

    def ranges(self, ranges: Iterable[tuple[int, int]]) -> Rows:
        """The rows of ascending ranges, numbered from 0; where they lie, so there must be no selection."""
        if self._selection is not None:
            raise ValueError("rows of a selection have no ranges that lie together")
        blocks = [
            block[max(0, start - first) : max(0, stop - first)]
            for start, stop in ranges
            for block, first in zip(self._blocks, self._starts, strict=True)
            if start < first + len(block)
        ]
        return Rows(blocks, self.dimension)

    def take(self, rows: Indices) -> Vectors:
        """A copy of these rows, shape (len(rows), D)."""
        if self._selection is not None:
            rows = self._selection[rows]
        if len(self._blocks) == 1:
            return self._blocks[0][rows]
        taken = np.empty((len(rows), self.dimension), np.float32)
        places = np.searchsorted(self._ends, rows, side="right") - 1
        for place in np.unique(places):
            wanted = np.flatnonzero(places == place)
            taken[wanted] = self._blocks[place][rows[wanted] - self._ends[place]]
        return taken
