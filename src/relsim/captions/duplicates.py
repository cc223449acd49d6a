"""Captions that say nearly the same: by their words, or by vectors that are given.

Captions repeat by design, and a set that says one sentence in a hundred spellings teaches less than its size. Words are
compared as sets of neighbouring pairs, in lower case and without punctuation, all placeholders being one word: the
similarity is the number of pairs in both over the number in either (P. Jaccard, 1912). Vectors are compared by cosine.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]

THRESHOLD = 0.8
"""The default: one word changed in a sentence of ten leaves 8 of 12 pairs in common, one in twenty 18 of 22."""

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_WORD = re.compile(r"\{\}|[^\W_]+")
_ROWS = 1_024
_ROUNDING = 1e-9


def normalised(caption: str) -> str:
    """Words in lower case with single spaces, each placeholder as `{}`; punctuation and quotes are left out."""
    return " ".join(_WORD.findall(_PLACEHOLDER.sub(" {} ", caption).lower()))


def near_duplicates(
    captions: Sequence[str], threshold: float = THRESHOLD, *, vectors: Vectors | None = None
) -> list[tuple[int, ...]]:
    """Groups of positions of captions that say nearly the same, the one to keep first, in the order of these.

    Each caption joins the earliest one that is kept and at least `threshold` similar to it, or is kept itself; groups
    of one are left out. `vectors` (N, D), of unit length, decide in place of words. Captions whose normalised text is
    the same are alike in any case. Raises `ValueError` for a threshold outside 0 to 1 or vectors of another length.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold of {threshold} is not above 0 and at most 1")
    if vectors is not None and (vectors.ndim != 2 or len(vectors) != len(captions)):
        raise ValueError(f"vectors of shape {vectors.shape} do not go with {len(captions)} captions")
    same: dict[str, list[int]] = {}
    for place, caption in enumerate(captions):
        same.setdefault(normalised(caption), []).append(place)
    firsts = [places[0] for places in same.values()]
    leaders = _by_words(list(same), threshold) if vectors is None else _by_vectors(vectors[firsts], threshold)
    groups: dict[int, list[int]] = {}
    for leader, places in zip(leaders, same.values(), strict=True):
        groups.setdefault(leader, []).extend(places)
    return [tuple(group) for group in ((group[0], *sorted(group[1:])) for group in groups.values()) if len(group) > 1]


def _by_words(texts: Sequence[str], threshold: float) -> list[int]:
    """For each text the place of its leader, which may be itself.

    Exact, by prefixes (R. Bayardo, Y. Ma, R. Srikant, WWW 2007): of two sets whose similarity reaches t, of n and more
    pairs each, the rarest n - ceil(t n) + 1 of one have one in common with those of the other.
    """
    sets = [_pairs(text) for text in texts]
    frequency = Counter(pair for pairs in sets for pair in pairs)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    leaders: list[int] = []
    for place, pairs in enumerate(sets):
        needed = math.ceil(threshold * len(pairs) - _ROUNDING)
        prefix = sorted(pairs, key=lambda pair: (frequency[pair], pair))[: len(pairs) - needed + 1]
        near = {other for pair in prefix for other in holders[pair]}
        leader = next((other for other in sorted(near) if _jaccard(pairs, sets[other]) >= threshold), place)
        leaders.append(leader)
        if leader == place:
            for pair in prefix:
                holders[pair].append(place)
    return leaders


def _pairs(text: str) -> frozenset[str]:
    words = ["", *text.split(" "), ""]
    return frozenset(f"{first} {second}" for first, second in itertools.pairwise(words))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def _by_vectors(vectors: Vectors, threshold: float) -> list[int]:
    """For each row the place of its leader; rows are compared in blocks with all kept rows before them."""
    leaders = np.arange(len(vectors))
    kept: list[int] = []
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS]
        _join_kept(block, vectors, np.asarray(kept, dtype=np.intp), leaders[start : start + _ROWS], threshold)
        within = block @ block.T >= threshold
        for row in range(len(block)):
            place = start + row
            if leaders[place] == place:
                later = np.flatnonzero(within[row, row + 1 :]) + row + 1
                open_rows = later[leaders[start + later] == start + later]
                leaders[start + open_rows] = place
                kept.append(place)
    return [int(leader) for leader in leaders]


def _join_kept(
    block: Vectors, vectors: Vectors, kept: NDArray[np.intp], leaders: NDArray[np.intp], threshold: float
) -> None:
    """Set the leader of each row of a block that is near to a row that is kept already: the earliest of these."""
    for first in reversed(range(0, len(kept), 8 * _ROWS)):
        places = kept[first : first + 8 * _ROWS]
        near = block @ vectors[places].T >= threshold
        found = near.any(axis=1)
        leaders[found] = places[near.argmax(axis=1)[found]]
