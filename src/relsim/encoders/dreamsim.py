"""DreamSim (arXiv 2306.09344): pictures alike as people see them, through the package `dreamsim` (extra `baselines`).

Vectors are the package's embeddings, brought to unit length, so that 1 minus the product of two is the package's own
distance.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from relsim.encoders.base import Vectors
from relsim.encoders.packages import import_baseline, weights_of
from relsim.encoders.towers import unit_rows
from relsim.errors import EncoderError, first_line
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.devices import choose_device

_PATCHES = (224 // 16) ** 2  # of each of its networks; every picture becomes a square of 224


class DreamSimEncoder:
    """The embeddings of a DreamSim model; `transform` is the function that the package gives with it."""

    name = "dreamsim"

    def __init__(self, model: Any, transform: Any, *, kind: str, version: str, device: torch.device) -> None:
        self._model, self._transform, self.device = model, transform, device
        self._facts: dict[str, Fact] = {"kind": kind, "package": version, "weights": weights_of(model)}
        blank = self.prepare(Image.new("RGB", (8, 8)))
        self.dimension = int(self._features([blank]).shape[1])

    @property
    def fingerprint(self) -> Fingerprint:
        """Weights, which of the package's models, its version, and precision."""
        return Fingerprint.of(
            {"encoder": self.name, **self._facts, "precision": "float32", "dimension": self.dimension}
        )

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        """Pixels (3, 224, 224) by the package's own transform. Thread-safe."""
        pixels = np.asarray(self._transform(image), np.float32)
        return pixels[0] if pixels.ndim == 4 else pixels

    def cost(self, prepared: NDArray[np.float32]) -> int:  # noqa: ARG002 - the protocol's signature
        """Patches of 16 x 16 pixels, the same for every picture."""
        return _PATCHES

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> Vectors:
        """Vectors (len(batch), D) in the order given."""
        if not batch:
            return np.empty((0, self.dimension), np.float32)
        return unit_rows(self._features(batch))

    def _features(self, batch: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        with torch.inference_mode():
            found = self._model.embed(torch.from_numpy(np.stack(batch)).to(self.device))
        # The package drops the axis of a batch of one, and older versions keep others.
        return torch.as_tensor(found).reshape(len(batch), -1)


def load_dreamsim(
    *, kind: str = "ensemble", cache_dir: str | Path | None = None, device: str | None = None
) -> DreamSimEncoder:
    """A model of the package: `ensemble` (the paper's), or another that it knows, such as `dino_vitb16`.

    The package fetches its weights into `cache_dir`, by default `~/.cache/dreamsim`. Raises `MissingExtraError`,
    `DeviceError`, or `EncoderError` where the weights cannot be had.
    """
    package, version = import_baseline("dreamsim", "the encoder dreamsim")
    target = choose_device(device)
    folder = Path(cache_dir) if cache_dir is not None else Path.home() / ".cache" / "dreamsim"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # the package tells there what it fetches; results stand on stdout
            model, transform = package.dreamsim(
                pretrained=True, device=str(target), cache_dir=str(folder), dreamsim_type=kind
            )
    except Exception as error:  # the package lets whatever its download and its networks raise through
        reason = first_line(error)
        raise EncoderError(f"dreamsim could not load its model {kind}: {reason}") from error
    return DreamSimEncoder(model.eval(), transform, kind=kind, version=version, device=target)
