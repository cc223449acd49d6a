"""Models of sentence-transformers behind the protocol: equal to calling it directly, instruction and all."""

import json
import shutil

import numpy as np
import pytest
import torch

from relsim.encoders.base import Encoder, TextEncoder
from relsim.encoders.prompted import INSTRUCTION
from relsim.encoders.registry import encoder_of, load_encoder, origin_of
from relsim.encoders.stream import encode_images
from relsim.errors import CheckpointError

CPU = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def model(golden, tmp_path_factory):
    """The golden network as a model of sentence-transformers with a chat template, saved by it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = tmp_path_factory.mktemp("prompted")
    shutil.copytree(golden / "base", folder / "base")
    # Without torchvision the processor of Qwen2.5-VL has no class; this one is its like for still pictures.
    for name in ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        path = folder / "base" / name
        stored = json.loads(path.read_text()) if path.exists() else {}
        stored["processor_class"] = "PaddleOCRVLProcessor"
        if name == "tokenizer_config.json":
            stored["extra_special_tokens"] = {"image_token": "<|image_pad|>"}
        path.write_text(json.dumps(stored))
    transformer = Transformer(str(folder / "base"), processor_kwargs={"backend": "pil"})
    pooling = Pooling(transformer.get_embedding_dimension(), "lasttoken")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def direct(model):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": torch.float32})


@pytest.fixture(scope="module")
def prompted(model):
    return load_encoder("prompted", model=str(model), **CPU)


def test_vectors_are_those_of_sentence_transformers(prompted, direct, pictures):
    expected = direct.encode(pictures, prompt=INSTRUCTION, normalize_embeddings=True)
    np.testing.assert_allclose(encode_images(prompted, pictures), expected, atol=1e-5)
    sentences = ["a ring of keys", "layers"]
    texts = direct.encode(sentences, prompt=INSTRUCTION, normalize_embeddings=True)
    np.testing.assert_allclose(prompted.encode_text(sentences), texts, atol=1e-5)


def test_the_instruction_changes_vectors_and_fingerprint(prompted, model, pictures):
    other = load_encoder("prompted", model=str(model), instruction="Name the colours.", **CPU)
    cosines = (encode_images(other, pictures) * encode_images(prompted, pictures)).sum(axis=1)
    assert cosines.max() < 0.999
    assert other.fingerprint.differences(prompted.fingerprint) == {"instruction": ("Name the colours.", INSTRUCTION)}


def test_a_row_does_not_depend_on_its_batch(prompted, pictures):
    prepared = [prompted.prepare(picture) for picture in pictures]
    together = prompted.encode(prepared)
    for row, item in enumerate(prepared):
        np.testing.assert_allclose(prompted.encode([item])[0], together[row], atol=1e-5)


def test_it_is_an_encoder_of_pictures_and_sentences(prompted, pictures):
    assert isinstance(prompted, Encoder)
    assert isinstance(prompted, TextEncoder)
    assert prompted.cost(prompted.prepare(pictures[1])) == 3 * 2  # 64 x 48 pixels in squares of 28
    assert prompted.encode([]).shape == (0, prompted.dimension)


def test_a_table_can_make_its_encoder_again(prompted, model):
    origin = origin_of("prompted", prompted, {"model": str(model)})
    assert encoder_of({**origin, "device": "cpu"}).fingerprint == prompted.fingerprint


def test_a_model_without_a_chat_template_is_told_to_read_none(clip_base, pictures, caplog):
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder("prompted", model=str(clip_base), **CPU)
    assert "without any instruction" in caplog.text
    assert encoder.fingerprint.to_dict()["instruction"] is None
    direct = SentenceTransformer(str(clip_base), device="cpu")
    expected = direct.encode(pictures, normalize_embeddings=True)
    np.testing.assert_allclose(encode_images(encoder, pictures), expected, atol=1e-5)


def test_a_model_of_text_alone_is_refused():
    from relsim.models.text_encoder import bundled_model

    with pytest.raises(CheckpointError, match="takes text; prompted needs pictures"):
        load_encoder("prompted", model=str(bundled_model()), **CPU)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be loaded by sentence-transformers"):
        load_encoder("prompted", model=str(tmp_path), **CPU)
