"""Actors taken apart: cut along lines, split into pieces, reduced to a contour; and marks that show how they stand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import RGB, Colour, blend
from relsim.world.stage import Actor, Stage, circle, on_circle, rectangle

Line = tuple[float, float]
"""A cutting line in an actor's own unit square: direction of its normal in degrees, distance from the middle."""


_SLIVER = 0.0015
"""Cut parts below this area, in unit squares, are dropped: nobody could see them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an actor, moved to its own middle, and where that middle was in the actor's unit square."""

    actor: Actor
    x: float
    y: float


@contextmanager
def uncounted(stage: Stage) -> Iterator[None]:
    """What is put inside the block does not count as shown: pieces of a thing are not further things."""
    shown, area = stage.shown.copy(), stage.area.copy()
    yield
    stage.shown, stage.area = shown, area


def cut(actor: Actor, line: Line) -> Actor:
    """The side of an actor that lies beyond a line, in the direction of its normal."""
    angle = math.radians(line[0])
    normal = np.array([math.cos(angle), math.sin(angle)], np.float32)
    parts = [
        replace(part, points=kept) for part in actor.kind.parts if len(kept := _beyond(part.points, normal, line[1]))
    ]
    return replace(actor, kind=replace(actor.kind, parts=tuple(parts), outline=tuple(part.points for part in parts)))


def opposite(line: Line) -> Line:
    """The same line seen from the other side."""
    return line[0] + 180, -line[1]


def reach(actor: Actor, degrees: float) -> tuple[float, float]:
    """Least and greatest distance of an actor's points from its middle in a direction."""
    along = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], np.float32)
    values = np.concatenate([part.points for part in actor.kind.parts]) @ along
    return float(values.min()), float(values.max())


def split(actor: Actor, lines: Sequence[Line]) -> list[Piece]:
    """The pieces into which lines cut an actor; empty ones are left out."""
    whole = [actor]
    for line in lines:
        whole = [half for piece in whole for half in (cut(piece, line), cut(piece, opposite(line)))]
    return [_centred(piece) for piece in whole if piece.kind.parts]


def bands(actor: Actor, count: int, degrees: float) -> list[Piece]:
    """An actor in `count` bands of equal width, in the order of a direction."""
    low, high = reach(actor, degrees)
    pieces: list[Piece] = []
    rest = actor
    for k in range(1, count):
        line = (degrees, low + (high - low) * k / count)
        pieces.append(_centred(cut(rest, opposite(line))))
        rest = cut(rest, line)
    return [*pieces, _centred(rest)]


def contour(actor: Actor, points: int = 40) -> Points:
    """An actor's outer line (points, 2) as seen from its middle, at even angles from 0."""
    corners = np.concatenate([_dense(points) for points in actor.kind.outline])
    angles = np.arctan2(corners[:, 1], corners[:, 0])
    slot = np.round(angles / (2 * math.pi) * points).astype(int) % points
    radius = np.zeros(points)
    np.maximum.at(radius, slot, np.hypot(corners[:, 0], corners[:, 1]))
    known = np.flatnonzero(radius > 0)
    radius = np.interp(np.arange(points), known, radius[known], period=points)
    turn = np.arange(points) * (2 * math.pi / points)
    line: Points = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1).astype(np.float32)
    return line


def dashed(stage: Stage, points: Points, *, dash: float = 0.09, width: float = 0.03, colour: RGB | None = None) -> None:
    """A closed dashed line around a polygon."""
    closed = np.concatenate([points, points[:1]])
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(6, round(float(lengths[-1]) / (1.8 * dash)))
    for k in range(count):
        at = np.linspace(k, k + 0.55, 4) / count * lengths[-1]
        ends = np.stack([np.interp(at, lengths, closed[:, axis]) for axis in (0, 1)], axis=1)
        stage.line(ends.astype(np.float32), width=width, colour=colour)


def contrast(stage: Stage, colour: Colour) -> Colour:
    """Of the scene's colours the one that stands out most from the given one."""
    others = [*(actor.colour for actor in stage.cast), *stage.spare]
    return max(others, key=lambda other: math.dist(other.rgb, colour.rgb) if other.word != colour.word else 0.0)


BARE, DIAL, TAG, PIN = range(4)
"""Settings of `marked`: none, a dial with a pointer, a tag with a point, a pin that sticks out."""


