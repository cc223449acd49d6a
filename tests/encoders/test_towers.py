"""CLIP and DINOv2 behind the protocol: the vectors of transformers' own classes, whatever the batch."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from relsim.data.records import ImageRecord
from relsim.encoders.base import Encoder, TextEncoder
from relsim.encoders.registry import encoder_of, load_encoder, origin_of
from relsim.encoders.stream import encode_images, encode_records
from relsim.errors import CheckpointError

CPU = {"device": "cpu", "dtype": "float32"}
SENTENCES = [
    "a ring of keys",
    "{Objects} in a ring",
    "a",
    "a sentence that no text side of CLIP can take whole",
]


@pytest.fixture(scope="module")
def clip(clip_base):
    return load_encoder("clip", model=str(clip_base), **CPU)


@pytest.fixture(scope="module")
def dino(dino_base):
    return load_encoder("dino", model=str(dino_base), **CPU)


@pytest.fixture(params=["clip", "dino"])
def encoder(request):
    return request.getfixturevalue(request.param)


def by_transformers(folder, pictures):
    """Unit vectors of transformers' own processor and model classes, picture by picture."""
    from transformers import AutoImageProcessor, CLIPModel, Dinov2Model

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    is_clip = json.loads((folder / "config.json").read_text())["model_type"] == "clip"
    model = (CLIPModel if is_clip else Dinov2Model).from_pretrained(folder).eval()
    rows = []
    with torch.no_grad():
        for picture in pictures:
            pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
            if is_clip:
                # The tower and the projection by themselves, not the call that relsim makes.
                row = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
            else:
                row = model(pixel_values=pixels).last_hidden_state[:, 0]
            rows.append(row[0] / row[0].norm())
    return torch.stack(rows).numpy()


