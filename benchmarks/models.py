"""Random-weight models for the benchmarks, written to disk from a seed.

A model is two folders in the published layout: `base/` (a Qwen2.5-VL of any shape) and `relsim/` (a LoRA adapter,
the resized embedding tables and the projection, as the published trainer saves them). Transformers 4.57 and 5.x read
both. The tokenizer is the one of the golden checkpoint with its 1,024 ordinary tokens followed by unreachable filler
up to 151,643, so that every special token and `<|query|>` (151,665) has its stock id and the tables keep their full
152,064 rows (151,666 once resized). The same seed gives the same bytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

STOCK_ORDINARY_TOKENS = 151_643
STOCK_TABLE_ROWS = 152_064
QUERY_TOKEN = "<|query|>"
TOKENIZER_FILES = ("merges.txt", "special_tokens_map.json", "chat_template.jinja", "preprocessor_config.json")
LORA_RANK = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Qwen2.5-VL. Both embedding tables have 152,064 rows and are not shared, as in the 7B model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    mrope_sections: tuple[int, int, int]
    vision_hidden: int
    vision_layers: int
    vision_heads: int
    vision_mlp: int
    vision_full_attention: tuple[int, ...]

    @property
    def head_size(self) -> int:
        """Width of one attention head of the language model."""
        return self.hidden // self.heads


# 20m: a golden-sized network under full tables (19.5 M of its 20.2 M parameters).
# 90m: 77.9 M in the tables; the other 11.6 M are divided as in the 7B model: a tenth of them sees, MLP 5.5 widths.
SHAPES = {
    "20m": Shape(64, 4, 4, 2, 192, (2, 3, 3), 80, 4, 4, 180, (1, 3)),
    "90m": Shape(256, 8, 4, 2, 1408, (8, 12, 12), 128, 4, 4, 344, (1, 3)),
}


def write_model(shape: Shape, folder: Path, golden: Path, seed: int = 0) -> None:
    """Write `folder/base` and `folder/relsim` unless a complete copy of the same recipe is there already."""
    stamp = folder / "complete.json"
    recipe = json.dumps({"shape": asdict(shape), "seed": seed, "writer": _digest_of_this_file()}, sort_keys=True)
    if stamp.exists() and stamp.read_text() == recipe:
        return
    shutil.rmtree(folder, ignore_errors=True)
    base, adapter = folder / "base", folder / "relsim"
    base.mkdir(parents=True)
    adapter.mkdir()
    generator = torch.Generator().manual_seed(seed)
    config = model_config(shape, json.loads((golden / "base" / "config.json").read_text()))
    (base / "config.json").write_text(json.dumps(config, indent=2))
    weights = {name: draw_tensor(name, size, generator) for name, size in base_tensors(shape)}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    write_adapter(shape, weights, adapter, golden, generator)
    write_tokenizer(golden / "base", base)
    write_tokenizer(golden / "relsim", adapter)
    stamp.write_text(recipe)


def parameters(shape: Shape) -> tuple[int, int]:
    """Number of parameters in all, and of those in the two embedding tables."""
    sizes = {name: math.prod(size) for name, size in base_tensors(shape)}
    return sum(sizes.values()), sizes["lm_head.weight"] + sizes["model.embed_tokens.weight"]


def base_tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes of the base's tensors, in the layout in which Qwen2.5-VL is published."""
    yield "lm_head.weight", (STOCK_TABLE_ROWS, shape.hidden)
    yield "model.embed_tokens.weight", (STOCK_TABLE_ROWS, shape.hidden)
    yield "model.norm.weight", (shape.hidden,)
    for layer in range(shape.layers):
        yield from _language_layer(f"model.layers.{layer}", shape)
    wide, group = shape.vision_hidden, 4 * shape.vision_hidden
    yield "visual.patch_embed.proj.weight", (wide, 3, 2, 14, 14)
    for layer in range(shape.vision_layers):
        yield from _vision_layer(f"visual.blocks.{layer}", shape)
    yield "visual.merger.ln_q.weight", (wide,)
    yield "visual.merger.mlp.0.weight", (group, group)
    yield "visual.merger.mlp.0.bias", (group,)
    yield "visual.merger.mlp.2.weight", (shape.hidden, group)
    yield "visual.merger.mlp.2.bias", (shape.hidden,)


