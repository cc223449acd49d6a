"""Pixels of the drawn world: polygons and strokes in four styles, supersampled twice.

Everything is given in frame units: the picture spans [-1, 1] on both axes, x to the right, y down. A `View` turns,
scales and shifts the frame before anything becomes a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from relsim.world.backgrounds import BACKGROUNDS, Sheet, tinted
from relsim.world.palettes import RGB, Palette, blend

__all__ = ["BACKGROUNDS", "STROKE", "STYLES", "SUPERSAMPLING", "Canvas", "Points", "View"]

Points = NDArray[np.float32]
"""Polygon or path (n, 2) in frame units."""

SUPERSAMPLING = 2
STROKE = 0.028
"""Width of a contour in frame units."""

STYLES = ("flat", "outline", "hatched", "soft")
"""How shapes are filled: one colour, contour only, contour with hatching, light falling from the upper left."""

_SMALL = 22
"""Shapes below this many supersampled pixels are filled plainly: nobody could see hatching or shade there."""

_CORNERS = 12
"""A contour with fewer points than this has corners to see, and they are joined roundly."""

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class View:
    """Where the viewer stands.

    `turn` in degrees clockwise; `scale` of everything; `tilt`, the height of the frame as a factor; `x`, `y`, the shift
    of the frame's middle in frame units.
    """

    turn: float = 0.0
    scale: float = 1.0
    tilt: float = 1.0
    x: float = 0.0
    y: float = 0.0

    def matrix(self) -> Points:
        """Linear part (2, 2) for row vectors."""
        angle = math.radians(self.turn)
        cos, sin = math.cos(angle), math.sin(angle)
        turned = np.array([[cos, sin], [-sin, cos]], np.float32)
        return turned * np.array([self.scale, self.scale * self.tilt], np.float32)


class Canvas:
    """One picture being drawn; `size` is its final width and height in pixels."""

    def __init__(self, size: int, palette: Palette, style: str, view: View) -> None:
        self.side = size * SUPERSAMPLING
        self.palette, self.style = palette, style
        self.image = Image.new("RGB", (self.side, self.side), palette.paper.rgb)
        self._pen = ImageDraw.Draw(self.image)
        self._matrix = view.matrix() * (self.side / 2)
        self._shift = np.array([view.x + 1, view.y + 1], np.float32) * (self.side / 2)
        self._unit = view.scale * self.side / 2  # pixels of one frame unit

    def finish(self) -> Image.Image:
        """The picture at its final size."""
        return self.image.reduce(SUPERSAMPLING)

    def background(self, name: str, rng: np.random.Generator) -> None:
        """Paint one of `BACKGROUNDS`; nothing else may have been drawn before."""
        BACKGROUNDS[name](Sheet(self.image, self.palette, rng))

    def shape(self, points: Points, colour: RGB, *, plain: bool = False) -> None:
        """A closed polygon in the canvas's style; `plain` fills it with one colour whatever the style."""
        pixels = self._pixels(points)
        corners = pixels.ravel().tolist()
        if plain or self.style == "flat":
            self._pen.polygon(corners, fill=colour)
        elif self.style == "outline":
            self._pen.polygon(corners, fill=blend(self.palette.paper.rgb, colour, 0.12))
            self._contour(corners, colour, STROKE)
        else:
            left, top = pixels.min(axis=0).tolist()
            right, bottom = pixels.max(axis=0).tolist()
            box = (math.floor(left), math.floor(top), math.ceil(right) + 1, math.ceil(bottom) + 1)
            if min(right - left, bottom - top) < _SMALL:
                self._pen.polygon(corners, fill=colour)
            elif self.style == "hatched":
                self._hatched(corners, box, colour)
            else:
                self._soft(corners, box, colour)

    def path(self, points: Points, colour: RGB, width: float) -> None:
        """An open stroke; `width` in frame units."""
        self._pen.line(self._pixels(points).ravel().tolist(), fill=colour, width=self._width(width), joint="curve")

    @contextmanager
    def clipped(self, *polygons: Points) -> Iterator[None]:
        """What is drawn inside the block shows only within the union of the polygons."""
        before = self.image.copy()
        yield
        outside = Image.new("1", self.image.size, 1)
        pen = ImageDraw.Draw(outside)
        for points in polygons:
            pen.polygon(self._pixels(points).ravel().tolist(), fill=0)
        self.image.paste(before, (0, 0), outside)

    def _pixels(self, points: Points) -> Points:
        return cast(Points, points @ self._matrix + self._shift)

    def _width(self, width: float) -> int:
        return max(2, round(width * self._unit))

    def _contour(self, corners: Sequence[float], colour: RGB, width: float) -> None:
        joint = "curve" if len(corners) < 2 * _CORNERS else None
        self._pen.line([*corners, *corners[:4]], fill=colour, width=self._width(width), joint=joint)

    def _hatched(self, corners: Sequence[float], box: tuple[int, int, int, int], colour: RGB) -> None:
        self._pen.polygon(corners, fill=blend(self.palette.paper.rgb, colour, 0.12))
        lines = ImageChops.logical_and(_stencil(corners, box), _hatching(self.side).crop(box))
        self.image.paste(colour, box, lines)
        self._contour(corners, colour, 0.7 * STROKE)

    def _soft(self, corners: Sequence[float], box: tuple[int, int, int, int], colour: RGB) -> None:
        lit, dark = blend(colour, _WHITE, 0.25), blend(colour, _BLACK, 0.45)
        shaded = tinted(_falling_light().resize((box[2] - box[0], box[3] - box[1])), lit, dark)
        self.image.paste(shaded, box, _stencil(corners, box))


def _stencil(corners: Sequence[float], box: tuple[int, int, int, int]) -> Image.Image:
    """The polygon's pixels within a box, one bit each: pasting through those is much faster than through eight."""
    image = Image.new("1", (box[2] - box[0], box[3] - box[1]))
    within = (np.asarray(corners).reshape(-1, 2) - box[:2]).ravel().tolist()
    ImageDraw.Draw(image).polygon(within, fill=1)
    return image


@lru_cache(maxsize=4)
def _hatching(side: int) -> Image.Image:
    """Diagonal lines over a square of `side` pixels."""
    image = Image.new("1", (side, side))
    draw = ImageDraw.Draw(image)
    step, width = max(7, side // 34), max(2, side // 110)
    for x in range(-side, side, step):
        draw.line((x, side, x + side, 0), fill=1, width=width)
    return image


@lru_cache(maxsize=1)
def _falling_light() -> Image.Image:
    """Shade from 0 (upper left) to 255 (lower right)."""
    row, column = np.mgrid[0:32, 0:32] / 31
    return Image.fromarray(np.uint8(255 * np.clip((row + column) / 2, 0, 1) ** 1.3))
