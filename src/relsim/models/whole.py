"""Whole models of Qwen2.5-VL read without transformers, whose model classes take seconds to import.

What is read is one `model.safetensors` under the names that transformers writes, beside a `config.json` that states
every number of the network. The modules below hold weights under transformers' names, so that `PackedQwen25VL` takes
them over as it would transformers' own; they compute nothing.

A folder that is anything else (several files, another type, a tensor missing, left over, misshapen or of another type
than the configuration says) is none for this reader: it gives None, and `load_base` reads the folder or says what is
wrong with it.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from relsim.errors import CheckpointError
from relsim.models.base import ARCHITECTURES, architecture_of, read_config
from relsim.models.layers import frequencies

WEIGHTS = "model.safetensors"
_TEXT, _VISION = "model.", "visual."  # how names begin in the file
_EPSILON = 1e-6  # of the norms of the vision tower, fixed in transformers
_TEXT_NUMBERS = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "vocab_size",
)
_VISION_NUMBERS = (
    "depth",
    "hidden_size",
    "in_channels",
    "intermediate_size",
    "num_heads",
    "out_hidden_size",
    "patch_size",
    "spatial_merge_size",
    "temporal_patch_size",
    "window_size",
)


def read_whole_model(folder: Path, precision: torch.dtype) -> Any | None:
    """The network in a folder without its head, as `load_base` gives it, or None where that is for `load_base` to say.

    In fp32 for `precision` fp32, else as stored; then the weights stay in the mapped file.
    """
    try:
        if architecture_of(folder) is not ARCHITECTURES["qwen2_5_vl"] or (folder / f"{WEIGHTS}.index.json").exists():
            return None
        config = _configuration(read_config(folder))
        tensors = {_inner_name(name): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    except (CheckpointError, OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError):
        return None
    tensors.pop("lm_head.weight", None)  # no embedding needs it
    with torch.device("meta"):
        network = _Network(config)
    expected = network.state_dict()
    if expected.keys() != tensors.keys():
        return None
    if any(
        tensors[name].shape != empty.shape or tensors[name].dtype != config.dtype for name, empty in expected.items()
    ):
        return None
    if precision is torch.float32:
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
    network.load_state_dict(tensors, assign=True)
    network.set_frequencies()
    return network


def _configuration(values: dict[str, Any]) -> SimpleNamespace:
    """The options that decide what is computed, as attributes. Raises `KeyError`, `TypeError` or `ValueError`."""
    text, vision = values["text_config"], values["vision_config"]
    for part, numbers in ((text, _TEXT_NUMBERS), (vision, _VISION_NUMBERS)):
        if not all(type(part[name]) is int and part[name] > 0 for name in numbers):
            raise ValueError("a size is no positive whole number")
    if text["hidden_size"] % text["num_attention_heads"] or vision["hidden_size"] % vision["num_heads"]:
        raise ValueError("the heads do not divide the hidden size")
    if text.get("head_dim") is not None or set(text["layer_types"]) != {"full_attention"}:
        raise ValueError("heads or layers of another kind")
    turning, axial = text["rope_parameters"], vision["rope_parameters"]
    if axial["rope_type"] != "axial" or not {"rope_theta", "rope_type", "mrope_section"} <= turning.keys():
        raise ValueError("rotary embeddings of another kind")
    return SimpleNamespace(
        dtype={"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[values["dtype"]],
        text_config=SimpleNamespace(
            **{name: text[name] for name in (*_TEXT_NUMBERS, "hidden_act", "use_sliding_window")},
            rms_norm_eps=float(text["rms_norm_eps"]),
            rope_parameters=turning,
        ),
        vision_config=SimpleNamespace(
            **{name: vision[name] for name in (*_VISION_NUMBERS, "hidden_act", "fullatt_block_indexes")},
            rope_parameters=axial,
        ),
    )


def _inner_name(name: str) -> str:
    """The name inside the network of a tensor in the file. Raises `ValueError` for one that is written otherwise."""
    if name.startswith(_TEXT):
        return f"language_model.{name.removeprefix(_TEXT)}"
    if name.startswith(_VISION) or name == "lm_head.weight":
        return name
    raise ValueError(name)


class _Network(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.visual = _VisionTower(config.vision_config)
        self.language_model = _LanguageModel(config.text_config)

    def get_input_embeddings(self) -> _Weights:
        """The table of the language model, under the name that transformers gives this method."""
        return self.language_model.embed_tokens

    def set_frequencies(self) -> None:
        """Rotary frequencies follow from the configuration; no file holds them."""
        text, vision = self.config.text_config, self.config.vision_config
        head = text.hidden_size // text.num_attention_heads
        self.language_model.rotary_emb = _Rotary(text.rope_parameters["rope_theta"], head)
        head = vision.hidden_size // vision.num_heads
        self.visual.rotary_pos_emb = _Rotary(vision.rope_parameters["rope_theta"], head // 2)


class _Rotary(nn.Module):
    inv_freq: Tensor

    def __init__(self, theta: float, size: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", frequencies(float(theta), size), persistent=False)


class _Weights(nn.Module):
    """A weight and perhaps a bias. Torch's own layers would draw numbers first, and import half of torch for it."""

    def __init__(self, *shape: int, bias: bool = False, epsilon: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        self.register_parameter("bias", nn.Parameter(torch.empty(shape[0])) if bias else None)
        self.variance_epsilon = epsilon


class _GatedMLP(nn.Module):
    def __init__(self, hidden: int, inner: int, *, bias: bool) -> None:
        super().__init__()
        self.gate_proj = _Weights(inner, hidden, bias=bias)
        self.up_proj = _Weights(inner, hidden, bias=bias)
        self.down_proj = _Weights(hidden, inner, bias=bias)


class _VisionTower(nn.Module):
    rotary_pos_emb: _Rotary

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        patch = (config.in_channels, config.temporal_patch_size, config.patch_size, config.patch_size)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = _Weights(config.hidden_size, *patch)
        self.blocks = nn.ModuleList(_VisionBlock(config) for _ in range(config.depth))
        self.merger = _Merger(config)


class _VisionBlock(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        hidden: int = config.hidden_size
        self.norm1 = _Weights(hidden, epsilon=_EPSILON)
        self.norm2 = _Weights(hidden, epsilon=_EPSILON)
        self.attn = nn.Module()
        self.attn.qkv = _Weights(3 * hidden, hidden, bias=True)
        self.attn.proj = _Weights(hidden, hidden, bias=True)
        self.mlp = _GatedMLP(hidden, config.intermediate_size, bias=True)


class _Merger(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        merged: int = config.hidden_size * config.spatial_merge_size**2
        first, second = _Weights(merged, merged, bias=True), _Weights(config.out_hidden_size, merged, bias=True)
        self.ln_q = _Weights(config.hidden_size, epsilon=_EPSILON)
        self.mlp = nn.ModuleList((first, nn.Module(), second))  # between them stands an activation without weights


class _LanguageModel(nn.Module):
    rotary_emb: _Rotary

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = _Weights(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _Weights(config.hidden_size, epsilon=config.rms_norm_eps)


class _Layer(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        hidden: int = config.hidden_size
        keys = hidden // config.num_attention_heads * config.num_key_value_heads
        self.input_layernorm = _Weights(hidden, epsilon=config.rms_norm_eps)
        self.post_attention_layernorm = _Weights(hidden, epsilon=config.rms_norm_eps)
        self.self_attn = nn.Module()
        self.self_attn.q_proj = _Weights(hidden, hidden, bias=True)
        self.self_attn.k_proj = _Weights(keys, hidden, bias=True)
        self.self_attn.v_proj = _Weights(keys, hidden, bias=True)
        self.self_attn.o_proj = _Weights(hidden, hidden)
        self.mlp = _GatedMLP(hidden, config.intermediate_size, bias=False)
