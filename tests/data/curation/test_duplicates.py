"""Clusters of duplicates: which are joined, which one is kept, and what is written."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from relsim.data.curation.duplicates import find_duplicates, write_decisions, write_kept
from relsim.data.curation.inventory import Inventory, Item, take_inventory
from relsim.data.manifest import read_manifest
from relsim.data.records import Status
from relsim.errors import SourceError


def item(row, phash="0123456789abcdef", **changes):
    return Item(f"i{row}", row, **{"status": Status.OK, "sha256": f"{row:064d}", "phash": phash, **changes})


def clusters(duplicates):
    found = {}
    for decision in duplicates.decisions:
        found.setdefault(decision.cluster, []).append(decision.image_id)
    return list(found.values())


def of(*items):
    return Inventory("x", "shards", items)


def flipped(value, *bits):
    number = int(value, 16)
    for bit in bits:
        number ^= 1 << int(bit)
    return f"{number:016x}"


def test_real_pictures_are_joined_by_bytes_and_by_looks(shards):
    """One picture as PNG twice, scaled down, and as JPEG; the others are alone."""
    found = find_duplicates(take_inventory(shards))
    assert clusters(found) == [["a", "a2", "a_small", "a_jpeg"]]
    assert [(d.decision, d.reason, d.kept) for d in found.decisions] == [
        ("keep", "best", "a"),
        ("drop", "exact", "a"),
        ("drop", "near", "a"),
        ("drop", "near", "a"),
    ]
    assert (found.images, found.clusters, found.exact, found.near, found.largest) == (6, 1, 1, 2, 4)


def test_a_cluster_is_what_chains_connect():
    hashes = ["0123456789abcdef"]
    hashes += [flipped(hashes[0], 0, 1, 2, 3), flipped(hashes[0], 0, 1, 2, 3, 40, 41, 42, 43), "ffff00000000ffff"]
    items = [item(row, phash) for row, phash in enumerate(hashes)]
    assert clusters(find_duplicates(of(*items), distance=4)) == [["i0", "i1", "i2"]]
    assert clusters(find_duplicates(of(*items), distance=3)) == []
    assert [d.distance for d in find_duplicates(of(*items), distance=4).decisions] == [0, 4, 8]


def test_equal_bytes_are_joined_whatever_the_hash():
    first, second = item(0), item(1, "ffff00000000ffff", sha256=f"{0:064d}")
    (_, dropped) = find_duplicates(of(first, second), distance=0).decisions
    assert (dropped.reason, dropped.image_id) == ("exact", "i1")


@pytest.mark.parametrize("flat", ["0000000000000000", "8000000000000000"])
def test_pictures_of_one_colour_are_not_alike(flat):
    assert find_duplicates(of(item(0, flat), item(1, flat), item(2, flipped(flat, 5))), distance=15).clusters == 0


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ([{"width": 10, "height": 10}, {"width": 11, "height": 10}, {}], 1),
        ([{}, {"caption": "A {B}"}, {"caption": "A {B}"}], 1),
        ([{"caption": "A {B}", "width": 10, "height": 10}, {"width": 11, "height": 10}, {}], 1),
        ([{}, {}, {}], 0),
    ],
    ids=["the largest", "one with a caption", "size before caption", "the first"],
)
def test_the_best_of_a_cluster_is_kept(changes, kept):
    found = find_duplicates(of(*(item(row, **change) for row, change in enumerate(changes))))
    assert [d.row for d in found.decisions if d.decision == "keep"] == [kept]
    assert {d.kept for d in found.decisions} == {f"i{kept}"}


def test_many_equal_hashes_cost_nothing():
    """20,000 equal ones would be 200 million pairs."""
    found = find_duplicates(of(*(item(row) for row in range(20_000))))
    assert (found.clusters, found.largest, found.near) == (1, 20_000, 19_999)


def test_clusters_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(3)
    items = [item(row, flipped("0123456789abcdef", *rng.choice(64, 5, replace=False))) for row in range(60)]
    expected = {frozenset(cluster) for cluster in clusters(find_duplicates(of(*items), distance=7))}
    shuffled = [items[place] for place in rng.permutation(60)]
    assert {frozenset(cluster) for cluster in clusters(find_duplicates(of(*shuffled), distance=7))} == expected
    assert any(len(cluster) > 2 for cluster in expected)


@pytest.mark.parametrize("distance", [-1, 16])
def test_a_distance_that_is_not_searched_is_one_clear_line(distance):
    with pytest.raises(SourceError, match="from 0"):
        find_duplicates(of(item(0)), distance=distance)


def test_a_list_without_images_is_one_clear_line():
    with pytest.raises(SourceError, match="has no images to compare"):
        find_duplicates(Inventory("x", "list", (Item("a", 0),)))


def test_decisions_are_written_for_people_and_for_programs(shards, tmp_path):
    found = find_duplicates(take_inventory(shards))
    write_decisions(tmp_path / "d.tsv", found.decisions)
    write_decisions(tmp_path / "d.jsonl", found.decisions)
    with (tmp_path / "d.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert rows == [{name: str(value) for name, value in line.items()} for line in lines]
    assert [line["image_id"] for line in lines] == ["a", "a2", "a_small", "a_jpeg"]
    with pytest.raises(SourceError, match="cannot write"):
        write_decisions(tmp_path / "none" / "d.tsv", found.decisions)


def test_ids_with_tabs_and_newlines_stay_in_their_cells(tmp_path):
    items = [replace(item(row), image_id=f"a\tb\n{row}") for row in range(2)]
    write_decisions(tmp_path / "d.tsv", find_duplicates(of(*items)).decisions)
    lines = (tmp_path / "d.tsv").read_text().splitlines()
    assert [line.count("\t") for line in lines] == [6, 6, 6]


def test_the_manifest_of_what_is_kept_has_every_other_image(shards, tmp_path):
    inventory = take_inventory(shards)
    assert write_kept(tmp_path / "kept.jsonl", inventory, find_duplicates(inventory)) == 3
    assert [row.image_hash for row in read_manifest(tmp_path / "kept.jsonl")] == ["a", "b", "c"]
