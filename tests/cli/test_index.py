"""`relsim index`, `relsim embed --index`, and what `relsim search` says of its path."""

import json
import shutil

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

ROWS = 2_400  # a shortlist of 400 of them is worth its while


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "table"
    vectors = np.random.default_rng(0).standard_normal((ROWS, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with VectorTable.create(folder, Fingerprint.of({"encoder": "random"}), 64) as table:
        table.append("a", [ImageRecord(f"{row:04}", f"/{row:04}.png") for row in range(ROWS)], vectors)
    return folder


@pytest.fixture
def large(original, tmp_path):
    return shutil.copytree(original, tmp_path / "large")


def add(folder, vector):
    with VectorTable.open(folder) as table:
        table.append("b", [ImageRecord("newer", "/newer.png")], vector[None])


def test_a_search_takes_the_index_and_says_so(document, verb, large):
    told = document("index", large, "--kind", "binary", "--queries", 50)
    assert told["schema"] == "relsim.index/1"
    assert (told["index"]["kind"], told["index"]["rows"], told["index"]["recall"]["queries"]) == ("binary", ROWS, 50)
    stored = json.loads((large / "index" / "binary.json").read_text())
    assert told["index"] == {name: stored[name] for name in told["index"]}

    found = document("search", large, "0007")
    assert found["path"] == {
        "kind": "binary",
        "by_index": ROWS,
        "exactly": 0,
        "recall": stored["recall"],
        "why": None,
    }
    exact = document("search", large, "0007", "--exact")
    assert (exact["path"]["kind"], exact["path"]["exactly"], exact["path"]["recall"]) == ("exact", ROWS, None)
    scores = {hit["image_id"]: hit["score"] for hit in exact["hits"]}
    assert all(hit["score"] == scores.get(hit["image_id"], hit["score"]) for hit in found["hits"])

    shown = verb("search", large, "0007")
    recall = f"{stored['recall']['value']:.4f}"
    assert f"searched by the index binary (recall@10 {recall} when it was built); --exact looks" in shown.stderr
    assert verb("search", large, "0007", "--exact").stderr == ""


def test_new_rows_are_found_and_the_age_of_the_index_is_told(document, verb, large):
    document("index", large, "--kind", "binary")
    vector = VectorTable.open(large).vector("0011").copy()
    add(large, vector)
    found = document("search", large, "0011")
    assert found["hits"][0]["image_id"] == "newer"
    assert found["path"]["exactly"] == 1
    assert "1 of 2,401 rows were searched exactly" in verb("search", large, "0011").stderr


def test_an_index_that_cannot_be_used_is_told(document, verb, large):
    document("index", large, "--kind", "binary")
    next((large / "index").glob("*.bits")).unlink()
    found = document("search", large, "0011")
    assert found["path"]["kind"] == "exact"
    assert found["path"]["why"].startswith("searched exactly, for the index cannot be used: ")
    assert found["hits"] == document("search", large, "0011", "--exact")["hits"]
    assert "cannot be used" in verb("search", large, "0011").stderr


def test_two_axes_are_exact_and_say_so(document, verb, large):
    document("index", large, "--kind", "binary")
    found = document("search", large, "0011", "--attributes", large, "--weight", 0.5)
    assert found["path"]["kind"] == "exact"
    assert "two axes are always searched exactly" in verb("search", large, "0011", "--attributes", large).stderr


def test_people_are_told_what_was_built(verb, large):
    result = verb("index", large, "--kind", "binary", "--shortlist", 300)
    assert result.exit_code == 0
    assert "index binary of 2,400 rows" in result.stdout
    assert "recall@10 " in result.stdout
    assert "an index pays from about a million" in result.stderr
    assert json.loads((large / "index" / "binary.json").read_text())["parameters"] == {"shortlist": 300}


def test_a_setting_of_the_other_kind_is_refused(refused, large):
    assert "binary has no connectivity" in refused("index", large, "--kind", "binary", "--connectivity", 8)


def test_embedding_builds_an_index_once(document, verb, tmp_path, plain_images):
    images = plain_images(tmp_path / "images", {"a.png": "red", "b.png": "blue", "c.png": "white"})
    arguments = ("embed", images, "--out", tmp_path / "t", "--encoder", "fake", "--index", "binary")
    first = document(*arguments)
    assert (first["index"]["kind"], first["index"]["rows"]) == ("binary", 3)
    facts = tmp_path / "t" / "index" / "binary.json"
    before = facts.stat().st_mtime_ns
    assert document(*arguments)["index"] == first["index"]
    assert facts.stat().st_mtime_ns == before
    plain_images(tmp_path / "images", {"d.png": "black"})
    assert document(*arguments)["index"]["rows"] == 4
    assert "index binary of 4 rows" in verb(*arguments).stdout
    assert document(*arguments[:-2])["index"] is None


@pytest.mark.parametrize(("to", "package"), [("lancedb", "lancedb"), ("qdrant", "qdrant_client")])
def test_a_table_is_copied_for_another_engine(document, refused, original, tmp_path, to, package):
    pytest.importorskip(package, reason=f"the extra `{to}` is not installed")
    arguments = ("export", "table", original, "--to", to, "--out", tmp_path / "base")
    assert document(*arguments) == {
        "schema": "relsim.export_table/1",
        "table": str(original),
        "to": to,
        "out": str(tmp_path / "base"),
        "name": "relsim",
        "rows": ROWS,
        "fingerprint": {"encoder": "random"},
    }
    assert "already has a" in refused(*arguments)


def test_lancedb_has_no_url(verb, original):
    assert verb("export", "table", original, "--to", "lancedb", "--out", "http://127.0.0.1:9").exit_code == 2
