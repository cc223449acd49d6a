"""Codes of one bit for each number of a vector, and the rows whose codes differ least from a query's.

Bits are counted by numpy, a word of 64 after the other, on all cores. A sample of the rows tells beforehand how near a
row must be to be of use, and how many words of a code are worth counting for all rows: the rest is counted only where
it may decide. Where rows crowd in groups, as in collections, one or two words of six rule out nearly all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors
from relsim.environment import usable_cores
from relsim.vectors.blocks import Indices

_SCAN = 131_072  # rows of a step: few enough for the caches, and so many that threads seldom wait for the interpreter
_SHARE = 200_000  # rows that are worth a thread
_SAMPLE = 32_768  # rows that are looked at beforehand
_WORDS_IN_A_BYTE = 3  # 192 differing bits at most, which a byte can count
_PICKED = (
    25  # what it costs to count a word of a row picked out of a block, in words that are counted one after another
)
_DEVIATIONS = 4.0  # of a chance of one in thirty thousand


class BinaryCodes:
    """Codes (words, N) uint64 of N vectors, whose bits say where a vector is above the `mean` (D,)."""

    def __init__(self, mean: Vectors, codes: NDArray[np.uint64], threads: int | None = None) -> None:
        self._mean = mean
        self._codes = codes.view(np.ndarray)  # a part of a memory map costs more to make than to count
        self._threads = threads or usable_cores()
        # Numbers side by side may tell alike; words apart tell more.
        self._order = [*range(0, len(codes), 2), *range(1, len(codes), 2)]
        self._bits: list[int] = list(accumulate(min(64, len(mean) - 64 * word) for word in self._order))

    def candidates(self, queries: Vectors, count: int, stop: int) -> Indices:
        """Rows (Q, count) below `stop` of fewest differing bits for (Q, D) queries, filled up with -1."""
        signs = signs_of(queries, self._mean)
        wanted = min(count, stop)
        found = np.full((len(queries), wanted), -1, np.int64)
        sieves = [self._sieve(code, wanted, stop) for code in signs]
        for number, nearest in enumerate(self._scan(signs, sieves, wanted, stop)):
            best = nearest
            if best.held < wanted:  # the sample promised more than there is
                (best,) = self._scan(signs[number : number + 1], [self._open_sieve], wanted, stop)
            rows = best.rows()
            found[number, : len(rows)] = rows
        return found

    def _scan(self, signs: NDArray[np.uint64], sieves: Sequence[_Sieve], wanted: int, stop: int) -> list[_Nearest]:
        """The nearest of each code, by all cores."""
        # The count is bound by arithmetic more than by memory, so each core takes a share of the rows.
        shares = max(1, min(self._threads, stop // _SHARE))
        ends = [stop * share // shares for share in range(shares + 1)]
        if shares == 1:
            return self._nearest(signs, sieves, wanted, 0, stop)
        parts = self._pool.map(lambda span: self._nearest(signs, sieves, wanted, *span), pairwise(ends))
        joined = next(parts)
        for part in parts:
            for best, of_later_rows in zip(joined, part, strict=True):
                best.join(of_later_rows)
        return joined

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Kept, since to start threads for a query takes a tenth of its time."""
        return ThreadPoolExecutor(self._threads, thread_name_prefix="codes")

    @cached_property
    def _sample(self) -> tuple[Indices, NDArray[np.uint64]]:
        """Rows spread over all, in order, and a copy of their codes (words, S)."""
        size = min(_SAMPLE, self._codes.shape[1])
        rows = np.arange(size) * self._codes.shape[1] // max(1, size)
        return rows, np.ascontiguousarray(self._codes[:, rows])

    @property
    def _open_sieve(self) -> _Sieve:
        """Every row passes."""
        return _Sieve(self._bits[-1], len(self._order))

    def _sieve(self, code: NDArray[np.uint64], wanted: int, stop: int) -> _Sieve:
        """What the sample says of one code: see `_Sieve`."""
        rows, codes = self._sample
        size = int(np.searchsorted(rows, stop))
        expected = wanted * size / max(1, stop)
        rank = math.ceil(expected + _DEVIATIONS * (1 + math.sqrt(expected)))
        if rank >= size:
            return self._open_sieve
        differing = np.cumsum(
            [np.bitwise_count(codes[word, :size] ^ code[word]) for word in self._order], axis=0, dtype=np.uint16
        )
        limit = int(np.partition(differing[-1], rank)[rank])
        words = len(self._order)
        costs = [
            seen + _PICKED * (words - seen) * float(np.mean(differing[seen - 1] <= self._passing(limit, seen)))
            for seen in range(1, words)
        ]
        return _Sieve(limit, 1 + int(np.argmin([*costs, words])))

    def _nearest(
        self, signs: NDArray[np.uint64], sieves: Sequence[_Sieve], count: int, start: int, stop: int
    ) -> list[_Nearest]:
        """For each code the nearest of the rows from `start` to `stop`."""
        nearest = [_Nearest(count, sieve.limit) for sieve in sieves]
        counters = _Counter(min(_SCAN, stop - start)), _Counter(min(_SCAN, stop - start))
        for first in range(start, stop, _SCAN):
            codes = self._codes[:, first : min(first + _SCAN, stop)]
            for code, sieve, best in zip(signs, sieves, nearest, strict=True):
                self._add(best, code, codes, first, sieve.words, counters)
        return nearest

    def _add(
        self,
        best: _Nearest,
        code: NDArray[np.uint64],
        codes: NDArray[np.uint64],
        first: int,
        seen: int,
        counters: tuple[_Counter, _Counter],
    ) -> None:
        """Count the first words of all rows of a block, and the rest of those that may still come in."""
        differing = counters[0](code, codes, self._order[:seen])
        rest = self._order[seen:]
        if rest:
            chosen = np.flatnonzero(differing <= self._passing(best.limit, seen))
            if _PICKED * len(chosen) <= codes.shape[1]:  # more of them are counted faster with all others
                total = differing[chosen]
                for word in rest:
                    total += np.bitwise_count(codes[word].take(chosen) ^ code[word])
                best.add(total, first, chosen)
                return
            np.add(differing, counters[1](code, codes, rest), out=differing)
        best.add(differing, first)

    def _passing(self, limit: int, words: int) -> float:
        """So many bits of the first words may differ in a row of which `limit` differ in all.

        Were they spread by chance, one such row in thirty thousand would have more: four standard deviations of a
        hypergeometric distribution. Where they are not, the recall that is measured shows it.
        """
        seen, bits = self._bits[words - 1], self._bits[-1]
        share, differ = seen / bits, limit / bits
        return limit * share + _DEVIATIONS * math.sqrt(seen * differ * (1 - differ) * (1 - share))


