"""All pairs of 64-bit hashes that differ in few bits, found exactly and without comparing every pair.

The bits are cut into four bands of 16. If two hashes differ in at most r bits, they differ in at most r // 4 bits in
one band at least (pigeonhole; Norouzi et al., "Fast Search in Hamming Space with Multi-Index Hashing", arXiv
1307.2982). So each hash is compared with those only that lie in the buckets of a band that are so near to its own.
Equal hashes are found first, and one of each is compared with others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BITS = 64
MAX_DISTANCE = 15
"""Beyond it, pictures have nothing to do with each other; the search would take minutes."""
_BANDS = 4
_WIDTH = BITS // _BANDS
_BUCKETS = 1 << _WIDTH
_BLOCK_PAIRS = 2_000_000  # compared at a time: some 80 MB

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]


def hashes_of(texts: Iterable[str]) -> Hashes:
    """Perceptual hashes from their 16 hex digits."""
    return np.array([int(text, 16) for text in texts], np.uint64)


def close_pairs(hashes: Hashes, distance: int) -> Pairs:
    """(M, 3): places i < j and the bits in which they differ, of all pairs with at most `distance`; sorted by i, j.

    `distance` is 0 to `MAX_DISTANCE`; another raises ValueError. Of n equal hashes each pair is listed, n(n - 1)/2.
    """
    if not len(hashes):
        return np.empty((0, 3), np.int64)
    values, places = np.unique(hashes, return_inverse=True)
    counts = np.bincount(places, minlength=len(values))
    members = np.split(np.argsort(places, kind="stable"), np.cumsum(counts)[:-1])
    found = [_equal_pairs(group) for group in members if len(group) > 1]
    pairs = distinct_close_pairs(values, distance)
    alone = (counts[pairs[:, :2]] == 1).all(axis=1)
    first = np.array([group[0] for group in members], np.int64)
    found.append(np.column_stack([np.sort(first[pairs[alone, :2]], axis=1), pairs[alone, 2]]))
    found += [
        _sorted_pairs(members[left][:, None], members[right][None, :], bits)
        for left, right, bits in pairs[~alone].tolist()
    ]
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def distinct_close_pairs(values: Hashes, distance: int) -> Pairs:
    """Like `close_pairs`, in no order, for hashes that are all different."""
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"the distance is {distance}; it may be 0 to {MAX_DISTANCE} bits")
    radius = distance // _BANDS
    bands = [
        ((values >> np.uint64(_WIDTH * number)) & np.uint64(_BUCKETS - 1)).astype(np.int64) for number in range(_BANDS)
    ]
    found: list[Pairs] = []
    for number, band in enumerate(bands):
        for left, right in _candidates(band, radius):
            bits = popcount(values[left] ^ values[right])
            near = np.flatnonzero(bits <= distance)
            for earlier in bands[:number]:  # what is near in an earlier band has been found there
                near = near[popcount(earlier[left[near]] ^ earlier[right[near]]) > radius]
            found.append(np.column_stack([left[near], right[near], bits[near]]))
    pairs = np.concatenate(found) if found else np.empty((0, 3), np.int64)
    pairs[:, :2].sort(axis=1)
    return pairs


def popcount(values: Hashes | Pairs) -> NDArray[np.int64]:
    """Number of bits that are 1 in each value."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        counts: Pairs = np.asarray(np.bitwise_count(values), np.int64)
    else:
        ones = np.unpackbits(np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8), axis=1)
        counts = ones.sum(axis=1, dtype=np.int64)
    return counts


class Clusters:
    """Places 0 to n - 1 in disjoint sets that are joined one pair at a time (union-find)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def find(self, place: int) -> int:
        """The smallest place of the set that a place is in."""
        root = place
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[place] != root:
            self._parents[place], place = root, self._parents[place]
        return root

    def join(self, first: int, second: int) -> None:
        """Make one set of the two that these are in."""
        low, high = sorted((self.find(first), self.find(second)))
        self._parents[high] = low

    def groups(self) -> list[list[int]]:
        """All sets, each in order, in the order of their first places."""
        found: dict[int, list[int]] = {}
        for place in range(len(self._parents)):
            found.setdefault(self.find(place), []).append(place)
        return list(found.values())


def _candidates(band: Pairs, radius: int) -> Iterator[tuple[Pairs, Pairs]]:
    """All pairs of places whose bands differ in at most `radius` bits, each once, in blocks of bounded size."""
    order = np.argsort(band, kind="stable")
    bucket = band[order]
    counts = np.bincount(band, minlength=_BUCKETS)
    starts = np.cumsum(counts) - counts
    everyone = np.arange(len(order))
    for mask in _masks(radius):
        if mask == 0:
            place, first = everyone, everyone + 1
            count = starts[bucket] + counts[bucket] - first
        else:
            # Of the two buckets that differ by the mask the one that lacks its highest bit looks at the other.
            place = np.flatnonzero(bucket < bucket ^ mask)
            other = bucket[place] ^ mask
            first, count = starts[other], counts[other]
        for some in _blocks(count):
            size = count[some]
            left = np.repeat(place[some], size)
            step = np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size)
            yield order[left], order[np.repeat(first[some], size) + step]


def _masks(radius: int) -> Iterator[int]:
    """Every number of `_WIDTH` bits of which at most `radius` are 1."""
    for ones in range(radius + 1):
        for places in combinations(range(_WIDTH), ones):
            yield sum(1 << place for place in places)


def _blocks(count: Pairs) -> Iterator[slice]:
    """Runs of rows whose counts add up to `_BLOCK_PAIRS` at most, or single rows beyond it."""
    ends = np.cumsum(count)
    start = 0
    while start < len(count):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK_PAIRS, side="right")))
        yield slice(start, stop)
        start = stop


def _equal_pairs(group: Pairs) -> Pairs:
    first, second = np.triu_indices(len(group), 1)
    return np.column_stack([group[first], group[second], np.zeros(len(first), np.int64)])


def _sorted_pairs(first: Pairs, second: Pairs, bits: int) -> Pairs:
    low, high = np.minimum(first, second).ravel(), np.maximum(first, second).ravel()
    return np.column_stack([low, high, np.full(len(low), bits, np.int64)])
