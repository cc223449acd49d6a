"""Whole models read without transformers: the same weights and states as through it, and nothing that is not whole."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relsim.errors import CheckpointError
from relsim.models.base import load_base, place, read_pixels
from relsim.models.checkpoint import read_checkpoint
from relsim.models.checkpoint_writing import write_whole_model
from relsim.models.embedded import NAMES, embedded_folder
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import Recipe, cut
from relsim.models.prompt import read_prompt
from relsim.models.whole import read_whole_model

WHOLE = [name for name in NAMES if (embedded_folder(name) / "model.safetensors").exists()]
PRECISIONS = [torch.float32, torch.bfloat16]


@pytest.fixture
def copy(tmp_path):
    """A copy of the default checkpoint to damage."""
    return shutil.copytree(embedded_folder(NAMES[0]), tmp_path / "copy")


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
@pytest.mark.parametrize("name", WHOLE)
class TestSameAsTransformers:
    def test_every_tensor(self, name, precision):
        ours, theirs = (
            read_whole_model(embedded_folder(name), precision),
            load_base(embedded_folder(name), precision)[0],
        )
        found, wanted = ours.state_dict(), theirs.state_dict()
        assert found.keys() == wanted.keys()
        assert [key for key in wanted if found[key].dtype != wanted[key].dtype] == []
        assert [key for key in wanted if not torch.equal(found[key], wanted[key])] == []

    def test_rotary_frequencies(self, name, precision):
        ours, theirs = (
            read_whole_model(embedded_folder(name), precision),
            load_base(embedded_folder(name), precision)[0],
        )
        for part in ("visual.rotary_pos_emb", "language_model.rotary_emb"):
            assert torch.equal(ours.get_submodule(part).inv_freq, theirs.get_submodule(part).inv_freq)

    def test_states_bit_for_bit(self, name, precision, golden_pictures):
        folder = embedded_folder(name)
        prompt, pixels = read_prompt(folder), read_pixels(folder)
        batch = [cut(picture, Recipe.NATIVE, pixels) for picture in golden_pictures[:6]]
        states = [
            PackedQwen25VL(place(network, torch.device("cpu"), precision), pixels, prompt.prefix, prompt.suffix)(batch)
            for network in (read_whole_model(folder, precision), load_base(folder, precision)[0])
        ]
        assert torch.equal(*states)


@pytest.fixture(scope="module")
def merged_golden(golden, peft_merged, tmp_path_factory):
    """The golden base with the golden adapter merged by peft, written as a whole model in fp32."""
    folder = tmp_path_factory.mktemp("whole") / "golden"
    about = replace(read_checkpoint(golden / "relsim"), adapter={}, adapter_config={})
    write_whole_model(folder, peft_merged(golden / "relsim"), golden / "relsim", dtype=torch.float32, about=about)
    return folder


def test_golden_network_keeps_its_embeddings(merged_golden, load_golden, golden_pictures, golden_embeddings, embed):
    """It has windows in its vision tower and an untied head, which the embedded ones have not."""
    assert read_whole_model(merged_golden, torch.float32) is not None
    found = embed(load_golden(merged_golden, base_model=None), golden_pictures).numpy()
    assert (found * golden_embeddings).sum(axis=1).min() > 1 - 1e-6
    plain = embed(load_golden(merged_golden, base_model=None, engine="plain"), golden_pictures[:4]).numpy()
    assert abs(found[:4] - plain).max() < 1e-6


def test_weights_of_the_stored_type_stay_in_the_file():
    """A model of 16 GB takes no memory twice."""
    found = read_whole_model(embedded_folder(NAMES[0]), torch.bfloat16).state_dict()
    places = {tensor.untyped_storage().data_ptr() for tensor in found.values()}
    lines = Path("/proc/self/maps").read_text().splitlines()
    maps = [line.split()[0] for line in lines if line.endswith("relsim-mini/model.safetensors")]
    ranges = [tuple(int(end, 16) for end in line.split("-")) for line in maps]
    assert all(any(start <= place < stop for start, stop in ranges) for place in places)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.mlp.up_proj.weight",
        "model.norm.weight",
        "visual.patch_embed.proj.weight",
        "visual.merger.mlp.2.bias",
    ],
)
class TestTensorsAtFault:
    def test_lost(self, copy, load_golden, name):
        rewrite(copy, lambda tensors: tensors.pop(name))
        self.refused(copy, load_golden, f"lacks 1 tensor.*{name.partition('.')[2]}")

    def test_misshapen(self, copy, load_golden, name):
        rewrite(copy, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
        self.refused(copy, load_golden, f"misshapen 1 tensor.*{name.partition('.')[2]}")

    def test_one_more(self, copy, load_golden, name):
        rewrite(copy, lambda tensors: tensors.update({f"{name}er": tensors[name].clone()}))
        self.refused(copy, load_golden, f"unknown 1 tensor.*{name.partition('.')[2]}er")

    def refused(self, folder, load_golden, reason):
        assert read_whole_model(folder, torch.float32) is None
        with pytest.raises(CheckpointError, match=reason):
            load_golden(folder, base_model=None)


def test_tensor_of_another_type_than_the_configuration_is_left_to_transformers(copy):
    """Rounding to the configuration's type comes first there."""
    rewrite(copy, lambda tensors: tensors.update({"model.norm.weight": tensors["model.norm.weight"].float()}))
    assert read_whole_model(copy, torch.float32) is None


