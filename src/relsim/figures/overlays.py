"""Heat maps over a picture in grey, on a scale that several of them share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.figures.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of a picture."""
Values = NDArray[np.float32] | NDArray[np.float64]
_OPACITY = 0.62
_AMOUNT = "viridis"  # its lightness rises evenly, so that it reads the same in grey
_CHANGE = "PuOr_r"  # as light on either side of 0, where it is white; people with colour-blindness tell the ends apart


@dataclass(frozen=True, slots=True)
class HeatScale:
    """Colours from 0 to `high`, or with `signed` from `-high`, where a fall must not look like a rise."""

    high: float
    signed: bool

    @classmethod
    def over(cls, maps: Iterable[Values], *, signed: bool) -> HeatScale:
        """The scale that all of these fit on."""
        return cls(max(1e-6, *(float(np.abs(values).max()) for values in maps)), signed)


def draw_overlay(axes: Axes, picture: Image.Image, values: Values, box: Box, scale: HeatScale) -> None:
    """A map (rows, columns) over the part `box` of a picture, with the scale beside it."""
    axes.imshow(np.asarray(picture.convert("L")), cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    left, top, right, bottom = box
    low = -scale.high if scale.signed else 0.0
    drawn = axes.imshow(
        values,
        cmap=_CHANGE if scale.signed else _AMOUNT,
        vmin=low,
        vmax=scale.high,
        alpha=_OPACITY,
        extent=(left - 0.5, right - 0.5, bottom - 0.5, top - 0.5),
        interpolation="nearest",
    )
    axes.set_xlim(-0.5, picture.width - 0.5)
    axes.set_ylim(picture.height - 0.5, -0.5)
    inset = axes.inset_axes((1.02, 0.0, 0.04, 1.0))
    bar = axes.figure.colorbar(drawn, cax=inset)
    bar.outline.set_visible(False)
    ticks = [0.0, 1.0, scale.high] if not scale.signed and scale.high > 1.2 else sorted({low, 0.0, scale.high})
    bar.set_ticks(ticks, labels=[_number(value, signed=scale.signed) for value in ticks])
    bar.ax.tick_params(labelsize=7.5, length=0, colors=INK, pad=2)


def bare(axes: Axes) -> None:
    """A picture without ticks and without a frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _number(value: float, *, signed: bool) -> str:
    if abs(value) < 0.005:
        return "0"
    return f"{value:+.2f}" if signed else f"{value:.1f} \N{MULTIPLICATION SIGN}"
