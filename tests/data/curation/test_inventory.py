"""One view of every kind of collection: what is known of each row."""

import json

import pytest

from relsim.data.curation.inventory import read_ahead, take_inventory
from relsim.data.curation.verification import verify
from relsim.data.download.status_table import write_table_part
from relsim.data.facts import image_facts
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Failure, Status
from relsim.errors import SourceError


def facts(item):
    return item.width, item.height, item.format, item.sha256, item.phash


def expected(data):
    known = image_facts(data)
    return known.width, known.height, known.format, known.sha256, known.phash


def test_a_shard_folder_has_every_row_and_where_its_bytes_are(shards, shard_rows, images):
    inventory = take_inventory(shards)
    assert (inventory.kind, inventory.origin) == ("shards", {"name": "list.jsonl", "sha256": "0" * 64})
    assert inventory.stored_bytes == sum(path.stat().st_size for path in shards.glob("part-*"))
    assert [item.manifest_row for item in inventory.items] == [row.manifest_row for row in shard_rows]
    assert [(item.row, item.status, item.http_code) for item in inventory.items] == [
        (row.row, row.status, row.http_code) for row in shard_rows
    ]
    stored = [item for item in inventory.items if item.has_image]
    assert [read_bytes(item.source) for item in stored] == [images[item.image_id] for item in stored]
    assert [facts(item) for item in stored] == [expected(images[item.image_id]) for item in stored]


def test_a_download_of_files_is_its_table_and_its_files(tmp_path, shard_rows, images):
    """As relsim download --layout files leaves it; one file has been lost since."""
    for part in range(2):
        (tmp_path / "status").mkdir(exist_ok=True)
        rows = shard_rows[part::2]
        write_table_part(tmp_path / "status" / f"part-{part:05d}.parquet", rows, lambda row: row.path)
    for row in shard_rows:
        if row.image is not None and row.image_hash != "c":
            (tmp_path / row.path).write_bytes(row.image)
    inventory = take_inventory(tmp_path)
    assert (inventory.kind, [item.image_id for item in inventory.items]) == (
        "files",
        [row.image_hash for row in shard_rows],
    )
    stored = [item for item in inventory.items if item.has_image]
    assert [read_bytes(item.source) for item in stored[:-1]] == [images[item.image_id] for item in stored[:-1]]
    found = verify(tmp_path)
    assert (found.images, found.compared, [fault.image_id for fault in found.faults]) == (6, 6, ["c"])
    assert found.without_image == {"dead": 1, "timeout": 1, "blocked": 1}
    (tmp_path / "b.webp").write_bytes(images["a"])
    assert [fault.image_id for fault in verify(tmp_path).faults] == ["b", "c"]


def test_an_id_that_comes_twice_counts_by_its_row_with_an_image(shards):
    items = take_inventory(shards).by_id()
    assert list(items) == ["a", "gone", "a2", "a_small", "slow", "a_jpeg", "b", "c"]
    assert items["b"].has_image
    assert items["gone"].status is Status.DEAD


def test_images_of_a_folder_are_read(folder, images):
    seen = []

    class Bar:
        def __init__(self, total):
            seen.append(total)

        def __enter__(self):
            return seen.append

        def __exit__(self, *_):
            seen.append("end")

    inventory = take_inventory(folder, workers=2, progress=Bar)
    assert (inventory.kind, [item.image_id for item in inventory.items][:2]) == ("folder", ["a2.png", "a.png"])
    by_id = inventory.by_id()
    assert by_id["sub/c.png"].size == len(images["c"])
    assert facts(by_id["sub/c.png"]) == expected(images["c"])
    assert (by_id["bad.png"].status, by_id["bad.png"].phash) == (Status.NOT_IMAGE, None)
    assert (seen[0], len(seen), seen[-1]) == (7, 9, "end")
    assert sum(isinstance(outcome, Failure) for outcome in seen) == 1


def test_a_list_has_rows_that_nobody_fetched(tmp_path):
    write_manifest(tmp_path / "m.jsonl", [ManifestRow("a", "https://x.org/?a&amp;b", '"A {B}"', {"group": 3})])
    (item,) = take_inventory(tmp_path / "m.jsonl").items
    assert (item.status, item.has_image, item.group) == (None, False, "3")
    assert (item.clean_caption, item.clean_url) == ("A {B}", "https://x.org/?a&b")


def test_bad_lines_of_a_list_are_reported(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"image_hash": "a"}\noops\n')
    bad = []
    assert len(take_inventory(tmp_path / "m.jsonl", on_bad_line=bad.append).items) == 1
    assert [line.number for line in bad] == [2]
    with pytest.raises(SourceError, match="line 2"):
        take_inventory(tmp_path / "m.jsonl")


@pytest.mark.parametrize("place", ["images", "."])
def test_a_list_with_its_images_has_both(tmp_path, images, place):
    folder = tmp_path / "published"
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "a.png").write_bytes(images["a"])
    (folder / place / "a.jpg").write_bytes(images["a_jpeg"])
    rows = [ManifestRow("a", None, "A {B}"), ManifestRow("lost")]
    write_manifest(folder / "manifest.jsonl", rows)
    first, second = take_inventory(folder).items
    assert (facts(first), first.caption) == (expected(images["a"]), "A {B}")
    assert second.status is Status.MISSING
    elsewhere = tmp_path / "list.jsonl"
    write_manifest(elsewhere, rows)
    assert [item.status for item in take_inventory(elsewhere, image_folder=folder / place).items] == [
        Status.OK,
        Status.MISSING,
    ]


def test_a_list_may_have_its_images_in_a_shard_folder(tmp_path, shards, images):
    """As one part of a split has them."""
    write_manifest(tmp_path / "part.jsonl", [ManifestRow("c"), ManifestRow("gone"), ManifestRow("a")])
    items = take_inventory(tmp_path / "part.jsonl", image_folder=shards).items
    assert [item.status for item in items] == [Status.OK, Status.DEAD, Status.OK]
    assert facts(items[0]) == expected(images["c"])


def test_seed_groups_are_found_in_their_published_folders(tmp_path, images):
    url = "https://x.org/0.png"
    (tmp_path / "seed_group.json").write_text(json.dumps([{"anonymous_caption": "A", "image_urls": [url]}]))
    (row,) = take_inventory(tmp_path / "seed_group.json").items
    path = tmp_path / "seeds" / "group_0" / f"{row.image_id}.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(images["a"])
    (item,) = take_inventory(tmp_path / "seed_group.json", image_folder=tmp_path / "seeds").items
    assert (item.has_image, item.group, item.source) == (True, "0", str(path))


@pytest.mark.parametrize("name", ["", "none", "none.png", "none.jsonl", "random-15k"])
def test_what_is_no_collection_is_one_clear_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError) as caught:
        take_inventory(name)
    assert "\n" not in str(caught.value)


def test_threads_give_results_in_order_and_stop_when_asked():
    begun = []

    def work(number):
        begun.append(number)
        return number * number

    assert list(read_ahead(range(100), work, workers=3)) == [(n, n * n) for n in range(100)]
    begun.clear()
    stream = read_ahead(range(10_000), work, workers=2)
    next(stream)
    stream.close()
    assert len(begun) < 100
