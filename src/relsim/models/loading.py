"""From a checkpoint folder and its base model to a `QueryVLM`.

Nothing is used that has not been checked: every tensor of base, adapter and projection must be there, fit and be used.
A generation of Qwen-VL without a packed forward pass runs through transformers' own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from relsim.errors import CheckpointError
from relsim.fingerprint import Fingerprint
from relsim.models.base import (
    Architecture,
    architecture_of,
    check_pixels,
    count_products,
    digest_base,
    find_base,
    load_base,
    place,
    read_pixels,
)
from relsim.models.checkpoint import ADAPTER_TENSORS, Checkpoint, parse_recipe, read_checkpoint
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.digest import digest_files, digest_tensors
from relsim.models.eight_bits import ROUNDINGS, check_device, check_vectors, drawn_pictures, rounded
from relsim.models.embedded import embedded_name
from relsim.models.embedded.photographs import PhotographWatch
from relsim.models.hub import resolve_folder
from relsim.models.lora import merge_lora
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import PixelConfig, cut, draft_side
from relsim.models.plain import PlainForward
from relsim.models.prompt import Prompt, read_prompt
from relsim.models.query_vlm import Forward, QueryVLM
from relsim.models.whole import read_whole_model

logger = logging.getLogger(__name__)

Engine = Literal["packed", "plain", "compiled"]


def load_query_vlm(  # noqa: PLR0913 - one place to load from, the rest by name
    checkpoint_dir: str | Path,
    *,
    base_model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    recipe: str | None = None,
    engine: Engine | None = None,
    decode: str | None = None,
) -> QueryVLM:
    """Load a checkpoint and the base model it names, or `base_model` in its place.

    Both may be local folders or ids on the Hugging Face Hub; `revision` is the checkpoint's. `recipe` overrides the
    one stored with the checkpoint. `decode="draft"` is for JPEG files
    (see `draft_side`). Raises `CheckpointError` or `DeviceError`.
    """
    target = choose_device(device)
    # What is wrong with a name is told before anything is fetched.
    eight_bits = dtype if isinstance(dtype, str) and dtype in ROUNDINGS else None
    if eight_bits is not None:
        check_device(eight_bits, target)
        if engine == "plain" or (eight_bits, engine) == ("int8", "compiled"):
            raise CheckpointError(f"{eight_bits} is for the packed forward pass as it is; leave engine unset")
    named = None if dtype is None else choose_dtype(target, torch.bfloat16 if eight_bits else dtype)
    folder = resolve_folder(checkpoint_dir, cache_dir=cache_dir, revision=revision, also=("projection_and_config.pt",))
    checkpoint = read_checkpoint(folder)
    if recipe is not None:
        checkpoint = _with_recipe(checkpoint, recipe)
    draft = draft_side(checkpoint.recipe, decode)
    if base_model is not None and not checkpoint.adapter:
        raise CheckpointError(f"{folder} holds a whole model of its own; leave base_model (--base-model) away")
    base = folder if not checkpoint.adapter else find_base(checkpoint.base_model, folder, base_model, cache_dir)
    prompt = read_prompt(folder, checkpoint.query_token)
    if prompt.query != checkpoint.query_token_id:
        raise CheckpointError(
            f"{folder}: the tokenizer gives {checkpoint.query_token} the id {prompt.query}, "
            f"the projection was trained with id {checkpoint.query_token_id}"
        )
    pixels = read_pixels(folder, base)
    precision = named or choose_dtype(target, weights=count_products(base))
    # An adapter and transformers' own forward pass need transformers' own modules.
    backbone = None if checkpoint.adapter or engine == "plain" else read_whole_model(base, precision)
    if backbone is None:
        backbone, architecture = load_base(base, precision)
    else:
        architecture = architecture_of(base)
    if checkpoint.adapter:
        merge_lora(backbone, checkpoint.adapter_config, checkpoint.adapter)
    backbone = place(backbone, target, precision)
    _check_sizes(backbone, checkpoint, prompt, folder)
    check_pixels(backbone.config, pixels)
    forward = choose_forward(backbone, architecture, pixels, prompt, engine)
    trained = digest_checkpoint(
        folder,
        checkpoint.adapter_config,
        checkpoint.projection_weight,
        checkpoint.projection_bias,
        query_row=_digest_query_row(checkpoint),
    )
    weights = f"{digest_base(base)}+{trained}"
    embedded = embedded_name(folder)
    watch = PhotographWatch(embedded) if embedded else None
    # The adapter is merged; keeping its tensors would keep a gigabyte of embedding tables.
    kept = replace(checkpoint, adapter={})
    vlm = QueryVLM(forward, kept, prompt, pixels, weights=weights, watch=watch, draft=draft, precision=eight_bits)
    if eight_bits is not None:
        _round_products(vlm, forward, eight_bits)
    if engine == "compiled":
        from relsim.models.compiled import compile_blocks  # torch's compiler takes a second to import

        compile_blocks(packed_pass(forward, "compiled"))
    return vlm


def packed_pass(forward: Forward, wanted: str) -> PackedQwen25VL:
    """A forward pass that is the packed one. Raises `CheckpointError` where it is not, and so not what is `wanted`."""
    if not isinstance(forward, PackedQwen25VL):
        raise CheckpointError(f"{wanted} is for the packed forward pass, which this base model does not have")
    return forward


def _round_products(vlm: QueryVLM, forward: Forward, name: str) -> None:
    """Products in 8 bits, if the vectors bear it. Raises `CheckpointError`."""
    packed = packed_pass(forward, name)
    pictures = [cut(picture, vlm.recipe, vlm.pixels) for picture in drawn_pictures()]
    exact = vlm.embed(pictures)
    _, rounding = ROUNDINGS[name]
    packed.change_blocks(lambda block: rounded(block, rounding))
    check_vectors(name, exact, vlm.embed(pictures))


def _with_recipe(checkpoint: Checkpoint, recipe: str) -> Checkpoint:
    chosen = parse_recipe(recipe, source="the call")
    if chosen != checkpoint.recipe:
        logger.info("recipe %s in place of the checkpoint's %s", chosen.value, checkpoint.recipe.value)
    return replace(checkpoint, recipe=chosen)


def choose_forward(
    backbone: Any, architecture: Architecture, pixels: PixelConfig, prompt: Prompt, engine: Engine | None = None
) -> Forward:
    """The engine of that name over a placed network without its head, else the fastest that can run it."""
    if engine is not None and engine not in get_args(Engine):
        raise CheckpointError(f"there is no engine {engine!r}; known are {', '.join(get_args(Engine))}")
    packs = architecture.packs and PackedQwen25VL.supports(backbone.config)
    if engine in ("packed", "compiled") and not packs:
        raise CheckpointError("this base model has no packed forward pass; leave engine unset")
    if engine == "plain" or not packs:
        return PlainForward(backbone, pixels, prompt)
    return PackedQwen25VL(backbone, pixels, prompt.prefix, prompt.suffix)


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


def digest_checkpoint(
    folder: Path, config: Mapping[str, Any], weight: Tensor, bias: Tensor, *, query_row: str | None = None
) -> str:
    """Digest of an adapter's tensors in `folder` and their scale, and of the projection."""
    scaling = {name: config.get(name) for name in ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")}
    facts = {
        "adapter": digest_files(folder, ADAPTER_TENSORS),
        "projection": digest_tensors({"weight": weight, "bias": bias}),
        "scaling": json.dumps(scaling, sort_keys=True),
        "query_row": query_row,
    }
    return Fingerprint.of(facts).digest


def _digest_query_row(checkpoint: Checkpoint) -> str | None:
    """The one row of a saved embedding table that training may have changed; samples of the table would miss it."""
    for name, tensor in checkpoint.adapter.items():
        if name.endswith("embed_tokens.weight") and checkpoint.query_token_id < len(tensor):
            return digest_tensors({"row": tensor[checkpoint.query_token_id].clone()})
    return None
