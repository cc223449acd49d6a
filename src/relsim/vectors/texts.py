"""Columns of text of a table's parts: which stay in memory, and how a text is found in one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

KEPT_PER_ROW = 200
"""Bytes of text that an open table keeps for each of its rows at most, of those that it was asked for last."""

_LEAST, _MOST = 16 * 2**20, 2**30

Texts: TypeAlias = Mapping[str, pa.Array]
"""Columns of one row group, by name."""


def kept_bytes(rows: int) -> int:
    """The most that an open table of so many rows keeps of its texts."""
    return min(_MOST, max(_LEAST, KEPT_PER_ROW * rows))


class KeptTexts:
    """Columns of text that were read, up to a number of bytes; what was not asked for the longest time goes first.

    To decode a row group's texts takes some 5 ms, and a search asks for ten at a time. Safe for several threads.
    """

    def __init__(self, rows: int) -> None:
        self._columns: OrderedDict[tuple[str, int, str], pa.Array] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        self.fit(rows)

    def fit(self, rows: int) -> None:
        """Keep what a table of so many rows may."""
        self.most = kept_bytes(rows)

    def take(self, file: str, group: int, names: Sequence[str], read: Callable[[Sequence[str]], Texts]) -> Texts:
        """These columns of a row group of a file; `read` gets those that are not here."""
        with self._lock:
            found = {name: self._columns[file, group, name] for name in names if (file, group, name) in self._columns}
            missing = [name for name in names if name not in found]
            if missing:
                found.update(read(missing))
            for name in names:
                self._put((file, group, name), found[name])
        return found

    def _put(self, key: tuple[str, int, str], column: pa.Array) -> None:
        if key in self._columns:
            self._columns.move_to_end(key)
            return
        self._columns[key] = column
        self.bytes += column.nbytes
        while self.bytes > self.most:
            _, oldest = self._columns.popitem(last=False)
            self.bytes -= oldest.nbytes


def position(column: pa.Array, text: str) -> int | None:
    """The first row of a column that holds this text, which is not empty.

    pyarrow.compute finds it too, but to import that takes longer than to look through a million ids.
    """
    if not pa.types.is_string(column.type):
        values = column.to_pylist()
        return values.index(text) if text in values else None
    wanted = text.encode()
    _, offsets, data = column.buffers()
    if not len(column) or data is None:
        return None
    bounds = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
    letters = np.frombuffer(data, np.uint8)
    rows = np.flatnonzero(np.diff(bounds) == len(wanted))
    # From the end: names of one folder begin alike.
    for place in reversed(range(len(wanted))):
        rows = rows[letters[bounds[rows] + place] == wanted[place]]
    return int(rows[0]) if len(rows) else None
