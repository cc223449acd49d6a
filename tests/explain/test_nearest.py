"""The nearest captions are those of a search by hand, and the bank that comes along is the drawn world's."""

import json

import numpy as np
import pytest

from relsim.captions.anonymity import check
from relsim.errors import SourceError
from relsim.explain.nearest import nearest, packaged_captions, read_captions
from relsim.world.relations import RELATIONS


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_captions_that_come_along_are_one_of_each_drawn_relation():
    assert packaged_captions() == [relation.captions[0] for relation in RELATIONS.values()]


def test_the_captions_that_come_along_name_nothing():
    assert [caption for caption in packaged_captions() if not check(caption).ok] == []


@pytest.mark.parametrize("seed", range(4))
def test_nearest_to_each_and_to_the_mean_of_both(seed):
    rng = np.random.default_rng(seed)
    vectors, pictures = unit(rng.normal(size=(30, 12))), unit(rng.normal(size=(2, 12)))
    captions = [f"caption {number}" for number in range(30)]
    found = nearest(captions, vectors, pictures, 6)
    mean = pictures.astype(float).mean(axis=0)
    for near, query in (
        (found.shared, mean / np.linalg.norm(mean)),
        (found.first, pictures[0]),
        (found.second, pictures[1]),
    ):
        scores = {
            caption: float(vector @ query) for caption, vector in zip(captions, vectors.astype(float), strict=True)
        }
        assert [one.caption for one in near] == sorted(scores, key=scores.get, reverse=True)[:6]
        for one in near:
            row = captions.index(one.caption)
            assert one.score == pytest.approx(scores[one.caption], abs=1e-6)
            assert one.first == pytest.approx(float(vectors[row] @ pictures[0]), abs=1e-6)
            assert one.second == pytest.approx(float(vectors[row] @ pictures[1]), abs=1e-6)
    assert found.bank == 30


def test_opposite_pictures_and_a_small_bank_have_nearest_captions_too():
    pictures = np.array([[1, 0], [-1, 0]], np.float32)
    found = nearest(["a", "b"], np.array([[0, 1], [1, 0]], np.float32), pictures, 5)
    assert [one.caption for one in found.first] == ["b", "a"]
    assert [one.score for one in found.shared] == [0, 0]


def test_a_manifest_and_a_text_give_their_different_captions(tmp_path):
    manifest = tmp_path / "captions.jsonl"
    rows = [("a", "A {Thing}"), ("b", '"A {Ring}"'), ("c", "A {Thing}"), ("d", None)]
    manifest.write_text("".join(json.dumps({"image_hash": name, "caption": text}) + "\n" for name, text in rows))
    text = tmp_path / "captions.txt"
    text.write_text("\ufeffA {Thing}\n\n  A {Ring} \nA {Thing}\n", encoding="utf-8")
    assert read_captions(text) == ["A {Thing}", "A {Ring}"]
    assert read_captions(manifest) == ["A {Thing}", '"A {Ring}"']


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "holds no captions"), (b"\n \n", "holds no captions"), (b"\xff\xfe\x00", "not UTF-8")]
)
def test_a_file_without_captions_is_refused(tmp_path, content, reason):
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        read_captions(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"none\.txt cannot be read: no such file"):
        read_captions(tmp_path / "none.txt")
