"""Tuned CLIP and tuned DINO: a tower with LoRA merged, and a linear map of its features to the caption space.

The paper's strongest baselines. A checkpoint has the published layout (see `relsim.models.checkpoint`): an adapter in
peft's format, put on CLIP's vision tower or on DINOv2, and a projection that reads the tower's features before they
are brought to unit length. Checkpoints that relsim trained also say by which recipe pictures were made square.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.encoders.base import Shrink, Vectors
from relsim.encoders.towers import (
    DEFAULT_MODELS,
    Kind,
    Pixels,
    Tower,
    TowerEncoder,
    load_network,
    load_processor,
    origin_of,
    unit_rows,
)
from relsim.errors import CheckpointError
from relsim.fingerprint import Fingerprint
from relsim.models.base import digest_base, find_base, place
from relsim.models.checkpoint import PUBLISHED_PROJECTION, parse_recipe, read_adapter, read_projection
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.hub import resolve_folder
from relsim.models.loading import digest_checkpoint
from relsim.models.lora import merge_lora
from relsim.models.metadata import METADATA, read_metadata
from relsim.models.pixels import Recipe

_PROCESSOR = "preprocessor_config.json"
_DINO_NAMES = {  # of transformers 4, as published adapters have them, and of transformers 5
    ".attention.attention.query": ".attention.q_proj",
    ".attention.attention.key": ".attention.k_proj",
    ".attention.attention.value": ".attention.v_proj",
    ".attention.output.dense": ".attention.o_proj",
}
_DINO_TARGETS = {"query": "q_proj", "key": "k_proj", "value": "v_proj"} | {
    old.removeprefix("."): new.removeprefix(".") for old, new in _DINO_NAMES.items()
}


class TunedEncoder(TowerEncoder):
    """Unit vectors in the caption space: the projection, in fp32, of a tower's features."""

    def __init__(self, name: str, tower: Tower, weight: Tensor, bias: Tensor, recipe: Recipe) -> None:
        """`weight` is (D, H), `bias` (D,)."""
        super().__init__(name, tower)
        self._weight, self._bias = (tensor.to(tower.device, torch.float32) for tensor in (weight, bias))
        self.recipe = recipe

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self._weight.shape[0]

    @property
    def fingerprint(self) -> Fingerprint:
        """Weights, recipe, preprocessing and precision."""
        facts = {**self.tower.facts, "recipe": self.recipe.value, "dimension": self.dimension}
        return Fingerprint.of({"encoder": self.name, **facts})

    @property
    def shrink(self) -> Shrink:
        """What makes a picture smaller without a difference: its recipe."""
        return self.recipe.shrink

    def prepare(self, image: Image.Image) -> Pixels:
        """Pixels (3, H, W) by the recipe and the image processor. Thread-safe."""
        return self.tower.prepare(self.recipe.apply(image))

    def encode(self, batch: Sequence[Pixels]) -> Vectors:
        """Vectors (len(batch), D) in the order given."""
        return unit_rows(F.linear(self.tower.features(batch), self._weight, self._bias))


def load_tuned_clip(
    *,
    checkpoint_dir: str | Path,
    base_model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    recipe: str | None = None,
) -> TunedEncoder:
    """Tuned CLIP from a folder or Hub id. `base_model` and `recipe` take the place of those it names.

    An adapter that names no base is put on the paper's. Raises `CheckpointError` or `DeviceError`.
    """
    return _load("clip", checkpoint_dir, base_model, cache_dir, revision, device, dtype, recipe)


def load_tuned_dino(
    *,
    checkpoint_dir: str | Path,
    base_model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    recipe: str | None = None,
) -> TunedEncoder:
    """Tuned DINO; see `load_tuned_clip`."""
    return _load("dino", checkpoint_dir, base_model, cache_dir, revision, device, dtype, recipe)


def _load(
    kind: Kind,
    checkpoint_dir: str | Path,
    base_model: str | Path | None,
    cache_dir: str | Path | None,
    revision: str | None,
    device: str | None,
    dtype: str | None,
    recipe: str | None,
) -> TunedEncoder:
    target = choose_device(device)
    precision = choose_dtype(target, dtype)
    folder = resolve_folder(checkpoint_dir, cache_dir=cache_dir, revision=revision, also=(PUBLISHED_PROJECTION,))
    config, adapter = read_adapter(folder)
    if not adapter:
        raise CheckpointError(f"{folder} holds a whole model and no adapter; a tuned {kind} is an adapter on its base")
    weight, bias = read_projection(folder)
    metadata = read_metadata(folder)
    chosen = recipe or metadata.get("recipe", Recipe.NATIVE.value)
    applied = parse_recipe(chosen, source=str(folder / METADATA) if recipe is None else "the call")
    named = config.get("base_model_name_or_path") or DEFAULT_MODELS[kind]
    base = find_base(str(named), folder, base_model, cache_dir)
    network = load_network(kind, base, precision)
    tower = Tower(
        kind,
        network,
        load_processor(folder if (folder / _PROCESSOR).exists() else base),
        f"{digest_base(base)}+{digest_checkpoint(folder, config, weight, bias)}",
        folder,
        origin_of("checkpoint_dir", checkpoint_dir, folder),
    )
    if weight.shape[1] != tower.dimension:
        raise CheckpointError(
            f"the projection in {folder} reads {weight.shape[1]} numbers, the base model gives {tower.dimension}; "
            "is it the right base model?"
        )
    if kind == "dino":
        config, adapter = _renamed(config, adapter)
    merge_lora(tower.vision, config, adapter)
    place(network, target, precision)
    return TunedEncoder(f"tuned-{kind}", tower, weight, bias, applied)


def _renamed(config: Mapping[str, Any], adapter: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An adapter of transformers 4 under the names that DINOv2's layers have now; one of today stays as it is."""
    tensors = {}
    for key, tensor in adapter.items():
        for old, new in _DINO_NAMES.items():
            key = key.replace(old, new)  # noqa: PLW2901 - one name after the other
        tensors[key] = tensor
    changed = dict(config)
    for option in ("target_modules", "exclude_modules"):
        names = config.get(option)
        if isinstance(names, list):
            changed[option] = [_DINO_TARGETS.get(name, name) for name in names]
    for option in ("rank_pattern", "alpha_pattern"):
        pattern = config.get(option)
        if isinstance(pattern, dict):
            changed[option] = {_DINO_TARGETS.get(name, name): value for name, value in pattern.items()}
    return changed, tensors
