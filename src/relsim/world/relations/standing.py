"""Where things stand in arrangements and interactions: points along lines, turned, fitted into the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.world.canvas import Points
from relsim.world.palettes import Colour
from relsim.world.stage import Actor, Stage

Place = tuple[float, float]
"""A point in frame units."""

EDGE = 0.95
"""Nothing is placed further than this from the middle, along either axis."""

_CORNER = 1.16  # nor further than this along a diagonal: scenes are turned afterwards


def evenly(path: Sequence[Place] | NDArray[Any], count: int, *, closed: bool = False) -> Points:
    """`count` points (count, 2) at equal distances along a path; a closed one returns to its start."""
    points = np.asarray(path, np.float32)
    if closed:
        points = np.concatenate([points, points[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    wanted = np.linspace(0, length[-1], count + closed)[:count]
    return np.stack([np.interp(wanted, length, points[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def turned(points: Sequence[Place] | NDArray[Any], degrees: float) -> Points:
    """The points turned clockwise about the origin."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(points, np.float32) @ np.array([[cos, sin], [-sin, cos]], np.float32)


def swung(x: float, y: float, degrees: float) -> Place:
    """One point turned clockwise about the origin."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos


def spot(point: NDArray[Any]) -> Place:
    """A row of an array of points as a pair of numbers."""
    return float(point[0]), float(point[1])


def nearest_gap(points: Points) -> float:
    """The smallest distance between two of the points."""
    between = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    return float((between + 9.0 * np.eye(len(points))).min())


def settled(stage: Stage, points: Points, *, fill: float = 0.92, largest: float = 0.6) -> tuple[Points, float]:
    """The points scaled and shifted to use the frame, and the size of things at them.

    Things of that size fill the share `fill` of the smallest gap and stay inside the frame. Where one axis has room
    left, chance says where the group stands.
    """
    size = 0.3
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1e-3)
    scale = 1.0
    for _ in range(4):
        scale = float(((2 * EDGE - size) / extent).min())
        size = min(fill * scale * nearest_gap(points), largest)
    placed = within(stage, points, size / 2)
    furthest = float(np.hypot(*placed.T).max()) + size / 2
    shrink = min(1.0, _CORNER / furthest)
    placed *= np.float32(shrink)
    return placed, size * shrink


def within(stage: Stage, points: Points, margin: float) -> Points:
    """The points scaled and shifted to use the frame but for a margin; along the shorter axis chance places them."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1e-3)
    scale = float((2 * (EDGE - margin) / extent).min())
    room = np.maximum(EDGE - margin - scale * extent / 2, 0)
    shift = np.array([stage.between(-1, 1), stage.between(-1, 1)]) * room
    placed: Points = ((points - (low + high) / 2) * scale + shift).astype(np.float32)
    return placed


def colour_of(stage: Stage) -> Colour:
    """Any colour of the scene."""
    colours = [actor.colour for actor in stage.cast] + list(stage.spare)
    return colours[stage.pick(len(colours))]


def troupe(stage: Stage, count: int) -> list[Actor]:
    """One actor per place: all alike, one kind in many colours, or kinds mixed at random."""
    manner = stage.pick(3)
    if manner == 0:
        return [stage.cast[0]] * count
    if manner == 1:
        return [stage.cast[0].painted(colour_of(stage)) for _ in range(count)]
    return [stage.cast[stage.pick(3)] for _ in range(count)]


def lean(stage: Stage) -> float:
    """How far the things of a scene are turned: upright in half of all scenes."""
    return 0.0 if stage.chance() else stage.between(-50, 50)


def trimmed(start: Sequence[float], end: Sequence[float], first: float, last: float) -> tuple[Place, Place]:
    """The stretch between two points without `first` at its start and `last` at its end; never less than 0.14 long."""
    away = np.array([end[0] - start[0], end[1] - start[1]])
    length = max(float(np.hypot(*away)), 1e-6)
    away /= length
    spare = max(0.14 - (length - first - last), 0.0) / 2
    near, far = first - spare, length - last + spare
    return (
        (float(start[0] + away[0] * near), float(start[1] + away[1] * near)),
        (float(start[0] + away[0] * far), float(start[1] + away[1] * far)),
    )


def block_arrow(start: Sequence[float], end: Sequence[float], width: float) -> list[Place]:
    """The outline of a broad arrow whose shaft is `width` wide."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(math.hypot(dx, dy), 1e-6)
    ux, uy = dx / length, dy / length
    neck = max(length - 1.4 * width, 0.4 * length)
    profile = ((0.0, 0.5), (neck, 0.5), (neck, 1.1), (length, 0.0), (neck, -1.1), (neck, -0.5), (0.0, -0.5))
    return [
        (start[0] + along * ux - across * width * uy, start[1] + along * uy + across * width * ux)
        for along, across in profile
    ]


def streaks(stage: Stage, degrees: float, end: Sequence[float], length: float, spread: float) -> None:
    """Three parallel lines that end behind something moving in that direction."""
    for lane, share in ((-0.5, 0.7), (0.0, 1.0), (0.5, 0.7)):
        line = turned([(0.0, lane * spread), (-length * share, lane * spread)], degrees)
        stage.line(line + np.asarray(end, np.float32), width=0.035)