@dataclass(frozen=True, slots=True)
class _Sieve:
    """At most `limit` bits differ in enough rows, as far as a sample can tell; `words` are counted for all rows."""

    limit: int
    words: int


class _Counter:
    """Counts differing bits in buffers of its own: fresh ones for each block would be pages that the system clears."""

    def __init__(self, rows: int) -> None:
        self._differing = np.empty(rows, np.uint64)
        self._counted, self._summed = np.empty(rows, np.uint8), np.empty(rows, np.uint8)
        self._total = np.empty(rows, np.uint16)

    def __call__(self, code: NDArray[np.uint64], codes: NDArray[np.uint64], words: Sequence[int]) -> NDArray[np.uint16]:
        """In these words of one code (W,) and those of n rows (W, n), shape (n,); valid until the next call."""
        rows = codes.shape[1]
        total, summed = self._total[:rows], self._summed[:rows]
        for start in range(0, len(words), _WORDS_IN_A_BYTE):
            together = words[start : start + _WORDS_IN_A_BYTE]
            self._count(code[together[0]], codes[together[0]], summed)
            counted = self._counted[:rows]
            for word in together[1:]:
                self._count(code[word], codes[word], counted)
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
    """The `count` rows of fewest differing bits so far, and at times a few more; none with more than `limit`."""

    def __init__(self, count: int, limit: int) -> None:
        self._count = count
        self._limit = limit
        self._kept: list[tuple[Indices, NDArray[np.uint16]]] = []
        self.held = 0

    @property
    def limit(self) -> int:
        """So many differing bits a row may have to come in."""
        return self._limit

    def add(self, differing: NDArray[np.uint16], first: int, rows: Indices | None = None) -> None:
        """Take in rows with so many differing bits: those from `first` on, or of them these."""
        chosen = np.flatnonzero(differing <= self._limit)
        self._kept.append(((chosen if rows is None else rows[chosen]) + first, differing[chosen]))
        self.held += len(chosen)
        if self.held > 2 * self._count:
            self._shrink()

    def join(self, other: _Nearest) -> None:
        """Take in what was found among later rows."""
        self._kept += other._kept
        self.held += other.held

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
        self._kept, self.held = [(rows, bits)], len(rows)


def words_of(dimension: int) -> int:
    """How many words of 64 bits a code has."""
    return -(-dimension // 64)


def signs_of(vectors: Vectors, mean: Vectors) -> NDArray[np.uint64]:
    """Codes of shape (N, words) of vectors of shape (N, D)."""
    packed = np.packbits(vectors > mean, axis=1, bitorder="little")
    padded = np.zeros((len(vectors), 8 * words_of(vectors.shape[1])), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view("<u8")
