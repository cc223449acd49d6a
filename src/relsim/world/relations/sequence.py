"""Sequences: one thing in stages. It grows, turns, changes kind, fades or doubles; `sequence_making` has the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relsim.world.palettes import blend
from relsim.world.relations import sequence_making
from relsim.world.relations.base import Relation
from relsim.world.relations.sequence_paths import (
    Spot,
    Step,
    arc,
    column,
    row,
    slope,
    staged,
    two_rows,
    zigzag,
)
from relsim.world.relations.sequence_pieces import DIAL, bubble, contour, cut, mark_for, marked, opposite, reach, turned
from relsim.world.stage import Stage

FAMILY = "sequence"


def _larger(stage: Stage, count: int) -> Sequence[float]:
    """Sizes that rise by a factor, or by equal steps."""
    first = stage.between(0.24, 0.36)
    sizes = np.geomspace(first, 1, count) if stage.chance() else np.linspace(first, 1, count)
    return [float(size) for size in sizes]


def _growing(stage: Stage, _n: int) -> Step:
    actor, turn, mirror = stage.cast[0], stage.between(-12, 12), stage.chance()

    def step(spot: Spot, _k: int) -> None:
        stage.put(actor, spot.x, spot.y, spot.room, turn=turn, mirror=mirror)

    return step


def _growing_on_ground(stage: Stage) -> None:
    """All stand on one line, overlapping a little, each higher than the one before."""
    count = stage.count(3, 5)
    sizes = np.asarray(_larger(stage, count))
    ends = np.cumsum(sizes) - sizes / 2
    unit = 1.86 / sizes.sum()
    tallest = min(stage.between(1.25, 1.7), unit * stage.between(1.25, 1.45))
    ground = stage.between(0.62, 0.9) if tallest < 1.45 else 0.86
    stage.line([(-0.96, ground), (0.96, ground)], width=0.045)
    for size, end in zip(sizes.tolist(), ends.tolist(), strict=True):
        x = -0.93 + end * unit
        stage.put(stage.cast[0], x, ground - size * tallest / 2, size * tallest, stretch=(0.82, 1.0))


def _growing_nested_boxes(stage: Stage) -> None:
    """Each stage in a frame of its own, frames as large as what they hold, corner to corner."""
    count, up = stage.count(3, 4), stage.chance()
    sizes = np.asarray(_larger(stage, count))
    sizes *= 1.88 / sizes.sum()
    at = -0.94
    for size in sizes.tolist():
        x, y = at + size / 2, (at + size / 2) * (-1 if up else 1)
        stage.box(x, y, size, size, blend(stage.paper, stage.ink, 0.12), plain=True)
        stage.frame(x, y, size, size)
        stage.put(stage.cast[0], x, y, size * 0.86)
        at += size


def _turning(stage: Stage, _n: int) -> Step:
    actor = stage.cast[0]
    mark = mark_for(stage, actor)
    first = stage.pick(4) * 90
    pace = stage.between(32, 80) * (1 if stage.chance() else -1)

    def step(spot: Spot, k: int) -> None:
        marked(stage, actor, (spot.x, spot.y), spot.room, first + k * pace, mark)

    return step


def _turning_pendulum(stage: Stage) -> None:
    """It swings about a pivot; each position is drawn, with the arm that holds it."""
    count, span = stage.count(3, 5), stage.between(110, 170)
    angles = np.radians(stage.pick(4) * 90 + span * (np.arange(count) / (count - 1) - 0.5))
    ends = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    low, high = np.minimum(ends.min(axis=0), 0), np.maximum(ends.max(axis=0), 0)
    size = min(0.62, 0.95 * float(np.hypot(*(ends[1] - ends[0]))))
    scale = (1.88 - size) / float((high - low).max())
    size = min(size, 0.95 * scale * float(np.hypot(*(ends[1] - ends[0]))))
    pivot = -(low + high) / 2 * scale
    for (x, y), angle in zip((ends * scale + pivot).tolist(), np.degrees(angles).tolist(), strict=True):
        stage.line([(float(pivot[0]), float(pivot[1])), (x, y)], width=0.035)
        stage.put(stage.cast[0], x, y, size, turn=angle - 90)
    stage.disc(float(pivot[0]), float(pivot[1]), 0.08, stage.ink, plain=True)


def _rolling(stage: Stage) -> None:
    """A wheel that carries it rolls along a road, level or downhill; spokes show how far it has turned."""
    count, fall = stage.count(3, 4), stage.between(-0.45, 0.45)
    size = 1.84 / count
    pace = stage.between(50, 100)
    level = stage.between(-0.2, 0.2)
    for k in range(count):
        x = -0.94 + size * (k + 0.5)
        y = level + fall * x
        marked(stage, stage.cast[0], (x, y), size, k * pace, DIAL)
    drop = size * 0.44 * float(np.hypot(1, fall))
    stage.line([(-0.96, level - 0.96 * fall + drop), (0.96, level + 0.96 * fall + drop)], width=0.05)


def _wiping(stage: Stage, n: int) -> Step:
    """The second kind comes in from one side while the first one goes."""
    first, second, degrees = stage.cast[0], stage.cast[1], stage.between(0, 360)
    lows, highs = zip(reach(first, degrees), reach(second, degrees), strict=True)
    low, high = min(lows), max(highs)

    def step(spot: Spot, k: int) -> None:
        line = (degrees, low + (high - low) * k / (n - 1))
        if k < n - 1:
            stage.put(cut(first, line) if k else first, spot.x, spot.y, spot.room)
        if k:
            stage.put(cut(second, opposite(line)) if k < n - 1 else second, spot.x, spot.y, spot.room)

    return step


def _melting(stage: Stage, n: int) -> Step:
    """Between the two kinds stand shapes whose contour and colour lie between theirs."""
    first, second = stage.cast[0], stage.cast[1]
    start, end = contour(first), contour(second)

    def step(spot: Spot, k: int) -> None:
        share = k / (n - 1)
        if k in {0, n - 1}:
            stage.put(second if k else first, spot.x, spot.y, spot.room)
            return
        points = ((start + (end - start) * share) * spot.room + (spot.x, spot.y)).astype(np.float32)
        stage.shape(points, blend(first.colour.rgb, second.colour.rgb, share))

    return step


def _fading(stage: Stage, n: int) -> Step:
    actor, turn, last = stage.cast[0], stage.between(-15, 15), stage.between(0.84, 0.9)

    def step(spot: Spot, k: int) -> None:
        stage.put(actor, spot.x, spot.y, spot.room, turn=turn, fade=last * (k / (n - 1)) ** 0.8)

    return step


def _fading_overlapped(stage: Stage) -> None:
    """Large ones, each half behind the one before, the faintest at the back."""
    count, size = stage.count(4, 6), stage.between(0.8, 1.05)
    degrees = stage.between(0, 360)
    way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    way *= (0.95 - size / 2) / np.abs(way).max()
    for k in range(count - 1, -1, -1):
        x, y = (way * (1 - 2 * k / (count - 1))).tolist()
        stage.put(stage.cast[0], x, y, size, fade=0.88 * (k / (count - 1)) ** 0.8)


_GROUPS: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0, 0),),
    2: ((-0.24, 0), (0.24, 0)),
    4: ((-0.22, -0.22), (0.22, -0.22), (-0.22, 0.22), (0.22, 0.22)),
    8: (
        *((x, -0.3) for x in (-0.3, 0, 0.3)),
        *((x, 0.0) for x in (-0.16, 0.16)),
        *((x, 0.3) for x in (-0.3, 0, 0.3)),
    ),
}
_GROUP_SIZES = {1: 0.62, 2: 0.44, 4: 0.4, 8: 0.28}


def _more_room(_stage: Stage, count: int) -> Sequence[float]:
    """Rooms for 1, 2, 4 and 8 things."""
    return (0.62, 0.8, 1.0) if count == 3 else (0.6, 0.75, 0.9, 1.0)


def _doubling(stage: Stage, _n: int) -> Step:
    """Panels with twice as many in each as in the one before."""
    shape = stage.pick(2)
    turn = stage.between(-30, 30) if shape == 0 else 0.0

    def step(spot: Spot, k: int) -> None:
        bubble(stage, spot.x, spot.y, spot.room, shape)
        inside = spot.room * (0.92 if shape == 0 else 1.05)
        places = turned(np.array(_GROUPS[2**k], np.float32) * inside, spot.x, spot.y, turn + 90 * (k == 1))
        for x, y in places.tolist():
            stage.put(stage.cast[0], x, y, inside * _GROUP_SIZES[2**k])

    return step


def _doubling_stacks(stage: Stage) -> None:
    """Stacks of one, two and four on a line, or hanging from it, or lying along it."""
    turn, size = stage.pick(4) * 90, stage.between(0.42, 0.455)
    pitch = stage.between(0.56, 0.68)
    for column_, height in enumerate((1, 2, 4)):
        places = [((column_ - 1) * pitch, 0.9 - size * (level + 0.5)) for level in range(height)]
        for x, y in turned(np.array(places, np.float32), 0, 0, turn).tolist():
            stage.put(stage.cast[0], x, y, size * 0.94)
    ground = np.array([(-0.95, 0.93), (0.95, 0.93)], np.float32)
    stage.line(turned(ground, 0, 0, turn), width=0.05)


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "growth",
        FAMILY,
        (
            "Growth of {Subject} from small to large in successive stages",
            "Growth of {Object}: it gets bigger and bigger",
            "The same {Item} growing in size, from tiny to full grown",
            "{Subject} grows larger at every stage of its development",
            "Successive stages showing {Object} growing up to its full size",
            "The size of {Item} increases gradually from one stage to the next",
            "A small {Subject} growing into a large one in several steps",
        ),
        (
            _growing_on_ground,
            _growing_nested_boxes,
            *(staged(path, _growing, count=(3, 6), weigh=_larger) for path in (row, column, slope, arc, zigzag)),
        ),
    ),
    Relation(
        "rotation_steps",
        FAMILY,
        (
            "The same {Object} rotated a little further at each step",
            "Rotation of {Subject} shown step by step",
            "{Item} rotating step by step through successive positions",
            "Successive angles of {Object} as it rotates",
            "Each step turns {Subject} by one more angle",
            "A rotating {Item} drawn in several consecutive orientations",
            "Stages of {Object} rotating, each turned further than the last",
        ),
        (
            _turning_pendulum,
            _rolling,
            *(staged(path, _turning) for path in (row, column, slope, arc, two_rows, zigzag)),
        ),
    ),
    Relation(
        "metamorphosis",
        FAMILY,
        (
            "Transformation of {Subject} into {Object} in several stages",
            "{Object} gradually transforms into a different {Item}",
            "Metamorphosis of one {Subject} into another one",
            "Stages in the transformation of {Item} into {Another Item}",
            "{Object} gradually morphs into {Another Object}, a metamorphosis",
            "Gradual change of {Subject} into something else entirely",
            "Intermediate stages of {Item} becoming {Another Item}",
        ),
        (
            *(staged(path, _wiping) for path in (row, column, slope, arc)),
            *(staged(path, _melting) for path in (row, zigzag, slope, two_rows)),
        ),
    ),
    Relation(
        "fading",
        FAMILY,
        (
            "{Object} fading away until it has almost vanished",
            "The same {Item} becoming fainter and fainter",
            "{Subject} gradually fades out and disappears",
            "Copies of {Object} fading out, each fainter than the last",
            "Gradual disappearance of {Item} as it turns ever fainter",
            "{Subject} loses its visibility step by step until barely visible",
            "A slow fade out of {Object} from clear to nearly invisible",
        ),
        (
            _fading_overlapped,
            *(staged(path, _fading, count=(4, 6)) for path in (row, column, slope, arc, two_rows, zigzag)),
        ),
    ),
    Relation(
        "multiplication",
        FAMILY,
        (
            "{Items} multiplying: one becomes two, two become four",
            "The number of {Objects} doubles at every step",
            "One {Subject}, then two, then four, an ever doubling quantity",
            "{Item} multiplies into more and more copies at each stage",
            "Doubling of {Objects} from a single one to many",
            "Groups of {Items} with twice as many in each next group",
            "Repeated doubling turns one {Object} into two and then four",
        ),
        (
            _doubling_stacks,
            *(
                staged(path, _doubling, count=(3, 3), weigh=_more_room, arrows=0.5, apart=1.15)
                for path in (row, column, slope, zigzag)
            ),
            *(
                staged(path, _doubling, count=(3, 4), weigh=_more_room, arrows=0.4, apart=1.1)
                for path in (arc, two_rows)
            ),
        ),
    ),
    *sequence_making.RELATIONS,
)
