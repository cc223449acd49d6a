"""Products of the packed pass in 8 bits, by name only: integers on a CPU (`int8`), floats on CUDA (`fp8`, by torchao).

A weight is rounded once, with a scale for each of its rows; what it is multiplied with is rounded at each call, with a
scale for each row as well, so that a picture's vector does not depend on the rest of its batch. Everything between the
products is bf16. How much that changes the vectors is up to the weights, so it is tried on three drawn pictures before
any other is embedded, and refused below `LEAST_COSINE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from relsim.errors import CheckpointError, DeviceError, MissingExtraError, first_line
from relsim.models.layers import Block, Linear, padded

LEAST_COSINE: Mapping[str, float] = MappingProxyType({"int8": 0.998, "fp8": 0.999})
"""Of each drawn picture's vector with the one in bf16, by the name of the rounding.

Nearest neighbours in a group of the same logic are at 0.98 (relsim-mini), so rounding must stay well above that. Models
here reach 0.9983 and more in int8.
"""

_ROWS = 256  # that are rounded and scaled at a time, so that they stay in the caches
_ALIGNED = 16  # what a GPU's 8-bit products ask of both sides of a weight
_NEARLY_ZERO = 1e-12
_FP8_FROM = (8, 9)  # compute capability of the first GPUs that multiply 8-bit floats (Ada, Hopper)

Rounding = Callable[[Linear], Linear]


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Linear(Linear):
    """A product in 8-bit integers: weight (out, in) int8, to be multiplied by `scale` (out,)."""

    scale: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, in) to (…, out), in its own type."""
        rows = x.flatten(0, -2)
        found = torch.empty((len(rows), len(self.weight)), dtype=x.dtype)
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS].float()
            scale = part.abs().amax(-1, keepdim=True).div_(127).clamp_(min=torch.finfo(torch.float32).tiny)
            whole = (part / scale).round_().to(torch.int8)
            product = torch._int_mm(whole, self.weight.t())  # noqa: SLF001 - torch has no public name for it
            product = product.float().mul_(scale).mul_(self.scale)
            found[start : start + _ROWS] = product if self.bias is None else product.add_(self.bias)
        return found.view(*x.shape[:-1], -1)


def to_int8(linear: Linear) -> Linear:
    """The same product in 8-bit integers."""
    weight = linear.weight.float()
    scale = weight.abs().amax(dim=1).div_(127).clamp_(min=torch.finfo(torch.float32).tiny)
    rounded = (weight / scale[:, None]).round_().to(torch.int8)
    return Int8Linear(rounded, None if linear.bias is None else linear.bias.float(), scale=scale)


def to_fp8(linear: Linear) -> Linear:
    """The same product in 8-bit floats; one whose sides the hardware does not take stays as it is.

    Raises `DeviceError` where torchao is too old or does not take this device.
    """
    rows, columns = linear.weight.shape
    if rows % _ALIGNED or columns % _ALIGNED:
        return linear
    weight = linear.weight.contiguous()
    # torchao divides a row by its largest value. A row of zeros, as of a widened MLP, would be nothing but NaN.
    empty = weight.abs().amax(dim=1) == 0
    if empty.any():
        weight = weight.clone()
        weight[empty, 0] = _NEARLY_ZERO
    module = torch.nn.Linear(columns, rows, bias=False, device="meta")
    module.weight = torch.nn.Parameter(weight, requires_grad=False)
    try:
        torchao: Any = import_module("torchao.quantization")
        settings = torchao.Float8DynamicActivationFloat8WeightConfig(
            granularity=torchao.PerRow(),
            activation_value_lb=_NEARLY_ZERO,
            set_inductor_config=False,  # which would change the precision of every product in fp32 of the process, too
        )
        torchao.quantize_(module, settings)
    except Exception as error:  # it asserts, and other versions have other names
        reason = first_line(error)
        raise DeviceError(f"torchao makes no products in fp8 on {weight.device}: {reason}") from error
    return replace(linear, weight=module.weight)


ROUNDINGS: Mapping[str, tuple[str, Rounding]] = MappingProxyType({"int8": ("cpu", to_int8), "fp8": ("cuda", to_fp8)})
"""By name: the type of device that it is for, and what it makes of a product."""


def check_device(name: str, device: torch.device) -> None:
    """Refuse 8-bit products where there are none. Raises `DeviceError`, or `MissingExtraError` without torchao."""
    wanted, _ = ROUNDINGS[name]
    if device.type != wanted:
        raise DeviceError(f"{name} is for {wanted}, not for {device.type}; see --dtype")
    if name == "int8" and not int8_is_exact():
        raise DeviceError("products of 8-bit integers overflow on this processor (it has no VNNI); see --dtype")
    if device.type == "cuda":
        if find_spec("torchao") is None:
            raise MissingExtraError("torchao", "fp8", "products in 8-bit floats")
        if (found := torch.cuda.get_device_capability(device)) < _FP8_FROM:
            raise DeviceError(f"{device} has no 8-bit floats: compute capability {_dots(found)}, and 8.9 is needed")


def _dots(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


@lru_cache(maxsize=1)
def int8_is_exact() -> bool:
    """Whether products of 8-bit integers are exact here: with AVX2 alone, sums of two products stop at 16 bits."""
    largest = torch.full((32, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest.t()) == 64 * 127**2).all())  # noqa: SLF001 - see above


def rounded(block: Block, rounding: Rounding) -> Block:
    """A layer with its products rounded; the 7B vision tower's inner width, 3,420, becomes one that GPUs take."""
    mlp = padded(block.mlp, _ALIGNED)
    return replace(
        block,
        qkv=rounding(block.qkv),
        out=rounding(block.out),
        mlp=replace(
            mlp,
            gate=rounding(mlp.gate),
            up=None if mlp.up is None else rounding(mlp.up),
            down=rounding(mlp.down),
        ),
    )


def check_vectors(name: str, exact: Tensor, found: Tensor) -> None:
    """Refuse vectors (N, D) of the drawn pictures that are too far from the exact ones. Raises `CheckpointError`."""
    cosine = float((exact * found).sum(dim=-1).min())
    if not cosine >= LEAST_COSINE[name]:  # nor is it, where a vector is not finite
        raise CheckpointError(
            f"products in {name} change the vectors of this model too much: a drawn picture's has a cosine of "
            f"{cosine:.4f} with the one in bfloat16, and {LEAST_COSINE[name]} is asked; name another precision "
            "(--dtype)"
        )


def drawn_pictures(side: int = 224) -> list[Image.Image]:
    """Three RGB pictures, always the same: shades with noise, a few large shapes, many small ones."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    pictures = [np.stack([x, y, 1 - x], axis=-1) * 200 + rng.integers(0, 56, (side, side, 3))]
    for count, largest in ((4, side), (60, side // 6)):
        canvas = np.full((side, side, 3), 255.0)
        for _ in range(count):
            top, left = rng.integers(0, side - 8, 2)
            height, width = rng.integers(8, largest, 2)
            canvas[top : top + height, left : left + width] = rng.integers(0, 256, 3)
        pictures.append(canvas)
    return [Image.fromarray(picture.astype(np.uint8)) for picture in pictures]
