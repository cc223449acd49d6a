"""LPIPS (arXiv 1801.03924): the distance of two pictures patch by patch, through the package `lpips` (`baselines`).

It compares deep features place by place, so it has no vectors and no index; `pairwise.py` ranks candidates by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from relsim.encoders.packages import import_baseline, weights_of
from relsim.errors import EncoderError, first_line
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.devices import choose_device

NETWORKS = ("alex", "vgg", "squeeze")
Pixels = NDArray[np.float32]
"""A prepared picture (3, side, side), from -1 to 1."""


class Lpips:
    """LPIPS distances of pictures squashed to squares: pictures of one size are the only ones that it can compare."""

    name = "lpips"

    def __init__(self, model: Any, *, net: str, side: int, version: str, device: torch.device) -> None:
        self._model, self._device = model, device
        self.side = side
        self._facts: dict[str, Fact] = {"net": net, "side": side, "package": version, "weights": weights_of(model)}

    @property
    def fingerprint(self) -> Fingerprint:
        """Weights, network, size of the squares, version of the package, and precision."""
        return Fingerprint.of({"encoder": self.name, **self._facts, "precision": "float32"})

    def prepare(self, image: Image.Image) -> Pixels:
        """Pixels (3, side, side) from -1 to 1, as the package wants them. Thread-safe."""
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        square = np.asarray(rgb.resize((self.side, self.side), Image.Resampling.BICUBIC), np.float32)
        return np.ascontiguousarray((square / np.float32(127.5) - np.float32(1)).transpose(2, 0, 1))

    def distance(self, batch_a: Sequence[Pixels], batch_b: Sequence[Pixels]) -> NDArray[np.float32]:
        """Distances (N,) of N pairs, 0 for equal pictures."""
        if len(batch_a) != len(batch_b):
            raise EncoderError(f"pairs need two batches of one length; given are {len(batch_a)} and {len(batch_b)}")
        if not batch_a:
            return np.empty(0, np.float32)
        first, second = (torch.from_numpy(np.stack(batch)).to(self._device) for batch in (batch_a, batch_b))
        with torch.inference_mode():
            found = self._model(first, second)
        return np.asarray(found.float().cpu().numpy(), np.float32).reshape(len(batch_a))


def load_lpips(*, net: str = "alex", side: int = 256, device: str | None = None) -> Lpips:
    """LPIPS on the network `net` (alex, vgg or squeeze), of pictures of `side` pixels a side.

    Raises `MissingExtraError`, `DeviceError`, or `EncoderError` for a wrong option or where weights cannot be had.
    """
    if net not in NETWORKS:
        raise EncoderError(f"lpips has the networks {', '.join(NETWORKS)}; not {net!r}")
    if side < 64:
        raise EncoderError(f"lpips needs squares of 64 pixels a side or more; not {side}")
    package, version = import_baseline("lpips", "the measure lpips")
    target = choose_device(device)
    try:
        model = package.LPIPS(net=net, verbose=False)
    except Exception as error:  # the package lets whatever torchvision's download raises through
        reason = first_line(error)
        raise EncoderError(f"lpips could not load its network {net}: {reason}") from error
    return Lpips(model.eval().to(target), net=net, side=side, version=version, device=target)
