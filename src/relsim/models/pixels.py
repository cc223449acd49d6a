"""From an RGB picture to the patches that a Qwen-VL vision tower reads. No other module resizes or cuts pixels.

A *recipe* names what happens to a picture before the model sees it; it changes the vector, so it is stored with
every checkpoint and every table:

    native         the picture at its own size (the released scoring code)
    crop<side>     centre-cropped to a square, then side x side with Lanczos (`crop448`: the released training code)
    squash<side>   side x side with Lanczos, aspect ratio ignored (`squash448`: the released captioning code)

Every recipe ends with the processor's own step: sides rounded to multiples of patch x merge (28 pixels) within
a range of total pixels, bicubic. Both resampling steps are Pillow's, on 8-bit values, as published.

Patches stay 8-bit: a row is one 14x14 patch as (row, column, channel), 588 bytes. Scaling and normalisation are
linear, so the engine folds them into the patch embedding; `normalized` spells them out for everyone else.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.data.records import Status
from relsim.errors import CheckpointError, ImageError

MAX_ASPECT_RATIO = 200  # the published processor refuses anything longer
SIDE_UNIT = 4  # which multiples of patch x merge a network takes is known where recipe and network meet
MAX_SIDE = 3_584  # a larger square is beyond the published processor's area and would be resized again
KNOWN_RECIPES = f"known are native, crop<side> and squash<side>, such as crop448; side is a multiple of {SIDE_UNIT}"

_NAME = re.compile(r"native|(?P<kind>crop|squash)(?P<side>[1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What happens to a picture before the processor's own resize."""

    kind: Literal["native", "crop", "squash"] = "native"
    side: int | None = None  # of the fixed square in pixels, None where the picture keeps its own size

    NATIVE: ClassVar[Recipe]
    CROP448: ClassVar[Recipe]
    SQUASH448: ClassVar[Recipe]

    def __post_init__(self) -> None:
        square = self.side is not None and 0 < self.side <= MAX_SIDE and self.side % SIDE_UNIT == 0
        if (self.kind == "native" and self.side is not None) or (self.kind != "native" and not square):
            raise ValueError(f"there is no recipe {self.value!r}; {KNOWN_RECIPES}")

    @classmethod
    def parse(cls, name: str) -> Recipe:
        """The recipe of that name. Raises `ValueError` for an unknown one."""
        found = _NAME.fullmatch(str(name))
        if found is None:
            raise ValueError(f"there is no recipe {name!r}; {KNOWN_RECIPES}")
        if found["kind"] is None:
            return cls()
        return cls("crop" if found["kind"] == "crop" else "squash", int(found["side"]))

    @property
    def value(self) -> str:
        """Its name, as `parse` reads it."""
        return f"{self.kind}{self.side or ''}"

    def seen(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part (left, top, right, bottom) in pixels that the processor is shown of a picture of this size."""
        if self.kind != "crop":
            return 0, 0, width, height
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side

    def apply(self, image: Image.Image) -> Image.Image:
        """The picture as this recipe shows it to the processor; RGB in, RGB out."""
        if self.kind == "crop":
            image = image.crop(self.seen(*image.size))
        if self.side is None or image.size == (self.side, self.side):
            return image
        return image.resize((self.side, self.side), Image.Resampling.LANCZOS)

    def shrink(self, image: Image.Image) -> Image.Image:
        """A picture of fewer pixels of which `apply` makes the very same, or `image` where this has none to spare.

        What `apply` gives is such a picture, for it leaves a square of its own side as it is.
        """
        if self.side is None or image.width * image.height <= self.side**2:
            return image
        return self.apply(image)


Recipe.NATIVE = Recipe()
Recipe.CROP448 = Recipe("crop", 448)
Recipe.SQUASH448 = Recipe("squash", 448)


def draft_side(recipe: Recipe, decode: str | None) -> int | None:
    """The least side in pixels to which JPEG files may be decoded smaller, None for `exact`: decoded whole.

    Raises `CheckpointError` for another name, and for `draft` with a recipe that keeps pictures at their own size.
    """
    if decode not in (None, "exact", "draft"):
        raise CheckpointError(f"there is no way {decode!r} to decode files; known are exact and draft")
    if decode != "draft":
        return None
    if recipe.side is None:
        raise CheckpointError(
            f"the recipe {recipe.value} needs every pixel of a file, so none can be left undecoded: leave decode "
            "(--decode) away, or name a recipe of a fixed size, such as crop448"
        )
    return recipe.side


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


def shown(image: Image.Image, recipe: Recipe, config: PixelConfig) -> Image.Image:
    """An RGB picture after the recipe and the processor's resize."""
    image = recipe.apply(image)
    height, width = smart_resize(image.height, image.width, config)
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def cut(image: Image.Image, recipe: Recipe, config: PixelConfig) -> Patches:
    """Apply the recipe and the processor's resize to an RGB picture and cut it into patches."""
    image = shown(image, recipe, config)
    width, height = image.size
    pixels = _blocks(np.asarray(image)[None], config)[0]
    return Patches(pixels, (height // config.patch_size, width // config.patch_size))


def cut_squares(pixels: NDArray[np.uint8], config: PixelConfig) -> NDArray[np.uint8]:
    """Patches (B, n, patch² * 3) of pictures (B, side, side, 3) that a recipe has made square already.

    Each row is what `cut` gives for its picture. Raises `ValueError` for a side that the processor would change.
    """
    side = pixels.shape[1]
    if pixels.shape[1:] != (side, side, 3) or smart_resize(side, side, config) != (side, side):
        raise ValueError(
            f"pictures of shape {pixels.shape[1:]} cannot be cut as they are: they must be (side, side, 3), with a "
            f"side that is a multiple of {config.factor} and an area of {config.min_pixels} to {config.max_pixels}"
        )
    return _blocks(pixels, config)


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


def _blocks(pixels: NDArray[np.uint8], config: PixelConfig) -> NDArray[np.uint8]:
    """Patches (B, n, patch² * 3) of pictures (B, height, width, 3), in the processor's order."""
    patch, merge = config.patch_size, config.merge_size
    batch, height, width, _ = pixels.shape
    unit = merge * patch
    # a patch's row of pixels is one run of patch * 3 bytes, so the copy below moves whole runs
    rows = np.ascontiguousarray(pixels).reshape(batch, height // unit, merge, patch, width // unit, merge, patch * 3)
    blocks = np.ascontiguousarray(rows.transpose(0, 1, 4, 2, 5, 3, 6))
    return blocks.reshape(batch, -1, patch * patch * 3)
