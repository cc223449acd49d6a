"""Base models: the Qwen-VL that an adapter is put on, with its language head or without.

Nothing is used that has not been checked: every tensor must be there, fit and be used. Another generation of Qwen-VL is
one more entry in `ARCHITECTURES`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from relsim.errors import CheckpointError
from relsim.fingerprint import Fingerprint
from relsim.models.digest import count_weights, digest_files
from relsim.models.hub import resolve_folder
from relsim.models.pixels import PixelConfig
from relsim.models.quiet import quiet_loading

_WEIGHTS = "model*.safetensors"
_UNCOUNTED = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A generation of Qwen-VL: its classes in transformers without a head and with one, and whether it packs."""

    class_name: str
    class_with_head: str
    packs: bool = False


ARCHITECTURES = {
    "qwen2_vl": Architecture("Qwen2VLModel", "Qwen2VLForConditionalGeneration"),
    "qwen2_5_vl": Architecture("Qwen2_5_VLModel", "Qwen2_5_VLForConditionalGeneration", packs=True),
    "qwen3_vl": Architecture("Qwen3VLModel", "Qwen3VLForConditionalGeneration"),
}


def find_base(
    named: str | None, folder: Path, base_model: str | Path | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The folder of the base model: `base_model` where it is given, else the one `named` by the checkpoint `folder`."""
    name = base_model or named
    if name is None:
        raise CheckpointError(f"{folder} does not name its base model; pass base_model= (--base-model)")
    try:
        return resolve_folder(name, cache_dir=cache_dir)
    except CheckpointError as error:
        hint = (
            "" if base_model else " (named by the checkpoint; base_model= or --base-model takes a local folder instead)"
        )
        raise CheckpointError(f"base model: {error}{hint}") from error


def load_base(folder: Path, precision: torch.dtype, *, head: bool = False) -> tuple[Any, Architecture]:
    """The network, with its language head if asked for, and what it is.

    Loaded in fp32 for `precision` fp32, else as stored, so that LoRA is merged before anything is rounded.
    """
    import transformers

    architecture = architecture_of(folder)
    model_class = getattr(transformers, architecture.class_with_head if head else architecture.class_name)
    return load_whole(model_class, folder, precision, needless=() if head else ("lm_head.",)), architecture


def load_whole(model_class: Any, folder: Path, precision: torch.dtype, *, needless: tuple[str, ...] = ()) -> Any:
    """A network of transformers' `model_class` from a folder: every tensor there, used and of the right shape.

    Names of tensors that start with one of `needless` may be left over. Loaded in fp32 for `precision` fp32, else as
    stored. Raises `CheckpointError`.
    """
    try:
        with quiet_loading():
            network, report = model_class.from_pretrained(
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
    left_over = sorted(key for key in report["unexpected_keys"] if not key.startswith(needless))
    misshapen = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report["mismatched_keys"])
    for names, fault in ((missing, "lacks"), (left_over, "has unknown"), (misshapen, "has misshapen")):
        if names:
            raise CheckpointError(f"the base model in {folder} {fault} {len(names)} tensor(s): {', '.join(names[:5])}")
    return network


def architecture_of(folder: Path) -> Architecture:
    """The generation that `config.json` names. Raises `CheckpointError` for one that is not known."""
    model_type = read_config(folder).get("model_type")
    architecture = ARCHITECTURES.get(str(model_type))
    if architecture is None:
        raise CheckpointError(
            f"{folder / 'config.json'} is of type {model_type!r}; known are {', '.join(ARCHITECTURES)}"
        )
    return architecture


def read_config(folder: Path) -> dict[str, Any]:
    """The object in a base model's `config.json`."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no base model: config.json cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{folder} is no base model: config.json must hold an object")
    return config


def read_pixels(*folders: Path) -> PixelConfig:
    """The processor's numbers, from the first of these folders that has `preprocessor_config.json`."""
    for folder in folders:
        if (folder / "preprocessor_config.json").exists():
            return PixelConfig.from_file(folder / "preprocessor_config.json")
    raise CheckpointError(f"preprocessor_config.json is in none of {', '.join(str(folder) for folder in folders)}")


def check_pixels(config: Any, pixels: PixelConfig) -> None:
    """Refuse a processor that cuts other patches than the vision tower of this configuration reads."""
    vision = config.vision_config
    for ours, theirs in (
        ("patch_size", "patch_size"),
        ("merge_size", "spatial_merge_size"),
        ("temporal_patch_size", "temporal_patch_size"),
    ):
        cut, read = getattr(pixels, ours), getattr(vision, theirs)
        if cut != read:
            raise CheckpointError(f"preprocessor_config.json says {ours} {cut}, the vision tower reads {read}")


def digest_base(folder: Path) -> str:
    """Digest of weights and of the options that decide what is computed with them; not of who wrote the file."""
    config = {
        part: {name: value for name, value in options.items() if name not in _UNCOUNTED}
        for part, options in {"": read_config(folder), **read_config(folder)}.items()
        if isinstance(options, dict) and part in ("", "text_config", "vision_config")
    }
    facts = {
        "tensors": digest_files(folder, _WEIGHTS),
        "config": json.dumps(config, sort_keys=True),
    }
    return Fingerprint.of(facts).digest


def count_products(folder: Path) -> int:
    """Weights of a base model that are multiplied for every token: all but its tables."""
    return count_weights(folder, _WEIGHTS, without=("embed_tokens", "lm_head"))


def place(model: Any, device: torch.device, precision: torch.dtype) -> Any:
    """The model on a device, its weights in `precision`, ready to compute and not to learn.

    Buffers keep their own precision: rotary frequencies rounded to bfloat16 turn far places by tenths of a radian.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(device, precision)
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))
    return model.eval().requires_grad_(requires_grad=False)
