"""Captioner folders: a LoRA adapter for a base model, or a whole model, and how it was trained.

adapter_config.json, adapter_model.safetensors    LoRA in peft's format; or config.json and model*.safetensors
tokenizer and processor files                     else those of the base model are used
relsim.json                                       ours: `recipe` and `caption_prompt`; without it the published ones
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from relsim.errors import CheckpointError
from relsim.models.checkpoint import PROJECTION, PUBLISHED_PROJECTION, parse_recipe, read_adapter
from relsim.models.lora import merge_lora
from relsim.models.metadata import METADATA, read_metadata
from relsim.models.pixels import Recipe
from relsim.models.prompt import CAPTION_PROMPT

PUBLISHED_CAPTIONER = "thaoshibe/relsim-anonymous-caption-qwen25vl-lora"
FILTER_KIND = "filter"
"""`kind` in the relsim.json of a filter."""

_HEAD = "base_model.model.lm_head.weight"


@dataclass(frozen=True, slots=True)
class CaptionerFiles:
    """What a captioner folder holds. `adapter` is empty for a whole model."""

    recipe: Recipe
    prompt: str
    adapter_config: Mapping[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def base_model(self) -> str | None:
        """Name of the base model that the adapter was trained on."""
        name = self.adapter_config.get("base_model_name_or_path")
        return None if name is None else str(name)


def read_captioner(folder: Path) -> CaptionerFiles:
    """Read and check a folder. `CheckpointError` refuses the metric's checkpoints and filters, which write nothing."""
    stored = read_metadata(folder)
    if "caption_prompt" not in stored and any((folder / name).exists() for name in (PROJECTION, PUBLISHED_PROJECTION)):
        raise CheckpointError(
            f"{folder} is a checkpoint of the metric and writes no captions; the published captioner is "
            f"{PUBLISHED_CAPTIONER}"
        )
    if is_filter(stored):
        raise CheckpointError(
            f"{folder} is a filter and writes no captions (relsim filter reads it); the published captioner is "
            f"{PUBLISHED_CAPTIONER}"
        )
    return read_files(folder, stored, default_prompt=CAPTION_PROMPT)


def is_filter(stored: Mapping[str, Any]) -> bool:
    """Whether the content of a relsim.json says that its folder holds a filter."""
    return stored.get("kind") == FILTER_KIND or stored.get("task") == "yes_no"


def read_files(folder: Path, stored: Mapping[str, Any], *, default_prompt: str) -> CaptionerFiles:
    """What a folder holds whose relsim.json is `stored`, whatever it answers. Raises `CheckpointError`."""
    path, prompt = folder / METADATA, stored.get("caption_prompt", default_prompt)
    if not isinstance(prompt, str) or not prompt:
        raise CheckpointError(f"{path} has caption_prompt {prompt!r}; it must be the text of the prompt")
    recipe = parse_recipe(stored.get("recipe", Recipe.SQUASH448.value), source=str(path))
    return CaptionerFiles(recipe, prompt, *read_adapter(folder))


def merge_adapter(network: Any, files: CaptionerFiles) -> None:
    """Merge the adapter, if there is one, into a network with a head. A saved head takes the place of the base's."""
    if not files.adapter:
        return
    merge_lora(network.model, files.adapter_config, files.adapter)
    saved = files.adapter.get(_HEAD)
    if saved is not None:
        head = network.lm_head
        head.weight.data = saved.to(head.weight.device, head.weight.dtype)
        head.out_features = len(saved)


def stop_tokens(network: Any, tokenizer: Any, folder: Path) -> set[int]:
    """Tokens that end an answer: those of the base model's generation settings, else the tokenizer's."""
    ends = network.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    if ends is None:
        raise CheckpointError(f"{folder} names no token that ends an answer (eos_token_id in generation_config.json)")
    return {int(token) for token in (ends if isinstance(ends, list) else [ends])}


def tokenizer_folder(folder: Path, base: Path) -> Path:
    """Where the tokenizer is: beside the captioner, or with its base."""
    return folder if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")) else base
