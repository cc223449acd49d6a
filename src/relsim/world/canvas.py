"""Pixels of the drawn world: polygons and strokes in four styles over six backgrounds, supersampled twice.

Everything is given in frame units: the picture spans [-1, 1] on both axes, x to the right, y down. A `View` turns,
scales and shifts the frame before anything becomes a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from relsim.world.palettes import RGB, Palette, blend

Points = NDArray[np.float32]
"""Polygon or path (n, 2) in frame units."""

SUPERSAMPLING = 2
STROKE = 0.028  # width of an outline in frame units
_SMALL = 22  # shapes below this many supersampled pixels are filled plainly: no hatching could be seen there

STYLES = ("flat", "outline", "hatched", "soft")
"""How shapes are filled: one colour, contour only, contour with hatching, light falling from the upper left."""


@dataclass(frozen=True, slots=True)
class View:
    """Where the viewer stands: `turn` in degrees clockwise, `scale` and `tilt` (height of the frame) as factors."""

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
    """One picture being drawn."""

    def __init__(self, size: int, palette: Palette, style: str, view: View) -> None:
        self.side = size * SUPERSAMPLING
        self.palette, self.style = palette, style
        self._matrix = view.matrix() * (self.side / 2)
        self._shift = np.array([view.x + 1, view.y + 1], np.float32) * (self.side / 2)
        self._unit = view.scale * self.side / 2  # pixels of one frame unit
        self.image = Image.new("RGB", (self.side, self.side), palette.paper.rgb)
        self._draw = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        """The picture at its final size."""
        return self.image.reduce(SUPERSAMPLING)

    def background(self, name: str, rng: np.random.Generator) -> None:
        """Paint one of `BACKGROUNDS` over everything."""
        BACKGROUNDS[name](self, rng)

    def shape(self, points: Points, colour: RGB, *, plain: bool = False) -> None:
        """A closed polygon in the canvas's style; `plain` fills it with one colour whatever the style."""
        pixels = self._pixels(points)
        flat = pixels.ravel().tolist()
        style = "flat" if plain else self.style
        left, top = pixels.min(axis=0).tolist()
        right, bottom = pixels.max(axis=0).tolist()
        if style == "flat" or (style != "outline" and min(right - left, bottom - top) < _SMALL):
            self._draw.polygon(flat, fill=colour)
            return
        if style == "soft":
            self._draw.polygon(flat, fill=blend(colour, (255, 255, 255), 0.25))
        else:
            self._draw.polygon(flat, fill=blend(self.palette.paper.rgb, colour, 0.12))
        box = (math.floor(left), math.floor(top), math.ceil(right) + 1, math.ceil(bottom) + 1)
        if style == "hatched":
            self._overlay(flat, box, colour, _hatching(self.side).crop(box))
        elif style == "soft":
            shade = blend(colour, (0, 0, 0), 0.45)
            self._overlay(flat, box, shade, _falling_light().resize((box[2] - box[0], box[3] - box[1])))
        if style != "soft":
            width = self._width(STROKE * (1.0 if style == "outline" else 0.7))
            self._closed(flat, colour, width, sharp=len(pixels) < 12)

    def path(self, points: Points, colour: RGB, width: float) -> None:
        """An open stroke; `width` in frame units."""
        flat = self._pixels(points).ravel().tolist()
        self._draw.line(flat, fill=colour, width=self._width(width), joint="curve")

    @contextmanager
    def clipped(self, points: Points) -> Iterator[None]:
        """What is drawn inside the block shows only within the polygon."""
        before = self.image.copy()
        yield
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self._pixels(points).ravel().tolist(), fill=255)
        self.image.paste(Image.composite(self.image, before, mask))

    def _pixels(self, points: Points) -> Points:
        return cast(Points, points @ self._matrix + self._shift)

    def _width(self, width: float) -> int:
        return max(2, round(width * self._unit))

    def _closed(self, flat: Sequence[float], colour: RGB, width: int, *, sharp: bool) -> None:
        self._draw.line([*flat, *flat[:4]], fill=colour, width=width, joint="curve" if sharp else None)

    def _overlay(self, flat: Sequence[float], box: tuple[int, int, int, int], colour: RGB, pattern: Image.Image) -> None:
        """Paint `colour` where both the polygon and the pattern are."""
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        shifted = (np.asarray(flat).reshape(-1, 2) - box[:2]).ravel().tolist()
        ImageDraw.Draw(mask).polygon(shifted, fill=255)
        self.image.paste(colour, box, ImageChops.multiply(mask, pattern))


