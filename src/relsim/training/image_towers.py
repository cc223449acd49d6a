"""Tuned CLIP and tuned DINO in training: the paper's baselines, on the same pictures, captions, loss and loop.

A base of type `clip` or `dinov2` gets LoRA on its vision tower and a projection of its features to the caption space.
Squares go in at the recipe's side, only scaled and normalised; a checkpoint's own image processor does the same, so
`tuned-clip` and `tuned-dino` see what training saw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.encoders.towers import Kind, image_features, kind_of, load_network, load_processor
from relsim.errors import TrainingError
from relsim.models.hub import resolve_folder
from relsim.models.pixels import PixelConfig, Recipe
from relsim.models.text_encoder import DIMENSION
from relsim.training.config import TrainingConfig
from relsim.training.network import PRECISIONS, TrainingNetwork, side_of, with_lora


def tower_kind(config: TrainingConfig) -> Kind | None:
    """Which tower the base of a run is; None for a Qwen-VL, and for every base that does not learn a metric."""
    return kind_of(resolve_folder(config.model.base)) if config.objective.task == "metric" else None


def make_network(config: TrainingConfig, *, device: torch.device, precision: str, processor: Path) -> TrainingNetwork:
    """The network of a run, by the type of its base."""
    kind = tower_kind(config)
    if kind is None:
        return TrainingNetwork(config, device=device, precision=precision, processor=processor)
    return TowerNetwork(config, kind, device=device, precision=precision)


class TowerNetwork(TrainingNetwork):
    """Patches in, embeddings out, with gradients; see `TrainingNetwork`."""

    projection: nn.Linear

    def __init__(self, config: TrainingConfig, kind: Kind, *, device: torch.device, precision: str) -> None:
        _check(config, precision)
        self.config, self.device, self.dtype = config, device, PRECISIONS[precision]
        self.tower = kind
        self.base = self.processor = resolve_folder(config.model.base)
        self.recipe = Recipe.parse(config.model.recipe)
        side = side_of(self.recipe)
        torch.manual_seed(config.run.seed)
        self.model: Any = load_network(kind, self.base, self.dtype)
        vision = self.model.vision_model if kind == "clip" else self.model
        self.pixels = _pixels(kind, vision.config, self.base, side)
        self.grid = (side // self.pixels.patch_size, side // self.pixels.patch_size)
        self.answers, self.query_row, self.resized = None, None, False
        self.model.requires_grad_(requires_grad=False)
        self.adapted = with_lora(vision, config.model, task_type=None)
        if kind == "clip":
            self.model.vision_model = self.adapted
        else:
            self.model = self.adapted
        hidden = self.adapted.config.hidden_size if kind == "dino" else self.model.config.projection_dim
        self.projection = nn.Linear(hidden, DIMENSION)
        objective = config.objective
        self._log_temperature = (
            nn.Parameter(torch.tensor(math.log(objective.temperature))) if objective.learn_temperature else None
        )
        self._move(precision)
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (self.pixels.mean, self.pixels.std)
        )

    @property
    def vision_frozen(self) -> bool:
        """False: the adapters are on the vision tower, so a picture has other features in every step."""
        return False

    @property
    def preprocessor(self) -> dict[str, Any]:
        """The image processor's settings for pictures that the recipe has made square: nothing is resized or cut."""
        settings: dict[str, Any] = load_processor(self.base).to_dict()
        side = side_of(self.recipe)
        return settings | {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}

    def embed(self, pictures: Tensor) -> Tensor:
        """Unit embeddings (B, D) fp32 of patches (B, n, patch² * 3) uint8."""
        features = image_features(self.tower or "clip", self.model, self._normalised(pictures).to(self.dtype))
        return F.normalize(self.projection(features.float()), dim=-1)

    def _normalised(self, patches: Tensor) -> Tensor:
        """Pixels (B, 3, side, side) fp32 of patches, as the image processor gives them."""
        rows, columns = self.grid
        patch = self.pixels.patch_size
        cells = patches.view(len(patches), rows, columns, patch, patch, 3)
        pixels = cells.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), 3, rows * patch, columns * patch)
        return (pixels.float() / 255 - self._mean) / self._std

    def _hidden_matrices(self) -> frozenset[str]:
        """What Muon moves: all that the adapters have."""
        if self.config.optimizer.kind != "muon":
            return frozenset()
        return frozenset(name for name, value in self.model.named_parameters() if value.requires_grad)


def _check(config: TrainingConfig, precision: str) -> None:
    model = config.model
    if model.tune != "lora" or model.init != "pretrained" or model.train_query_row:
        raise TrainingError(
            "CLIP and DINOv2 are tuned with model.tune lora and model.init pretrained, and have no query row; "
            "other ways are for Qwen-VL"
        )
    if precision == "fp16":
        raise TrainingError("CLIP and DINOv2 are tuned in bf16 or fp32, not in fp16 (run.precision)")


def _pixels(kind: Kind, config: Any, base: Path, side: int) -> PixelConfig:
    """How squares of that side are cut: into the tower's patches, which are laid out again as a picture."""
    patch, wanted = int(config.patch_size), int(config.image_size)
    if kind == "clip" and side != wanted:
        raise TrainingError(f"this CLIP reads {wanted} pixels a side, not {side}: set model.recipe to crop{wanted}")
    if side % patch:
        raise TrainingError(f"this DINOv2 cuts patches of {patch} pixels, and {side} is no multiple (model.recipe)")
    settings: Mapping[str, Any] = load_processor(base).to_dict()
    mean, std = (tuple(float(value) for value in settings[name]) for name in ("image_mean", "image_std"))
    if not (settings["do_rescale"] and settings["do_normalize"]) or abs(settings["rescale_factor"] * 255 - 1) > 1e-6:
        raise TrainingError(f"the image processor in {base} must scale pixels to 0..1 and normalise them")
    return PixelConfig(
        patch_size=patch,
        merge_size=1,
        temporal_patch_size=1,
        min_pixels=1,
        max_pixels=side * side,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
    )