def _language_layer(prefix: str, shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, narrow = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield f"{prefix}.{name}.weight", (shape.hidden,)
    for name, rows in (("q_proj", wide), ("k_proj", narrow), ("v_proj", narrow)):
        yield f"{prefix}.self_attn.{name}.weight", (rows, shape.hidden)
        yield f"{prefix}.self_attn.{name}.bias", (rows,)
    yield f"{prefix}.self_attn.o_proj.weight", (shape.hidden, wide)
    yield f"{prefix}.mlp.gate_proj.weight", (shape.mlp, shape.hidden)
    yield f"{prefix}.mlp.up_proj.weight", (shape.mlp, shape.hidden)
    yield f"{prefix}.mlp.down_proj.weight", (shape.hidden, shape.mlp)


def _vision_layer(prefix: str, shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, mlp = shape.vision_hidden, shape.vision_mlp
    for name in ("norm1", "norm2"):
        yield f"{prefix}.{name}.weight", (wide,)
    for name, rows, columns in (
        ("attn.qkv", 3 * wide, wide),
        ("attn.proj", wide, wide),
        ("mlp.gate_proj", mlp, wide),
        ("mlp.up_proj", mlp, wide),
        ("mlp.down_proj", wide, mlp),
    ):
        yield f"{prefix}.{name}.weight", (rows, columns)
        yield f"{prefix}.{name}.bias", (rows,)


def draw_tensor(name: str, size: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Random bf16 values. Matrices keep the scale of their input, so that the picture reaches the embedding."""
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "layernorm.weight", "ln_q.weight")):
        return torch.ones(size, dtype=torch.bfloat16)
    scale = 0.02 if len(size) == 1 else 1.0 / math.sqrt(math.prod(size[1:]))
    return (torch.randn(size, generator=generator) * scale).to(torch.bfloat16)


def model_config(shape: Shape, golden: dict[str, Any]) -> dict[str, Any]:
    """The golden base's configuration with other sizes and the stock token ids."""
    config = copy.deepcopy(golden)
    for name in [name for name in config if name.endswith("_token_id")]:
        config[name] = _stock_id(config[name])
    text, vision = config["text_config"], config["vision_config"]
    text.update(
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        layer_types=["full_attention"] * shape.layers,
        num_attention_heads=shape.heads,
        num_hidden_layers=shape.layers,
        num_key_value_heads=shape.kv_heads,
        vocab_size=STOCK_TABLE_ROWS,
        bos_token_id=_stock_id(text["bos_token_id"]),
        eos_token_id=_stock_id(text["eos_token_id"]),
    )
    text["rope_scaling"]["mrope_section"] = list(shape.mrope_sections)
    vision.update(
        depth=shape.vision_layers,
        hidden_size=shape.vision_hidden,
        num_heads=shape.vision_heads,
        intermediate_size=shape.vision_mlp,
        out_hidden_size=shape.hidden,
        fullatt_block_indexes=list(shape.vision_full_attention),
    )
    return config


def write_adapter(
    shape: Shape, base: dict[str, torch.Tensor], folder: Path, golden: Path, generator: torch.Generator
) -> None:
    """The adapter as peft 0.18 saves it after the vocabulary was resized: LoRA matrices and both tables."""
    shutil.copy(golden / "relsim" / "adapter_config.json", folder)
    rows = _stock_id(json.loads((golden / "relsim" / "added_tokens.json").read_text())[QUERY_TOKEN]) + 1
    inner = "base_model.model.model.language_model"
    tensors = {
        "base_model.model.lm_head.weight": base["lm_head.weight"][:rows].clone(),
        f"{inner}.embed_tokens.weight": base["model.embed_tokens.weight"][:rows].clone(),
    }
    for layer in range(shape.layers):
        for name, heads in (("q_proj", shape.heads), ("v_proj", shape.kv_heads)):
            prefix = f"{inner}.layers.{layer}.self_attn.{name}"
            down = torch.randn(LORA_RANK, shape.hidden, generator=generator) / math.sqrt(shape.hidden)
            up = torch.randn(heads * shape.head_size, LORA_RANK, generator=generator) * 0.02
            tensors |= {f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    weight = torch.randn(384, shape.hidden, generator=generator) / math.sqrt(shape.hidden)
    projection = {"weight": weight.to(torch.bfloat16), "bias": torch.zeros(384, dtype=torch.bfloat16)}
    torch.save({"projection": projection, "query_token_id": rows - 1}, folder / "projection_and_config.pt")


def _stock_id(golden_id: int) -> int:
    """The golden tokenizer's special tokens start at 1,024; the stock ones stand in the same order at 151,643."""
    return golden_id - 1024 + STOCK_ORDINARY_TOKENS


def write_tokenizer(source: Path, target: Path) -> None:
    """Copy a golden tokenizer, its vocabulary filled up to the stock size with strings that no text can produce."""
    for name in TOKENIZER_FILES:
        shutil.copy(source / name, target / name)
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    # Byte-level tokens use no character above U+0143, so the bracket makes a filler unreachable.
    vocabulary |= {f"⟨{index}⟩": index for index in range(len(vocabulary), STOCK_ORDINARY_TOKENS)}
    for token in tokenizer["added_tokens"]:
        token["id"] = _stock_id(token["id"])
    added = json.loads((source / "added_tokens.json").read_text())
    settings = json.loads((source / "tokenizer_config.json").read_text())
    decoder = settings["added_tokens_decoder"]
    settings["added_tokens_decoder"] = {str(_stock_id(int(key))): token for key, token in decoder.items()}
    for name, content in (
        ("tokenizer.json", tokenizer),
        ("vocab.json", vocabulary),
        ("added_tokens.json", {token: _stock_id(index) for token, index in added.items()}),
        ("tokenizer_config.json", settings),
    ):
        (target / name).write_text(json.dumps(content, ensure_ascii=False))


def _digest_of_this_file() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
