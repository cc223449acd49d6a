"""Six ways that the paper of a scene can look.

A background paints a `Sheet` that holds nothing but paper; its angle, spacing, strength and tone come from the sheet's
generator. None of them says anything about the relation shown on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from relsim.world.palettes import RGB, Palette, blend

_BLOTCHES = tuple(0 if level < 135 else 60 for level in range(256))
"""How strongly a level of noise marks the paper: patches with sharp borders."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A square picture that is all paper of one colour, and what may decide how it is painted."""

    image: Image.Image
    palette: Palette
    rng: np.random.Generator

    @property
    def side(self) -> int:
        """Width and height in pixels."""
        return self.image.width

    @property
    def pen(self) -> ImageDraw.ImageDraw:
        """Draws on the sheet."""
        return ImageDraw.Draw(self.image)

    def between(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.rng.uniform(low, high))

    def tone(self, share: float) -> RGB:
        """A second tone: the paper with `share` of ink or of one of the palette's last two colours in it."""
        colours = (self.palette.ink, *self.palette.colours[3:])
        return blend(self.palette.paper.rgb, colours[int(self.rng.integers(len(colours)))].rgb, share)

    def lines(self, step: float, degrees: float, width: float, colour: RGB) -> None:
        """Parallel lines all over, `step` and `width` in pixels, running in a direction."""
        pen, middle, reach = self.pen, self.side / 2, self.side
        along = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        count = int(0.75 * self.side / step) + 1
        for number in range(-count, count + 1):
            x, y = middle - along[1] * number * step, middle + along[0] * number * step
            ends = (x - along[0] * reach, y - along[1] * reach, x + along[0] * reach, y + along[1] * reach)
            pen.line(ends, fill=colour, width=round(width))

    def wash(self, strength: Image.Image, colour: RGB) -> None:
        """Mix in `colour` as strongly as each pixel of `strength` (mode L, the sheet's size) says, 0 to 255."""
        self.image.paste(tinted(strength, self.palette.paper.rgb, colour))


def tinted(strength: Image.Image, ground: RGB, colour: RGB) -> Image.Image:
    """An RGB picture of `ground` with `colour` mixed in by the levels of `strength` (mode L), which it uses up.

    The 256 mixtures are made once and looked up: a ninth of the time that pasting through eight bits takes.
    """
    ramp = Image.new("RGB", (256, 1), ground)
    ramp.paste(colour, (0, 0, 256, 1), _every_level())
    strength.putpalette(ramp.tobytes())
    return strength.convert("RGB")


def _every_level() -> Image.Image:
    return Image.frombytes("L", (256, 1), bytes(range(256)))


def _plain(sheet: Sheet) -> None:
    """Paper, nothing on it."""


def _shaded(sheet: Sheet) -> None:
    """Shading from one border to the opposite one."""
    angle, strength = sheet.between(0, 2 * math.pi), sheet.between(0.25, 0.4)
    row, column = np.mgrid[-1:1:16j, -1:1:16j]
    share = np.clip(0.5 + 0.5 * (math.cos(angle) * column + math.sin(angle) * row), 0, 1)
    sheet.wash(_enlarged(np.uint8(255 * strength * share), sheet.side, Image.Resampling.BILINEAR), sheet.tone(1.0))


def _striped(sheet: Sheet) -> None:
    """Parallel stripes at any angle."""
    step = sheet.side * sheet.between(0.07, 0.14)
    sheet.lines(step, sheet.between(0, 180), sheet.between(0.35, 0.5) * step, sheet.tone(0.2))


def _ruled(sheet: Sheet) -> None:
    """Two sets of thin lines, as on squared paper."""
    step, degrees = sheet.side * sheet.between(0.07, 0.12), sheet.between(-20, 20)
    for turn in (0, 90):
        sheet.lines(step, degrees + turn, max(2, 0.012 * sheet.side), sheet.tone(0.25))


def _dotted(sheet: Sheet) -> None:
    """Dots in staggered rows."""
    step, colour = sheet.side * sheet.between(0.08, 0.13), sheet.tone(0.25)
    radius, phase = step * sheet.between(0.18, 0.28), sheet.between(0, step)
    pen = sheet.pen
    for number in range(int(sheet.side / step) + 2):
        y = number * step - phase
        for x in np.arange(-step * (number % 2) / 2, sheet.side + step, step).tolist():
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _blotched(sheet: Sheet) -> None:
    """Irregular patches, as on old paper."""
    noise = sheet.rng.integers(0, 256, (9, 9), dtype=np.uint8)
    sheet.wash(_enlarged(noise, sheet.side, Image.Resampling.BICUBIC).point(_BLOTCHES), sheet.tone(0.8))


def _enlarged(levels: NDArray[np.uint8], side: int, how: Image.Resampling) -> Image.Image:
    return Image.fromarray(levels).resize((side, side), how)


BACKGROUNDS: Mapping[str, Callable[[Sheet], None]] = MappingProxyType(
    {
        "plain": _plain,
        "shaded": _shaded,
        "striped": _striped,
        "ruled": _ruled,
        "dotted": _dotted,
        "blotched": _blotched,
    }
)
"""What paints the paper, by name."""