class TestOracle:
    def test_clip_gives_transformers_image_features(self, clip, clip_base, pictures):
        np.testing.assert_allclose(encode_images(clip, pictures), by_transformers(clip_base, pictures), atol=1e-5)

    def test_dino_gives_the_last_state_of_the_cls_token(self, dino, dino_base, pictures):
        np.testing.assert_allclose(encode_images(dino, pictures), by_transformers(dino_base, pictures), atol=1e-5)

    def test_sentences_give_transformers_text_features(self, clip, clip_base):
        from transformers import AutoTokenizer, CLIPModel

        tokenizer = AutoTokenizer.from_pretrained(clip_base)
        model = CLIPModel.from_pretrained(clip_base).eval()
        found = clip.encode_text(SENTENCES)
        for sentence, row in zip(SENTENCES, found, strict=True):
            ids = tokenizer(sentence, truncation=True, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                expected = model.text_projection(model.text_model(input_ids=ids).pooler_output)[0]
            np.testing.assert_allclose(row, expected / expected.norm(), atol=1e-5)

    def test_pictures_are_told_apart_by_far_more_than_that(self, encoder, pictures):
        vectors = encode_images(encoder, pictures)
        apart = [np.abs(vectors[i] - vectors[j]).max() for i in range(len(pictures)) for j in range(i)]
        assert min(apart) > 1e-3


class TestProtocol:
    def test_they_are_encoders_by_their_names(self, clip, dino):
        assert isinstance(clip, Encoder)
        assert isinstance(dino, Encoder)
        assert isinstance(clip, TextEncoder)
        assert not isinstance(dino, TextEncoder)
        assert (clip.name, clip.dimension, dino.name, dino.dimension) == ("clip", 24, "dino", 32)

    def test_rows_are_of_unit_length_and_do_not_depend_on_their_batch(self, encoder, pictures):
        prepared = [encoder.prepare(picture) for picture in pictures]
        together = encoder.encode(prepared)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
        for row, item in enumerate(prepared):
            np.testing.assert_allclose(encoder.encode([item])[0], together[row], atol=1e-6)
        np.testing.assert_allclose(encoder.encode(prepared[::-1])[::-1], together, atol=1e-6)

    def test_sentences_do_not_depend_on_their_batch(self, clip):
        together = clip.encode_text(SENTENCES)
        for row, sentence in enumerate(SENTENCES):
            np.testing.assert_allclose(clip.encode_text([sentence])[0], together[row], atol=1e-6)
        assert clip.encode_text([]).shape == (0, 24)

    def test_an_empty_batch_gives_no_rows(self, encoder):
        assert encoder.encode([]).shape == (0, encoder.dimension)

    def test_a_picture_costs_its_patches(self, encoder, pictures):
        assert {encoder.cost(encoder.prepare(picture)) for picture in pictures} == {4}

    def test_files_flow_through_the_stream(self, encoder, pictures, tmp_path):
        for number, picture in enumerate(pictures):
            picture.save(tmp_path / f"{number}.png")
        records = [ImageRecord(str(number), str(tmp_path / f"{number}.png")) for number in range(len(pictures))]
        expected = encode_images(encoder, pictures)
        outcomes = list(encode_records(records, encoder, workers=2, budget=8))
        assert len(outcomes) == len(pictures)
        for outcome in outcomes:
            np.testing.assert_allclose(outcome.vector, expected[int(outcome.record.image_id)], atol=1e-6)

    def test_bfloat16_is_near(self, clip_base, dino_base, clip, dino, pictures):
        for name, folder, full in (("clip", clip_base, clip), ("dino", dino_base, dino)):
            low = load_encoder(name, model=str(folder), device="cpu", dtype="bfloat16")
            cosines = (encode_images(low, pictures) * encode_images(full, pictures)).sum(axis=1)
            assert cosines.min() > 0.99
            assert low.fingerprint.differences(full.fingerprint) == {"precision": ("bfloat16", "float32")}


class TestFingerprint:
    def test_a_copy_elsewhere_is_the_same_model(self, clip, clip_base, tmp_path):
        shutil.copytree(clip_base, tmp_path / "copy")
        assert load_encoder("clip", model=str(tmp_path / "copy"), **CPU).fingerprint == clip.fingerprint

    def test_other_weights_are_told(self, clip, clip_base, tmp_path):
        shutil.copytree(clip_base, tmp_path / "other")
        tensors = load_file(tmp_path / "other" / "model.safetensors")
        tensors["visual_projection.weight"] *= 1.5
        save_file(tensors, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
        other = load_encoder("clip", model=str(tmp_path / "other"), **CPU)
        assert set(other.fingerprint.differences(clip.fingerprint)) == {"weights"}

    def test_other_preprocessing_is_told(self, dino, dino_base, tmp_path):
        shutil.copytree(dino_base, tmp_path / "other")
        path = tmp_path / "other" / "preprocessor_config.json"
        path.write_text(path.read_text().replace('"shortest_edge": 32', '"shortest_edge": 28'))
        other = load_encoder("dino", model=str(tmp_path / "other"), **CPU)
        assert set(other.fingerprint.differences(dino.fingerprint)) == {"preprocessing"}

    def test_a_table_can_make_its_encoder_again(self, clip, clip_base):
        origin = origin_of("clip", clip, {"model": str(clip_base), "device": "cpu"})
        assert origin == {"encoder": "clip", "model": str(clip_base), "dtype": "float32"}
        assert encoder_of(json.loads(json.dumps(origin))).fingerprint == clip.fingerprint


class TestFaults:
    def test_another_kind_of_model_is_refused_by_its_type(self, clip_base, dino_base, golden):
        with pytest.raises(CheckpointError, match="is of type 'dinov2'; clip needs clip"):
            load_encoder("clip", model=str(dino_base), **CPU)
        with pytest.raises(CheckpointError, match="is of type 'clip'; dino needs dinov2"):
            load_encoder("dino", model=str(clip_base), **CPU)
        with pytest.raises(CheckpointError, match="is of type 'qwen2_5_vl'"):
            load_encoder("clip", model=str(golden / "base"), **CPU)

    def test_a_missing_tensor_is_named(self, clip_base, tmp_path):
        shutil.copytree(clip_base, tmp_path / "holed")
        tensors = load_file(tmp_path / "holed" / "model.safetensors")
        tensors.pop("visual_projection.weight")
        save_file(tensors, tmp_path / "holed" / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=r"lacks 1 tensor\(s\): visual_projection.weight"):
            load_encoder("clip", model=str(tmp_path / "holed"), **CPU)

    def test_positions_that_older_files_store_are_no_fault(self, clip, clip_base, tmp_path):
        shutil.copytree(clip_base, tmp_path / "older")
        tensors = load_file(tmp_path / "older" / "model.safetensors")
        tensors["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
        tensors["text_model.embeddings.position_ids"] = torch.arange(24)[None]
        save_file(tensors, tmp_path / "older" / "model.safetensors", metadata={"format": "pt"})
        older = load_encoder("clip", model=str(tmp_path / "older"), **CPU)
        picture = Image.new("RGB", (30, 30), "red")
        np.testing.assert_allclose(encode_images(older, [picture]), encode_images(clip, [picture]), atol=1e-6)

    def test_a_folder_without_a_processor_is_told(self, clip_base, tmp_path):
        shutil.copytree(clip_base, tmp_path / "bare", ignore=shutil.ignore_patterns("preprocessor_config.json"))
        with pytest.raises(CheckpointError, match="has no image processor"):
            load_encoder("clip", model=str(tmp_path / "bare"), **CPU)

    def test_weights_cut_short_are_told(self, dino_base, tmp_path):
        shutil.copytree(dino_base, tmp_path / "cut")
        path = tmp_path / "cut" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_encoder("dino", model=str(tmp_path / "cut"), **CPU)

    def test_an_unknown_id_is_told(self):
        with pytest.raises(CheckpointError, match="no Hub id of the form owner/name"):
            load_encoder("clip", model="nothing-here", **CPU)
