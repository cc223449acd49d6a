"""Outlines of actors: where they reach, what lies inside them, drawing only there; and the lines that go with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from relsim.world.canvas import Points
from relsim.world.palettes import RGB
from relsim.world.stage import Actor, Stage, on_circle

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def outline(actor: Actor, x: float, y: float, size: float, *, turn: float = 0.0) -> list[Points]:
    """The polygons that make the silhouette of an actor as `Stage.put` would place it."""
    angle = math.radians(turn)
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    place = np.array([[cos, sin], [-sin, cos]], np.float32)
    return [points @ place + np.array([x, y], np.float32) for points in actor.kind.outline]


def reach(polygons: Sequence[Points]) -> Box:
    """The smallest upright box around the polygons."""
    points = np.concatenate(polygons)
    left, top = points.min(axis=0).tolist()
    right, bottom = points.max(axis=0).tolist()
    return left, top, right, bottom


def stretched_to(actor: Actor, width: float, height: float, limit: float = 1.5) -> tuple[float, float]:
    """Stretch with which an actor of size 1 fills a box, distorted by at most the factor `limit`.

    Of two that do not both fit, the longer side fits.
    """
    left, top, right, bottom = reach(actor.kind.outline)
    across, down = width / (right - left), height / (bottom - top)
    return min(across, down * limit), min(down, across * limit)


def inside(points: Points, polygons: Sequence[Points]) -> NDArray[np.bool_]:
    """Which of the points (n, 2) lie in any of the polygons."""
    found = np.zeros(len(points), np.bool_)
    x, y = points[:, :1], points[:, 1:]
    for polygon in polygons:
        (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
        crosses = (y0 > y) != (y1 > y)
        slope = (x1 - x0) / np.where(y1 == y0, 1, y1 - y0)
        found |= (crosses & (x < x0 + (y - y0) * slope)).sum(axis=1) % 2 == 1
    return found


def spots_inside(stage: Stage, polygons: Sequence[Points], count: int) -> Points:
    """Points (count, 2) inside the polygons, far from each other."""
    left, top, right, bottom = reach(polygons)
    points = stage.rng.uniform((left, top), (right, bottom), (160, 2)).astype(np.float32)
    points = points[inside(points, polygons)]
    if len(points) < count:
        points = np.concatenate([points, np.concatenate(polygons)])
    chosen = [points[0]]
    while len(chosen) < count:
        gaps = np.hypot(*(points[:, None] - np.array(chosen)[None]).transpose(2, 0, 1))
        chosen.append(points[int(gaps.min(axis=1).argmax())])
    return np.array(chosen, np.float32)


def heart_of(polygons: Sequence[Points]) -> tuple[float, float]:
    """A point inside the polygons, near their middle."""
    left, top, right, bottom = reach(polygons)
    columns, rows = np.meshgrid(np.linspace(left, right, 15), np.linspace(top, bottom, 15))
    points = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    within = points[inside(points, polygons)]
    if len(within) == 0:
        return (left + right) / 2, (top + bottom) / 2
    x, y = within[int(np.hypot(*(within - within.mean(axis=0)).T).argmin())].tolist()
    return x, y


@contextmanager
def clipped_to(stage: Stage, polygons: Sequence[Points]) -> Iterator[None]:
    """What is drawn inside the block shows only within the union of the polygons."""
    canvas = stage.canvas
    before = canvas.image.copy()
    yield
    outside = Image.new("1", canvas.image.size, 1)  # pasting through one bit per pixel costs a ninth of through eight
    draw = ImageDraw.Draw(outside)
    for polygon in polygons:
        pixels = canvas._pixels(polygon)  # noqa: SLF001 - Canvas.clipped takes one polygon only
        draw.polygon(pixels.ravel().tolist(), fill=0)
    canvas.image.paste(before, (0, 0), outside)


def half_plane(x: float, y: float, towards: float) -> list[Points]:
    """All of the picture beyond a line through (x, y); `towards`, in degrees, leads straight away from the line."""
    ahead, aside = np.array(on_circle(4, towards)), np.array(on_circle(4, towards + 90))
    middle = np.array([x, y])
    return [np.array([middle - aside, middle + aside, middle + aside + ahead, middle - aside + ahead], np.float32)]


def band(x: float, y: float, towards: float, start: float, end: float) -> list[Points]:
    """All between two parallel lines that cross the direction `towards` at `start` and `end` from (x, y)."""
    ahead, aside = np.array(on_circle(1, towards)), np.array(on_circle(4, towards + 90))
    first, last = np.array([x, y]) + ahead * start, np.array([x, y]) + ahead * end
    return [np.array([first - aside, first + aside, last + aside, last - aside], np.float32)]


def dashed(
    stage: Stage,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    step: float = 0.11,
    width: float = 0.026,
    colour: RGB | None = None,
) -> None:
    """A broken straight line."""
    first, last = np.array(start, np.float32), np.array(end, np.float32)
    count = max(round(float(np.hypot(*(last - first))) / step), 1)
    for number in range(count):
        piece = np.array([[number / count], [(number + 0.58) / count]], np.float32)
        stage.line(first + piece * (last - first), width=width, colour=colour)


def eyes(stage: Stage, x: float, y: float, radius: float, target: tuple[float, float]) -> None:
    """A pair of eyes about (x, y) that look at the target."""
    away = math.degrees(math.atan2(target[1] - y, target[0] - x))
    for side in (-1.08, 1.08):
        stage.disc(x + side * radius, y, radius * 1.16, (34, 34, 40), plain=True)
        stage.disc(x + side * radius, y, radius, (250, 248, 242), plain=True)
        stage.disc(*on_circle(radius * 0.45, away, x + side * radius, y), radius * 0.5, (34, 34, 40), plain=True)
