"""Tuned CLIP and DINO on the one loop: what is learned, what is saved, and how a run goes on."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relsim.encoders.registry import load_encoder
from relsim.encoders.stream import encode_images
from relsim.errors import TrainingError
from relsim.models.pixels import Recipe, cut_squares
from relsim.training.config import TrainingConfig
from relsim.training.crops import CropWriter
from relsim.training.image_towers import TowerNetwork, make_network
from relsim.training.loop import train
from relsim.training.network import TrainingNetwork
from relsim.training.tracking import read_log

CPU = torch.device("cpu")
KINDS = ["clip", "dino"]


@pytest.fixture(scope="module")
def two_groups(tmp_path_factory):
    """32 crops of 28 pixels in two groups that are easily told: dark pictures and bright ones."""
    folder = tmp_path_factory.mktemp("two groups") / "crops"
    rng = np.random.default_rng(3)
    captions = ["{Object} on top of {Objects}", "Growth of {Subject} over time"]
    with CropWriter(folder, Recipe.parse("crop28")) as writer:
        for number in range(32):
            square = rng.integers(0, 60, (28, 28, 3)) + number % 2 * 190
            writer.append(square.astype(np.uint8), f"{number:02}", [captions[number % 2]], group=str(number % 2))
        writer.publish()
    return folder


@pytest.fixture
def settings(two_groups, clip_base, dino_base):
    """`settings(kind, out, …)`: a short run in fp32 on the CPU."""

    def make(kind, out, *overrides):
        given = [
            f"run.out={out}",
            "run.steps=4",
            "run.log_every=1",
            "run.save_every=2",
            "run.precision=fp32",
            f"model.base={clip_base if kind == 'clip' else dino_base}",
            "model.recipe=crop28",
            f"data.crops={two_groups}",
            "data.eval_fraction=0.25",
            "optimizer.batch_size=8",
            "optimizer.micro_batch_size=4",
            "optimizer.learning_rate=0.003",
        ]
        return TrainingConfig.from_yaml(None, [*given, *overrides])

    return make


def network_of(config):
    return make_network(config, device=CPU, precision="fp32", processor=None)


def squares(noise, count=5):
    return [Recipe.parse("crop28").apply(noise(60 + 9 * row, 50, row)) for row in range(count)]


@pytest.mark.parametrize("kind", KINDS)
class TestNetwork:
    def test_the_bases_type_decides(self, settings, kind, tmp_path):
        network = network_of(settings(kind, tmp_path))
        assert isinstance(network, TowerNetwork)
        assert network.tower == kind

    def test_it_begins_where_the_base_is(self, settings, kind, tmp_path, noise, clip_base, dino_base):
        """New adapters change nothing: its vectors are the projection of the encoder's features."""
        network = network_of(settings(kind, tmp_path))
        pictures = squares(noise)
        patches = torch.from_numpy(cut_squares(np.stack([np.asarray(one) for one in pictures]), network.pixels))
        with network.evaluating():
            found = network.embed(patches).numpy()
        base = clip_base if kind == "clip" else dino_base
        tower = load_encoder(kind, model=str(base), device="cpu", dtype="float32").tower
        processor = tower.processor
        processor.size, processor.crop_size = {"shortest_edge": 28}, {"height": 28, "width": 28}
        features = tower.features([tower.prepare(picture) for picture in pictures])
        expected = torch.nn.functional.normalize(network.projection(features), dim=-1).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_adapters_of_the_vision_tower_and_the_projection_learn(self, settings, kind, tmp_path):
        names = set(network_of(settings(kind, tmp_path)).trained())
        assert {"projection.weight", "projection.bias"} < names
        rest = names - {"projection.weight", "projection.bias"}
        assert len(rest) == 2 * 2 * 2  # layers, targets, A and B
        assert all(".lora_" in name and "text_model" not in name for name in rest)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of whole runs by kind, filled by `finished`."""
    return {"folder": tmp_path_factory.mktemp("runs")}


@pytest.fixture
def finished(runs, settings):
    """`finished(kind)`: the outcome of a run of 24 steps."""

    def run(kind):
        if kind not in runs:
            runs[kind] = train(
                settings(
                    kind,
                    runs["folder"] / kind,
                    "run.steps=24",
                    "run.save_every=24",
                    "optimizer.learning_rate=0.02",
                    "objective.mask_groups=true",
                )
            )
        return runs[kind]

    return run


@pytest.mark.parametrize("kind", KINDS)
class TestRuns:
    def test_two_groups_are_told_apart_after_a_few_steps(self, finished, kind):
        lines = [line for line in read_log(finished(kind).out / "train.jsonl") if "loss" in line]
        accuracies, losses = ([line[name] for line in lines] for name in ("accuracy", "loss"))
        assert np.mean(accuracies[:3]) < 0.5
        assert accuracies[-5:] == [1.0] * 5
        assert losses[-1] < 0.1 * losses[0]
        assert finished(kind).metrics["r@1"] == 1

    def test_a_checkpoint_gives_the_networks_own_vectors(self, finished, settings, kind, noise, tmp_path):
        outcome = finished(kind)
        network = network_of(settings(kind, tmp_path))
        network.flat.load(load_file(next(outcome.out.glob("state-*.safetensors"))))
        pictures = squares(noise)
        patches = torch.from_numpy(cut_squares(np.stack([np.asarray(one) for one in pictures]), network.pixels))
        with network.evaluating():
            expected = network.embed(patches).numpy()
        encoder = load_encoder(f"tuned-{kind}", checkpoint_dir=str(outcome.last), device="cpu", dtype="float32")
        assert encoder.recipe.value == "crop28"
        np.testing.assert_allclose(encode_images(encoder, pictures), expected, atol=1e-5)

    def test_the_checkpoint_has_the_published_layout(self, finished, kind):
        folder = finished(kind).last
        config = json.loads((folder / "adapter_config.json").read_text())
        assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 16, 32)
        stored = torch.load(folder / "projection_and_config.pt", weights_only=True)
        hidden = 24 if kind == "clip" else 32
        assert {name: tuple(value.shape) for name, value in stored["projection"].items()} == {
            "weight": (384, hidden),
            "bias": (384,),
        }
        assert stored["global_step"] == 24
        keys = load_file(folder / "adapter_model.safetensors")
        assert all(key.startswith("base_model.model.encoder.layer") for key in keys)
        card = (folder / "README.md").read_text()
        assert f'load_encoder("tuned-{kind}"' in card
        assert "vision tower is frozen" not in card

    def test_peft_reads_the_adapter(self, finished, kind, clip_base, dino_base, noise):
        """On the vision tower, as the published code does."""
        from peft import PeftModel
        from transformers import AutoImageProcessor, CLIPModel, Dinov2Model

        folder = finished(kind).last
        if kind == "clip":
            model = CLIPModel.from_pretrained(clip_base)
            model.vision_model = PeftModel.from_pretrained(model.vision_model, str(folder)).eval()
        else:
            model = PeftModel.from_pretrained(Dinov2Model.from_pretrained(dino_base), str(folder)).eval()
        stored = torch.load(folder / "projection_and_config.pt", weights_only=True)["projection"]
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        pictures = squares(noise)
        pixels = torch.from_numpy(processor(images=pictures, return_tensors="np")["pixel_values"])
        with torch.no_grad():
            if kind == "clip":
                features = model.get_image_features(pixel_values=pixels).pooler_output
            else:
                features = model(pixel_values=pixels).last_hidden_state[:, 0]
            rows = torch.nn.functional.normalize(features @ stored["weight"].T + stored["bias"], dim=-1)
        encoder = load_encoder(f"tuned-{kind}", checkpoint_dir=str(folder), device="cpu", dtype="float32")
        np.testing.assert_allclose(encode_images(encoder, pictures), rows.numpy(), atol=1e-5)

    def test_a_resumed_run_ends_with_the_same_weights(self, settings, kind, tmp_path):
        whole = train(settings(kind, tmp_path / "whole"))
        train(settings(kind, tmp_path / "parts", "run.stop_at=2"))
        resumed = train(settings(kind, tmp_path / "parts"), resume=True)
        for name in ("adapter_model.safetensors", "projection.safetensors"):
            first, second = (load_file(folder / name) for folder in (whole.last, resumed.last))
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first)


class TestRefusals:
    @pytest.mark.parametrize("override", ["model.tune=all", "model.tune=head", "model.train_query_row=true"])
    def test_other_ways_to_tune(self, settings, tmp_path, override):
        with pytest.raises(TrainingError, match=r"tuned with model\.tune lora"):
            train(settings("clip", tmp_path / "run", override))

    def test_a_size_that_clip_does_not_read(self, settings, tmp_path):
        with pytest.raises(TrainingError, match=r"28 pixels a side, not 56: set model\.recipe to crop28"):
            network_of(settings("clip", tmp_path, "model.recipe=crop56"))

    def test_a_size_that_is_no_multiple_of_dinos_patches(self, settings, tmp_path):
        with pytest.raises(TrainingError, match="patches of 14 pixels, and 32 is no multiple"):
            network_of(settings("dino", tmp_path, "model.recipe=crop32"))

    def test_tokens_that_change_cannot_be_kept(self, settings, tmp_path):
        with pytest.raises(TrainingError, match="needs a frozen vision tower"):
            train(settings("clip", tmp_path / "run", "data.keep_tokens=always"))


def test_a_larger_dino_picture_is_read_at_its_own_size(settings, tmp_path, noise):
    network = network_of(settings("dino", tmp_path, "model.recipe=crop56"))
    square = Recipe.parse("crop56").apply(noise(90, 70, 1))
    patches = torch.from_numpy(cut_squares(np.asarray(square)[None], network.pixels))
    assert patches.shape[1] == 16
    with network.evaluating():
        assert network.embed(patches).shape == (1, 384)


def test_a_qwen_base_is_trained_as_before(golden, tmp_path):
    config = TrainingConfig.from_yaml(
        None, [f"run.out={tmp_path}", f"model.base={golden / 'base'}", "model.recipe=crop56", "data.crops=x"]
    )
    network = make_network(config, device=CPU, precision="fp32", processor=golden / "relsim")
    assert type(network) is TrainingNetwork
    assert network.tower is None
