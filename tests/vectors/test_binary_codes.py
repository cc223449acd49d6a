"""The codes of a binary index against bits counted one by one, in one thread and in several."""

import numpy as np
import pytest

from relsim.vectors import binary_codes
from relsim.vectors.binary_codes import BinaryCodes, signs_of

ROWS = 5_000


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    """Blocks and shares of a few rows, so that there are many of both."""
    monkeypatch.setattr(binary_codes, "_SCAN", 300)
    monkeypatch.setattr(binary_codes, "_SHARE", 1_000)


def brute_force(vectors, queries, count):
    """Rows of fewest differing bits, the first ones of equals."""
    differing = ((queries > 0)[:, None] != (vectors > 0)[None]).sum(axis=2)
    return np.argsort(differing, axis=1, kind="stable")[:, :count]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("numbers", [64, 65, 192, 193, 500])
@pytest.mark.parametrize("stop", [ROWS, 4_321, 7])
def test_candidates_are_the_rows_of_fewest_differing_bits(unit, threads, numbers, stop):
    """Up to 500 bits may differ, which no byte can count."""
    vectors = unit(ROWS, numbers)
    queries = np.concatenate([unit(3, numbers, seed=2), -vectors[:2], vectors[-2:]])
    mean = np.zeros(numbers, np.float32)
    binary = BinaryCodes(mean, np.ascontiguousarray(signs_of(vectors, mean).T), threads)
    found = binary.candidates(queries, 40, stop)
    assert found.shape == (7, min(40, stop))
    expected = brute_force(vectors[:stop], queries, 40)
    assert [set(row) for row in found.tolist()] == [set(row) for row in expected.tolist()]


def test_of_equal_codes_the_first_rows_are_named(unit):
    """However many threads look: the answer is a matter of the table, not of the machine."""
    vectors = np.repeat(unit(5, 64), 1_000, axis=0)
    mean = np.zeros(64, np.float32)
    codes = np.ascontiguousarray(signs_of(vectors, mean).T)
    for threads in (1, 4):
        found = BinaryCodes(mean, codes, threads).candidates(vectors[[0, 4_999]], 12, len(vectors))
        assert sorted(found[0]) == list(range(12))
        assert sorted(found[1]) == list(range(4_000, 4_012))


def test_a_sample_that_promises_too_much_loses_nothing(unit, monkeypatch):
    """Every hundredth row is near, the rows of the sample and no other: a limit drawn from them lets too few in."""
    monkeypatch.setattr(binary_codes, "_SAMPLE", 50)
    query = unit(1, 384, seed=8)
    vectors = unit(ROWS, 384, seed=9)
    vectors[::100] = query + 0.5 * unit(50, 384, seed=10)
    mean = np.zeros(384, np.float32)
    binary = BinaryCodes(mean, np.ascontiguousarray(signs_of(vectors, mean).T), 1)
    scanned = []
    scan = BinaryCodes._scan
    monkeypatch.setattr(BinaryCodes, "_scan", lambda self, *given: scanned.append(given[1]) or scan(self, *given))
    found = binary.candidates(query, 200, ROWS)
    assert [sieves[0].limit for sieves in scanned][1:] == [384]  # asked again, of every row
    assert set(found[0].tolist()) == set(brute_force(vectors, query, 200)[0].tolist())


def test_some_words_tell_which_rows_to_count_out(unit, monkeypatch):
    """In clusters, as collections have them, most rows are out after some of their words, and none of the nearest."""
    centres = unit(50, 384, seed=3)
    vectors = np.repeat(centres, 400, axis=0) + 0.5 * unit(20_000, 384, seed=4)
    vectors = vectors[np.random.default_rng(5).permutation(len(vectors))]
    mean = np.zeros(384, np.float32)
    codes = np.ascontiguousarray(signs_of(vectors, mean).T)
    queries = centres[:20] + 0.5 * unit(20, 384, seed=6)
    counted = []
    count = binary_codes._Counter._count
    monkeypatch.setattr(
        binary_codes._Counter, "_count", lambda self, *words: counted.append(len(words[1])) or count(self, *words)
    )
    found = BinaryCodes(mean, codes, 1).candidates(queries, 100, len(vectors))
    assert sum(counted) < 3 * len(queries) * len(vectors)  # of six words
    expected = brute_force(vectors, queries, 100)
    assert [set(row) for row in found.tolist()] == [set(row) for row in expected.tolist()]