@lru_cache(maxsize=4)
def _hatching(side: int) -> Image.Image:
    """Diagonal lines over a square of `side` pixels."""
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    step, width = max(7, side // 34), max(2, side // 110)
    for x in range(-side, side, step):
        draw.line((x, side, x + side, 0), fill=255, width=width)
    return image


@lru_cache(maxsize=1)
def _falling_light() -> Image.Image:
    """Shade from 0 (upper left) to 255 (lower right)."""
    row, column = np.mgrid[0:32, 0:32] / 31
    return Image.fromarray(np.uint8(255 * np.clip((row + column) / 2, 0, 1) ** 1.3))


def _plain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paper, nothing on it."""


def _sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Shading from one border to the opposite one."""
    angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 0.4)
    row, column = np.mgrid[-1:1:16j, -1:1:16j]
    share = np.clip(0.5 + 0.5 * (math.cos(angle) * column + math.sin(angle) * row), 0, 1)
    mask = Image.fromarray(np.uint8(255 * strength * share)).resize(canvas.image.size, Image.Resampling.BILINEAR)
    canvas.image.paste(_mark(canvas, rng, 1.0), (0, 0, *canvas.image.size), mask)


def _striped(canvas: Canvas, rng: np.random.Generator) -> None:
    """Parallel stripes at any angle."""
    step = canvas.side * rng.uniform(0.07, 0.14)
    _lines(canvas, step, rng.uniform(0, 180), rng.uniform(0.35, 0.5) * step, _mark(canvas, rng, 0.2))


def _ruled(canvas: Canvas, rng: np.random.Generator) -> None:
    """Two sets of thin lines, as on squared paper."""
    step, angle = canvas.side * rng.uniform(0.07, 0.12), rng.uniform(-20, 20)
    for turn in (0, 90):
        _lines(canvas, step, angle + turn, max(2, 0.012 * canvas.side), _mark(canvas, rng, 0.25))


def _dotted(canvas: Canvas, rng: np.random.Generator) -> None:
    """Dots in staggered rows."""
    step, colour = canvas.side * rng.uniform(0.08, 0.13), _mark(canvas, rng, 0.25)
    radius, phase = step * rng.uniform(0.18, 0.28), rng.uniform(0, step)
    for number in range(int(canvas.side / step) + 2):
        y = number * step - phase
        for x in np.arange(-step * (number % 2) / 2, canvas.side + step, step).tolist():
            canvas._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)  # noqa: SLF001


def _blotched(canvas: Canvas, rng: np.random.Generator) -> None:
    """Irregular patches, as on old paper."""
    noise = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
    mask = noise.resize(canvas.image.size, Image.Resampling.BICUBIC).point(_BLOTCHES)
    canvas.image.paste(_mark(canvas, rng, 0.8), (0, 0, *canvas.image.size), mask)


_BLOTCHES = [0 if level < 135 else 60 for level in range(256)]

BACKGROUNDS: Mapping[str, Callable[[Canvas, np.random.Generator], None]] = MappingProxyType(
    {
        "plain": _plain,
        "shaded": _sky,
        "striped": _striped,
        "ruled": _ruled,
        "dotted": _dotted,
        "blotched": _blotched,
    }
)
"""How the paper looks; each draws its own angle, spacing and strength from the generator."""


def _mark(canvas: Canvas, rng: np.random.Generator, share: float) -> RGB:
    """The background's second tone: its paper with ink or with one of the palette's colours."""
    colours = (canvas.palette.ink, *canvas.palette.colours[3:])
    return blend(canvas.palette.paper.rgb, colours[int(rng.integers(len(colours)))].rgb, share)


def _lines(canvas: Canvas, step: float, angle: float, width: float, colour: RGB) -> None:
    """Parallel lines `step` pixels apart over the whole picture."""
    radians, reach = math.radians(angle), canvas.side
    along, across = (math.cos(radians), math.sin(radians)), (-math.sin(radians), math.cos(radians))
    count = int(0.75 * canvas.side / step) + 1
    for number in range(-count, count + 1):
        x, y = canvas.side / 2 + across[0] * number * step, canvas.side / 2 + across[1] * number * step
        ends = (x - along[0] * reach, y - along[1] * reach, x + along[0] * reach, y + along[1] * reach)
        canvas._draw.line(ends, fill=colour, width=round(width))  # noqa: SLF001
