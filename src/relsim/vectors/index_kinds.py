"""The two kinds of index: a graph of neighbours (HNSW, by usearch) and one bit for each number of a vector.

Either only names rows that may be near. What is near is decided by the vectors themselves, in `index_search`.

**hnsw** (Malkov and Yashunin 2018, arXiv:1603.09320): vectors in float16 and, for each, links to near ones. Fast, and
more than half as large as the table.

**binary**: the signs of the vectors, from which their mean is taken away so that every bit tells rows apart. Every code
is looked at, 48 bytes of 1,536 at 384 numbers; the shortlist of fewest differing bits is long, for bits are rough. The
file is the mean, D float32 filled up with zeros to a multiple of 64 bytes, then the codes as uint64, word by word: the
first word of all rows, the second word of all rows. Bit i of a code is bit i % 64 of word i // 64. All little-endian.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import MissingExtraError, TableError
from relsim.vectors.binary_codes import BinaryCodes, signs_of, words_of
from relsim.vectors.blocks import Indices, Rows

OnRows = Callable[[int], None]
"""Told how many rows are done."""

_STEP = 16_384
_ALIGNMENT = 64


class Structure(Protocol):
    """An index that is open: it names rows that may be near."""

    def candidates(self, queries: Vectors, count: int, stop: int) -> Indices:
        """For (Q, D) queries, rows below `stop`: shape (Q, C), filled up with -1, some `count` for each query."""


class Kind(Protocol):
    """How an index is written and opened. `defaults` are its settings; `shortlist` is for the ten best.

    `searching` is the setting of the search that finds more the larger it is.
    """

    suffix: str
    defaults: Mapping[str, int]
    searching: str

    def write(self, path: Path, rows: Rows, settings: Mapping[str, int], on_rows: OnRows) -> None:
        """Write the index of these rows; they are read in blocks."""

    def open(self, path: Path, rows: int, dimension: int, settings: Mapping[str, int]) -> Structure:
        """The index in the file, mapped into memory."""

    def made_by(self) -> str:
        """The package that the index needs, and its version."""


class HnswKind:
    """See the module. Threads link vectors in the order in which they come, so files differ from run to run."""

    suffix = ".usearch"
    defaults: Mapping[str, int] = {"connectivity": 16, "expansion_add": 128, "expansion_search": 192, "shortlist": 48}
    searching = "expansion_search"

    def write(self, path: Path, rows: Rows, settings: Mapping[str, int], on_rows: OnRows) -> None:
        """Add the rows block by block, then save."""
        index = _usearch()(
            ndim=rows.dimension,
            metric="ip",
            dtype="f16",
            connectivity=settings["connectivity"],
            expansion_add=settings["expansion_add"],
            enable_key_lookups=False,
        )
        for start in range(0, len(rows), _STEP):
            stop = min(start + _STEP, len(rows))
            index.add(np.arange(start, stop, dtype=np.uint64), np.ascontiguousarray(rows.between(start, stop)))
            on_rows(stop)
        with _foreign(f"cannot write the index {path}", "Free some space or choose another place for the table."):
            index.save(str(path))

    def open(self, path: Path, rows: int, dimension: int, settings: Mapping[str, int]) -> Structure:
        """The graph, where it lies in the file."""
        with _foreign(f"the index {path} cannot be used", "Build it again with relsim index."):
            index = _usearch().restore(str(path), view=True, enable_key_lookups=False)
            if index is None or len(index) != rows or index.ndim != dimension:
                raise ValueError("it holds no index of these rows")
        index.expansion_search = settings["expansion_search"]
        return _Hnsw(index, rows)

    def made_by(self) -> str:
        """Usearch and its version."""
        _usearch()
        return f"usearch {version('usearch')}"


class _Hnsw:
    def __init__(self, index: Any, rows: int) -> None:
        self._index = index
        self._rows = rows

    def candidates(self, queries: Vectors, count: int, stop: int) -> Indices:
        # Rows from `stop` on take places too: ask for as many more as they are of all.
        asked = min(self._rows, -(-count * self._rows // max(1, stop)))
        found = np.full((len(queries), asked), -1, np.int64)
        for number, query in enumerate(queries):
            keys = np.asarray(self._index.search(query, asked, threads=1).keys).astype(np.int64)
            found[number, : len(keys)] = np.where(keys < stop, keys, -1)
        return found


class BinaryKind:
    """See the module."""

    suffix = ".bits"
    defaults: Mapping[str, int] = {"shortlist": 400}
    searching = "shortlist"

    def write(self, path: Path, rows: Rows, settings: Mapping[str, int], on_rows: OnRows) -> None:  # noqa: ARG002 - the shortlist is a matter of the search
        """Read the rows twice: for their mean, and for their signs."""
        total = np.zeros(rows.dimension, np.float64)
        for start in range(0, len(rows), _STEP):
            total += rows.between(start, min(start + _STEP, len(rows))).sum(axis=0, dtype=np.float64)
        mean = (total / max(1, len(rows))).astype("<f4")
        head = mean.tobytes()
        head += b"\0" * (-len(head) % _ALIGNMENT)
        with path.open("wb") as file:
            file.write(head)
            for start in range(0, len(rows), _STEP):
                stop = min(start + _STEP, len(rows))
                # Written and not mapped: on a full disk a mapping would end the process.
                for number, word in enumerate(signs_of(rows.between(start, stop), mean).T):
                    file.seek(len(head) + 8 * (number * len(rows) + start))
                    file.write(word.tobytes())
                on_rows(stop)

    def open(self, path: Path, rows: int, dimension: int, settings: Mapping[str, int]) -> Structure:  # noqa: ARG002 - as above
        """The codes, where they lie in the file."""
        self.made_by()
        with _foreign(f"the index {path} cannot be used", "Build it again with relsim index."):
            mean = np.fromfile(path, "<f4", dimension)
            offset = 4 * dimension + (-4 * dimension) % _ALIGNMENT
            codes = np.memmap(path, "<u8", "r", offset, (words_of(dimension), rows))
        return BinaryCodes(mean, codes)

    def made_by(self) -> str:
        """Numpy and its version, of which 2 is the first that counts bits."""
        if not hasattr(np, "bitwise_count"):
            raise MissingExtraError("numpy>=2", "index", "an index of binary codes")
        return f"numpy {np.__version__}"


KINDS: Mapping[str, Kind] = {"hnsw": HnswKind(), "binary": BinaryKind()}
"""Kinds by name; where a table has both, see `VectorIndex.open`."""


def _usearch() -> Any:
    """The class of indexes of usearch, which is an extra."""
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("usearch", "index", "an index of the kind hnsw") from error
    return Index


@contextlib.contextmanager
def _foreign(what: str, advice: str) -> Iterator[None]:
    """Turn what goes wrong in the file of an index into a `TableError`; usearch raises bare RuntimeErrors."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise TableError(f"{what}: {error}. {advice}") from error
