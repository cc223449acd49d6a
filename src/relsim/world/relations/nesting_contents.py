"""Things inside others: vessels with their contents, pictures that show themselves, cages and bubbles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relsim.world.palettes import blend
from relsim.world.stage import Stage, circle, on_circle, rectangle


def _fill(stage: Stage, left: float, right: float, floor: float, depth: float) -> None:
    """Things lying between two walls on a floor, in staggered rows."""
    size = stage.between(0.26, 0.36)
    columns = max(3, int((right - left) / size))
    rows = max(3, int(depth / size))
    for row in range(rows):
        for column in range(columns - row % 2):
            x = left + (column + 0.5 + row % 2 / 2) * (right - left) / columns
            actor = stage.cast[stage.pick(2)]
            stage.put(actor, x, floor - (row + 0.5) * size * 0.92, size, turn=stage.between(-30, 30))


def in_jar(stage: Stage) -> None:
    """A glass jar with a neck, full to its shoulders."""
    width, height, neck = stage.between(1.1, 1.5), stage.between(1.4, 1.75), stage.between(0.6, 0.85)
    half, top, floor = width / 2, -height / 2, height / 2
    shoulder = top + stage.between(0.2, 0.35)
    body = [(-half * neck, top), (half * neck, top), (half, shoulder), (half, floor), (-half, floor), (-half, shoulder)]
    stage.shape(body, blend(stage.cast[2].colour.rgb, stage.paper, 0.7), plain=True)
    _fill(stage, -half + 0.05, half - 0.05, floor - 0.05, (floor - shoulder) * 0.9)
    stage.line([*body, body[0]], width=0.05)


def in_bowl(stage: Stage) -> None:
    """A bowl from the side, its contents showing above the rim."""
    radius, y = stage.between(0.75, 0.92), stage.between(0.05, 0.25)
    size = stage.between(0.42, 0.55)
    for row, count in enumerate((3, 2)):
        for k in range(count):
            x = (k - (count - 1) / 2) * size * 0.95
            stage.put(stage.cast[stage.pick(2)], x, y - size * (0.28 + 0.62 * row), size, turn=stage.between(-25, 25))
    half = [on_circle(radius, k * 180 / 16, 0, y) for k in range(17)]
    stage.shape(half, stage.cast[2].colour.rgb)
    stage.line([(-radius * 1.08, y), (radius * 1.08, y)], width=0.06)


def in_box(stage: Stage) -> None:
    """An open box seen from above: four walls, flaps outside, things on the floor."""
    width, height = stage.between(1.1, 1.4), stage.between(1.0, 1.3)
    flap = stage.between(0.16, 0.28)
    colour = stage.cast[2].colour.rgb
    for x, y, w, h in (
        (0, -(height + flap) / 2, width * 0.9, flap),
        (0, (height + flap) / 2, width * 0.9, flap),
        (-(width + flap) / 2, 0, flap, height * 0.9),
        ((width + flap) / 2, 0, flap, height * 0.9),
    ):
        stage.box(x, y, w, h, blend(colour, stage.ink, 0.2))
    stage.box(0, 0, width, height, blend(colour, stage.paper, 0.6), plain=True)
    columns, rows = stage.count(2, 3), 2
    size = min(width / columns, height / rows) * 0.8
    for row in range(rows):
        for column in range(columns):
            x, y = (column + 0.5) / columns * width - width / 2, (row + 0.5) / rows * height - height / 2
            stage.put(stage.cast[stage.pick(2)], x, y, size, turn=stage.between(-40, 40))
    stage.frame(0, 0, width, height, line=0.05)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A picture hanging at (x, y), turned and scaled: places on it are in its own units."""

    x: float
    y: float
    turn: float
    scale: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place on the sheet is in the scene."""
        angle = math.radians(self.turn)
        cos, sin = math.cos(angle) * self.scale, math.sin(angle) * self.scale
        return self.x + x * cos - y * sin, self.y + x * sin + y * cos

    def inner(self, x: float, y: float, scale: float, turn: float = 0.0) -> _Sheet:
        """A smaller sheet on this one."""
        return _Sheet(*self.at(x, y), self.turn + turn, self.scale * scale)


def _hang(stage: Stage, sheet: _Sheet, width: float, height: float, depth: int, *, oval: bool = False) -> None:
    """Paper and frame of a picture, in two tints by turns."""
    if oval:
        corners = [sheet.at(width / 2 * math.cos(t), height / 2 * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 28)]
    else:
        w, h = width / 2, height / 2
        corners = [sheet.at(*corner) for corner in ((-w, -h), (w, -h), (w, h), (-w, h))]
    tint = blend(stage.cast[1].colour.rgb, stage.paper, 0.85 if depth % 2 else 0.6)
    stage.shape(corners, tint, plain=True)
    stage.line([*corners, corners[0], corners[1]], width=max(0.07 * sheet.scale, 0.03))


def _first_sheet(stage: Stage, reach: float) -> _Sheet:
    """Turned and placed by chance; `reach` is the sheet's half diagonal at scale 1."""
    scale = stage.between(0.8, 1.0) / reach
    room = 0.95 - scale * reach * 0.9
    return _Sheet(stage.between(-room, room), stage.between(-room, room), stage.between(-38, 38), scale)


