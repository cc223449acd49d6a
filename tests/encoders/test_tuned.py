"""Tuned CLIP and DINO: the published layout is read strictly, and gives what peft gives without merging."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from relsim.encoders.registry import encoder_of, load_encoder, origin_of
from relsim.encoders.stream import encode_images
from relsim.errors import CheckpointError
from relsim.models.pixels import Recipe

CPU = {"device": "cpu", "dtype": "float32"}
KINDS = ["clip", "dino"]


def tower_of(kind, base):
    """The model, and the function that gives its features, both transformers' own."""
    from transformers import CLIPModel, Dinov2Model

    if kind == "clip":
        model = CLIPModel.from_pretrained(base)
        return model, lambda pixels: model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    model = {"tower": Dinov2Model.from_pretrained(base)}
    return model, lambda pixels: model["tower"](pixel_values=pixels).last_hidden_state[:, 0]


def publish(kind, base, folder, pictures):
    """A checkpoint as the published trainer leaves one, made by peft, and the vectors that peft gives with it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoImageProcessor

    torch.manual_seed(5)
    model, features = tower_of(kind, base)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], bias="none")
    tower = get_peft_model(model.vision_model if kind == "clip" else model["tower"], lora).eval()
    for name, parameter in tower.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)  # peft begins with zeros, which change nothing
    if kind == "clip":
        model.vision_model = tower
    else:
        model["tower"] = tower
    tower.save_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(base, backend="pil")
    processor.save_pretrained(folder)
    hidden = 24 if kind == "clip" else 32
    projection = torch.nn.Linear(hidden, 384)
    torch.save({"projection": projection.state_dict()}, folder / "projection_and_config.pt")
    with torch.no_grad():
        pixels = torch.cat([processor(images=picture, return_tensors="pt")["pixel_values"] for picture in pictures])
        plain = tower_of(kind, base)[1](pixels)
        tuned = features(pixels)
        assert (tuned - plain).abs().max() > 0.05  # the adapter does something
        expected = torch.nn.functional.normalize(projection(tuned), dim=-1)
    return expected.numpy()


@pytest.fixture(scope="module")
def published(tmp_path_factory, clip_base, dino_base, pictures):
    """`published[kind]` is a checkpoint's folder, its base and peft's vectors of the pictures."""
    folder = tmp_path_factory.mktemp("tuned")
    bases = {"clip": clip_base, "dino": dino_base}
    return {kind: (folder / kind, bases[kind], publish(kind, bases[kind], folder / kind, pictures)) for kind in KINDS}


def changed(published, kind, tmp_path, **settings):
    """A copy of a checkpoint with other settings of its adapter."""
    folder, base, expected = published[kind]
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return tmp_path / "copy", base, expected


def load(kind, folder, base=None, **options):
    named = None if base is None else str(base)
    return load_encoder(f"tuned-{kind}", checkpoint_dir=str(folder), base_model=named, **{**CPU, **options})


@pytest.mark.parametrize("kind", KINDS)
class TestVectors:
    def test_they_are_those_of_peft(self, published, kind, pictures):
        folder, base, expected = published[kind]
        encoder = load(kind, folder, base)
        assert (encoder.name, encoder.dimension) == (f"tuned-{kind}", 384)
        np.testing.assert_allclose(encode_images(encoder, pictures), expected, atol=1e-5)

    def test_the_base_that_the_adapter_names_is_found(self, published, kind, pictures, tmp_path):
        folder, _, expected = changed(published, kind, tmp_path, base_model_name_or_path=str(published[kind][1]))
        np.testing.assert_allclose(encode_images(load(kind, folder), pictures), expected, atol=1e-5)

    def test_a_row_does_not_depend_on_its_batch(self, published, kind, pictures):
        encoder = load(kind, *published[kind][:2])
        prepared = [encoder.prepare(picture) for picture in pictures]
        together = encoder.encode(prepared)
        for row, item in enumerate(prepared):
            np.testing.assert_allclose(encoder.encode([item])[0], together[row], atol=1e-6)

    def test_a_recipe_that_training_recorded_is_applied_before_the_processor(self, published, kind, pictures, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path)
        (folder / "relsim.json").write_text(json.dumps({"format_version": 1, "recipe": "crop28"}))
        encoder, plain = load(kind, folder, base), load(kind, *published[kind][:2])
        squares = [Recipe.parse("crop28").apply(picture) for picture in pictures]
        np.testing.assert_allclose(encode_images(encoder, pictures), encode_images(plain, squares), atol=1e-6)
        assert encoder.fingerprint.differences(plain.fingerprint) == {"recipe": ("crop28", "native")}
        assert load(kind, folder, base, recipe="native").fingerprint == plain.fingerprint
        for picture in pictures:
            small = encoder.shrink(picture)
            assert small.width * small.height == min(picture.width * picture.height, 28 * 28)
            assert np.array_equal(encoder.prepare(small), encoder.prepare(picture))

    def test_a_table_can_make_its_encoder_again(self, published, kind):
        folder, base, _ = published[kind]
        encoder = load(kind, folder, base)
        origin = origin_of(f"tuned-{kind}", encoder, {"checkpoint_dir": str(folder), "base_model": str(base)})
        assert encoder_of(json.loads(json.dumps(origin))).fingerprint == encoder.fingerprint

    def test_scale_adapter_projection_and_base_are_in_the_fingerprint(self, published, kind, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path, lora_alpha=16)
        stored = load(kind, *published[kind][:2]).fingerprint
        assert set(load(kind, folder, base).fingerprint.differences(stored)) == {"weights"}


def test_an_adapter_of_transformers_4_is_read_under_its_old_names(published, tmp_path, pictures):
    """DINOv2's layers were called attention.attention.query and so on when the published ones were trained."""
    folder, base, expected = changed(published, "dino", tmp_path, target_modules=["query", "value"])
    path = folder / "adapter_model.safetensors"
    tensors = {}
    for name, tensor in load_file(path).items():
        old = name.replace("attention.q_proj", "attention.attention.query")
        tensors[old.replace("attention.v_proj", "attention.attention.value")] = tensor
    assert sum("attention.attention.query" in name for name in tensors) == 4
    save_file(tensors, path)
    np.testing.assert_allclose(encode_images(load("dino", folder, base), pictures), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
class TestFaults:
    def test_a_layer_without_its_tensors_is_named(self, published, kind, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path)
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        gone = next(name for name in tensors if "lora_A" in name)
        tensors.pop(gone)
        save_file(tensors, path)
        with pytest.raises(CheckpointError, match="the adapter lacks lora_A for encoder"):
            load(kind, folder, base)

    def test_a_tensor_that_nothing_uses_is_named(self, published, kind, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path)
        path = folder / "adapter_model.safetensors"
        save_file({**load_file(path), "base_model.model.mystery": torch.zeros(2)}, path)
        with pytest.raises(CheckpointError, match=r"nothing uses: base_model\.model\.mystery"):
            load(kind, folder, base)

    def test_a_projection_for_another_base_is_told(self, published, kind, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path)
        torch.save(
            {"projection": torch.nn.Linear(7, 384).state_dict()},
            folder / "projection_and_config.pt",
        )
        with pytest.raises(CheckpointError, match="reads 7 numbers, the base model gives"):
            load(kind, folder, base)

    def test_more_than_plain_lora_is_refused(self, published, kind, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path, use_dora=True)
        with pytest.raises(CheckpointError, match="use_dora=True, which relsim does not merge"):
            load(kind, folder, base)

    def test_without_a_projection_it_is_no_checkpoint(self, published, kind, tmp_path):
        folder, base, _ = changed(published, kind, tmp_path)
        (folder / "projection_and_config.pt").unlink()
        with pytest.raises(CheckpointError, match="no projection to read"):
            load(kind, folder, base)

    def test_a_whole_model_is_no_adapter(self, published, kind):
        with pytest.raises(CheckpointError, match="holds a whole model and no adapter"):
            load(kind, published[kind][1])

    def test_the_base_of_another_kind_is_refused(self, published, kind):
        other = published["dino" if kind == "clip" else "clip"][1]
        with pytest.raises(CheckpointError, match=f"{kind} needs"):
            load(kind, published[kind][0], other)
