"""Shard folders as sources of every verb: what comes out is what comes of the same files in a folder."""

import json
import os

import numpy as np
import pytest

from relsim.data.records import Status
from relsim.data.shard_rows import ShardRow
from relsim.data.shard_writing import ShardWriter
from relsim.vectors import VectorTable


@pytest.fixture(scope="module")
def folder(golden_paths, tmp_path_factory):
    """Six golden pictures, and a file that is none."""
    folder = tmp_path_factory.mktemp("sources") / "images"
    folder.mkdir()
    for path in golden_paths[:6]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "03_text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def shards(folder, make_shards):
    """The same pictures under the same ids; in place of the file that is none a row that could not be downloaded."""
    images = {path.name: path.read_bytes() for path in sorted(folder.iterdir())} | {"03_text.png": Status.DEAD}
    return make_shards(folder.parent / "shards", images, part_rows=3)


def stored(path):
    return {row.image_id: row.vector.tobytes() for row in VectorTable.open(path).rows()}


@pytest.mark.parametrize("encoder", ["relational", "descriptors"])
def test_vectors_are_those_of_the_files_bit_for_bit(verb, folder, shards, model_flags, tmp_path, encoder):
    flags = model_flags if encoder == "relational" else ["--encoder", encoder]
    for source in (folder, shards):
        assert verb("embed", source, "--out", tmp_path / source.name, *flags).exit_code == 3
    assert stored(tmp_path / "shards") == stored(tmp_path / "images")
    assert len(stored(tmp_path / "shards")) == 6


def test_a_row_without_an_image_is_a_failure_with_its_status(verb, shards, tmp_path):
    result = verb("embed", shards, "--out", tmp_path / "t", "--encoder", "fake")
    assert result.exit_code == 3
    assert "03_text.png: it is dead (dead)" in result.stderr
    (failure,) = VectorTable.open(tmp_path / "t").failures()
    assert (failure.record.image_id, failure.status, failure.reason) == ("03_text.png", Status.DEAD, "it is dead")
    assert failure.record.source == f"{shards}/part-00001.parquet#1"


def test_the_table_says_where_an_image_lies_and_search_finds_it(document, verb, shards, tmp_path):
    verb("embed", shards, "--out", tmp_path / "t", "--encoder", "descriptors")
    source = next(VectorTable.open(tmp_path / "t").rows()).source
    assert source == f"{shards}/part-00000.parquet#0"
    (hit, *_) = document("search", tmp_path / "t", source, "--top-k", 1)["hits"]
    assert (hit["image_id"], hit["source"]) == ("00_row_640x360.png", source)


def test_a_second_run_embeds_nothing(document, verb, shards, tmp_path):
    verb("embed", shards, "--out", tmp_path / "t", "--encoder", "fake")
    again = document("embed", shards, "--out", tmp_path / "t", "--encoder", "fake", exits=3)
    assert (again["embedded"], again["skipped"], again["failed"]) == (0, 6, {"dead": 1})


