"""Ways through the picture, and the stages of a sequence placed along them.

A path maps times t in [0, 1] to points of the square [-1, 1]; `spots` shrinks that square for each stage by the stage's
own size, so that nothing leaves the frame, and makes the stages as large as they fit without touching.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.world.canvas import Points
from relsim.world.relations.base import Layout
from relsim.world.stage import Stage

EDGE = 0.95  # how far from the middle anything is placed


@dataclass(frozen=True, slots=True)
class Spot:
    """Room for one stage: its middle and the side of the square that it may fill."""

    x: float
    y: float
    room: float


Path = Callable[[Stage, Points], Points]
"""Points (n, 2) in [-1, 1] for n rising times."""

Step = Callable[[Spot, int], None]
"""Draws stage k, counted from 0, in a spot."""


def row(stage: Stage, t: Points) -> Points:
    """From left to right, level, leaning or bowed."""
    x = 2 * t - 1
    return _pairs(x, _waver(stage, x))


def column(stage: Stage, t: Points) -> Points:
    """From top to bottom, upright, leaning or bowed."""
    y = 2 * t - 1
    return _pairs(_waver(stage, y), y)


def slope(stage: Stage, t: Points) -> Points:
    """From one corner to another, upwards or downwards, bowed a little."""
    x, bow = 2 * t - 1, stage.between(-0.5, 0.5)
    return _pairs(x, (x + bow * (1 - x**2)) * (1 if stage.chance() else -1))


def arc(stage: Stage, t: Points) -> Points:
    """Along most of a circle, from anywhere, either way round."""
    span = math.radians(stage.between(190, 285)) * (1 if stage.chance(0.7) else -1)
    angles = stage.between(0, 2 * math.pi) + span * t
    points = _pairs(np.cos(angles), np.sin(angles))
    low, high = points.min(axis=0), points.max(axis=0)
    filled: Points = (points - (low + high) / 2) / (high - low) * 2
    return filled


def two_rows(stage: Stage, t: Points) -> Points:
    """As lines are read: the first half above, the second half below."""
    count = len(t)
    first = (count + 1) // 2
    places = [(k, -1.0) if k < first else (k - first, 1.0) for k in range(count)]
    widest = max(first - 1, 1)
    indent = 0.0 if count % 2 == 0 else stage.between(0, 2 / widest)
    height = stage.between(0.85, 1.0)
    return np.array([(2 * x / widest - 1 + (indent if y > 0 else 0), y * height) for x, y in places], np.float32)


def zigzag(stage: Stage, t: Points) -> Points:
    """Down or across, jumping from side to side."""
    side = np.where(np.arange(len(t)) % 2 == 0, -1.0, 1.0) * stage.between(0.65, 1.0)
    along = 2 * t - 1
    flip = 1 if stage.chance() else -1
    return _pairs(side * flip, along) if stage.chance() else _pairs(along, side * flip)


PATHS: tuple[Path, ...] = (row, column, slope, arc, two_rows, zigzag)
"""All ways through the picture."""


def spots(stage: Stage, path: Path, weights: Sequence[float], *, apart: float = 1.08, most: float = 1.1) -> list[Spot]:
    """A spot for each weight, rooms in proportion to the weights, neighbours `apart` times their mean room apart."""
    sizes = np.asarray(weights, np.float32) / max(weights)
    ends = np.cumsum(sizes)
    middles = ends - sizes / 2
    t = (middles - middles[0]) / (middles[-1] - middles[0])
    points = np.clip(path(stage, t), -1, 1)
    pairs = np.triu_indices(len(sizes), 1)
    need = apart * (sizes[pairs[0]] + sizes[pairs[1]]) / 2
    scale = most
    while True:
        placed = points * (EDGE - scale * sizes / 2)[:, None]
        gaps = np.hypot(*(placed[pairs[0]] - placed[pairs[1]]).T)
        if scale < 0.2 or bool((gaps >= need * scale).all()):
            break
        scale *= 0.95
    return [Spot(float(x), float(y), float(scale * size)) for (x, y), size in zip(placed, sizes, strict=True)]


def join(stage: Stage, places: Sequence[Spot], *, bend: float = 0.0) -> None:
    """Arrows from each spot to the next, in the gaps between them."""
    for first, second in pairwise(places):
        away = np.array([second.x - first.x, second.y - first.y])
        length = float(np.hypot(*away))
        away /= length
        start, end = first.room * 0.5 + 0.02, length - second.room * 0.5 - 0.02
        if end - start < 0.13:
            start, end = (start + end) / 2 - 0.075, (start + end) / 2 + 0.075
        tail, tip = away * start + (first.x, first.y), away * end + (first.x, first.y)
        head = min(0.13, 0.7 * (end - start))
        stage.arrow((float(tail[0]), float(tail[1])), (float(tip[0]), float(tip[1])), bend=bend, head=head)


def even(_stage: Stage, count: int) -> Sequence[float]:
    """All stages of one size."""
    return (1.0,) * count


def staged(
    path: Path,
    prepare: Callable[[Stage, int], Step],
    *,
    count: tuple[int, int] = (3, 5),
    weigh: Callable[[Stage, int], Sequence[float]] = even,
    arrows: float = 0.35,
    apart: float = 1.02,
) -> Layout:
    """A layout that draws the stages of a sequence along a path, with arrows between them in a share of scenes.

    `prepare` is told the number of stages, settles what all stages of one scene have in common, and returns what draws
    a stage. Straight lines hold four stages at most, three where there are arrows: the stages would be too small.
    """

    def layout(stage: Stage) -> None:
        joined = stage.chance(arrows)
        most = min(count[1], 3 + (not joined)) if path in {row, column} else count[1]
        number = stage.count(min(count[0], most), most)
        step = prepare(stage, number)
        places = spots(stage, path, weigh(stage, number), apart=max(apart, 1.3) if joined else apart)
        if joined:
            join(stage, places, bend=stage.between(-0.12, 0.12))
        for k, spot in enumerate(places):
            step(spot, k)

    layout.__name__ = f"{prepare.__name__.strip('_')}_along_{path.__name__}"
    return layout


def _waver(stage: Stage, along: Points) -> Points:
    """How far a straight way strays to the side, where it is `along` from -1 to 1."""
    bow = stage.between(-0.8, 0.8)
    aside: Points = stage.between(-0.5, 0.5) + stage.between(-0.4, 0.4) * along + bow * (0.5 - along**2)
    return aside


def _pairs(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> Points:
    return np.stack([x, y], axis=1).astype(np.float32)
