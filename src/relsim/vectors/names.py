"""The ids of a table's rows, read from its parts when they are asked for.

A list of millions of ids takes seconds to make and 256 bytes for each, and a search shows ten of them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from relsim.vectors.blocks import Indices
from relsim.vectors.part import Part

_SEARCHES = 8
"""So many ids are looked for in the files; for further ones the hashes of all ids are kept, 16 bytes each."""


class Names(Sequence[str]):
    """The ids of all rows of some parts, in order."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._ends: Indices = np.cumsum([part.entry.rows for part in parts], dtype=np.int64)
        self._searches = 0

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._parts else 0

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return self._slice(row)
        number = operator.index(row)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no row {number} among {len(self):,}")
        number %= len(self)
        place = int(np.searchsorted(self._ends, number, side="right"))
        return self._parts[place].id(number - self._start(place))

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from part.ids

    def find(self, image_id: str) -> int | None:
        """The row of an id, None for none."""
        try:
            image_id.encode()
        except UnicodeEncodeError:
            return None  # a table holds UTF-8
        self._searches += 1
        if self._searches > _SEARCHES:
            return self._by_hash(image_id)
        for place, part in enumerate(self._parts):
            if (inside := part.find(image_id)) is not None:
                return self._start(place) + inside
        return None

    def _start(self, place: int) -> int:
        return int(self._ends[place]) - self._parts[place].entry.rows

    def _slice(self, wanted: slice) -> list[str]:
        start, stop, step = wanted.indices(len(self))
        if step != 1:
            return [self[row] for row in range(start, stop, step)]
        found: list[str] = []
        for place, part in enumerate(self._parts):
            first = self._start(place)
            if first < stop and start < first + part.entry.rows:
                found += part.ids[max(0, start - first) : stop - first]
        return found

    @cached_property
    def _hashes(self) -> tuple[NDArray[np.int64], Indices]:
        """Hashes of all ids in rising order, and the row of each."""
        hashes = np.empty(len(self), np.int64)
        for place, part in enumerate(self._parts):
            ids = part.ids
            start = self._start(place)
            hashes[start : start + len(ids)] = np.fromiter(map(hash, ids), np.int64, len(ids))
        order: Indices = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def _by_hash(self, image_id: str) -> int | None:
        hashes, rows = self._hashes
        wanted = hash(image_id)
        place = int(np.searchsorted(hashes, wanted))
        while place < len(hashes) and hashes[place] == wanted:
            if self[int(rows[place])] == image_id:
                return int(rows[place])
            place += 1
        return None
