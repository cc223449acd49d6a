"""Layouts of things about a point: rings with an empty centre, spirals, and a group with one outside."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import EDGE, colour_of, evenly, lean, settled, spot, swung, troupe, turned, within
from relsim.world.stage import Stage, circle, on_circle


def ring_facing_out(stage: Stage) -> None:
    """A round of things, each with its foot or its head to the centre."""
    count, dense = stage.count(6, 11), stage.between(0.8, 0.92)
    radius = EDGE / (1 + dense * math.pi / count)
    size, start, flip = 2 * (EDGE - radius) * stage.between(0.85, 1), stage.between(0, 360), stage.pick(4) * 90
    for number, actor in enumerate(troupe(stage, count)):
        angle = start + 360 * number / count
        stage.put(actor, *on_circle(radius, angle), size, turn=angle + flip)


def ring_seen_aslant(stage: Stage) -> None:
    """A round on the ground: those in front are larger."""
    count, start = stage.count(7, 12), stage.between(0, 360)
    wide, high, deep = stage.between(0.66, 0.72), stage.between(0.42, 0.58), stage.between(0.3, 0.5)
    angles = start + np.arange(count) * 360 / count
    actors = troupe(stage, count)
    base = min(0.5, 3.1 * (wide + high) / count)
    for number in np.argsort(np.sin(np.radians(angles))):
        x, y = on_circle(1, float(angles[number]))
        stage.put(actors[number], wide * x, high * y, base * (1 - deep * (1 - y) / 2))


def ring_with_corners(stage: Stage) -> None:
    """Things along the sides of a square, a pentagon or a hexagon that nothing fills."""
    sides = 4 + stage.pick(3)
    corners = turned(circle(0, 0, 1, sides), stage.between(0, 360))
    points, size = settled(stage, evenly(corners, sides * (2 + stage.pick(2)), closed=True), largest=0.36)
    tilt = lean(stage)
    for (x, y), actor in zip(points.tolist(), troupe(stage, len(points)), strict=True):
        stage.put(actor, x, y, size, turn=tilt)


def ring_in_ring(stage: Stage) -> None:
    """Two rounds of different kinds, one inside the other."""
    first, second = stage.rng.permutation(2).tolist()
    outer, inner, start = stage.count(9, 13), stage.count(5, 6), stage.between(0, 360)
    for number in range(outer):
        angle = start + 360 * number / outer
        stage.put(stage.cast[first], *on_circle(0.79, angle), 0.3, turn=angle + 90)
    for number in range(inner):
        stage.put(stage.cast[second], *on_circle(0.43, 360 * number / inner), stage.between(0.25, 0.29))


def ring_as_wreath(stage: Stage) -> None:
    """Many things overlapping one another all the way round."""
    count, size = stage.count(15, 22), stage.between(0.36, 0.46)
    radius = EDGE - size / 2 - stage.between(0.02, 0.1)
    wide = stage.between(0.85, 1)
    for number, actor in enumerate(troupe(stage, count)):
        x, y = on_circle(radius * stage.between(0.94, 1.02), 360 * number / count)
        stage.put(actor, x * wide, y, size * stage.between(0.8, 1), turn=stage.between(0, 360))


def rings_side_by_side(stage: Stage) -> None:
    """Two or three small rounds of the same make."""
    rings, hand = 2 + stage.pick(2), 1 - 2 * stage.pick(2)
    radius, each = (0.36, stage.count(6, 8)) if rings == 2 else (0.31, 6)
    size = min(0.3, 2.1 / each) if rings == 2 else 0.27
    first = stage.between(38, 52) if rings == 2 else stage.between(0, 120)
    around = [on_circle(1, hand * (first + 360 * number / rings)) for number in range(rings)]
    middles = within(stage, np.array(around, np.float32), radius + size / 2)
    for (x, y), actor in zip(middles.tolist(), stage.cast, strict=False):
        start = stage.between(0, 60)
        for number in range(each):
            stage.put(actor, *on_circle(radius, start + 360 * number / each, x, y), size)


def spiral_of_equals(stage: Stage) -> None:
    """Things in close file along a coil, a little larger towards its end."""
    size, count = stage.between(0.27, 0.32), stage.count(15, 18)
    path = within(stage, _coil(stage, stage.between(1.5, 1.75), 0.9), size / 2)
    if stage.chance(0.8):
        stage.line(path, width=stage.between(0.03, 0.07), colour=blend(stage.ink, stage.paper, 0.3))
    step = stage.between(-40, 40) if stage.chance() else 0.0
    for number, ((x, y), actor) in enumerate(zip(evenly(path, count).tolist(), troupe(stage, count), strict=True)):
        stage.put(actor, x, y, size * (0.65 + 0.35 * number / count), turn=number * step)


def spiral_growing(stage: Stage) -> None:
    """Things that grow from a small one in the eye to large ones outside."""
    count, first, hand = stage.count(12, 15), stage.between(0, 360), 1 - 2 * stage.pick(2)
    reach, inner, turns = 0.7, stage.between(0.12, 0.16), stage.between(1.5, 1.9)
    along, actors = stage.chance(), troupe(stage, count)
    shares = np.linspace(0, 1, 60).tolist()
    coil = [on_circle(inner * (reach / inner) ** share, first + hand * 360 * turns * share) for share in shares]
    if stage.chance(0.8):
        stage.line(coil, width=stage.between(0.03, 0.06), colour=blend(stage.ink, stage.paper, 0.3))
    for number, actor in enumerate(actors):
        x, y = coil[round(59 * number / (count - 1))]
        stage.put(actor, x, y, max(0.6 * math.hypot(x, y), 0.13), turn=math.degrees(math.atan2(y, x)) if along else 0)


def spiral_drawn(stage: Stage) -> None:
    """A thick coiled line with a few things on it and one in its eye."""
    path = 0.76 * _coil(stage, stage.between(2.2, 2.8), stage.between(0.9, 1.2))
    stage.line(path, width=stage.between(0.04, 0.07), colour=blend(colour_of(stage).rgb, stage.ink, 0.3))
    count = stage.count(4, 6)
    points = evenly(path, 2 * count + 1)[count - 2 :: 2]
    for number, (x, y) in enumerate(points.tolist()):
        stage.put(stage.cast[1 if number else 0], x, y, stage.between(0.28, 0.36))
    stage.put(stage.cast[0], *spot(path[0]), 0.4)


def spiral_of_two_arms(stage: Stage) -> None:
    """Two thick arms wind out of one thing in the middle, other things at their bends."""
    arm = 0.8 * _coil(stage, stage.between(0.9, 1.25), 1.0, inner=0.1)
    tone = blend(stage.paper, colour_of(stage).rgb, 0.6)
    count = stage.count(4, 5)
    for side, actor in ((1, stage.cast[1]), (-1, stage.cast[2])):
        stage.line(side * arm, width=0.1, colour=tone)
        for number, (x, y) in enumerate((side * evenly(arm[24:], count)).tolist()):
            stage.put(actor, x, y, 0.22 + 0.12 * number / count)
    stage.put(stage.cast[0], 0, 0, 0.4)


def spiral_with_corners(stage: Stage) -> None:
    """Things along a drawn path that turns inwards at right angles."""
    corners = [(0.0, 0.0), (1, 0), (1, 1), (-1, 1), (-1, -1), (2, -1), (2, 2), (-2, 2), (-2, -2), (1.2, -2)]
    size, turn = stage.between(0.26, 0.32), stage.pick(4) * 90 + stage.between(-8, 8)
    path = within(stage, turned(corners[: 8 + stage.pick(3)], turn) * (1 - 2 * stage.pick(2), 1), size / 2) * 0.94
    stage.line(path, width=stage.between(0.05, 0.09), colour=blend(stage.ink, stage.paper, stage.between(0.1, 0.5)))
    count, tilt = stage.count(8, 11), lean(stage)
    for (x, y), actor in zip(evenly(path, count).tolist(), troupe(stage, count), strict=True):
        stage.put(actor, x, y, size, turn=tilt)


def stray_beside_a_heap(stage: Stage) -> None:
    """A round heap in one corner, one of the same kind in the opposite."""
    count, size, angle = stage.count(7, 12), stage.between(0.3, 0.38), stage.between(0, 360)
    x, y = on_circle(0.42, angle)
    golden = stage.between(0, 360) + 137.5 * np.arange(count)
    for number, actor in enumerate(troupe(stage, count)):
        place = on_circle(0.41 * math.sqrt((number + 0.3) / count), float(golden[number]), x, y)
        stage.put(actor, *place, size, turn=stage.between(-60, 60))
    stage.put(stage.cast[0], *_towards_corner(angle + 180, 0.72), size * stage.between(1.0, 1.2))


def stray_across_from_a_block(stage: Stage) -> None:
    """Tight rows along one border, one of another kind near the border across."""
    rows, columns, turn = 2, stage.count(3, 5), stage.pick(4) * 90 + stage.between(-8, 8)
    size = min(0.36, 1.7 / columns)
    for row in range(rows):
        for column in range(columns):
            place = ((column - (columns - 1) / 2) * size, 0.67 - row * size)
            stage.put(stage.cast[0], *swung(*place, turn), size * 0.97)
    x, y = swung(stage.between(-0.5, 0.5), -0.62, turn)
    stage.put(stage.cast[stage.pick(2)], x, y, size * stage.between(1, 1.3))


def stray_outside_the_fence(stage: Stage) -> None:
    """A mixed company inside a drawn loop and a single one far outside."""
    angle, count, wide = stage.between(0, 360), stage.count(4, 7), stage.between(0.5, 0.58)
    x, y = on_circle(0.38, angle)
    stage.disc(x, y, wide, blend(stage.paper, colour_of(stage).rgb, 0.25), plain=True)
    stage.ring(x, y, wide, width=stage.between(0.025, 0.05))
    for number, actor in enumerate(troupe(stage, count)):
        middle = on_circle(wide * 0.55 * (number > 0), 360 * number / max(count - 1, 1), x, y)
        stage.put(actor, *middle, 0.34)
    stage.put(stage.cast[2], *_towards_corner(angle + 180, 0.7), stage.between(0.36, 0.46))


def stray_above_a_crowd(stage: Stage) -> None:
    """A crowd fills the foot of the picture, overlapping; one stands alone in the other half."""
    turn, count = stage.pick(4) * 90 + stage.between(-12, 12), stage.count(9, 14)
    columns = (count + 1) // 2
    for number, actor in enumerate(troupe(stage, count)):
        row, column = divmod(number, columns)
        place = (-0.7 + 1.4 * (column + 0.5 * row) / columns, 0.35 + 0.32 * row)
        stage.put(actor, *swung(*place, turn), 0.4, turn=stage.between(-25, 25))
    place = (stage.between(-0.6, 0.6), -0.66)
    stage.put(stage.cast[0], *swung(*place, turn), stage.between(0.36, 0.46))


def _coil(stage: Stage, turns: float, power: float, *, inner: float = 0.12) -> Points:
    """A spiral (90, 2) from near the origin to radius 1, at any angle, of either hand, somewhat flattened."""
    share = np.linspace(0, 1, 90)
    angle = 2 * math.pi * turns * share * (1 - 2 * stage.pick(2)) + stage.between(0, 2 * math.pi)
    radius = inner + (1 - inner) * share**power
    flat = stage.between(0.78, 1)
    return np.stack([radius * np.cos(angle), flat * radius * np.sin(angle)], axis=1).astype(np.float32)


def _towards_corner(degrees: float, reach: float) -> tuple[float, float]:
    """The point in that direction on the border of a square of half width `reach`."""
    x, y = on_circle(1, degrees)
    longest = max(abs(x), abs(y))
    return x / longest * reach, y / longest * reach


RING: tuple[Layout, ...] = (
    ring_facing_out, ring_seen_aslant, ring_with_corners, ring_in_ring, ring_as_wreath, rings_side_by_side,
)  # fmt: skip
SPIRAL: tuple[Layout, ...] = (
    spiral_of_equals, spiral_growing, spiral_drawn, spiral_of_two_arms, spiral_with_corners,
)  # fmt: skip
STRAY: tuple[Layout, ...] = (
    stray_beside_a_heap, stray_across_from_a_block, stray_outside_the_fence, stray_above_a_crowd,
)  # fmt: skip
