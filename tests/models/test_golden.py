"""The published package's numbers, reproduced in fp32 by both engines."""

import numpy as np
import pytest
import torch
from PIL import Image

from relsim.metric import RelationalSimilarity
from relsim.models.pixels import Recipe
from relsim.models.text_encoder import CaptionEncoder, bundled_model


@pytest.fixture(scope="module")
def found(vlm, golden_pictures, embed):
    return embed(vlm, golden_pictures).numpy()


def test_all_embeddings_equal_the_published_ones(found, golden_embeddings):
    """Cosine distance below 1e-5 and largest difference below 1e-3, for each of the 17 pictures."""
    cosine = (found * golden_embeddings).sum(1, dtype=np.float64) / np.linalg.norm(golden_embeddings, axis=1)
    assert (1 - cosine).max() < 1e-5
    assert np.abs(found - golden_embeddings).max() < 1e-3


def test_embeddings_have_unit_length(found):
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_scores_equal_the_published_ones(metric, golden_pictures, expected):
    """Each ordered pair of the first four pictures, scored by the published call."""
    scores = [[metric(a, b) for b in golden_pictures[:4]] for a in golden_pictures[:4]]
    np.testing.assert_allclose(scores, expected["scores_first4"], atol=1e-4)


@pytest.mark.parametrize("engine", ["packed", "plain"])
def test_training_batch_equals_the_published_one(load_golden, golden, expected, embed, engine):
    """Embeddings, InfoNCE loss (image to text, temperature 0.07) and accuracy of a batch under `crop448`."""
    batch = expected["train_batch"]
    vlm = load_golden(engine=engine, recipe="crop448")
    pictures = [
        Image.open(golden / "train" / "images" / f"{name}.png").convert("RGB") for name in batch["image_hashes"]
    ]
    images = embed(vlm, pictures)
    np.testing.assert_allclose(images, np.load(golden / "expected_train_embeddings_fp32.npy"), atol=1e-4)

    captions = RelationalSimilarity(vlm).embed_text(batch["captions"])
    logits = images @ captions.T / batch["temperature"]
    labels = torch.arange(len(captions))
    assert torch.nn.functional.cross_entropy(logits, labels).item() == pytest.approx(batch["loss"], abs=1e-4)
    assert (logits.argmax(1) == labels).float().mean().item() == batch["accuracy"]


def test_prompt_of_a_448_square_has_the_published_length(packed, expected):
    """The published sequence goes on behind the query token with `<|im_end|>` and a line break: two tokens."""
    square = packed.prepare(Image.new("RGB", (448, 448)))
    assert packed.tokens(square) + 2 == expected["train_batch"]["sequence_length"]


def test_squash448_is_pillows_lanczos_without_a_crop(golden_pictures):
    for picture in golden_pictures[:4]:
        by_pillow = picture.resize((448, 448), Image.Resampling.LANCZOS)
        assert Recipe.SQUASH448.apply(picture).tobytes() == by_pillow.tobytes()


def test_squash448_keeps_a_448_square_as_it_is(golden_pictures):
    square = golden_pictures[2]
    assert square.size == (448, 448)
    assert Recipe.SQUASH448.apply(square).tobytes() == square.tobytes()


@pytest.mark.skipif(bundled_model() is None, reason="the offline copy of MiniLM is not installed")
def test_text_vectors_are_sentence_transformers_own(expected):
    """Bit for bit, and of unit length."""
    from sentence_transformers import SentenceTransformer

    captions = expected["train_batch"]["captions"]
    oracle = SentenceTransformer(str(bundled_model()), device="cpu").encode(captions, normalize_embeddings=True)
    found = CaptionEncoder().encode_text(captions)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, oracle)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_no_sentence_gives_no_vector():
    assert CaptionEncoder().encode_text([]).shape == (0, 384)
