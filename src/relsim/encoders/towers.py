"""Image towers of transformers, CLIP and DINOv2: pictures in, features out, as the models' own processors prepare them.

What a tower gives is what the paper's baselines take of it: of CLIP the projected image features, of DINOv2 the last
hidden state of the CLS token. Neither is of unit length yet, for a tuned tower has a projection still to come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.encoders.base import Vectors
from relsim.errors import CheckpointError, first_line
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.base import digest_base, load_whole, place, read_config
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.hub import resolve_folder
from relsim.models.lanes import split_in_lanes
from relsim.models.quiet import quiet_loading

Kind = Literal["clip", "dino"]
Pixels = NDArray[np.float32]
"""A prepared picture (3, H, W), scaled and normalised as the model's processor does."""

DEFAULT_MODELS: Mapping[Kind, str] = {"clip": "openai/clip-vit-large-patch14", "dino": "facebook/dinov2-large"}
"""Those of the paper's baselines."""

_TYPES: Mapping[str, tuple[Kind, str]] = {"clip": ("clip", "CLIPModel"), "dinov2": ("dino", "Dinov2Model")}
_NEEDLESS = ("vision_model.embeddings.position_ids", "text_model.embeddings.position_ids")
"""Counted, not learned: older files of CLIP hold them."""
_PREPROCESSING = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)


@dataclass(frozen=True, slots=True)
class Tower:
    """A placed network with its image processor. `weights` is the digest of its files, `origin` what loads it again."""

    kind: Kind
    network: Any
    processor: Any
    weights: str
    folder: Path
    origin: Mapping[str, str]

    @property
    def vision(self) -> Any:
        """The part that sees, which adapters of the published trainer are put on."""
        return self.network.vision_model if self.kind == "clip" else self.network

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device  # type: ignore[no-any-return]  # the network is Any

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.network.parameters()).dtype  # type: ignore[no-any-return]  # the network is Any

    @property
    def dimension(self) -> int:
        """H, the length of a feature vector."""
        config = self.network.config
        return int(config.projection_dim if self.kind == "clip" else config.hidden_size)

    @property
    def facts(self) -> dict[str, Fact]:
        """What features depend on: weights, preprocessing, precision."""
        settings = self.processor.to_dict()
        return {
            "weights": self.weights,
            "preprocessing": json.dumps({name: settings.get(name) for name in _PREPROCESSING}, sort_keys=True),
            "precision": str(self.dtype).removeprefix("torch."),
        }

    def prepare(self, image: Image.Image) -> Pixels:
        """Pixels (3, H, W) of an RGB picture by the model's own image processor. Thread-safe."""
        pixels: Pixels = self.processor(images=image, return_tensors="np")["pixel_values"][0]
        return pixels

    def cost(self, prepared: Pixels) -> int:
        """Patches that the picture is cut into."""
        patch = self.vision.config.patch_size
        return int(prepared.shape[1] // patch * (prepared.shape[2] // patch))

    def features(self, batch: Sequence[Pixels]) -> Tensor:
        """Features (len(batch), H), fp32 on the tower's device, in the order given; on a CPU computed in lanes."""
        if not batch:
            return torch.empty((0, self.dimension), device=self.device)
        if self.device.type != "cpu":
            return self._features(batch)
        features = torch.empty((len(batch), self.dimension))
        for rows, found in split_in_lanes(self._features, batch, [self.cost(pixels) for pixels in batch]):
            features[rows] = found
        return features

    def _features(self, batch: Sequence[Pixels]) -> Tensor:
        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(batch)).to(self.device, self.dtype)
            return image_features(self.kind, self.network, pixels).float()


def image_features(kind: Kind, network: Any, pixels: Tensor) -> Tensor:
    """Features (B, H) of pixels (B, 3, side, side): CLIP's projected ones, or DINOv2's last state of the CLS token."""
    if kind == "clip":
        found: Tensor = network.get_image_features(pixel_values=pixels).pooler_output
        return found
    states: Tensor = network(pixel_values=pixels).last_hidden_state
    return states[:, 0]


def load_tower(
    kind: Kind,
    model: str | Path | None = None,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Tower:
    """The tower of a folder or Hub id, by default the paper's. Raises `CheckpointError` or `DeviceError`."""
    target = choose_device(device)
    precision = choose_dtype(target, dtype)
    name = DEFAULT_MODELS[kind] if model is None else model
    folder = resolve_folder(name, cache_dir=cache_dir, revision=revision)
    network = place(load_network(kind, folder, precision), target, precision)
    return Tower(kind, network, load_processor(folder), digest_base(folder), folder, origin_of("model", name, folder))


def load_network(kind: Kind, folder: Path, precision: torch.dtype) -> Any:
    """The network of a folder, in fp32 for `precision` fp32, else as stored. Raises `CheckpointError`."""
    import transformers

    found = kind_of(folder)
    if found != kind:
        known = ", ".join(name for name, (other, _) in _TYPES.items() if other == kind)
        raise CheckpointError(
            f"{folder / 'config.json'} is of type {read_config(folder).get('model_type')!r}; {kind} needs {known}"
        )
    class_name = _TYPES[str(read_config(folder)["model_type"])][1]
    return load_whole(getattr(transformers, class_name), folder, precision, needless=_NEEDLESS)


def kind_of(folder: Path) -> Kind | None:
    """Which tower a folder holds by its `config.json`; None for something else."""
    found = _TYPES.get(str(read_config(folder).get("model_type")))
    return None if found is None else found[0]


def load_processor(folder: Path) -> Any:
    """The image processor of a folder, as transformers computes it with Pillow. Raises `CheckpointError`."""
    from transformers import AutoImageProcessor

    try:
        with quiet_loading():
            return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]  # transformers has no types here
                folder, backend="pil", local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        reason = first_line(error)
        raise CheckpointError(f"{folder} has no image processor that can be used: {reason}") from error


def origin_of(option: str, name: str | Path, folder: Path) -> dict[str, str]:
    """What loads a folder again: its path, or a Hub id and the commit that was taken."""
    if folder.parent.name == "snapshots" and not Path(name).expanduser().is_dir():
        return {option: str(name), "revision": folder.name}
    return {option: str(folder.resolve())}


def unit_rows(vectors: Tensor) -> Vectors:
    """Rows brought to unit length in fp32, as numpy."""
    return np.asarray(F.normalize(vectors.float(), dim=-1).cpu().numpy(), np.float32)


class TowerEncoder:
    """The features of a tower as unit vectors."""

    def __init__(self, name: str, tower: Tower) -> None:
        self.name = name
        self.tower = tower

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.tower.device

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self.tower.dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """Weights, preprocessing and precision."""
        return Fingerprint.of({"encoder": self.name, **self.tower.facts, "dimension": self.dimension})

    @property
    def origin(self) -> dict[str, str]:
        """Options that load this very model again."""
        return dict(self.tower.origin)

    def prepare(self, image: Image.Image) -> Pixels:
        """Pixels (3, H, W) by the model's own image processor. Thread-safe."""
        return self.tower.prepare(image)

    def cost(self, prepared: Pixels) -> int:
        """Patches that the picture is cut into."""
        return self.tower.cost(prepared)

    def encode(self, batch: Sequence[Pixels]) -> Vectors:
        """Vectors (len(batch), D) in the order given."""
        return unit_rows(self.tower.features(batch))