def test_captions_are_those_of_the_files(document, golden, folder, shards):
    flags = ["-c", golden / "captioner", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"]
    of_files, of_rows = (
        document("caption", source, *flags, "--max-new-tokens", 6, exits=3)["captions"] for source in (folder, shards)
    )
    assert [(row["image_id"], row["caption"]) for row in of_rows] == [
        (row["image_id"], row["caption"]) for row in of_files
    ]
    assert [row["status"] for row in of_rows if row["caption"] is None] == ["dead"]


def test_scores_are_those_of_the_files(document, folder, shards, model_flags):
    of_files = document("score", folder / "00_row_640x360.png", folder / "01_row_300x300.png", *model_flags)
    of_rows = document("score", f"{shards}/part-00000.parquet#0", f"{shards}/part-00000.parquet#1", *model_flags)
    assert of_rows["scores"] == of_files["scores"]


def test_triplets_are_measured_in_a_shard_folder(document, plain_images, shard_row, tmp_path):
    colours = {"a.png": "red", "b.png": "red", "c.png": "blue", "d.png": "blue"}
    folder = plain_images(tmp_path / "images", colours)
    labels = {"a": ("1", "x"), "b": ("2", "x"), "c": ("1", "y"), "d": ("2", "y")}
    with ShardWriter(tmp_path / "shards") as writer, (tmp_path / "manifest.jsonl").open("w") as manifest:
        for number, (name, (relation, look)) in enumerate(labels.items()):
            extra = {"relation": relation, "look": look}
            manifest.write(json.dumps({"image_hash": name, **extra}) + "\n")
            writer.append(shard_row(number, name, (folder / f"{name}.png").read_bytes(), extra=extra))
    flags = ["--encoder", "fake", "--count", 4]
    of_files = document("evaluate", "triplets", tmp_path / "manifest.jsonl", "--image-folder", folder, *flags)
    of_rows = document("evaluate", "triplets", tmp_path / "shards", *flags)
    assert of_rows["accuracy"] == of_files["accuracy"]


@pytest.fixture(scope="module")
def captioned(golden, tmp_path_factory):
    """Golden training images: four rows as a manifest and as shards, which have a row without an image besides."""
    place = tmp_path_factory.mktemp("captioned")
    lines = (golden / "train" / "train.jsonl").read_text().splitlines(keepends=True)[:4]
    (place / "four.jsonl").write_text("".join(lines))
    from dataclasses import asdict

    from relsim.data.facts import image_facts
    from relsim.data.manifest import read_manifest

    with ShardWriter(place / "shards", part_rows=2) as writer:
        for number, row in enumerate(read_manifest(place / "four.jsonl")):
            data = (golden / "train" / "images" / f"{row.image_hash}.png").read_bytes()
            writer.append(ShardRow.of(number, row, Status.OK, image=data, **asdict(image_facts(data))))
        writer.append(ShardRow(4, "gone", Status.DEAD, caption="A {Thing} that is gone"))
    return place


def test_training_sees_the_same_squares_and_captions(golden, captioned, tmp_path, caplog):
    from relsim.models.pixels import Recipe
    from relsim.training.crops import CropStore
    from relsim.training.samples import read_samples

    of_files = read_samples([captioned / "four.jsonl"], golden / "train" / "images")
    of_rows = read_samples([captioned / "shards"])
    assert [(s.image_id, s.captions) for s in of_rows] == [(s.image_id, s.captions) for s in of_files]
    assert "1 rows without an image are left out: 1 dead" in caplog.text
    recipe = Recipe.parse("crop56")
    stores = [CropStore.build(tmp_path / name, samples, recipe) for name, samples in (("f", of_files), ("s", of_rows))]
    assert np.array_equal(*(store.read(range(4)) for store in stores))


def test_stored_crops_are_kept_until_the_part_changes(golden, captioned, tmp_path):
    from relsim.models.pixels import Recipe
    from relsim.training.crops import CropStore
    from relsim.training.samples import read_samples

    def build():
        return CropStore.build(
            tmp_path / "crops", read_samples([captioned / "shards"]), Recipe.parse("crop56")
        ).pixel_file

    first = build()
    assert build() == first
    os.utime(captioned / "shards" / "part-00001.parquet", ns=(1, 1))
    assert build() != first


def test_a_run_on_shards_ends_with_the_weights_of_one_on_files(document, golden, captioned, tmp_path):
    weights = []
    flags = ["--base-model", golden / "base", "--batch-size", 2, "--recipe", "crop56", "--precision", "fp32"]
    for name, source in (
        ("files", ["--json-files", captioned / "four.jsonl", "--image-folder", golden / "train" / "images"]),
        ("shards", [captioned / "shards"]),
    ):
        out = tmp_path / name
        document("train", "metric", *source, *flags, "--out", out, "--set", "run.steps=2")
        weights.append((out / "last" / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_source_that_is_neither_is_named(refused, tmp_path, golden):
    (tmp_path / "x.txt").write_text("")
    line = refused("train", "metric", tmp_path / "x.txt", "--base-model", golden / "base", "--out", tmp_path / "o")
    assert "is no manifest; name a file *.jsonl with one image a line, a list of seed groups (*.json, *.jsonl)" in line
