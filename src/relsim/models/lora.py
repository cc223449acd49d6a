"""LoRA adapters (arXiv 2106.09685) merged into the weights they adapt.

W' = W + s·B·A with s = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (arXiv 2312.03732). The sum is formed
in fp32 and rounded once. Every tensor of the adapter must find its weight and every adapted module its two tensors;
an option of the adapter that would change the numbers and is not known here is refused, never ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from relsim.errors import CheckpointError

_PEFT_PREFIX = "base_model.model."
_REFUSED = (  # options of peft's LoraConfig that go beyond plain LoRA when they are set
    "alora_invocation_tokens",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
)
_STARTS_THAT_CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq")


def merge_lora(backbone: nn.Module, config: Mapping[str, Any], adapter: Mapping[str, Tensor]) -> None:
    """Merge `adapter` (peft's keys, as in `adapter_model.safetensors`) into `backbone`, a Qwen-VL without its head.

    A saved embedding table replaces the backbone's; a saved `lm_head` is checked and left out, since no embedding
    needs it. Raises `CheckpointError` naming the tensor that is missing, left over or of the wrong shape.
    """
    _check_options(config)
    factors, embedding = _sort_tensors(backbone, adapter)
    modules = dict(backbone.named_modules())
    for name in _targets(modules, config):
        for factor in ("lora_A", "lora_B"):
            if (name, factor) not in factors:
                raise CheckpointError(f"the adapter lacks {factor} for {name}, which its configuration adapts")
    for name in sorted({name for name, _ in factors}):
        module = modules.get(name)
        if not isinstance(module, nn.Linear):
            raise CheckpointError(
                f"the adapter has LoRA tensors for {name}, which is no linear layer of the base model"
            )
        pair = [factors.get((name, factor)) for factor in ("lora_A", "lora_B")]
        if pair[0] is None or pair[1] is None:
            raise CheckpointError(f"the adapter has only one of lora_A and lora_B for {name}")
        _merge(module, name, pair[0], pair[1], config)
    if embedding is not None:
        _replace_embedding(backbone, embedding)


def _check_options(config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise CheckpointError(f"the adapter is of type {config.get('peft_type')!r}; only LORA is known")
    refused = {option: config[option] for option in _REFUSED if config.get(option)}
    if config.get("bias", "none") != "none":
        refused["bias"] = config["bias"]
    if str(config.get("init_lora_weights")).startswith(_STARTS_THAT_CHANGE_THE_BASE):
        refused["init_lora_weights"] = config["init_lora_weights"]
    for option, value in refused.items():
        raise CheckpointError(f"the adapter uses {option}={value!r}, which relsim does not merge; it knows plain LoRA")
    for option, kinds in (("rank_pattern", dict), ("alpha_pattern", dict)):
        if not isinstance(config.get(option) or {}, kinds):
            raise CheckpointError(f"the adapter's {option} is {config[option]!r}; it must map names to numbers")
    for option in ("r", "lora_alpha"):
        value = config.get(option)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise CheckpointError(f"the adapter's {option} is {value!r}; it must be a positive number")


def _sort_tensors(
    backbone: nn.Module, adapter: Mapping[str, Tensor]
) -> tuple[dict[tuple[str, str], Tensor], Tensor | None]:
    """LoRA factors by (module, factor), and the embedding table if one was saved."""
    factors: dict[tuple[str, str], Tensor] = {}
    embedding: Tensor | None = None
    for key, tensor in adapter.items():
        name = _module_name(key)
        if match := re.fullmatch(r"(.+)\.(lora_A|lora_B)(?:\.default)?\.weight", name):
            factors[match[1], match[2]] = tensor
        elif name == "language_model.embed_tokens.weight":
            embedding = tensor
        elif name == "lm_head.weight":
            hidden = backbone.get_input_embeddings().weight.shape[1]  # type: ignore[operator]  # nn.Module types attributes as Tensor | Module
            if tensor.dim() != 2 or tensor.shape[1] != hidden:
                raise CheckpointError(f"{key} has shape {tuple(tensor.shape)}; the base model's is (…, {hidden})")
        else:
            raise CheckpointError(f"the adapter has a tensor that nothing uses: {key}")
    return factors, embedding


def _module_name(key: str) -> str:
    """A key of the adapter as a name inside the backbone; transformers before 4.52 had no `language_model` level."""
    name = key.removeprefix(_PEFT_PREFIX).removeprefix("model.")
    return f"language_model.{name}" if name.startswith(("layers.", "embed_tokens.", "norm.")) else name


def _targets(modules: Mapping[str, nn.Module], config: Mapping[str, Any]) -> list[str]:
    """Linear layers that are adapted, by peft's rules: a list of name endings, or one regular expression."""
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    return [
        name
        for name in linear
        if _selected(name, config.get("target_modules") or [])
        and not _selected(name, config.get("exclude_modules") or [])
    ]


def _selected(name: str, rule: str | list[str]) -> bool:
    """Whether a rule of peft's picks a module; peft knows it by its whole path, which starts with `model.`."""
    whole = f"model.{name}"
    if isinstance(rule, str):
        return rule == "all-linear" or _matches(rule, whole)
    return any(whole == ending or whole.endswith(f".{ending}") for ending in rule)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise CheckpointError(f"the adapter's pattern {pattern!r} is no regular expression: {error}") from error


def _merge(module: nn.Linear, name: str, a: Tensor, b: Tensor, config: Mapping[str, Any]) -> None:
    rank = _pattern(name, config.get("rank_pattern")) or config["r"]
    alpha = _pattern(name, config.get("alpha_pattern")) or config["lora_alpha"]
    weight = module.weight.data
    expected = {"lora_A": (rank, weight.shape[1]), "lora_B": (weight.shape[0], rank)}
    for factor, tensor in (("lora_A", a), ("lora_B", b)):
        if tuple(tensor.shape) != expected[factor]:
            raise CheckpointError(f"{name}.{factor} has shape {tuple(tensor.shape)}; expected {expected[factor]}")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    a, b = (tensor.to(weight.device, torch.float32) for tensor in (a, b))
    module.weight.data = (weight.float() + scale * (b @ a)).to(weight.dtype)


def _pattern(name: str, pattern: Mapping[str, int] | None) -> int | None:
    """Value of the first pattern that matches the end of a module's path, by peft's rule."""
    return next(
        (value for key, value in (pattern or {}).items() if _matches(rf"(.*\.)?({key})", f"model.{name}")), None
    )


def _replace_embedding(backbone: nn.Module, table: Tensor) -> None:
    embedding: nn.Embedding = backbone.get_input_embeddings()  # type: ignore[operator]  # see above
    if table.dim() != 2 or table.shape[1] != embedding.weight.shape[1]:
        raise CheckpointError(
            f"the adapter's embed_tokens has shape {tuple(table.shape)}; expected (…, {embedding.weight.shape[1]})"
        )
    embedding.weight.data = table.to(embedding.weight.device, embedding.weight.dtype)
    embedding.num_embeddings = len(table)
