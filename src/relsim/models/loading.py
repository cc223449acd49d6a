"""From a checkpoint folder and its base model to a `QueryVLM`.

Nothing is used that has not been checked: every tensor of base, adapter and projection must be there, fit and be used.
Another generation of Qwen-VL is one more entry in `ARCHITECTURES`: it runs through transformers' own forward until
somebody writes a packed one.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from relsim.errors import CheckpointError
from relsim.fingerprint import Fingerprint
from relsim.models.checkpoint import ADAPTER_TENSORS, Checkpoint, parse_recipe, read_checkpoint
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.digest import digest_files, digest_tensors
from relsim.models.hub import resolve_folder
from relsim.models.lora import merge_lora
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import PixelConfig
from relsim.models.plain import PlainForward
from relsim.models.prompt import Prompt, read_prompt
from relsim.models.query_vlm import Forward, QueryVLM
from relsim.models.quiet import quiet_loading

logger = logging.getLogger(__name__)

Engine = Literal["packed", "plain"]

_UNCOUNTED = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A generation of Qwen-VL: the name of its class without a head in transformers, and whether it packs."""

    class_name: str
    packs: bool = False


ARCHITECTURES = {
    "qwen2_vl": Architecture("Qwen2VLModel"),
    "qwen2_5_vl": Architecture("Qwen2_5_VLModel", packs=True),
    "qwen3_vl": Architecture("Qwen3VLModel"),
}


def load_query_vlm(
    checkpoint_dir: str | Path,
    *,
    base_model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    recipe: str | None = None,
    engine: Engine | None = None,
) -> QueryVLM:
    """Load a checkpoint and the base model it names, or `base_model` in its place.

    Both may be local folders or ids on the Hugging Face Hub; `revision` is the checkpoint's. `recipe` overrides the
    one stored with the checkpoint. Raises `CheckpointError` or `DeviceError`.
    """
    target = choose_device(device)
    precision = choose_dtype(target, dtype)
    folder = resolve_folder(checkpoint_dir, cache_dir=cache_dir, revision=revision, also=("projection_and_config.pt",))
    checkpoint = read_checkpoint(folder)
    if recipe is not None:
        checkpoint = _with_recipe(checkpoint, recipe)
    if base_model is not None and not checkpoint.adapter:
        raise CheckpointError(f"{folder} holds a whole model of its own; leave base_model (--base-model) away")
    base = folder if not checkpoint.adapter else _base_folder(checkpoint, folder, base_model, cache_dir)
    prompt = read_prompt(folder, checkpoint.query_token)
    if prompt.query != checkpoint.query_token_id:
        raise CheckpointError(
            f"{folder}: the tokenizer gives {checkpoint.query_token} the id {prompt.query}, "
            f"the projection was trained with id {checkpoint.query_token_id}"
        )
    pixels = PixelConfig.from_file(_first(folder, base, name="preprocessor_config.json"))
    backbone, architecture = _load_backbone(base, precision)
    if checkpoint.adapter:
        merge_lora(backbone, checkpoint.adapter_config, checkpoint.adapter)
    backbone = backbone.to(target, precision).eval().requires_grad_(requires_grad=False)
    _check_sizes(backbone, checkpoint, prompt, folder)
    _check_pixels(backbone, pixels)
    forward = _choose_forward(backbone, architecture, pixels, prompt, engine)
    weights = f"{_digest_base(base)}+{_digest_checkpoint(checkpoint, folder)}"
    # The adapter is merged; keeping its tensors would keep a gigabyte of embedding tables.
    return QueryVLM(forward, replace(checkpoint, adapter={}), prompt, pixels, weights=weights)


def _with_recipe(checkpoint: Checkpoint, recipe: str) -> Checkpoint:
    chosen = parse_recipe(recipe, source="the call")
    if chosen is not checkpoint.recipe:
        logger.info("recipe %s in place of the checkpoint's %s", chosen.value, checkpoint.recipe.value)
    return replace(checkpoint, recipe=chosen)


def _base_folder(
    checkpoint: Checkpoint, folder: Path, base_model: str | Path | None, cache_dir: str | Path | None
) -> Path:
    name = base_model or checkpoint.base_model
    if name is None:
        raise CheckpointError(f"{folder} does not name its base model; pass base_model= (--base-model)")
    try:
        return resolve_folder(name, cache_dir=cache_dir)
    except CheckpointError as error:
        hint = (
            "" if base_model else " (named by the checkpoint; base_model= or --base-model takes a local folder instead)"
        )
        raise CheckpointError(f"base model: {error}{hint}") from error


