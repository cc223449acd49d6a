"""Composed paths: where the things of a series stand.

Rings and spirals are not among them: a ring is a relation of the world, and the spiral is held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relsim.world.canvas import Points
from relsim.world.relations.standing import Place, evenly, turned
from relsim.world.stage import Stage


@dataclass(frozen=True, slots=True)
class Path:
    """Where things stand: ways to say it, and points in any unit, to be settled into the frame."""

    phrases: tuple[str, ...]
    points: Callable[[Stage], Points]
    ordered: bool = True  # whether one follows another: there is a first, a last, and something may run between


def _along(stage: Stage, corners: Sequence[Place], few: int, many: int, *, closed: bool = False) -> Points:
    """Evenly spaced points along a polyline, turned by any angle and seen from either side."""
    points = evenly(corners, stage.count(few, many), closed=closed)
    return turned(points, stage.between(0, 360)) * np.array([1 - 2 * stage.pick(2), 1], np.float32)


def _line(stage: Stage) -> Points:
    return _along(stage, [(0, 0), (1, 0)], 4, 7)


def _arc(stage: Stage) -> Points:
    span = stage.between(110, 200)
    angles = np.radians(np.linspace(-span / 2, span / 2, 30))
    return _along(stage, list(zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True)), 5, 8)


def _wave(stage: Stage) -> Points:
    across = np.linspace(0, 1, 60)
    height = stage.between(0.5, 0.9) * np.sin(across * 2 * math.pi * stage.between(1.3, 1.8))
    return _along(stage, list(zip((3 * across).tolist(), height.tolist(), strict=True)), 8, 11)


def _zigzag(stage: Stage) -> Points:
    count, height = stage.count(5, 7), stage.between(0.7, 1.2)
    return turned([(k, height * (k % 2)) for k in range(count)], stage.between(0, 360))


def _angle(stage: Stage) -> Points:
    return _along(stage, [(0, 1), (0, 0), (stage.between(0.8, 1.2), 0)], 5, 8)


def _vee(stage: Stage) -> Points:
    half, depth = stage.count(2, 3), stage.between(1.0, 2.0)
    return turned([(k, depth * abs(k)) for k in range(-half, half + 1)], stage.between(0, 360))


def _cross(stage: Stage) -> Points:
    arm = stage.count(1, 2)
    places = [(k, 0) for k in range(-arm, arm + 1)] + [(0, k) for k in range(-arm, arm + 1) if k]
    return turned(places, stage.between(0, 90))


def _tee(stage: Stage) -> Points:
    arm = stage.count(1, 2)
    places = [(k, 0) for k in range(-arm, arm + 1)] + [(0, k) for k in range(1, arm + 2)]
    return turned(places, stage.pick(4) * 90 + stage.between(-20, 20))


def _square(stage: Stage) -> Points:
    return _along(stage, [(-1, -1), (1, -1), (1, 1), (-1, 1)], 8, 12, closed=True)


def _triangle(stage: Stage) -> Points:
    corners = [(math.sin(a), -math.cos(a)) for a in (0, 2.094, 4.189)]
    points = evenly(corners, 3 * stage.count(2, 3), closed=True)
    return turned(points, stage.between(0, 360))


def _two_rows(stage: Stage) -> Points:
    count, gap = stage.count(3, 5), stage.between(1.6, 2.6)
    return turned([(k, row * gap) for row in (0, 1) for k in range(count)], stage.between(0, 180))


def _two_heaps(stage: Stage) -> Points:
    heap = [(0.0, 0.0), (1.0, 0.1), (0.4, 0.95), (1.3, 1.05)][: stage.count(3, 4)]
    return turned([*heap, *((x + stage.between(3.2, 3.6), y) for x, y in heap)], stage.between(0, 360))


def _ess(stage: Stage) -> Points:
    angles = np.linspace(0, math.pi, 20).tolist()
    upper = [(-math.sin(a), -1 - math.cos(a)) for a in angles]
    lower = [(math.sin(a), 1 - math.cos(a)) for a in angles]
    return _along(stage, [*upper[:-1], *lower], 7, 10)


def _fan(stage: Stage) -> Points:
    count, span = stage.count(4, 6), stage.between(80, 130)
    angles = np.radians(np.linspace(-span / 2, span / 2, count))
    places = [(0.0, 0.0), *((2 * math.cos(a), 2 * math.sin(a)) for a in angles)]
    return turned(places, stage.between(0, 360))


def _stairs(stage: Stage) -> Points:
    count = stage.count(3, 4)
    corners = [(float(k // 2), float((k + 1) // 2)) for k in range(2 * count - 1)]
    return turned(corners, stage.pick(4) * 90 + stage.between(-12, 12))


def _two_rings(stage: Stage) -> Points:
    inner, outer = stage.count(3, 4), stage.count(7, 9)
    start = stage.between(0, 360)
    places = [
        (
            radius * math.cos(math.radians(start + 360 * k / count)),
            radius * math.sin(math.radians(start + 360 * k / count)),
        )
        for count, radius in ((inner, 0.8), (outer, 2.0))
        for k in range(count)
    ]
    return np.asarray(places, np.float32)


def _eight(stage: Stage) -> Points:
    angles = np.linspace(0, 2 * math.pi, 80, endpoint=False)
    path = [(1.6 * math.cos(a), math.sin(2 * a)) for a in angles.tolist()]
    return _along(stage, path, 10, 10, closed=True)  # four times any number would meet itself in the crossing


def _scattered(stage: Stage) -> Points:
    cells = stage.rng.permutation(9)[: stage.count(5, 8)]
    return np.array(
        [(c % 3 + stage.between(-0.27, 0.27), c // 3 + stage.between(-0.27, 0.27)) for c in cells], np.float32
    )


def _horseshoe(stage: Stage) -> Points:
    gap = stage.between(60, 110)
    angles = np.radians(np.linspace(gap / 2, 360 - gap / 2, 40))
    return _along(stage, list(zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True)), 7, 10)


def _hook(stage: Stage) -> Points:
    angles = np.linspace(0, math.pi, 16).tolist()
    bow = [(0.8 * (1 - math.cos(a)), 0.8 * math.sin(a)) for a in angles]
    return _along(stage, [(0, -2.0), *bow], 6, 9)


def _heart(stage: Stage) -> Points:
    angles = np.linspace(0, 2 * math.pi, 80, endpoint=False).tolist()
    outline = [
        (16 * math.sin(a) ** 3, -13 * math.cos(a) + 5 * math.cos(2 * a) + 2 * math.cos(3 * a) + math.cos(4 * a))
        for a in angles
    ]
    return turned(evenly(outline, stage.count(9, 12), closed=True), stage.between(-25, 25))


def _three_arms(stage: Stage) -> Points:
    arm, start = stage.count(2, 3), stage.between(0, 360)
    places = [(0.0, 0.0)]
    for angle in (start, start + 120, start + 240):
        a = math.radians(angle)
        places += [(step * math.cos(a), step * math.sin(a)) for step in range(1, arm + 1)]
    return np.asarray(places, np.float32)


def _checkered(stage: Stage) -> Points:
    side = stage.count(3, 4)
    places = [(x, y) for x in range(side) for y in range(side) if (x + y) % 2 == 0]
    return turned(places, stage.pick(2) * 90 + stage.between(-12, 12))


def _aitch(stage: Stage) -> Points:
    high = stage.count(1, 2)
    places = [(side, y) for side in (-1.2, 1.2) for y in range(-high, high + 1)] + [(0.0, 0.0)]
    return turned(places, stage.pick(2) * 90 + stage.between(-15, 15))


def _comb(stage: Stage) -> Points:
    teeth, long = stage.count(3, 4), 2
    places = [(k, 0) for k in range(2 * teeth - 1)] + [(2 * k, y) for k in range(teeth) for y in range(1, long)]
    return turned(places, stage.pick(4) * 90 + stage.between(-12, 12))


def _star(stage: Stage) -> Points:
    corners = []
    for k in range(10):
        a, reach = math.radians(36 * k - 90), 1.0 if k % 2 == 0 else 0.45
        corners.append((reach * math.cos(a), reach * math.sin(a)))
    return turned(corners, stage.between(0, 72))


def _diamond(stage: Stage) -> Points:
    reach = stage.count(1, 2)
    places = [(x, y) for x in range(-reach, reach + 1) for y in range(-reach, reach + 1) if abs(x) + abs(y) <= reach]
    return turned(places, stage.between(-20, 20))


PATHS: Mapping[str, Path] = {
    "line": Path(("in a straight line", "lined up one after another", "in single file"), _line),
    "arc": Path(("along an arc", "in an arch", "on a curved bow"), _arc),
    "wave": Path(("along a wavy line", "following a wave", "up and down along a wave"), _wave),
    "zigzag": Path(("in a zigzag", "zigzagging from side to side"), _zigzag),
    "angle": Path(("along a right angle", "around a corner, in the form of an L"), _angle),
    "vee": Path(("in a V formation", "in a wedge with its point ahead"), _vee, ordered=False),
    "cross": Path(("in the form of a cross", "on the arms of a cross"), _cross, ordered=False),
    "tee": Path(("in the form of a T", "a bar with a post in the middle"), _tee, ordered=False),
    "square": Path(("around a square", "along the four sides of a square, its inside empty"), _square),
    "triangle": Path(("around a triangle", "along the three sides of a triangle"), _triangle),
    "two_rows": Path(("in two parallel rows", "in two lines facing each other"), _two_rows, ordered=False),
    "two_heaps": Path(("in two separate groups", "gathered in two clusters apart"), _two_heaps, ordered=False),
    "ess": Path(("along an S-shaped curve", "winding first one way, then the other"), _ess),
    "fan": Path(("spread like a fan from one point", "fanned out from a single corner"), _fan, ordered=False),
    "stairs": Path(("up a staircase", "step by step like stairs"), _stairs),
    "two_rings": Path(
        ("in two rings, one inside the other", "in an inner and an outer circle"), _two_rings, ordered=False
    ),
    "eight": Path(("along a figure eight", "on a loop that crosses itself"), _eight),
    "scattered": Path(("scattered without order", "strewn all over"), _scattered, ordered=False),
    "horseshoe": Path(("in a horseshoe, open at one side", "around an arena with a gap"), _horseshoe),
    "hook": Path(("along a hook, straight and then bent back", "in the form of a cane"), _hook),
    "heart": Path(("along the outline of a heart", "around a heart-shaped space"), _heart),
    "three_arms": Path(("on three arms from one center", "in the form of a Y"), _three_arms, ordered=False),
    "checkered": Path(("on every other cell of a board", "in a checkered pattern"), _checkered, ordered=False),
    "aitch": Path(("in the form of an H", "in two columns with a crosspiece"), _aitch, ordered=False),
    "comb": Path(("in the form of a comb", "in a row with others below every second one"), _comb, ordered=False),
    "star": Path(("on the tips and corners of a star", "around the outline of a five-pointed star"), _star),
    "diamond": Path(("packed in a diamond", "filling a rhombus"), _diamond, ordered=False),
}
"""Paths by name."""
