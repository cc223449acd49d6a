"""Layouts of things in rows and halves: filled grids, pyramids of 1, 2, 3, alternating lines, mirrored halves."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.palettes import blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import EDGE, colour_of, evenly, lean, settled, swung, troupe, turned
from relsim.world.stage import Stage, curve


def grid_of_equals(stage: Stage) -> None:
    """Rows and columns of one thing, upright or leaning together."""
    rows, columns = stage.count(2, 4), stage.count(3, 5)
    if stage.chance():
        rows, columns = columns, rows
    tilt = lean(stage)
    for row, y in enumerate(_lane(rows, 1 / rows)):
        for x in _lane(columns, 1 / columns):
            actor = stage.cast[row % 3] if columns > rows else stage.cast[0]
            stage.put(actor, x, y, min(1.9 / rows, 1.9 / columns) * 0.86, turn=tilt)


def grid_in_depth(stage: Stage) -> None:
    """Rows that become narrower and smaller towards the horizon, on whichever side that is."""
    rows, columns, turn = stage.count(3, 4), stage.count(3, 4), stage.pick(4) * 90
    far = stage.between(0.4, 0.6)
    sizes = [far + (1 - far) * row / (rows - 1) for row in range(rows)]
    unit = min(1.8 / sum(sizes), 1.85 / columns)
    y = -unit * sum(sizes) / 2
    for number, scale in enumerate(sizes):
        y += unit * scale / 2
        for column in range(columns):
            place = ((column - (columns - 1) / 2) * unit * scale, y)
            stage.put(stage.cast[number % 2], *swung(*place, turn), unit * scale * 0.86)
        y += unit * scale / 2


def grid_with_lines(stage: Stage) -> None:
    """A ruled table with something in each cell."""
    rows, columns = (2 + stage.pick(3), 2 + stage.pick(3)) if stage.chance() else (stage.count(3, 4), 3)
    columns = max(columns, 3 if rows == 2 else 2)
    wide, high = stage.between(1.6, 1.86), stage.between(1.6, 1.86)
    stage.box(0, 0, wide, high, blend(stage.paper, colour_of(stage).rgb, stage.between(0, 0.25)), plain=True)
    for share in np.linspace(-0.5, 0.5, rows + 1).tolist():
        stage.line([(-wide / 2, share * high), (wide / 2, share * high)], width=0.03)
    for share in np.linspace(-0.5, 0.5, columns + 1).tolist():
        stage.line([(share * wide, -high / 2), (share * wide, high / 2)], width=0.03)
    actors = iter(troupe(stage, rows * columns))
    for y in _lane(rows, 1 / rows):
        for x in _lane(columns, 1 / columns):
            stage.put(next(actors), x * wide / 1.9, y * high / 1.9, min(wide / columns, high / rows) * 0.72)


def grid_of_lozenges(stage: Stage) -> None:
    """Rows and columns that run aslant, three or four by three or four."""
    rows, columns = 3, stage.count(3, 4)
    shear = stage.between(-0.4, 0.4)
    places = [(x + shear * y, y) for y in range(rows) for x in range(columns)]
    points, size = settled(stage, turned(places, stage.between(30, 60)), largest=0.5)
    tilt = stage.between(-60, 60)
    for (x, y), actor in zip(points.tolist(), troupe(stage, len(points)), strict=True):
        stage.put(actor, x, y, size, turn=tilt)


def grid_of_tiles(stage: Stage) -> None:
    """Tiles with gaps between them, in a broad or a tall band, each tile with something on it."""
    columns, rows, turn = stage.count(4, 5), 2, stage.pick(2) * 90
    cell = 1.88 / columns
    high = stage.between(1.1, 1.9)
    colours = [blend(stage.paper, colour_of(stage).rgb, 0.45) for _ in range(2)]
    shift = stage.between(-0.5, 0.5) * (EDGE - high * cell)
    for row in range(rows):
        for x in _lane(columns, 1 / columns):
            x, y = swung(x * 0.99, (row - 0.5) * high * cell + shift, turn)  # noqa: PLW2901
            upright = (cell * 0.92, cell * high * 0.94)
            stage.box(x, y, *(upright if turn == 0 else upright[::-1]), colours[row], plain=True)
            stage.put(stage.cast[0], x, y, cell * 0.8)


def pyramid_stacked(stage: Stage) -> None:
    """One on two on three; the point to any side."""
    rows, turn = stage.count(3, 4), stage.pick(4) * 90 if stage.chance() else 0
    places = [(column - row / 2, row * stage.between(0.9, 0.98)) for row in range(rows) for column in range(row + 1)]
    points, size = settled(stage, turned(places, turn), fill=0.98, largest=0.66)
    tilt = lean(stage)
    for (x, y), actor in zip(points.tolist(), troupe(stage, len(points)), strict=True):
        stage.put(actor, x, y, size, turn=tilt)


def pyramid_of_blocks(stage: Stage) -> None:
    """Bricks in shorter and shorter courses, something on every brick."""
    rows, down = stage.count(3, 4), -1 if stage.chance(0.25) else 1
    wide, high = 1.86 / rows, stage.between(1.3, 1.86) / rows
    tones = [blend(stage.paper, colour_of(stage).rgb, 0.5) for _ in range(rows)]
    for row in range(rows):
        y = down * ((row + 0.5) * high - rows * high / 2)
        for column in range(row + 1):
            x = (column - row / 2) * wide
            stage.box(x, y, wide * 0.95, high * 0.94, tones[row], plain=True)
            stage.put(stage.cast[0], x, y, min(wide, high) * 0.8)


def pyramid_as_stairs(stage: Stage) -> None:
    """Rows of 1, 2, 3 and 4 that begin at the same side: a triangle with a right angle."""
    rows, flat = stage.count(3, 5), stage.between(0.8, 1)
    places = [(column, row * flat) for row in range(rows) for column in range(row + 1)]
    points, size = settled(stage, turned(places, stage.pick(4) * 90), fill=0.96, largest=0.56)
    mirror = 1 - 2 * stage.pick(2)
    for (x, y), row in zip((points * (mirror, 1)).tolist(), _row_numbers(rows), strict=True):
        stage.put(stage.cast[row % 3], x, y, size)


def pyramid_of_tiers(stage: Stage) -> None:
    """Solid tiers, each wider than the one above, with 1, 2, 3 things before them."""
    rows, point = 3, stage.between(0.5, 0.7)
    high = stage.between(1.6, 1.86) / rows
    for row in range(rows):
        y = (row + 0.5) * high - rows * high / 2
        top, foot = (point + (1.86 - point) * (row + step) / rows for step in (0, 1))
        corners = [
            (-top / 2, y - high / 2),
            (top / 2, y - high / 2),
            (foot / 2, y + high / 2),
            (-foot / 2, y + high / 2),
        ]
        stage.shape(corners, blend(stage.paper, stage.cast[row].colour.rgb, 0.3), plain=True)
        stage.line([*corners, *corners[:2]], width=0.03)
        for column in range(row + 1):
            stage.put(stage.cast[(row + 1) % 3], (column - row / 2) * min(0.5, 1.5 / rows), y, min(high * 0.76, 0.44))


def pyramid_leaning(stage: Stage) -> None:
    """Rows of 1, 2, 3 whose things are larger in the longer, or in the shorter rows, sheared to one side."""
    rows, shear, turn = 3, stage.between(-0.35, 0.35), stage.between(-35, 35) + 180 * stage.chance(0.3)
    places = [(column - row / 2 + shear * row, row) for row in range(rows) for column in range(row + 1)]
    points, size = settled(stage, turned(places, turn), fill=1.0, largest=0.6)
    last = stage.between(0.6, 1.0)
    for (x, y), row in zip(points.tolist(), _row_numbers(rows), strict=True):
        stage.put(stage.cast[row], x, y, size * (1 + (last - 1) * row / 2), turn=turn)


def alternation_in_a_line(stage: Stage) -> None:
    """First, second, first, second along a straight line at any angle."""
    count = stage.count(5, 7)
    direction = stage.between(0, 180)
    line = turned([(x, 0.0) for x in range(count)], direction)
    points, size = settled(stage, line, fill=0.98, largest=0.5)
    for number, (x, y) in enumerate(points.tolist()):
        stage.put(stage.cast[number % 2], x, y, size)


def alternation_on_a_bow(stage: Stage) -> None:
    """Two kinds by turns along an arch or a wave."""
    count, span, waves = stage.count(7, 10), 2.6, stage.between(0.5, 1.3)
    across = np.linspace(0, 1, 40)
    wave = np.stack([across * span, stage.between(0.5, 0.9) * np.sin(across * 2 * math.pi * waves)], axis=1)
    points, size = settled(stage, evenly(turned(wave, stage.between(0, 360)), count), fill=0.98, largest=0.46)
    for number, (x, y) in enumerate(points.tolist()):
        stage.put(stage.cast[number % 2], x, y, size)


def alternation_up_and_down(stage: Stage) -> None:
    """A zigzag: one kind above, the other below, by turns."""
    count, turn = stage.count(5, 7), stage.pick(2) * 90 + stage.between(-25, 25)
    places = [(number * 1.0, stage.between(0.8, 1.2) * (number % 2)) for number in range(count)]
    points, size = settled(stage, turned(places, turn), fill=0.95, largest=0.52)
    if stage.chance():
        stage.line(points, width=0.03)
    for number, (x, y) in enumerate(points.tolist()):
        stage.put(stage.cast[number % 2], x, y, size)


def alternation_of_bands(stage: Stage) -> None:
    """Bands in two colours, in turn with one kind and with the other."""
    count, upright = stage.count(4, 6), stage.chance()
    wide = 1.9 / count
    tones = [blend(stage.paper, actor.colour.rgb, 0.35) for actor in stage.cast[1::-1]]
    for number, middle in enumerate(_lane(count, 1 / count)):
        x, y = (middle, 0.0) if upright else (0.0, middle)
        stage.box(x, y, *((wide, 1.86) if upright else (1.86, wide)), tones[number % 2], plain=True)
        drift = stage.between(-0.5, 0.5)
        place = (x, y + drift) if upright else (x + drift, y)
        stage.put(stage.cast[number % 2], *place, wide * 0.9)


def alternation_on_a_winding_string(stage: Stage) -> None:
    """A path that turns back twice, large and small by turns."""
    gap, reach = stage.between(0.6, 0.68), 0.6
    path = np.concatenate([
        curve((-reach, -gap), (reach, -gap)), curve((reach, -gap), (reach, 0), -0.2),
        curve((reach, 0), (-reach, 0)), curve((-reach, 0), (-reach, gap), 0.2), curve((-reach, gap), (reach, gap)),
    ])  # fmt: skip
    path = turned(path, stage.pick(4) * 90) * (1 - 2 * stage.pick(2), 1)
    stage.line(path, width=stage.between(0.04, 0.08), colour=blend(stage.paper, colour_of(stage).rgb, 0.6))
    small = stage.between(0.24, 0.34)
    for number, (x, y) in enumerate(evenly(path, stage.count(9, 12)).tolist()):
        stage.put(stage.cast[number % 2], x, y, small if number % 2 else 0.42)


def symmetry_scattered(stage: Stage) -> None:
    """Pairs anywhere, each with its counterpart on the other side."""
    heights = stage.rng.permutation(
        [-0.66, 0.0, 0.66][: stage.count(2, 3)] if stage.chance(0.2) else [-0.66, 0.0, 0.66]
    )
    for number, height in enumerate(heights.tolist()):
        x, y = stage.between(0.36, 0.64), height + stage.between(-0.06, 0.06)
        _pair(stage, number % 3, x, y, stage.between(0.44, 0.58), stage.between(-75, 75))


def symmetry_of_arms(stage: Stage) -> None:
    """One in the middle and others turned away from it on both sides, as on a coat of arms."""
    middle, lift = stage.between(0.55, 0.75), stage.between(-0.2, 0.2)
    rows = 2 + stage.pick(2)
    for number, y in enumerate(np.linspace(-0.64, 0.64, rows).tolist()):
        _pair(stage, 1 + number % 2, 0.66 - 0.1 * (number % 2), y, stage.between(0.42, 0.56), stage.between(15, 70))
    stage.put(stage.cast[0], 0, lift, middle)


def symmetry_of_wings(stage: Stage) -> None:
    """Two wings of one outline about a body, marked alike."""
    heights = [stage.between(0.6, 0.9), stage.between(0.1, 0.3), stage.between(0.6, 0.9)]
    wing = np.array([
        (0.05, -0.2), (stage.between(0.4, 0.6), -heights[0]), (0.93, -stage.between(0.5, 0.9)),
        (stage.between(0.5, 0.8), heights[1] - 0.2), (0.9, stage.between(0.3, 0.6)),
        (stage.between(0.3, 0.6), heights[2]), (0.05, 0.25),
    ], np.float32)  # fmt: skip
    for side in (1, -1):
        stage.shape(wing * (side, 1), blend(stage.paper, stage.spare[0].rgb, 0.55))
    stage.shape([(0.0, -0.6), (0.07, 0.0), (0.0, 0.6), (-0.07, 0.0)], stage.ink, plain=True)
    _pair(stage, 0, 0.5, -0.36, stage.between(0.4, 0.5), stage.between(-60, 60))
    _pair(stage, 1, 0.45, 0.3, stage.between(0.34, 0.44), stage.between(-60, 60))


def symmetry_of_a_front(stage: Stage) -> None:
    """A gate: pillars left and right, the same things on and between them, a gable over all."""
    pillar, foot, high = stage.between(0.2, 0.34), 0.9, stage.between(0.7, 1.0)
    tone = blend(stage.paper, stage.spare[-1].rgb, 0.6)
    stage.shape([(-0.95, foot - high), (0.0, -0.92), (0.95, foot - high)], tone)
    for side in (1, -1):
        stage.box(side * 0.74, foot - high / 2, pillar, high, tone)
    stage.put(stage.cast[0], 0, -0.92 + 0.62 * (0.92 + foot - high), stage.between(0.34, 0.42))
    _pair(stage, 1, 0.33, foot - stage.between(0.22, 0.3), 0.44, stage.between(-40, 40))
    _pair(stage, 2, 0.74, foot - high / 2, stage.between(0.34, 0.42), stage.between(-60, 60))


def symmetry_of_a_fan(stage: Stage) -> None:
    """Things spread like a peacock's tail, equal ones at equal height left and right."""
    pairs, down, foot = stage.count(3, 4), 1 - 2 * stage.pick(2), 0.62
    for number in range(pairs):
        angle = math.radians(stage.between(-4, 4) + 20 + number * 70 / (pairs - 1))
        reach = stage.between(0.72, 0.8) if number < pairs - 1 else 0.7
        x, y = reach * math.sin(angle), foot - 1.75 * reach * math.cos(angle) * 0.85
        stage.line([(0, down * foot), (x, down * y)], width=0.025)
        stage.line([(0, down * foot), (-x, down * y)], width=0.025)
        _pair(stage, number % 3, x, down * y, stage.between(0.36, 0.44), math.degrees(angle) * down)
    stage.put(stage.cast[0], 0, down * foot, 0.52)


