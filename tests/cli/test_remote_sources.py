"""Verbs on addresses: what they read from there is what they read from a folder, and nothing is written there."""

import json

import pytest

from relsim.vectors import VectorTable


@pytest.fixture
def colours(plain_images, tmp_path):
    """Three pictures in a folder."""
    plain_images(tmp_path / "pictures", {"a.png": "red", "b.png": "green", "c.png": "blue"})
    return tmp_path / "pictures"


def test_a_table_of_an_address_holds_the_vectors_of_the_folder(document, colours, tmp_path):
    names = ("--encoder", "descriptors", "--out")
    document("embed", colours, *names, tmp_path / "here")
    found = document("embed", f"file://{colours}", *names, tmp_path / "there")
    assert found["embedded"] == 3
    assert document("embed", f"file://{colours}", *names, tmp_path / "there")["skipped"] == 3
    here, there = VectorTable.open(tmp_path / "here"), VectorTable.open(tmp_path / "there")
    assert list(here.ids) == list(there.ids)
    assert here.vectors.tobytes() == there.vectors.tobytes()
    assert {row.source for row in there.rows()} == {f"file://{path}" for path in colours.iterdir()}


@pytest.mark.parametrize(
    "words",
    [
        ("embed", "x", "--out", "s3://bucket/table"),
        ("caption", "x", "--out", "s3://bucket/c.jsonl"),
        ("download", "x.jsonl", "--out", "gs://bucket/shards"),
    ],
)
def test_an_address_is_no_place_to_write_to(refused, monkeypatch, plain_images, tmp_path, words):
    plain_images(tmp_path / "x", {"a.png": "red"})
    monkeypatch.chdir(tmp_path)
    assert refused(*words) == f"{words[-1]} is an address; --out names a place on this machine, to be copied later"
    assert not (tmp_path / f"{words[-1].partition(':')[0]}:").exists()


def test_a_list_at_an_address_is_downloaded(verb, tmp_path):
    (tmp_path / "list.jsonl").write_text(json.dumps({"image_hash": "a", "url_link": "ftp://nowhere/x"}) + "\n")
    result = verb("download", f"file://{tmp_path}/list.jsonl", "--out", tmp_path / "out")
    assert (result.exit_code, "refused" in result.stdout) == (3, True)
    assert json.loads((tmp_path / "out" / ".download" / "run.json").read_text())["name"].endswith("list.jsonl")


def test_the_images_of_a_manifest_may_be_at_an_address(verb, colours, tmp_path):
    names = sorted(path.stem for path in colours.iterdir())
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("".join(json.dumps({"image_hash": name}) + "\n" for name in names))
    flags = ("--encoder", "descriptors", "--image-folder", f"file://{colours}")
    assert verb("embed", manifest, *flags, "--out", tmp_path / "t").exit_code == 0
    assert list(VectorTable.open(tmp_path / "t").ids) == names
