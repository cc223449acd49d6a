"""Pairs of near hashes against brute force, and union-find against what it must connect."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relsim.data.curation import near_duplicates
from relsim.data.curation.near_duplicates import MAX_DISTANCE, Clusters, close_pairs, hashes_of, popcount

HASH = st.integers(0, 2**64 - 1)


def brute_force(hashes, distance):
    values = [int(value) for value in hashes]
    pairs = itertools.combinations(range(len(values)), 2)
    found = [[i, j, (values[i] ^ values[j]).bit_count()] for i, j in pairs]
    return [pair for pair in found if pair[2] <= distance]


def crowd(seed, count):
    """Hashes among which every distance from 0 to 20 occurs: each is an earlier one with some bits turned."""
    rng = np.random.default_rng(seed)
    hashes = [int(rng.integers(0, 2**63))]
    for _ in range(count - 1):
        value = hashes[rng.integers(len(hashes))]
        for bit in rng.choice(64, rng.integers(0, 13), replace=False):
            value ^= 1 << int(bit)
        hashes.append(value)
    return np.array(hashes, np.uint64)


@pytest.mark.parametrize("distance", range(MAX_DISTANCE + 1))
def test_pairs_are_those_of_brute_force(distance):
    hashes = crowd(distance, 250)
    expected = brute_force(hashes, distance)
    assert close_pairs(hashes, distance).tolist() == expected
    assert {pair[2] for pair in expected} == set(range(distance + 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(HASH | st.sampled_from([0, 1, 3, 2**64 - 1, 2**16, 2**63]), max_size=12), st.integers(0, 15))
def test_pairs_are_those_of_brute_force_for_any_hashes(hashes, distance):
    values = np.array(hashes, np.uint64)
    assert close_pairs(values, distance).tolist() == brute_force(hashes, distance)


def test_bits_at_the_edges_of_bands_are_all_found():
    """Two hashes that differ in just these bits, for every pair of places."""
    pairs = list(itertools.combinations(range(64), 2))
    hashes = np.array([0, *((1 << i) | (1 << j) for i, j in pairs)], np.uint64)
    found = close_pairs(hashes, 2)
    assert found[found[:, 0] == 0, 1].tolist() == list(range(1, len(pairs) + 1))


def test_blocks_do_not_change_what_is_found(monkeypatch):
    hashes = crowd(5, 200)
    expected = close_pairs(hashes, 9).tolist()
    monkeypatch.setattr(near_duplicates, "_BLOCK_PAIRS", 3)
    assert close_pairs(hashes, 9).tolist() == expected


def test_bits_are_counted_without_numpy_2(monkeypatch):
    values = crowd(1, 100)
    expected = [int(value).bit_count() for value in values]
    assert popcount(values).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert popcount(values).tolist() == expected


def test_hashes_come_from_hex_digits():
    assert hashes_of(["0000000000000000", "ffffffffffffffff", "8000000000000001"]).tolist() == [
        0,
        2**64 - 1,
        2**63 + 1,
    ]


@pytest.mark.parametrize("distance", [-1, MAX_DISTANCE + 1])
def test_a_distance_that_is_not_searched_is_refused(distance):
    with pytest.raises(ValueError, match="0 to 15 bits"):
        close_pairs(hashes_of(["0000000000000000"]), distance)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
def test_clusters_are_the_connected_parts_of_a_graph(pairs):
    clusters = Clusters(20)
    graph = nx.Graph()
    graph.add_nodes_from(range(20))
    for first, second in pairs:
        clusters.join(first, second)
        graph.add_edge(first, second)
    expected = sorted(sorted(part) for part in nx.connected_components(graph))
    assert clusters.groups() == expected
    assert all(clusters.find(place) == group[0] for group in expected for place in group)