def droste_side(stage: Stage) -> None:
    """Beside the actor hangs the picture of it all."""
    side, tall = (1 if stage.chance() else -1), stage.between(1.1, 1.5)
    sheet = _first_sheet(stage, math.hypot(0.95, tall / 2))
    for depth in range(3):
        _hang(stage, sheet, 1.9, tall, depth)
        stage.put(stage.cast[0], *sheet.at(-side * 0.5, 0), 0.75 * sheet.scale, turn=sheet.turn)
        sheet = sheet.inner(side * 0.42, 0, 0.48)


def droste_middle(stage: Stage) -> None:
    """The picture hangs in the middle, two actors below or above it."""
    below, oval, twist = (1 if stage.chance() else -1), stage.chance(), stage.between(-14, 14)
    sheet = _first_sheet(stage, 0.98 if oval else 1.25)
    for depth in range(3):
        _hang(stage, sheet, 1.8, 1.8, depth, oval=oval)
        for x in (-0.42, 0.42):
            stage.put(stage.cast[0], *sheet.at(x, below * 0.5), 0.45 * sheet.scale, turn=sheet.turn)
        sheet = sheet.inner(0, -below * 0.22, 0.5, twist)


def droste_corner(stage: Stage) -> None:
    """Each picture stands in a corner of the last."""
    across, down = (1 if stage.chance() else -1), (1 if stage.chance() else -1)
    sheet, twist = _first_sheet(stage, 1.25), stage.between(-20, 20)
    for depth in range(3):
        _hang(stage, sheet, 1.8, 1.7, depth)
        place = sheet.at(-across * 0.38, -down * 0.34)
        stage.put(stage.cast[0], *place, 0.85 * sheet.scale, turn=sheet.turn)
        sheet = sheet.inner(across * 0.38, down * 0.36, 0.47, twist)


def bubble(stage: Stage) -> None:
    """Something inside a transparent ball with a highlight."""
    radius = stage.between(0.75, 0.92)
    stage.disc(0, 0, radius, blend(stage.cast[1].colour.rgb, stage.paper, 0.72), plain=True)
    stage.put(stage.cast[0], 0, 0.02, radius * 1.1, turn=stage.between(-15, 15))
    stage.ring(0, 0, radius, width=0.05, colour=stage.cast[1].colour.rgb)
    start = stage.between(190, 230)
    stage.line([on_circle(radius * 0.82, start + k * 8) for k in range(6)], width=0.07, colour=(255, 255, 255))


def bell_jar(stage: Stage) -> None:
    """Something under a glass dome on a foot."""
    width, height, foot = stage.between(0.55, 0.75), stage.between(1.1, 1.4), stage.between(0.6, 0.8)
    glass, colour = blend(stage.cast[1].colour.rgb, stage.paper, 0.75), stage.cast[1].colour.rgb
    top = foot - height + width
    dome = [(-width, foot), *(on_circle(width, 180 + k * 12, 0, top) for k in range(16)), (width, foot)]
    stage.shape(dome, glass, plain=True)
    size = min(1.5 * width, 0.85 * height)
    stage.put(stage.cast[0], 0, foot - size * 0.55, size)
    stage.line(dome, width=0.05, colour=colour)
    stage.disc(0, foot - height - 0.02, 0.09, colour)
    stage.box(0, foot + 0.07, 2.3 * width, 0.16, colour)


def netted(stage: Stage) -> None:
    """Something behind a crossed net that follows a ring."""
    radius = stage.between(0.78, 0.9)
    # A pale ground and wide meshes: drawn in outlines, the thing would else drown in the net.
    stage.disc(0, 0, radius, blend(stage.cast[1].colour.rgb, stage.paper, 0.8), plain=True)
    stage.put(stage.cast[0], 0, 0, radius * 1.2)
    colour, step = stage.cast[1].colour.rgb, radius / 1.7
    with stage.clipped(circle(0, 0, radius)):
        for k in range(-3, 4):
            stage.line([(k * step - radius, -radius), (k * step + radius, radius)], width=0.035, colour=colour)
            stage.line([(k * step + radius, -radius), (k * step - radius, radius)], width=0.035, colour=colour)
    stage.ring(0, 0, radius, width=0.06, colour=colour)


def cage(stage: Stage) -> None:
    """Something in a cage of upright bars."""
    width, height, bars = stage.between(1.2, 1.6), stage.between(1.4, 1.7), stage.count(5, 7)
    stage.put(stage.cast[0], 0, 0, min(width, height) * 0.75)
    colour = stage.cast[1].colour.rgb
    for k in range(bars):
        x = (k / (bars - 1) - 0.5) * width
        stage.line([(x, -height / 2), (x, height / 2)], width=0.05, colour=colour)
    for y in (-height / 2, height / 2):
        stage.shape(rectangle(0, y, width * 1.1, 0.13), colour)
