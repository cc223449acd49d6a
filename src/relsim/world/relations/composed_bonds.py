"""Composed bonds: two things, and what stands or runs between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from relsim.world.relations.base import Layout
from relsim.world.relations.composed_marks import tint
from relsim.world.relations.standing import Place, block_arrow, trimmed, turned
from relsim.world.stage import Stage, curve, on_circle

Between = Callable[[Stage, Place, Place, float], None]
"""Draws for two things of a size at two places."""


@dataclass(frozen=True, slots=True)
class Bond:
    """What stands between two things: ways to say it and how it is drawn, beneath them."""

    phrases: tuple[str, ...]
    draw: Between
    gap: float = 1.0  # of the places, as a factor; below 0.6 the two overlap


def bonded(bond: Bond, *, larger: bool, same: bool) -> Layout:
    """Two things with the bond; the first is `larger` or as large, the second of the `same` kind or of another."""
    return partial(_bonded, bond=bond, larger=larger, same=same)


def _bonded(stage: Stage, bond: Bond, larger: bool, same: bool) -> None:  # noqa: FBT001 - bound by name in `bonded`
    size = stage.between(0.52, 0.62)
    angle = stage.between(0, 360) if bond.gap >= 1 else stage.between(-40, 40) + 180 * stage.pick(2)
    away = stage.between(0.56, 0.64) * bond.gap
    x, y = stage.between(-0.08, 0.08), stage.between(-0.08, 0.08)
    first, second = on_circle(away, angle, x, y), on_circle(away, angle + 180, x, y)
    bond.draw(stage, first, second, size)
    stage.put(stage.cast[0], *first, size * (1.25 if larger else 1.0))
    stage.put(stage.cast[0 if same else 1], *second, size * (0.6 if larger else 1.0))


def _one_arrow(stage: Stage, a: Place, b: Place, size: float) -> None:
    stage.arrow(*trimmed(a, b, size * 0.55, size * 0.55), width=0.06, head=0.18)


def _broad_arrow(stage: Stage, a: Place, b: Place, size: float) -> None:
    stage.shape(block_arrow(*trimmed(a, b, size * 0.45, size * 0.45), 0.16), tint(stage, 0.7))


def _leap(stage: Stage, a: Place, b: Place, _size: float) -> None:
    arc = curve(a, b, 0.5)
    stage.line(arc[:-1:1], width=0.035)
    stage.arrow((float(arc[-4][0]), float(arc[-4][1])), b, width=0.035, head=0.16)


def _joined(stage: Stage, a: Place, b: Place, _size: float) -> None:
    stage.line([a, b], width=0.05)


def _dotted(stage: Stage, a: Place, b: Place, _size: float) -> None:
    for share in np.linspace(0, 1, 14).tolist():
        stage.disc(a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), 0.03, stage.ink, plain=True)


def _rope(stage: Stage, a: Place, b: Place, _size: float) -> None:
    stage.line(curve(a, b, 0.22), width=0.045)
    knot = curve(a, b, 0.22)[6]
    stage.disc(float(knot[0]), float(knot[1]), 0.07, stage.ink, plain=True)


def _lightning(stage: Stage, a: Place, b: Place, _size: float) -> None:
    way, side = np.subtract(b, a), np.array([a[1] - b[1], b[0] - a[0]])
    steps = [(0.0, 0.0), (0.4, 0.16), (0.36, -0.02), (0.64, 0.02), (0.6, -0.16), (1.0, 0.0)]
    stage.line(np.array([np.asarray(a) + u * way + v * side for u, v in steps]), width=0.06)


def _across(stage: Stage, a: Place, b: Place, half: float, width: float) -> None:
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    away = math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
    stage.line(turned([(0.0, -half), (0.0, half)], away) + np.array([x, y], np.float32), width=width)


def _fence(stage: Stage, a: Place, b: Place, _size: float) -> None:
    for share in (0.4, 0.5, 0.6):
        near = (a[0] + (share - 0.5) * (b[0] - a[0]), a[1] + (share - 0.5) * (b[1] - a[1]))
        far = (b[0] + (share - 0.5) * (b[0] - a[0]), b[1] + (share - 0.5) * (b[1] - a[1]))
        _across(stage, near, far, 0.7, 0.05)


def _river(stage: Stage, a: Place, b: Place, _size: float) -> None:
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    away = math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
    bank = [(0.07 * math.sin(step * 5), step) for step in np.linspace(-1.3, 1.3, 24).tolist()]
    stage.line(turned(bank, away) + np.array([x, y], np.float32), width=0.26, colour=tint(stage, 0.5))


def _sign(stage: Stage, a: Place, b: Place, strokes: list[tuple[Place, Place]]) -> None:
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    for start, end in strokes:
        stage.line([(x + start[0], y + start[1]), (x + end[0], y + end[1])], width=0.07)


def _plus(stage: Stage, a: Place, b: Place, _size: float) -> None:
    _sign(stage, a, b, [((-0.15, 0), (0.15, 0)), ((0, -0.15), (0, 0.15))])


def _equals(stage: Stage, a: Place, b: Place, _size: float) -> None:
    _sign(stage, a, b, [((-0.15, -0.07), (0.15, -0.07)), ((-0.15, 0.07), (0.15, 0.07))])


def _unequal(stage: Stage, a: Place, b: Place, _size: float) -> None:
    _sign(stage, a, b, [((-0.15, -0.07), (0.15, -0.07)), ((-0.15, 0.07), (0.15, 0.07)), ((-0.08, 0.19), (0.08, -0.19))])


def _bridge(stage: Stage, a: Place, b: Place, _size: float) -> None:
    deck = np.array([np.asarray(a) * (1 - t) + np.asarray(b) * t for t in np.linspace(0, 1, 9)])
    arch = curve(a, b, -0.22)
    for share in (2, 4, 6):
        top = arch[round(share * 11 / 8)]
        stage.line([(float(deck[share][0]), float(deck[share][1])), (float(top[0]), float(top[1]))], width=0.03)
    stage.line(deck, width=0.07)
    stage.line(arch, width=0.05)


def _ladder(stage: Stage, a: Place, b: Place, _size: float) -> None:
    way = np.subtract(b, a)
    side = np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-6) * 0.11
    for sign in (1, -1):
        stage.line(np.array([np.asarray(a) + sign * side, np.asarray(b) + sign * side]), width=0.04)
    for share in np.linspace(0.1, 0.9, 7).tolist():
        rung = np.asarray(a) + share * way
        stage.line(np.array([rung - side, rung + side]), width=0.035)


def _two_circles(stage: Stage, a: Place, b: Place, size: float) -> None:
    for place in (a, b):
        stage.disc(*place, size * 0.82, tint(stage, 0.3), plain=True)
    for place in (a, b):
        stage.ring(*place, size * 0.82, width=0.035)


def _shared_box(stage: Stage, a: Place, b: Place, size: float) -> None:
    low = np.minimum(a, b) - size * 0.62
    high = np.maximum(a, b) + size * 0.62
    (x, y), (w, h) = ((low + high) / 2).tolist(), (high - low).tolist()
    stage.box(x, y, w, h, tint(stage, 0.3), plain=True)
    stage.frame(x, y, w, h, line=0.045)


def _bracket(stage: Stage, a: Place, b: Place, size: float) -> None:
    level = max(a[1], b[1]) + size * 0.6
    ends = sorted((a[0], b[0]))
    stage.line(
        [(ends[0] - 0.1, level - 0.1), (ends[0] - 0.1, level), (ends[1] + 0.1, level), (ends[1] + 0.1, level - 0.1)],
        width=0.045,
    )
    stage.line([((ends[0] + ends[1]) / 2, level), ((ends[0] + ends[1]) / 2, level + 0.12)], width=0.045)


def _apart(_stage: Stage, _a: Place, _b: Place, _size: float) -> None:
    pass


def _gears(stage: Stage, a: Place, b: Place, size: float) -> None:
    tone = tint(stage, 0.5)
    for place in (a, b):
        for angle in range(0, 360, 30):
            x, y = on_circle(size * 0.72, angle, *place)
            stage.box(x, y, 0.1, 0.1, tone, plain=True)
        stage.disc(*place, size * 0.68, tone)


def _broken(stage: Stage, a: Place, b: Place, size: float) -> None:
    ends = trimmed(a, b, size * 0.4, size * 0.4)
    gap = trimmed(a, b, math.dist(a, b) / 2 - 0.08, math.dist(a, b) / 2 - 0.08)
    for start, end in zip(ends, gap, strict=True):
        stage.line([start, end], width=0.07)
        stage.disc(*end, 0.06, stage.ink, plain=True)


BONDS: Mapping[str, Bond] = {
    "one_arrow": Bond(("an arrow leading from {A} to {B}", "{A} pointing the way to {B}"), _one_arrow),
    "broad_arrow": Bond(("{A} turned into {B} by a broad arrow", "a block arrow from {A} to {B}"), _broad_arrow),
    "leap": Bond(("{A} leaping over to {B} in a high arc", "a bow of flight from {A} to {B}"), _leap),
    "joined": Bond(("{A} and {B} joined by a straight line", "a line that links {A} and {B}"), _joined),
    "dotted": Bond(("a dotted line between {A} and {B}", "{A} and {B} connected by dots"), _dotted),
    "rope": Bond(("{A} and {B} tied together by a knotted rope", "a slack rope between {A} and {B}"), _rope),
    "lightning": Bond(("a flash striking from {A} to {B}", "sparks between {A} and {B}"), _lightning),
    "fence": Bond(("{A} and {B} kept apart by a fence", "a fence between {A} and {B}"), _fence),
    "river": Bond(("{A} and {B} on opposite banks of a river", "a stream divides {A} from {B}"), _river),
    "plus": Bond(("{A} plus {B}", "{A} and {B} added together"), _plus),
    "equals": Bond(("{A} equals {B}", "{A} and {B} set equal"), _equals),
    "unequal": Bond(("{A} is not equal to {B}", "{A} and {B} told apart by an unequal sign"), _unequal),
    "bridge": Bond(("a bridge from {A} to {B}", "{A} and {B} at the ends of a bridge"), _bridge),
    "ladder": Bond(("a ladder leading from {A} to {B}", "{A} and {B} at the ends of a ladder"), _ladder),
    "two_circles": Bond(
        ("{A} and {B} in two overlapping circles", "sets of {A} and {B} that intersect"), _two_circles, 0.8
    ),
    "shared_box": Bond(("{A} and {B} together in one box", "one frame around {A} and {B}"), _shared_box, 0.75),
    "bracket": Bond(("{A} and {B} grouped by a bracket", "a bracket under {A} and {B}"), _bracket, 0.85),
    "overlapping": Bond(("{A} partly covered by {B}", "{B} in front of {A}"), _apart, 0.4),
    "apart": Bond(("{A} and {B} far from each other", "a wide empty space between {A} and {B}"), _apart, 1.1),
    "gears": Bond(("{A} and {B} driving each other like cogs", "{A} and {B} on two meshing gears"), _gears, 0.95),
    "broken": Bond(("a broken link between {A} and {B}", "{A} and {B} cut off from each other"), _broken),
}
"""Bonds by name."""
