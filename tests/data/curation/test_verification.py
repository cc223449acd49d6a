"""Bytes that are no longer what was recorded are found, each by its row."""

import json

import pyarrow.parquet as pq
import pytest

from relsim.data.curation.verification import verify
from relsim.data.facts import image_facts
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.shard_rows import IMAGE, schema


def test_a_good_shard_folder_has_no_faults(shards, images):
    found = verify(shards)
    assert found.faults == ()
    assert (found.rows, found.images, found.compared) == (9, 6, 6)
    assert found.bytes == sum(map(len, images.values()))
    assert found.without_image == {"dead": 1, "timeout": 1, "blocked": 1}


def rewrite(path, change):
    """Write a part again with other values in its columns: what checksums of pages do not see."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(table.from_pylist(rows, schema=schema()), path, row_group_size=100)
    document = json.loads((path.parent / "shards.json").read_text())
    for part in document["parts"]:
        part["bytes"] = (path.parent / part["name"]).stat().st_size
    (path.parent / "shards.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("sha256", "f" * 64, "its sha256 is"),
        ("width", 7, "its width is 96, and 7 was recorded"),
        ("format", "JPEG", "its format is PNG, and JPEG was recorded"),
        ("phash", "0" * 16, "its phash is"),
    ],
)
def test_a_recorded_fact_that_does_not_hold_is_a_fault(shards, name, value, problem):
    rewrite(shards / "part-00000.parquet", lambda rows: rows[2].update({name: value}))
    (fault,) = verify(shards).faults
    assert (fault.source, fault.row, fault.image_id) == ("part-00000.parquet", 2, "a2")
    assert problem in fault.problem


def test_an_image_of_which_a_byte_changed_is_a_fault(shards, images):
    def change(rows):
        data = bytearray(images["a_small"])
        data[len(data) // 2] ^= 1
        rows[3][IMAGE]["bytes"] = bytes(data)

    rewrite(shards / "part-00000.parquet", change)
    (fault,) = verify(shards).faults
    assert (fault.row, fault.image_id) == (3, "a_small")


def test_an_image_that_is_gone_or_should_not_be_there_is_a_fault(shards, images):
    def change(rows):
        rows[0][IMAGE] = None
        rows[1][IMAGE] = {"bytes": images["a"], "path": "gone.png"}

    rewrite(shards / "part-00000.parquet", change)
    assert [(fault.row, fault.problem) for fault in verify(shards).faults] == [
        (0, "is ok and has no image"),
        (1, "is dead and has an image all the same"),
    ]


@pytest.mark.parametrize("harm", ["torn", "removed", "flipped"])
def test_a_damaged_part_is_a_fault_and_the_others_are_read(shards, harm):
    path = shards / "part-00000.parquet"
    data = bytearray(path.read_bytes())
    if harm == "torn":
        path.write_bytes(data[:-9])
    elif harm == "removed":
        path.unlink()
    else:
        data[len(data) // 3] ^= 0xFF
        path.write_bytes(data)
    found = verify(shards)
    assert [fault.source for fault in found.faults] == ["part-00000.parquet"]
    assert found.rows == 9
    assert found.images in (3, 6)  # the other part's three; all six where the harm met no byte of an image's page


def test_a_folder_is_decoded(folder):
    found = verify(folder)
    assert (found.rows, found.images, found.compared) == (7, 6, 0)
    (fault,) = found.faults
    assert fault.image_id == "bad.png"
    assert "not_image" in fault.problem


def test_a_list_with_digests_is_compared(tmp_path, images):
    digest = image_facts(images["a"]).sha256
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(images["a"])
    extra = {"a": {"sha256": digest}, "b": {"sha256": "0" * 64}, "c": {}, "lost": {"sha256": digest}}
    write_manifest(tmp_path / "manifest.jsonl", [ManifestRow(name, extra=more) for name, more in extra.items()])
    found = verify(tmp_path)
    assert (found.rows, found.images, found.compared) == (4, 3, 2)
    assert [fault.image_id for fault in found.faults] == ["b", "lost"]


def test_a_list_that_nobody_fetched_has_nothing_to_verify(tmp_path):
    write_manifest(tmp_path / "m.jsonl", [ManifestRow("a")])
    found = verify(tmp_path / "m.jsonl")
    assert (found.images, found.without_image, found.faults) == (0, {"not_fetched": 1}, ())
