"""Galleries: the published manifest form, the same pictures from the same seed, whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from relsim.data.images import read_image
from relsim.data.manifest import read_manifest
from relsim.data.sources import list_images
from relsim.errors import SourceError
from relsim.evaluation.labels import labels_of, triplets_from_labels
from relsim.evaluation.triplets import read_triplets
from relsim.world.gallery import contact_sheet, write_gallery, write_sheet
from relsim.world.looks import Split
from relsim.world.relations import RELATIONS
from relsim.world.scenes import draw, scene_from_record


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Eight scenes and three triplets of each kind, 64 pixels wide."""
    folder = tmp_path_factory.mktemp("world") / "gallery"
    return write_gallery(folder, count=8, triplets=3, seed=4, size=64, workers=1)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_is_a_manifest_of_the_published_form(gallery):
    rows = read_manifest(gallery.manifest)
    assert len(rows) == gallery.scenes == len({row.image_hash for row in rows})
    for line in gallery.manifest.read_text().splitlines():
        assert list(json.loads(line))[:3] == ["image_hash", "url_link", "caption"]
    assert all(len(row.image_hash) == 32 and row.url_link == "" and row.caption for row in rows)
    assert all(row.caption in RELATIONS[row.extra["relation"]].captions[:-1] for row in rows)


def test_its_pictures_are_found_with_and_without_the_folder(gallery):
    listed = list_images([gallery.manifest])
    assert listed == list_images([gallery.manifest], image_folder=gallery.folder / "images")
    assert [record.image_id for record in listed] == [row.image_hash for row in read_manifest(gallery.manifest)]
    assert {read_image(record).image.size for record in listed} == {(64, 64)}


def test_a_row_draws_its_picture_again(gallery):
    row = json.loads(gallery.manifest.read_text().splitlines()[5])
    with Image.open(gallery.folder / "images" / f"{row['image_hash']}.png") as stored:
        assert np.array_equal(np.asarray(stored), np.asarray(draw(scene_from_record(row), 64).image))


def test_triplets_share_relation_and_look_as_their_kind_says(gallery):
    rows = {row.image_hash: row.extra for row in read_manifest(gallery.manifest)}
    triplets = read_triplets(gallery.folder / "triplets.jsonl")
    assert [triplet.kind for triplet in triplets] == ["conflict"] * 3 + ["aligned"] * 3 + ["control"] * 3
    assert gallery.triplets == 9
    for triplet in triplets:
        anchor, positive, negative = (rows[image_id] for image_id in triplet.ids)
        assert anchor["relation"] == positive["relation"] == triplet.relation != negative["relation"]
        assert (positive["look"] == anchor["look"]) == (triplet.kind == "aligned")
        assert (negative["look"] == anchor["look"]) == (triplet.kind == "conflict")


def test_its_labels_make_conflict_triplets_too(gallery):
    labels = labels_of(list_images([gallery.manifest]))
    assert "conflict" in {triplet.kind for triplet in triplets_from_labels(labels, count=4)}


def test_one_process_and_two_write_the_same(gallery, tmp_path):
    write_gallery(tmp_path / "other", count=8, triplets=3, seed=4, size=64, workers=2)
    assert contents(tmp_path / "other") == contents(gallery.folder)


def test_a_split_keeps_to_its_own(tmp_path):
    made = write_gallery(tmp_path / "new", split=Split.RELATIONS, count=8, size=32, workers=1)
    assert {row.extra["relation"] for row in read_manifest(made.manifest)} == set(Split.RELATIONS.relations)
    assert not (made.folder / "triplets.jsonl").exists()


def test_an_existing_folder_and_an_empty_wish_are_refused(gallery, tmp_path):
    with pytest.raises(SourceError, match="exists already"):
        write_gallery(gallery.folder, count=1)
    with pytest.raises(SourceError, match="holds nothing"):
        write_gallery(tmp_path / "none", count=0)
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        write_gallery(tmp_path / "file" / "gallery", count=1, size=32)
    with pytest.raises(SourceError, match="cannot be written"):
        write_sheet(tmp_path / "file" / "sheet.png", names=["ring"], columns=1, size=32)


def test_a_killed_run_leaves_no_gallery(tmp_path):
    script = (
        "from pathlib import Path\nfrom relsim.world.gallery import write_gallery\n"
        f"write_gallery(Path({str(tmp_path)!r}) / 'g', count=3_000, size=64, workers=1)"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        while not any(tmp_path.glob(".g-*/images/*.png")):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "g").exists()


def test_the_contact_sheet_has_a_row_for_each_relation():
    sheet = contact_sheet(columns=2, size=24)
    assert sheet.size == (150 + 2 * 28, len(RELATIONS) * 28)
    names = ["ring", "growth"]
    assert contact_sheet(names, columns=1, size=24).size == (150 + 28, 2 * 28)


def test_a_sheet_is_written_by_its_suffix(tmp_path):
    write_sheet(tmp_path / "sheet.webp", names=["ring"], columns=2, size=32)
    with Image.open(tmp_path / "sheet.webp") as image:
        assert (image.format, image.size) == ("WEBP", (150 + 2 * 36, 36))
    with pytest.raises(SourceError, match=r"\.png, \.jpg or \.webp"):
        write_sheet(tmp_path / "sheet.doc")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.webp"]
