"""From an RGB picture to the patches that a Qwen-VL vision tower reads. No other module resizes or cuts pixels.

A *recipe* names what happens to a picture before the model sees it; it changes the vector, so it is stored with
every checkpoint and every table:

    native      the picture at its own size (the released scoring code)
    crop448     centre-cropped to a square, then 448x448 with Lanczos (the released training code)
    squash448   448x448 with Lanczos, aspect ratio ignored (the released captioning code)

Every recipe ends with the processor's own step: sides rounded to multiples of patch x merge (28 pixels) within
a range of total pixels, bicubic. Both resampling steps are Pillow's, on 8-bit values, as published.

Patches stay 8-bit: a row is one 14x14 patch as (row, column, channel), 588 bytes. Scaling and normalisation are
linear, so the engine folds them into the patch embedding; `normalized` spells them out for everyone else.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.data.records import Status
from relsim.errors import CheckpointError, ImageError

MAX_ASPECT_RATIO = 200  # the published processor refuses anything longer


class Recipe(str, Enum):
    """What happens to a picture before the processor's own resize."""

    NATIVE = "native"
    CROP448 = "crop448"
    SQUASH448 = "squash448"

    @property
    def side(self) -> int | None:
        """Side of the fixed square in pixels, None where the picture keeps its own size."""
        return None if self is Recipe.NATIVE else 448

    def apply(self, image: Image.Image) -> Image.Image:
        """The picture as this recipe shows it to the processor; RGB in, RGB out."""
        if self is Recipe.CROP448:
            image = _centre_square(image)
        if self.side is None or image.size == (self.side, self.side):
            return image
        return image.resize((self.side, self.side), Image.Resampling.LANCZOS)


@dataclass(frozen=True, slots=True)
class PixelConfig:
    """The numbers of a Qwen-VL image processor (`preprocessor_config.json`); lengths and areas in pixels."""

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 3_136
    max_pixels: int = 12_845_056
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def factor(self) -> int:
        """Sides of the resized picture are multiples of this."""
        return self.patch_size * self.merge_size

    @classmethod
    def from_file(cls, path: Path) -> PixelConfig:
        """Read `preprocessor_config.json`; the area limits stand under `size` or, in older files, by name."""
        try:
            config: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read as a processor configuration: {error}") from error
        size = (config.get("size") or {}) if isinstance(config, dict) else None
        if not isinstance(size, dict):
            raise CheckpointError(f"{path} cannot be read as a processor configuration: it must hold an object")
        default = cls()
        resample = config.get("resample", Image.Resampling.BICUBIC)
        if resample != Image.Resampling.BICUBIC:
            raise CheckpointError(f"{path} asks for resampling filter {resample}; only bicubic (3) is known here")
        found = cls(
            patch_size=config.get("patch_size", default.patch_size),
            merge_size=config.get("merge_size", default.merge_size),
            temporal_patch_size=config.get("temporal_patch_size", default.temporal_patch_size),
            min_pixels=size.get("shortest_edge") or config.get("min_pixels") or default.min_pixels,
            max_pixels=size.get("longest_edge") or config.get("max_pixels") or default.max_pixels,
            mean=tuple(config.get("image_mean") or default.mean),
            std=tuple(config.get("image_std") or default.std),
        )
        lengths: tuple[Any, ...] = (
            found.patch_size,
            found.merge_size,
            found.temporal_patch_size,
            found.min_pixels,
            found.max_pixels,
        )
        if not all(type(value) is int and value > 0 for value in lengths):
            raise CheckpointError(f"{path} has sizes that are no positive whole numbers: {lengths}")
        triples: tuple[Any, ...] = (found.mean, found.std)  # JSON keeps no promise of types
        for values in triples:
            if len(values) != 3 or not all(type(value) in (int, float) for value in values):
                raise CheckpointError(f"{path} has a mean or standard deviation that is not three numbers: {values}")
        return found


@dataclass(frozen=True, slots=True)
class Patches:
    """One picture cut up: `pixels` (rows * columns, patch² * 3) uint8, and the patch grid (rows, columns).

    Patches stand in the processor's order: blocks of merge x merge row by row, inside a block row by row.
    """

    pixels: NDArray[np.uint8]
    grid: tuple[int, int]


def smart_resize(height: int, width: int, config: PixelConfig) -> tuple[int, int]:
    """Size (height, width) that the processor gives a picture: multiples of `factor`, area within the limits.

    Python's `round` (half to even) is part of the published behaviour.
    """
    factor = config.factor
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        ratio = max(height, width) / min(height, width)
        raise ImageError(Status.BAD_SHAPE, f"aspect ratio {ratio:.0f}:1 is beyond {MAX_ASPECT_RATIO}:1")
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    if rows * columns > config.max_pixels:
        shrink = math.sqrt(height * width / config.max_pixels)
        rows = max(factor, math.floor(height / shrink / factor) * factor)
        columns = max(factor, math.floor(width / shrink / factor) * factor)
    elif rows * columns < config.min_pixels:
        grow = math.sqrt(config.min_pixels / (height * width))
        rows = math.ceil(height * grow / factor) * factor
        columns = math.ceil(width * grow / factor) * factor
    return rows, columns


def cut(image: Image.Image, recipe: Recipe, config: PixelConfig) -> Patches:
    """Apply the recipe and the processor's resize to an RGB picture and cut it into patches."""
    image = recipe.apply(image)
    height, width = smart_resize(image.height, image.width, config)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    patch, merge = config.patch_size, config.merge_size
    grid = (height // patch, width // patch)
    pixels = np.asarray(image).reshape(
        grid[0] // merge, merge, patch, grid[1] // merge, merge, patch * 3
    )  # a patch's row of pixels is one run of patch * 3 bytes, so the copy below moves whole runs
    blocks = pixels.transpose(0, 3, 1, 4, 2, 5)
    return Patches(np.ascontiguousarray(blocks).reshape(grid[0] * grid[1], patch * patch * 3), grid)


def limit_longest_edge(image: Image.Image, longest: int | None) -> Image.Image:
    """Shrink (never grow) so that the longer side is at most `longest` pixels.

    Pillow's `thumbnail` with Lanczos, as published: its reducing step and rounding are part of the numbers.
    """
    if not longest or max(image.size) <= longest:
        return image
    smaller = image.copy()
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return smaller


def normalized(patches: Patches, config: PixelConfig) -> NDArray[np.float32]:
    """Patches as the processor emits them: (n, 3 * temporal * patch²), scaled to [0, 1] and normalised.

    The still picture is repeated along the temporal axis.
    """
    patch = config.patch_size
    unit = patches.pixels.reshape(-1, patch, patch, 3).astype(np.float32) / np.float32(255)
    values = (unit - np.array(config.mean, np.float32)) / np.array(config.std, np.float32)
    frame = values.transpose(0, 3, 1, 2)[:, :, None]
    return np.repeat(frame, config.temporal_patch_size, axis=2).reshape(len(values), -1)


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