@pytest.mark.parametrize("keep", [0, 8, 2_000, -1])
def test_truncated_weights_are_refused(copy, load_golden, keep):
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[:keep])
    assert read_whole_model(copy, torch.float32) is None
    with pytest.raises(CheckpointError, match="copy"):
        load_golden(copy, base_model=None)


def test_weights_in_a_pickle_are_not_read(copy, load_golden):
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert read_whole_model(copy, torch.float32) is None
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_golden(copy, base_model=None)


CHANGES = {
    "another generation": lambda config: config.update(model_type="qwen2_vl"),
    "a type that is not known": lambda config: config.update(dtype="float8"),
    "a size left out": lambda config: config["text_config"].pop("vocab_size"),
    "a size of nought": lambda config: config["vision_config"].update(depth=0),
    "a size that is a word": lambda config: config["vision_config"].update(num_heads="six"),
    "heads that do not divide": lambda config: config["text_config"].update(num_attention_heads=5),
    "heads of a size of their own": lambda config: config["text_config"].update(head_dim=64),
    "layers that slide": lambda config: config["text_config"].update(layer_types=["sliding_attention"] * 3),
    "rotary settings left out": lambda config: config["text_config"].pop("rope_parameters"),
    "rotary embedding of the tower of another kind": lambda config: config["vision_config"]["rope_parameters"].update(
        rope_type="default"
    ),
    "no part for the text": lambda config: config.pop("text_config"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_configuration_that_says_something_else_is_left_to_transformers(copy, change):
    configure(copy, change)
    assert read_whole_model(copy, torch.float32) is None


def test_several_files_are_left_to_transformers(copy, load_golden, golden_pictures, embed):
    tensors = load_file(copy / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, copy / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, some in parts.items() for name in some}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    whole = embed(load_golden(NAMES[0], base_model=None), golden_pictures[:2])
    (copy / "model.safetensors").unlink()
    assert read_whole_model(copy, torch.float32) is None
    assert torch.equal(embed(load_golden(copy, base_model=None), golden_pictures[:2]), whole)


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.endswith("-base")])
def test_a_score_needs_no_transformers(name, golden_paths):
    """Their import takes longer than everything else but torch."""
    script = """
import sys
sys.modules["transformers"] = sys.modules["sentence_transformers"] = None
from relsim import relsim
model, _ = relsim(checkpoint_dir=sys.argv[1], device="cpu")
first, second = model.embed_files(sys.argv[2:])
print(-1 <= float(first @ second) <= 1, 0 <= model.percentile(0.5) <= 100, "torch._dynamo" in sys.modules)
"""
    command = [sys.executable, "-c", script, name, *map(str, golden_paths[:2])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.stderr.strip().splitlines()[1:], result.stdout) == ([], "True True False\n")
