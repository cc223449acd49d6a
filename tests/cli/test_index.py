"""`relsim index`, `relsim embed --index`, and what `relsim search` says of its path."""

import json
import shutil
import sys

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.files import exclusive_lock
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


def test_an_index_may_be_named(document, verb, refused, large):
    document("index", large, "--kind", "binary")
    assert document("search", large, "0007", "--index", "binary")["path"]["kind"] == "binary"
    assert "no index of the kind hnsw. Build one: relsim index" in refused("search", large, "0007", "--index", "hnsw")
    assert verb("search", large, "0007", "--index", "binary", "--exact").exit_code == 2
    assert verb("search", large, "0007", "--index", "binary", "--attributes", large).exit_code == 2


def test_a_weight_beyond_measure_is_refused(refused, large):
    assert "the weight between" in refused("search", large, "0007", "--attributes", large, "--weight", "1e39")


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


@pytest.fixture
def embed(tmp_path, plain_images):
    """The arguments of `relsim embed ... --index binary` for so many images, into one table."""

    def arguments(images, kind="binary"):
        plain_images(tmp_path / "images", {f"{number:02}.png": (number, 0, 0) for number in range(images)})
        return ("embed", tmp_path / "images", "--out", tmp_path / "t", "--encoder", "fake", "--index", kind)

    return arguments


def test_embedding_builds_an_index_where_there_is_none_for_nine_rows_of_ten(document, verb, tmp_path, embed):
    first = document(*embed(20))
    assert (first["index"]["kind"], first["index"]["rows"], first["index_problem"]) == ("binary", 20, None)
    facts = tmp_path / "t" / "index" / "binary.json"
    before = facts.stat().st_mtime_ns
    assert document(*embed(20))["index"] == first["index"]
    assert document(*embed(22))["index"] == first["index"]
    assert "; 2 newer rows are searched exactly until `relsim index` builds it again" in verb(*embed(22)).stdout
    assert facts.stat().st_mtime_ns == before
    assert document(*embed(23))["index"]["rows"] == 23
    assert "index binary of 23 rows" in verb(*embed(23)).stdout
    assert "newer" not in verb(*embed(23)).stdout
    assert document(*embed(23)[:-2])["index"] is None


def test_an_index_is_built_again_by_the_settings_that_were_chosen(document, verb, tmp_path, embed):
    document(*embed(20))
    document("index", tmp_path / "t", "--kind", "binary", "--shortlist", 7, "--queries", 5, "--seed", 3)
    again = document(*embed(30))["index"]
    assert (again["rows"], again["parameters"], again["given"]) == (30, {"shortlist": 7}, ["shortlist"])
    assert (again["recall"]["queries"], again["recall"]["seed"]) == (5, 3)


def test_what_an_index_needs_is_asked_for_before_the_model_is_loaded(refused, tmp_path, embed, monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    assert 'pip install "relsim[index]"' in refused(*embed(2, "hnsw"))
    assert not (tmp_path / "t").exists()


def test_an_index_that_cannot_be_built_takes_no_summary_with_it(document, verb, tmp_path, embed):
    """One row makes no index. A picture that fails is told as well, whatever becomes of the index."""
    arguments = embed(1)
    (tmp_path / "images" / "broken.png").touch()
    result = verb(*arguments)
    assert result.exit_code == 1
    assert "1 embedded" in result.stdout
    assert "1 failed: 1 empty" in result.stderr
    assert "the images are in the table, but its index was not built: " in result.stderr.splitlines()[-1]
    found = document(*arguments, exits=1)
    assert (found["rows"], found["index"], found["failed"]) == (1, None, {"empty": 1})
    assert found["index_problem"] in result.stderr


def test_an_index_that_somebody_else_builds_is_told(verb, tmp_path, embed):
    arguments = embed(3)
    verb(*arguments[:-2])
    (tmp_path / "t" / "index").mkdir()
    with exclusive_lock(tmp_path / "t" / "index" / ".lock"):
        result = verb(*arguments)
    assert result.exit_code == 1
    assert "0 embedded, 3 were there" in result.stdout
    assert "is being written by another process" in result.stderr


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
