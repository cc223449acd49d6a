"""Base models that do not load: every fault is an error that names the file or tensor."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from relsim.errors import CheckpointError


def test_base_that_nobody_names(variant, load_golden):
    with pytest.raises(CheckpointError, match=r"base_model="):
        load_golden(variant(config={"base_model_name_or_path": None}), base_model=None)


def test_base_that_does_not_exist(load_golden, tmp_path):
    with pytest.raises(CheckpointError, match=r"base model: there is no folder .*/nowhere"):
        load_golden(base_model=tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model_type": "llama"}', '{"model_type": ["a"]}'])
def test_base_with_a_damaged_configuration(load_golden, copy_of_golden, text):
    base = copy_of_golden("base")
    (base / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config.json"):
        load_golden(base_model=base)


def test_base_without_weights(load_golden, copy_of_golden):
    base = copy_of_golden("base")
    (base / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"cannot be loaded"):
        load_golden(base_model=base)


def rewrite(base, change):
    tensors = load_file(base / "model.safetensors")
    change(tensors)
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.self_attn.q_proj.bias",
        "model.norm.weight",
        "model.embed_tokens.weight",
        "visual.patch_embed.proj.weight",
        "visual.blocks.3.attn.qkv.bias",
        "visual.merger.mlp.2.weight",
    ],
)
def test_base_with_a_lost_tensor(load_golden, copy_of_golden, name):
    base = copy_of_golden("base")
    rewrite(base, lambda tensors: tensors.pop(name))
    end = name.removeprefix("model.").removeprefix("visual.")
    with pytest.raises(CheckpointError, match=f"lacks 1 tensor.*{end}"):
        load_golden(base_model=base)


def test_base_without_a_head_is_whole(load_golden, copy_of_golden, packed, golden_pictures, embed):
    """No embedding needs it."""
    base = copy_of_golden("base")
    rewrite(base, lambda tensors: tensors.pop("lm_head.weight"))
    found = embed(load_golden(base_model=base), golden_pictures[:1])
    assert torch.equal(found, embed(packed, golden_pictures[:1]))


@pytest.mark.parametrize("name", ["model.layers.7.mlp.up_proj.weight", "visual.adapter.weight", "projection.weight"])
def test_base_with_a_tensor_more(load_golden, copy_of_golden, name):
    base = copy_of_golden("base")
    rewrite(base, lambda tensors: tensors.update({name: torch.zeros(2, 2)}))
    with pytest.raises(
        CheckpointError, match=f"unknown 1 tensor.*{name.removeprefix('model.').removeprefix('visual.')}"
    ):
        load_golden(base_model=base)


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "visual.merger.ln_q.weight"]
)
def test_base_with_a_misshapen_tensor(load_golden, copy_of_golden, name):
    base = copy_of_golden("base")
    rewrite(base, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    with pytest.raises(CheckpointError, match=name.removeprefix("model.").removeprefix("visual.")) as caught:
        load_golden(base_model=base)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 2_000, 1_000_000, -1])
def test_base_with_truncated_weights(load_golden, copy_of_golden, keep):
    base = copy_of_golden("base")
    data = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(data[:keep])
    with pytest.raises(CheckpointError, match=r"base"):
        load_golden(base_model=base)


def test_base_that_is_a_checkpoint(load_golden, golden):
    with pytest.raises(CheckpointError, match=r"config.json"):
        load_golden(base_model=golden / "relsim")


def test_checkpoint_that_is_a_base(load_golden, golden):
    with pytest.raises(CheckpointError, match=r"no projection"):
        load_golden(golden / "base")
