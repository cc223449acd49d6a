"""What an object kind is made of.

Kinds are drawn on the grid of `relsim.world.objects.curves`; `kind` scales a drawing so that it fills the object box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relsim.world.objects.curves import Points

Polygon = NDArray[np.float32]

MAIN, SECOND, INK, PAPER = range(4)
"""Tones of a part: main colour, its darker or lighter relative, dark detail, light detail."""

LONGER_SIDE = 0.96
"""Longer side of every drawing, in object boxes."""

MOST_POINTS = 48
"""Corners of a polygon at most: drawing is most of what a scene costs."""

_LEAST_AREA = 0.3
"""Area that the triangle of a corner and its neighbours must have for the corner to stay, in square grid units."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One filled polygon: `points` (n, 2) in the object box [-0.5, 0.5]², x right, y down; `tone` 0 to 3."""

    points: Polygon
    tone: int


@dataclass(frozen=True, slots=True, eq=False)
class ObjectKind:
    """A thing that scenes are made of.

    `parts` are painted in order. `outline` are the polygons that together make the silhouette, none of them idle.
    `directed` says that the silhouette looks different after every turn by quarters, mirrored or not; animals and
    vehicles that are directed look to the right.
    """

    name: str
    plural: str
    category: str
    parts: tuple[Part, ...]
    outline: tuple[Polygon, ...]
    directed: bool


def kind(category: str, name: str, plural: str, *parts: tuple[int, Points], directed: bool = False) -> ObjectKind:
    """The kind drawn by `parts` (tone, grid points), centred and scaled to fill the object box."""
    drawn = [(tone, _simplified(points)) for tone, points in parts]
    corners = np.concatenate([points for _, points in drawn])
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = LONGER_SIDE / (high - low).max()
    fitted = tuple(Part(((points - (low + high) / 2) * scale).astype(np.float32), tone) for tone, points in drawn)
    return ObjectKind(name, plural, category, fitted, _silhouette(fitted), directed)


def main(*polygons: Points) -> tuple[int, Points]:
    """A part in the main colour: one polygon, or the points of several in a row."""
    return MAIN, np.concatenate(polygons)


def second(*polygons: Points) -> tuple[int, Points]:
    """A part in the relative of the main colour."""
    return SECOND, np.concatenate(polygons)


def ink(*polygons: Points) -> tuple[int, Points]:
    """A dark detail."""
    return INK, np.concatenate(polygons)


def paper(*polygons: Points) -> tuple[int, Points]:
    """A light detail; it never shapes the silhouette."""
    return PAPER, np.concatenate(polygons)


def _simplified(points: Points) -> Points:
    """The polygon without the corners that hardly show, and with at most `MOST_POINTS` corners.

    The corner that spans the smallest triangle with its neighbours goes first (Visvalingam and Whyatt 1993).
    """
    while len(points) > 4:
        sides = np.concatenate([points, points[:1]]) - np.concatenate([points[-1:], points])
        back, ahead = sides[:-1], sides[1:]
        areas = np.abs(back[:, 0] * ahead[:, 1] - back[:, 1] * ahead[:, 0]) / 2
        least = int(areas.argmin())
        if areas[least] > _LEAST_AREA and len(points) <= MOST_POINTS:
            break
        points = np.delete(points, least, axis=0)
    return points


def _silhouette(parts: Sequence[Part]) -> tuple[Polygon, ...]:
    """The polygons that reach beyond each other; light details never do."""
    kept = [part.points for part in parts if part.tone != PAPER]
    for points in tuple(kept):
        others = [other for other in kept if other is not points]
        if any(_boxed(points, other) and _inside(points, other).all() for other in others):
            kept = others
    return tuple(kept)


def _boxed(points: Polygon, polygon: Polygon) -> bool:
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    return bool((points.min(axis=0) >= low).all() and (points.max(axis=0) <= high).all())


def _inside(points: Polygon, polygon: Polygon) -> NDArray[np.bool_]:
    """Which points lie in the polygon, by the even-odd rule."""
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = polygon.T
    x1, y1 = np.roll(polygon, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    height = np.where(y1 == y0, 1, y1 - y0)
    inside: NDArray[np.bool_] = (crosses & (x < x0 + (y - y0) / height * (x1 - x0))).sum(axis=1) % 2 == 1
    return inside
