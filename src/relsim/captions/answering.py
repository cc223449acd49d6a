"""Loading what answers about pictures: base model, adapter, tokenizer and question, each checked against the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from relsim.captions.checkpoint import CaptionerFiles, merge_adapter, tokenizer_folder
from relsim.errors import CheckpointError
from relsim.models.base import (
    Architecture,
    check_pixels,
    count_products,
    digest_base,
    find_base,
    load_base,
    place,
    read_pixels,
)
from relsim.models.checkpoint import ADAPTER_TENSORS, parse_recipe
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.digest import digest_files
from relsim.models.pixels import PixelConfig, Recipe
from relsim.models.prompt import Prompt, load_tokenizer, read_question

_USUAL_SIDE = 448  # of a picture where the recipe leaves it its own size


@dataclass(frozen=True, slots=True)
class Answering:
    """A network with its head, its adapter merged, on its device, and what it takes to ask it."""

    network: Any
    architecture: Architecture
    tokenizer: Any
    question: Prompt
    pixels: PixelConfig
    recipe: Recipe
    base: Path
    weights: str
    """Digest of base and adapter."""

    @property
    def facts(self) -> dict[str, str]:
        """What an answer depends on beside the weights."""
        precision = str(next(self.network.parameters()).dtype).removeprefix("torch.")
        return {"prompt": self.question.text, "recipe": self.recipe.value, "precision": precision}


def load_answering(
    folder: Path,
    files: CaptionerFiles,
    *,
    base_model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    recipe: str | None = None,
    prompt: str | None = None,
) -> Answering:
    """The network of a folder that was read as `files`; options as in `Captioner.load`.

    Raises `CheckpointError` or `DeviceError`.
    """
    target = choose_device(device)
    named = None if dtype is None else choose_dtype(target, dtype)
    if base_model is not None and not files.adapter:
        raise CheckpointError(f"{folder} holds a whole model of its own; leave base_model (--base-model) away")
    base = find_base(files.base_model, folder, base_model, cache_dir) if files.adapter else folder
    chosen = files.recipe if recipe is None else parse_recipe(recipe, source="the call")
    words = tokenizer_folder(folder, base)
    question, tokenizer = read_question(words, prompt or files.prompt), load_tokenizer(words)
    pixels = read_pixels(folder, base)
    precision = named or choose_dtype(target, weights=count_products(base))
    network, architecture = load_base(base, precision, head=True)
    merge_adapter(network, files)
    network = place(network, target, precision)
    check_pixels(network.config, pixels)
    _check_vocabulary(network, question, folder)
    weights = f"{digest_base(base)}+{digest_files(folder, ADAPTER_TENSORS)}"
    return Answering(network, architecture, tokenizer, question, pixels, chosen, base, weights)


def usual_tokens(recipe: Recipe, pixels: PixelConfig, prompt: Prompt) -> int:
    """Length of the prompt of a picture as the recipe makes it, or of 448 x 448 where it leaves it its own size."""
    return len(prompt.ids((-(-(recipe.side or _USUAL_SIDE) // pixels.factor)) ** 2))


def _check_vocabulary(network: Any, prompt: Prompt, folder: Path) -> None:
    rows, needed = len(network.get_input_embeddings().weight), max(prompt.ids(1))
    if needed >= rows:
        raise CheckpointError(
            f"the prompt of {folder} needs row {needed} of the base model's embedding table, which has {rows}; "
            "is it the right base model?"
        )
