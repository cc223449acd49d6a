"""From a folder to accuracies, with the fake encoder, whose vectors are mean colours."""

import json

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import Status
from relsim.data.sources import list_images
from relsim.encoders.fake import FakeEncoder
from relsim.errors import SourceError
from relsim.evaluation.statistics import wilson
from relsim.evaluation.triplet_runs import distinct_pairs, find_manifest, find_triplets, measure_triplets, run_triplets
from relsim.evaluation.triplets import Triplet, write_triplets

PICTURES = {"a": "red", "b": "red", "c": "blue", "d": "blue"}


@pytest.fixture
def folder(tmp_path):
    """a and c show rings, b and d a row: what has the same colour has another relation."""
    (tmp_path / "images").mkdir()
    rows = []
    for name, colour in PICTURES.items():
        Image.new("RGB", (28, 28), colour).save(tmp_path / "images" / f"{name}.png")
        rows.append({"image_hash": name, "relation": "rings" if name in "ac" else "row", "look": colour})
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def records(folder):
    return list_images([find_manifest(folder)])


def test_an_encoder_of_colours_fails_conflict(folder):
    """In a control triplet both others have the other colour: a tie."""
    triplets = find_triplets(find_manifest(folder), records(folder), count=20)
    run = run_triplets(records(folder), triplets, FakeEncoder())
    assert run.report.kinds == {"conflict": wilson(0, 20), "control": wilson(10, 20)}
    assert run.fingerprint == FakeEncoder.fingerprint
    assert run.failures == ()


def test_triplets_beside_the_manifest_are_taken_unless_a_count_is_given(folder):
    given = [Triplet("a", "b", "c", "aligned", "f", "r")]
    write_triplets(folder / "triplets.jsonl", given)
    manifest = find_manifest(folder)
    assert find_triplets(manifest, records(folder)) == given
    made = find_triplets(manifest, records(folder), count=3)
    assert [triplet.kind for triplet in made] == ["conflict"] * 3 + ["control"] * 3


def test_a_bad_picture_is_a_failure_and_its_triplets_are_missing(folder):
    (folder / "images" / "d.png").write_bytes(b"")
    triplets = [Triplet("a", "b", "c"), Triplet("a", "b", "d"), Triplet("a", "b", "unlisted")]
    run = run_triplets(records(folder), triplets, FakeEncoder())
    assert run.report.kinds == {"control": wilson(1, 1)}
    assert run.report.missing == 2
    assert [(failure.record.image_id, failure.status) for failure in run.failures] == [("d", Status.EMPTY)]
    assert run.to_json()["failures"][0]["status"] == "empty"


def test_only_pictures_of_triplets_are_encoded(folder):
    seen = []
    run_triplets(records(folder), [Triplet("a", "b", "c")], FakeEncoder(), on_outcome=seen.append)
    assert {outcome.record.image_id for outcome in seen} == {"a", "b", "c"}


class Redness:
    """A measure of pairs: how far two pictures are apart in red, of 0 to 255."""

    name, fingerprint = "redness", FakeEncoder.fingerprint

    def prepare(self, image):
        return float(np.asarray(image)[..., 0].mean())

    def distance(self, batch_a, batch_b):
        return np.abs(np.subtract(batch_a, batch_b)).astype(np.float32)


def test_a_measure_of_pairs_takes_the_nearer_one(folder):
    triplets = [Triplet("a", "b", "c"), Triplet("a", "c", "b", "conflict"), Triplet("a", "c", "d", "aligned")]
    counted = []
    run = measure_triplets(records(folder), triplets, Redness(), on_measured=counted.append)
    assert run.report.kinds == {"conflict": wilson(0, 1), "aligned": wilson(0.5, 1), "control": wilson(1, 1)}
    assert (counted, run.failures) == ([0, 255, 255], ())
    assert distinct_pairs(records(folder), triplets) == [("a", "b"), ("a", "c"), ("a", "d")]


def test_what_a_measure_cannot_read_is_a_failure_and_its_triplets_are_missing(folder):
    (folder / "images" / "d.png").write_bytes(b"")
    triplets = [Triplet("a", "b", "c"), Triplet("a", "b", "d"), Triplet("a", "b", "unlisted")]
    run = measure_triplets(records(folder), triplets, Redness())
    assert (run.report.kinds, run.report.missing) == ({"control": wilson(1, 1)}, 2)
    assert [(failure.record.image_id, failure.status) for failure in run.failures] == [("d", Status.EMPTY)]
    with pytest.raises(SourceError, match="none of the 1 triplets has a distance"):
        measure_triplets(records(folder), triplets[1:2], Redness())


class TestManifest:
    def test_a_file_is_taken_as_it_is(self, folder):
        assert find_manifest(folder / "manifest.jsonl") == folder / "manifest.jsonl"

    def test_triplets_stand_for_their_folder(self, folder):
        write_triplets(folder / "triplets.jsonl", [Triplet("a", "b", "c")])
        assert find_manifest(folder / "triplets.jsonl") == folder / "manifest.jsonl"

    def test_the_only_one_in_a_folder_is_found(self, folder):
        (folder / "manifest.jsonl").rename(folder / "list.jsonl")
        write_triplets(folder / "triplets.jsonl", [Triplet("a", "b", "c")])
        assert find_manifest(folder) == folder / "list.jsonl"

    def test_none_or_two_are_told(self, folder):
        (folder / "manifest.jsonl").rename(folder / "x.jsonl")
        (folder / "y.jsonl").write_text("")
        with pytest.raises(SourceError, match=r"holds x\.jsonl, y\.jsonl"):
            find_manifest(folder)
        with pytest.raises(SourceError, match="holds none"):
            find_manifest(folder / "images")

    def test_a_missing_path_is_told(self, folder):
        with pytest.raises(SourceError, match="no such file or folder"):
            find_manifest(folder / "none")

    def test_a_manifest_without_labels_is_told(self, folder):
        (folder / "manifest.jsonl").write_text('{"image_hash": "a"}\n{"image_hash": "b"}\n')
        with pytest.raises(SourceError, match="names no relations"):
            find_triplets(find_manifest(folder), records(folder))
