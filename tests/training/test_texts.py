"""Captions into vectors, once."""

import logging
from pathlib import Path

import numpy as np
import pytest

from relsim.errors import TrainingError
from relsim.models.text_encoder import CaptionEncoder
from relsim.training.texts import TextVectors

CAPTIONS = ["{Objects} in a row", "A circle of {Objects}", "{Objects} in a row", "", "Café {Ä}"]


class Counting:
    """Unit vectors that can be worked out: a one at the length of the caption. Counts what it is asked."""

    def __init__(self):
        self.asked = []

    def encode_text(self, sentences):
        self.asked += sentences
        return np.eye(384, dtype=np.float32)[[len(text) for text in sentences]]


@pytest.fixture
def encoder():
    return Counting()


def test_vectors_are_those_of_the_encoder():
    """The frozen MiniLM by default, as sentence-transformers gives them one by one."""
    texts = TextVectors.of(CAPTIONS[:2])
    alone = np.concatenate([CaptionEncoder().encode_text([caption]) for caption in CAPTIONS[:2]])
    np.testing.assert_allclose(texts[CAPTIONS[:2]], alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(texts.vectors, axis=1), 1, atol=1e-6)


def test_each_caption_is_embedded_once(encoder):
    texts = TextVectors.of(CAPTIONS, encoder=encoder)
    assert encoder.asked == sorted(set(CAPTIONS)) == list(texts.captions)
    assert len(texts) == 4
    assert texts.vectors.dtype == np.float32
    assert texts[CAPTIONS].argmax(axis=1).tolist() == [len(caption) for caption in CAPTIONS]
    assert texts[[]].shape == (0, 384)


def test_second_run_reads_the_file(encoder, tmp_path):
    first = TextVectors.of(CAPTIONS, tmp_path / "new", encoder=encoder)
    again = TextVectors.of(reversed(CAPTIONS), tmp_path / "new", encoder=encoder)
    assert len(encoder.asked) == 4
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert [path.name[:6] for path in (tmp_path / "new").iterdir()] == ["texts-"]


def test_other_captions_and_other_encoders_have_files_of_their_own(encoder, tmp_path):
    TextVectors.of(CAPTIONS, tmp_path, encoder=encoder)
    TextVectors.of(CAPTIONS[:1], tmp_path, encoder=encoder)
    TextVectors.of(CAPTIONS, tmp_path, encoder=encoder, name="another")
    assert len(encoder.asked) == 4 + 1 + 4
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "wrong shape", "wrong type"])
def test_damaged_file_is_made_again(encoder, tmp_path, damage, caplog):
    TextVectors.of(CAPTIONS, tmp_path, encoder=encoder)
    (path,) = tmp_path.iterdir()
    if damage.startswith("wrong"):
        np.save(path, np.zeros((4, 3), np.float32) if damage == "wrong shape" else np.zeros((4, 384)))
    else:
        path.write_bytes({"cut": path.read_bytes()[:1000], "empty": b"", "text": b"no array"}[damage])
    with caplog.at_level(logging.WARNING):
        texts = TextVectors.of(CAPTIONS, tmp_path, encoder=encoder)
    assert "made again" in caplog.text
    assert len(encoder.asked) == 8
    np.testing.assert_array_equal(np.load(path), texts.vectors)


def test_caption_without_vector(encoder):
    with pytest.raises(TrainingError, match="the caption 'Other' has no vector"):
        TextVectors.of(CAPTIONS, encoder=encoder).rows(["Other"])


@pytest.mark.parametrize("vectors", [np.zeros((3, 384)), np.full((4, 384), np.nan)])
def test_encoder_that_gives_nonsense(vectors, tmp_path):
    class Broken:
        def encode_text(self, sentences):
            return vectors

    with pytest.raises(TrainingError, match=r"the text encoder .* gave vectors"):
        TextVectors.of(CAPTIONS, tmp_path, encoder=Broken())
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(encoder):
    with pytest.raises(TrainingError, match="cannot be stored in /proc/none"):
        TextVectors.of(CAPTIONS, Path("/proc/none"), encoder=encoder)
