"""The few curves that objects are drawn with, as polygons on a grid of about 100 by 100 units, x right and y down.

Points are written as text, "x y  x y": a hundred drawings stay readable that way.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_TOLERANCE = 0.25
"""Largest distance between a curve and its polygon, in grid units: half a pixel for an object of 200 pixels."""

_BAND_POINTS = 24
"""Points along each side of a band at most."""


def poly(text: str) -> Points:
    """The polygon with straight sides through the points in `text`."""
    return _read(text)[0]


def smooth(text: str) -> Points:
    """The closed curve through the points in `text`; a point written "x y!" is a sharp corner."""
    points, sharp = _read(text)
    corners = np.flatnonzero(sharp)
    if len(corners) == 0:
        ring = np.concatenate([points[-1:], points, points[:2]])
        before, after = _tangents(ring)
        return _hermite(ring[1:-1], after[:-1], before[1:])
    first = int(corners[0])
    points = np.roll(points, -first, axis=0)
    ends = [*(corners - first).tolist(), len(points)]
    points = np.concatenate([points, points[:1]])
    pieces = [_open_curve(points[a : b + 1])[:-1] for a, b in pairwise(ends)]
    return np.concatenate(pieces)


def stroke(text: str, width: float, end_width: float | None = None) -> Points:
    """A curve through the points in `text` with a thickness and round ends; `end_width` makes it taper."""
    line = _open_curve(_read(text)[0])
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(width, width if end_width is None else end_width, len(line))[:, None] / 2
    turn = np.pi * np.array([0.25, 0.5, 0.75])[:, None]
    end = line[-1] + half[-1] * (np.cos(turn) * across[-1] + np.sin(turn) * along[-1])
    start = line[0] - half[0] * (np.cos(turn) * across[0] + np.sin(turn) * along[0])
    return np.concatenate([line + half * across, end, (line - half * across)[::-1], start])


def bar(x0: float, y0: float, x1: float, y1: float, width: float) -> Points:
    """A straight bar with flat ends between two points."""
    ends = np.array([[x0, y0], [x1, y1]])
    along = ends[1] - ends[0]
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * width / 2
    return np.concatenate([ends + across, (ends - across)[::-1]])


def circle(cx: float, cy: float, rx: float, ry: float | None = None, n: int | None = None) -> Points:
    """An ellipse; with one radius a circle. `n` points, by default as many as the eye needs."""
    ry = rx if ry is None else ry
    return _arc(cx, cy, rx, ry, 0, 360, _arc_points(max(rx, ry), 360) if n is None else n + 1)[:-1]


def band(cx: float, cy: float, radius: float, width: float, start: float, end: float) -> Points:
    """An arc with a thickness. From `start` to `start + 360` it is a ring, with its seam at `start`."""
    n = min(_arc_points(radius, end - start), _BAND_POINTS)
    outer = _arc(cx, cy, radius + width / 2, radius + width / 2, start, end, n)
    inner = _arc(cx, cy, radius - width / 2, radius - width / 2, start, end, n)
    return np.concatenate([outer, inner[::-1]])


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> Points:
    """A rectangle, with round corners where `radius` is positive."""
    if radius <= 0:
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)
    n = _arc_points(radius, 90)
    centres = (
        (x1 - radius, y1 - radius),
        (x0 + radius, y1 - radius),
        (x0 + radius, y0 + radius),
        (x1 - radius, y0 + radius),
    )
    return np.concatenate([_arc(cx, cy, radius, radius, 90 * i, 90 * (i + 1), n) for i, (cx, cy) in enumerate(centres)])


def mirrored(points: Points, x: float = 50) -> Points:
    """The mirror image to the other side of a vertical line."""
    return np.stack([2 * x - points[::-1, 0], points[::-1, 1]], axis=1)


def rotated(points: Points, degrees: float, cx: float = 50, cy: float = 50) -> Points:
    """The points turned clockwise about a centre."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    centre = np.array([cx, cy])
    turned: Points = (points - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre
    return turned


def _read(text: str) -> tuple[Points, NDArray[np.bool_]]:
    words = text.split()
    points = np.array([float(word.rstrip("!")) for word in words]).reshape(-1, 2)
    return points, np.array([word.endswith("!") for word in words[1::2]])


def _arc_points(radius: float, degrees: float) -> int:
    step = 2 * np.arccos(1 - min(_TOLERANCE / radius, 0.3))
    return max(int(np.ceil(abs(np.deg2rad(degrees)) / step)) + 1, 4)


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, n: int) -> Points:
    angles = np.deg2rad(np.linspace(start, end, n))
    return np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)


def _tangents(points: Points) -> tuple[Points, Points]:
    """Tangents at the points between the first and the last, scaled to the segment before and after each.

    Centripetal Catmull-Rom (Yuksel, Schaefer and Keyser 2011): no loops or cusps however uneven the points are.
    """
    steps = np.diff(points, axis=0)
    knots = np.sqrt(np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9))
    before, after = knots[:-1], knots[1:]
    slope = (steps[:-1] / before * after + steps[1:] / after * before) / (before + after)
    return slope * before, slope * after


def _open_curve(points: Points) -> Points:
    """The smooth curve from the first point to the last; its ends are parabolas."""
    if len(points) == 2:
        return points
    before, after = _tangents(points)
    head = 2 * (points[1] - points[0]) - before[0]
    tail = 2 * (points[-1] - points[-2]) - after[-1]
    leaving = np.concatenate([head[None], after])
    arriving = np.concatenate([before, tail[None]])
    return np.concatenate([_hermite(points, leaving, arriving), points[-1:]])


def _hermite(points: Points, leaving: Points, arriving: Points) -> Points:
    """Cubic pieces between consecutive points, each in as few steps as the tolerance allows, without the last point."""
    start, chord = points[:-1], np.diff(points, axis=0)
    square, cube = 3 * chord - 2 * leaving - arriving, leaving + arriving - 2 * chord
    # A chord of 1/n of a cubic is off by at most max|B''| / 8n², and B'' is largest at an end.
    bend = np.maximum(np.linalg.norm(2 * square, axis=1), np.linalg.norm(2 * square + 6 * cube, axis=1))
    steps = np.maximum(np.ceil(np.sqrt(bend / (8 * _TOLERANCE))), 1).astype(np.intp)
    piece = np.repeat(np.arange(len(steps)), steps)
    t = ((np.arange(len(piece)) - (np.cumsum(steps) - steps)[piece]) / steps[piece])[:, None]
    curve: Points = start[piece] + t * (leaving[piece] + t * (square[piece] + t * cube[piece]))
    return curve