def _load_backbone(folder: Path, precision: torch.dtype) -> tuple[Any, Architecture]:
    """The network without its head. Loaded in fp32 or as stored, so that LoRA is merged before anything is rounded."""
    import transformers

    path = folder / "config.json"
    model_type = _base_config(folder).get("model_type")
    architecture = ARCHITECTURES.get(str(model_type))
    if architecture is None:
        raise CheckpointError(f"{path} is of type {model_type!r}; known are {', '.join(ARCHITECTURES)}")
    model_class = getattr(transformers, architecture.class_name)
    try:
        with quiet_loading():
            backbone, report = model_class.from_pretrained(
                folder,
                dtype=torch.float32 if precision is torch.float32 else "auto",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # reported below, by name
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"the base model in {folder} cannot be loaded: {error}") from error
    missing = sorted(report["missing_keys"])
    left_over = sorted(key for key in report["unexpected_keys"] if not key.startswith("lm_head."))
    misshapen = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report["mismatched_keys"])
    for names, fault in ((missing, "lacks"), (left_over, "has unknown"), (misshapen, "has misshapen")):
        if names:
            raise CheckpointError(f"the base model in {folder} {fault} {len(names)} tensor(s): {', '.join(names[:5])}")
    return backbone, architecture


def _base_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no base model: config.json cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{folder} is no base model: config.json must hold an object")
    return config


def _choose_forward(
    backbone: Any, architecture: Architecture, pixels: PixelConfig, prompt: Prompt, engine: Engine | None
) -> Forward:
    if engine not in (None, "packed", "plain"):
        raise CheckpointError(f"there is no engine {engine!r}; known are packed and plain")
    packs = architecture.packs and PackedQwen25VL.supports(backbone.config)
    if engine == "packed" and not packs:
        raise CheckpointError("this base model has no packed forward pass; leave engine unset")
    if engine == "plain" or not packs:
        return PlainForward(backbone, pixels, prompt)
    return PackedQwen25VL(backbone, pixels, prompt.prefix, prompt.suffix)


def _check_pixels(backbone: Any, pixels: PixelConfig) -> None:
    vision = backbone.config.vision_config
    for ours, theirs in (
        ("patch_size", "patch_size"),
        ("merge_size", "spatial_merge_size"),
        ("temporal_patch_size", "temporal_patch_size"),
    ):
        cut, read = getattr(pixels, ours), getattr(vision, theirs)
        if cut != read:
            raise CheckpointError(f"preprocessor_config.json says {ours} {cut}, the vision tower reads {read}")


def _check_sizes(backbone: Any, checkpoint: Checkpoint, prompt: Prompt, folder: Path) -> None:
    rows, hidden = backbone.get_input_embeddings().weight.shape
    if checkpoint.projection_weight.shape[1] != hidden:
        raise CheckpointError(
            f"the projection in {folder} reads {checkpoint.projection_weight.shape[1]} numbers, "
            f"the base model gives {hidden}; is it the right base model?"
        )
    if max(prompt.ids(1)) >= rows:
        raise CheckpointError(
            f"the base model's embedding table has {rows} rows, the query token needs row {prompt.query}; "
            "is it the right base model?"
        )


def _digest_base(folder: Path) -> str:
    """Weights and the options that decide what is computed with them; not who wrote the file, or its precision."""
    config = {
        part: {name: value for name, value in options.items() if name not in _UNCOUNTED}
        for part, options in {"": _base_config(folder), **_base_config(folder)}.items()
        if isinstance(options, dict) and part in ("", "text_config", "vision_config")
    }
    facts = {
        "tensors": digest_files(folder, "model*.safetensors"),
        "config": json.dumps(config, sort_keys=True),
    }
    return Fingerprint.of(facts).digest


def _digest_checkpoint(checkpoint: Checkpoint, folder: Path) -> str:
    projection = {"weight": checkpoint.projection_weight, "bias": checkpoint.projection_bias}
    scaling = {
        name: checkpoint.adapter_config.get(name)
        for name in ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
    }
    facts = {
        "adapter": digest_files(folder, ADAPTER_TENSORS),
        "projection": digest_tensors(projection),
        "scaling": json.dumps(scaling, sort_keys=True),
        "query_row": _digest_query_row(checkpoint),
    }
    return Fingerprint.of(facts).digest


def _digest_query_row(checkpoint: Checkpoint) -> str | None:
    """The one row of a saved embedding table that training may have changed; samples of the table would miss it."""
    for name, tensor in checkpoint.adapter.items():
        if name.endswith("embed_tokens.weight") and checkpoint.query_token_id < len(tensor):
            return digest_tensors({"row": tensor[checkpoint.query_token_id].clone()})
    return None


def _first(*folders: Path, name: str) -> Path:
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise CheckpointError(f"{name} is in none of {', '.join(str(folder) for folder in folders)}")
