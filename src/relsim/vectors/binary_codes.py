"""Codes of one bit for each number of a vector, and the rows whose codes differ least from a query's.

Bits are counted by numpy, a word of 64 after the other, on all cores. Every other word is counted for all rows, and the
rest only where they may decide: that halves what is read from memory.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors
from relsim.environment import usable_cores
from relsim.vectors.blocks import Indices

_SCAN = 65_536  # rows of a step: few enough for the caches, and so many that threads seldom wait for the interpreter
_SHARE = 200_000  # rows that are worth a thread
_SIEVED = 4  # words of a code that is worth counting by halves
_WORDS_IN_A_BYTE = 3  # 192 differing bits at most, which a byte can count


class BinaryCodes:
    """Codes (words, N) uint64 of N vectors, whose bits say where a vector is above the `mean` (D,)."""

    def __init__(self, mean: Vectors, codes: NDArray[np.uint64], threads: int | None = None) -> None:
        self._mean = mean
        self._codes = codes.view(np.ndarray)  # a part of a memory map costs more to make than to count
        self._threads = threads or usable_cores()
        self._bits = len(mean)
        self._seen = sum(min(64, self._bits - 64 * word) for word in range(0, len(codes), 2))

    def candidates(self, queries: Vectors, count: int, stop: int) -> Indices:
        """Rows (Q, count) below `stop` of fewest differing bits for (Q, D) queries, filled up with -1."""
        signs = signs_of(queries, self._mean)
        wanted = min(count, stop)
        # The count is bound by arithmetic more than by memory, so each core takes a share of the rows.
        shares = max(1, min(self._threads, stop // _SHARE))
        ends = [stop * share // shares for share in range(shares + 1)]
        if shares == 1:
            parts = [self._nearest(signs, wanted, 0, stop)]
        else:
            parts = list(self._pool.map(lambda span: self._nearest(signs, wanted, *span), pairwise(ends)))
        found = np.full((len(queries), wanted), -1, np.int64)
        for number, of_shares in enumerate(zip(*parts, strict=True)):
            best = _Nearest(wanted)
            for share in of_shares:
                best.join(share)
            rows = best.rows()
            found[number, : len(rows)] = rows
        return found

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Kept, since to start threads for a query takes a tenth of its time."""
        return ThreadPoolExecutor(self._threads, thread_name_prefix="codes")

    def _nearest(self, signs: NDArray[np.uint64], count: int, start: int, stop: int) -> list[_Nearest]:
        """For each code the nearest of the rows from `start` to `stop`."""
        nearest = [_Nearest(count) for _ in signs]
        counters = _Counter(min(_SCAN, stop - start)), _Counter(min(_SCAN, stop - start))
        for first in range(start, stop, _SCAN):
            codes = self._codes[:, first : min(first + _SCAN, stop)]
            for code, best in zip(signs, nearest, strict=True):
                self._add(best, code, codes, first, counters)
        return nearest

    def _add(
        self,
        best: _Nearest,
        code: NDArray[np.uint64],
        codes: NDArray[np.uint64],
        first: int,
        counters: tuple[_Counter, _Counter],
    ) -> None:
        """Count every other word of all rows of a block, and the rest of those that may still come in."""
        differing = counters[0](code[::2], codes[::2])
        if len(code) >= _SIEVED and best.limit < self._bits:
            chosen = np.flatnonzero(differing <= self._passing(best.limit))
            if len(chosen) <= codes.shape[1] // 8:  # more of them are counted faster with all others
                rest = np.bitwise_count(codes[1::2, chosen] ^ code[1::2, None]).sum(axis=0, dtype=np.uint16)
                best.add(differing[chosen] + rest, first, chosen)
                return
        if len(code) > 1:
            np.add(differing, counters[1](code[1::2], codes[1::2]), out=differing)
        best.add(differing, first)

    def _passing(self, limit: int) -> float:
        """So many bits of every other word may differ in a row of which `limit` differ in all.

        Were they spread by chance, one such row in thirty thousand would have more: four standard deviations of a
        hypergeometric distribution. Where they are not, the recall that is measured shows it.
        """
        share, differ = self._seen / self._bits, limit / self._bits
        return limit * share + 4 * math.sqrt(self._seen * differ * (1 - differ) * (1 - share))


class _Counter:
    """Counts differing bits in buffers of its own: fresh ones for each block would be pages that the system clears."""

    def __init__(self, rows: int) -> None:
        self._differing = np.empty(rows, np.uint64)
        self._counted, self._summed = np.empty(rows, np.uint8), np.empty(rows, np.uint8)
        self._total = np.empty(rows, np.uint16)

    def __call__(self, code: NDArray[np.uint64], codes: NDArray[np.uint64]) -> NDArray[np.uint16]:
        """Of one code (words,) and those of n rows (words, n), shape (n,); valid until the next call."""
        rows = codes.shape[1]
        total, summed = self._total[:rows], self._summed[:rows]
        for start in range(0, len(codes), _WORDS_IN_A_BYTE):
            self._count(code[start], codes[start], summed)
            counted = self._counted[:rows]
            for number in range(start + 1, min(start + _WORDS_IN_A_BYTE, len(codes))):
                self._count(code[number], codes[number], counted)
                np.add(summed, counted, out=summed)
            if start == 0:
                total[:] = summed
            else:
                np.add(total, summed, out=total)
        return total

    def _count(self, word: np.uint64, words: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
        differing = self._differing[: len(words)]
        np.bitwise_xor(words, word, out=differing)
        np.bitwise_count(differing, out=out)


class _Nearest:
    """The `count` rows of fewest differing bits so far, and at times a few more."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._limit: int = np.iinfo(np.uint16).max
        self._kept: list[tuple[Indices, NDArray[np.uint16]]] = []
        self._held = 0

    @property
    def limit(self) -> int:
        """So many differing bits a row may have to come in."""
        return self._limit

    def add(self, differing: NDArray[np.uint16], first: int, rows: Indices | None = None) -> None:
        """Take in rows with so many differing bits: those from `first` on, or of them these."""
        chosen = np.flatnonzero(differing <= self._limit)
        self._kept.append(((chosen if rows is None else rows[chosen]) + first, differing[chosen]))
        self._held += len(chosen)
        if self._held > 2 * self._count:
            self._shrink()

    def join(self, other: _Nearest) -> None:
        """Take in what was found among later rows."""
        self._kept += other._kept
        self._held += other._held

    def rows(self) -> Indices:
        self._shrink()
        return self._kept[0][0]

    def _shrink(self) -> None:
        rows, bits = (np.concatenate(arrays) for arrays in zip(*self._kept, strict=True))
        if len(rows) > self._count:
            # Stable, so that of rows with as many differing bits the first ones stay, wherever blocks end.
            order = np.argsort(bits, kind="stable")[: self._count]
            rows, bits = rows[order], bits[order]
            self._limit = max(0, int(bits[-1]) - 1)  # a later row with as many bits would not come in
        self._kept, self._held = [(rows, bits)], len(rows)


def words_of(dimension: int) -> int:
    """How many words of 64 bits a code has."""
    return -(-dimension // 64)


def signs_of(vectors: Vectors, mean: Vectors) -> NDArray[np.uint64]:
    """Codes of shape (N, words) of vectors of shape (N, D)."""
    packed = np.packbits(vectors > mean, axis=1, bitorder="little")
    padded = np.zeros((len(vectors), 8 * words_of(vectors.shape[1])), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view("<u8")