def mark_for(stage: Stage, actor: Actor) -> int:
    """A setting for `marked`; only kinds that show by themselves how they stand may do without."""
    return BARE if actor.kind.directed and stage.chance(0.65) else 1 + stage.pick(3)


def marked(stage: Stage, actor: Actor, at: tuple[float, float], room: float, turn: float, mark: int) -> None:
    """An actor in a setting that turns with it, so that even a ball is seen to turn."""
    x, y = at
    tint, sharp = blend(stage.paper, stage.ink, 0.2), contrast(stage, actor.colour).rgb
    if mark == DIAL:
        stage.disc(x, y, room * 0.37, tint, plain=True)
        sides = [on_circle(room * 0.32, turn - 90 + wide, x, y) for wide in (34, -34)]
        stage.shape([on_circle(room * 0.5, turn - 90, x, y), *sides], sharp, plain=True)
        stage.put(actor, x, y, room * 0.58, turn=turn)
    elif mark == TAG:
        house = np.array([(0, -0.52), (0.36, -0.2), (0.36, 0.36), (-0.36, 0.36), (-0.36, -0.2)], np.float32) * room
        roof = np.array([(0, -0.52), (0.36, -0.2), (-0.36, -0.2)], np.float32) * room
        stage.shape(turned(house, x, y, turn), tint, plain=True)
        stage.shape(turned(roof, x, y, turn), sharp, plain=True)
        stage.put(actor, *on_circle(room * 0.08, turn + 90, x, y), room * 0.58, turn=turn)
    elif mark == PIN:
        tip = on_circle(room * 0.42, turn - 90, x, y)
        stage.line([(x, y), tip], width=0.09 * room + 0.02)
        stage.disc(*tip, room * 0.1, sharp, plain=True)
        stage.put(actor, *on_circle(room * 0.12, turn + 90, x, y), room * 0.7, turn=turn)
    else:
        stage.put(actor, x, y, room * 0.94, turn=turn)


def turned(points: Points, x: float, y: float, degrees: float) -> Points:
    """Points turned clockwise about the origin, then moved."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    moved: Points = points @ np.array([[cos, sin], [-sin, cos]], np.float32) + np.array([x, y], np.float32)
    return moved


def bubble(stage: Stage, x: float, y: float, room: float, shape: int) -> None:
    """A plain panel that fills a square of side `room`: 0 is round, anything else has corners."""
    tint = blend(stage.paper, stage.ink, 0.14)
    points = circle(x, y, room / 2) if shape == 0 else rectangle(x, y, room, room)
    stage.shape(points, tint, plain=True)
    stage.line(np.concatenate([points, points[:2]]), width=0.025)


def _beyond(points: Points, normal: Points, distance: float) -> Points:
    """A polygon cut by a half-plane: Sutherland and Hodgman's rule for one edge of the window; empty for a sliver."""
    height = points @ normal - distance
    inside = height >= 0
    if inside.all():
        return points
    if not inside.any():
        return points[:0]
    after = _next(height)
    crossing = inside != (after >= 0)
    step = np.where(crossing, height / np.where(crossing, height - after, 1), 0)[:, None]
    both = np.concatenate([points, points + step * (_next(points) - points)], axis=1).reshape(-1, 2)
    kept: Points = both[np.stack([inside, crossing], axis=1).ravel()].astype(np.float32)
    x, y = kept.T
    return kept if abs(float(x @ _next(y) - y @ _next(x))) > 2 * _SLIVER else points[:0]


def _next(values: Points) -> Points:
    """The values one place on, the first one last."""
    return np.concatenate([values[1:], values[:1]])


def _centred(actor: Actor) -> Piece:
    if not actor.kind.parts:
        return Piece(actor, 0.0, 0.0)
    points = np.concatenate([part.points for part in actor.kind.parts])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    parts = tuple(replace(part, points=part.points - middle) for part in actor.kind.parts)
    kind = replace(actor.kind, parts=parts, outline=tuple(part.points for part in parts))
    return Piece(replace(actor, kind=kind), float(middle[0]), float(middle[1]))


def _dense(points: Points) -> Points:
    """A polygon with six points for each of its edges."""
    share = np.linspace(0, 1, 6, endpoint=False, dtype=np.float32)[:, None]
    dense: Points = (points[:, None] + share * (_next(points) - points)[:, None]).reshape(-1, 2)
    return dense