def _pair(stage: Stage, number: int, x: float, y: float, size: float, turn: float) -> None:
    """An actor on the right and its mirror image on the left."""
    stage.put(stage.cast[number], x, y, size, turn=turn)
    stage.put(stage.cast[number], -x, y, size, turn=-turn, mirror=True)


def _lane(count: int, margin: float) -> list[float]:
    """`count` places along an axis of the frame, the outermost `margin` of its half width from the edge."""
    return (np.linspace(-1, 1, count) * EDGE * (1 - margin)).tolist() if count > 1 else [0.0]


def _row_numbers(rows: int) -> list[int]:
    """The row of each thing of a pyramid: 0, 1, 1, 2, 2, 2, ..."""
    return [row for row in range(rows) for _ in range(row + 1)]


GRID: tuple[Layout, ...] = (grid_of_equals, grid_in_depth, grid_with_lines, grid_of_lozenges, grid_of_tiles)
PYRAMID: tuple[Layout, ...] = (
    pyramid_stacked, pyramid_of_blocks, pyramid_as_stairs, pyramid_of_tiers, pyramid_leaning,
)  # fmt: skip
ALTERNATION: tuple[Layout, ...] = (
    alternation_in_a_line, alternation_on_a_bow, alternation_up_and_down, alternation_of_bands,
    alternation_on_a_winding_string,
)  # fmt: skip
SYMMETRY: tuple[Layout, ...] = (
    symmetry_scattered, symmetry_of_arms, symmetry_of_wings, symmetry_of_a_front, symmetry_of_a_fan,
)  # fmt: skip
