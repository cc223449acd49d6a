"""Hashes of pictures: kept for the next run, taken from shards, and what a changed or missing file does."""

import io
from pathlib import Path

import numpy as np
import pytest

from relsim.data.facts import image_facts
from relsim.data.records import ImageRecord, Status
from relsim.data.sources import list_images
from relsim.errors import SearchError
from relsim.evaluation.exclusions import Exclusion, Hashes, exclusions_of, nearest_allowed, picture_hashes


@pytest.fixture
def folder(tmp_path, blocks):
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        blocks(number).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def expected(records):
    facts = {record.image_id: image_facts(Path(record.source).read_bytes()) for record in records}
    return {image_id: Hashes(one.sha256, one.phash) for image_id, one in facts.items()}


def test_hashes_are_those_of_the_files_and_are_taken_once(folder, tmp_path):
    records, kept, seen = list_images([folder]), tmp_path / "hashes.jsonl", []
    assert picture_hashes(records, kept, on_hashed=seen.append) == expected(records)
    assert len(seen) == 4
    assert picture_hashes(records, kept, on_hashed=seen.append) == expected(records)
    assert len(seen) == 4


def test_a_changed_file_is_hashed_again(folder, tmp_path, blocks):
    records, kept, seen = list_images([folder]), tmp_path / "hashes.jsonl", []
    picture_hashes(records, kept)
    blocks(77).save(folder / "2.png")
    assert picture_hashes(records, kept, on_hashed=seen.append) == expected(records)
    assert len(seen) == 1
    assert picture_hashes(records, kept, on_hashed=seen.append) == expected(records)
    assert len(seen) == 1


def test_unreadable_pictures_have_no_hashes(folder):
    (folder / "0.png").write_bytes(b"no picture")
    records = [*list_images([folder]), ImageRecord("gone", str(folder / "gone.png"))]
    assert picture_hashes(records).keys() == {"1.png", "2.png", "3.png"}


def test_shards_have_their_hashes(make_shards, tmp_path, blocks):
    data = {}
    for number in range(3):
        buffer = io.BytesIO()
        blocks(number).save(buffer, "PNG")
        data[f"p{number}"] = buffer.getvalue()
    records = list_images([make_shards(tmp_path / "shards", {**data, "lost": Status.DEAD})])
    seen = []
    found = picture_hashes(records, on_hashed=seen.append)
    facts = {name: image_facts(content) for name, content in data.items()}
    assert found == {name: Hashes(one.sha256, one.phash) for name, one in facts.items()}
    assert seen == []  # no picture was decoded
    assert picture_hashes([ImageRecord("x", str(tmp_path / "no" / "part-00000.parquet#0"))]) == {}


def test_exclusions_by_hand():
    """Same bytes as row 1: row 3. Two bits from it: row 0. Flat pictures are alike by their bytes alone."""
    hashes = {
        "a": Hashes("A", f"{0b1111_0000_1111_0011:016x}"),
        "b": Hashes("B", f"{0b1111_0000_1111_0000:016x}"),
        "c": Hashes("C", f"{0b1111_0000_0000_0000:016x}"),
        "d": Hashes("B", f"{0b1111_0000_1111_0000:016x}"),
        "e": Hashes("E", "8" + 15 * "0"),
        "f": Hashes("F", "8" + 15 * "0"),
        "g": Hashes("E", "8" + 15 * "0"),
        "h": Hashes("H", "c" + 15 * "0"),
    }
    ids = [*hashes, "unknown"]
    found = exclusions_of(range(len(ids)), ids, hashes, distance=2)
    assert found[1] == [Exclusion(1, "self", 0), Exclusion(0, "near", 2), Exclusion(3, "exact", 0)]
    assert found[2] == [Exclusion(2, "self", 0)]
    assert found[4] == [Exclusion(4, "self", 0), Exclusion(6, "exact", 0)]
    assert found[7] == [Exclusion(7, "self", 0)]  # one bit from pictures of one colour
    assert found[8] == [Exclusion(8, "self", 0)]
    assert [one.row for one in exclusions_of([2], ids, hashes, distance=4)[0]] == [2, 1, 3]
    with pytest.raises(SearchError, match="from 0 "):
        exclusions_of([0], ids, hashes, distance=16)


def test_the_nearest_that_are_allowed_equal_a_sort():
    """Queries with none, one, and nearly all rows barred, and rows that are equal."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 5)).astype(np.float32)
    rows[10:16] = rows[3]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = [f"{number:02}" for number in rng.permutation(30)]
    barred = [[], [4], list(range(28)), [3, 11, 12], list(range(30))]
    found = nearest_allowed(
        rows[:5], [rows[:7], rows[7:]], 6, ids=ids, excluded=[np.array(b, np.int64) for b in barred]
    )
    for query, some in enumerate(barred):
        scores = rows.astype(np.float64) @ rows[query].astype(np.float64)
        order = sorted(set(range(30)) - set(some), key=lambda row: (-round(float(scores[row]), 12), ids[row]))[:6]
        assert found.indices[query].tolist() == order + [-1] * (6 - len(order))
        assert found.scores[query][: len(order)] == pytest.approx(scores[order])
        assert np.isneginf(found.scores[query][len(order) :]).all()
