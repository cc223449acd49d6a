"""Technical drawings of actors: labelled, measured, exploded along an axis."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Layout
from relsim.world.relations.outlines import band, clipped_to, dashed, outline, reach, spots_inside, stretched_to
from relsim.world.stage import Actor, Stage, circle, on_circle

Spot = tuple[float, float]


def _label(stage: Stage, x: float, y: float, width: float, *, lines: int = 2, boxed: bool = False) -> None:
    """Grey bars that stand for words."""
    grey = blend(stage.paper, stage.ink, 0.5)
    step = 0.105
    if boxed:
        stage.box(x, y, width + 0.1, lines * step + 0.09, blend(stage.paper, stage.ink, 0.1), plain=True)
        stage.frame(x, y, width + 0.1, lines * step + 0.09, line=0.018)
    for number in range(lines):
        share = 1.0 if number < lines - 1 or lines == 1 else stage.between(0.5, 0.85)
        level = y + (number - (lines - 1) / 2) * step
        stage.box(x - width * (1 - share) / 2, level, width * share, 0.06, grey, plain=True)


def _leader(stage: Stage, spot: Spot, end: Spot, *, elbow: bool = False) -> None:
    """A thin line from a label to a spot on the thing, with a dot there."""
    stage.line([spot, (end[0], spot[1]), end] if elbow else [spot, end], width=0.024)
    stage.disc(*spot, 0.045, stage.ink, plain=True)
    stage.disc(*spot, 0.022, stage.paper, plain=True)


def _spots(stage: Stage, actor: Actor, place: tuple[float, float, float], count: int, turn: float) -> list[Spot]:
    """Far apart spots on the actor, from top to bottom."""
    found = spots_inside(stage, outline(actor, *place, turn=turn), count).tolist()
    return sorted(((x, y) for x, y in found), key=lambda spot: spot[1])


def _labels_to_both_sides(stage: Stage) -> None:
    size, turn, boxed = stage.between(0.85, 1.05), stage.between(-30, 30), stage.chance()
    stage.put(stage.cast[0], 0, 0, size, turn=turn)
    spots = _spots(stage, stage.cast[0], (0, 0, size), stage.count(4, 6), turn)
    across = sorted(spots)
    half = len(spots) // 2
    for side, chosen in ((-1, across[:half]), (1, across[half:])):
        levels = np.linspace(-0.68, 0.68, len(chosen)) + stage.between(-0.12, 0.12)
        for spot, level in zip(sorted(chosen, key=lambda s: s[1]), levels.tolist(), strict=True):
            _leader(stage, spot, (side * 0.52, level))
            _label(stage, side * 0.74, level, 0.36, lines=1 + stage.pick(3), boxed=boxed)


def _labels_in_a_column(stage: Stage) -> None:
    side, size, turn = 1 if stage.chance() else -1, stage.between(1.0, 1.25), stage.between(-40, 40)
    x, y, boxed = -side * stage.between(0.3, 0.36), stage.between(-0.25, 0.25), stage.chance()
    stage.put(stage.cast[0], x, y, size, turn=turn)
    spots = _spots(stage, stage.cast[0], (x, y, size), stage.count(3, 5), turn)
    width = stage.between(0.38, 0.46)
    for spot, level in zip(spots, np.linspace(-0.76, 0.76, len(spots)).tolist(), strict=True):
        _leader(stage, spot, (side * (0.9 - width), level))
        _label(stage, side * (0.92 - width / 2), level, width, lines=2, boxed=boxed)


def _labels_in_a_row(stage: Stage) -> None:
    """Labels above or below, lines with an elbow or straight."""
    below, size, turn = 1 if stage.chance() else -1, stage.between(0.95, 1.2), stage.between(-90, 90)
    x, y = stage.between(-0.2, 0.2), -0.32 * below
    stage.put(stage.cast[0], x, y, size, turn=turn)
    spots = sorted(_spots(stage, stage.cast[0], (x, y, size), 3, turn))
    for spot, place in zip(spots, (-0.6, 0.0, 0.6), strict=True):
        level = below * stage.between(0.58, 0.7)
        _leader(stage, spot, (place, level - 0.1 * below))
        _label(stage, place, level + 0.1 * below, 0.44, lines=2, boxed=True)


def _labels_numbered(stage: Stage) -> None:
    """Round markers about the thing, explained in a legend."""
    count, size, turn = stage.count(3, 5), stage.between(0.85, 1.0), stage.between(-180, 180)
    side = 1 if stage.chance() else -1
    x = -0.34 * side
    stage.put(stage.cast[0], x, 0, size, turn=turn)
    colours: list[RGB] = [stage.cast[1].colour.rgb, stage.cast[2].colour.rgb, *(spare.rgb for spare in stage.spare)]
    spots = _spots(stage, stage.cast[0], (x, 0, size), count, turn)
    spots.sort(key=lambda spot: math.atan2(spot[1], spot[0] - x))
    for number, spot in enumerate(spots):
        colour = colours[number % len(colours)]
        angle = (number + 0.5) * 360 / count - 180
        marker = (x + 0.52 * math.cos(math.radians(angle)), 0.8 * math.sin(math.radians(angle)))
        _leader(stage, spot, marker)
        level = (number - (count - 1) / 2) * 1.5 / count
        for place in (marker, (side * 0.42, level)):
            stage.disc(*place, 0.1, stage.ink, plain=True)
            stage.disc(*place, 0.075, colour, plain=True)
        _label(stage, side * 0.74, level, 0.38, lines=2)


LABELLED: tuple[Layout, ...] = (_labels_to_both_sides, _labels_in_a_column, _labels_in_a_row, _labels_numbered)
"""Ways to draw a labelled diagram."""


def _measure(stage: Stage, start: Spot, end: Spot, *, figure: bool = True) -> None:
    """An arrow with two heads between two short cross lines, and a number in its middle."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    along = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
    for point in (start, end):
        stage.line([on_circle(0.11, along + side, *point) for side in (-90, 90)], width=0.026)
        stage.arrow(middle, point, width=0.03, head=0.13)
    if figure:
        stage.disc(*middle, 0.13, stage.paper, plain=True)
        for number in range(2):
            stage.box(middle[0] + (number - 0.5) * 0.09, middle[1], 0.05, 0.13, stage.ink, plain=True)


def _measured(stage: Stage, actor: Actor, place: tuple[float, float, float], turn: float, sides: Spot) -> None:
    """The actor with an arrow for its width and one for its height; `sides` (-1 or 1) say where they stand."""
    x, y, size = place
    stage.put(actor, x, y, size, turn=turn)
    left, top, right, bottom = reach(outline(actor, 0, 0, size))
    gap = 0.2
    corners = []
    for u, v, s, t in (
        (left, sides[1], right, sides[1]),
        (sides[0], top, sides[0], bottom),
    ):
        row = u != s
        level = (bottom if sides[1] > 0 else top) + gap * sides[1]
        column = (right if sides[0] > 0 else left) + gap * sides[0]
        ends = [(u, level), (s, level)] if row else [(column, v), (column, t)]
        corners.append([_turned(end, turn, x, y) for end in ends])
    for start, end in corners:
        _measure(stage, start, end)


def _turned(point: Spot, turn: float, x: float, y: float) -> Spot:
    return on_circle(math.hypot(*point), turn + math.degrees(math.atan2(point[1], point[0])), x, y)


def _sign(stage: Stage) -> int:
    return 1 if stage.chance() else -1


def _measured_upright(stage: Stage) -> None:
    sides, size = (_sign(stage), _sign(stage)), stage.between(1.2, 1.42)
    _measured(stage, stage.cast[0], (-0.14 * sides[0], -0.14 * sides[1], size), 0, sides)


def _measured_turned(stage: Stage) -> None:
    """Thing and arrows lean together."""
    sides = (_sign(stage), _sign(stage))
    turn = _sign(stage) * stage.between(25, 60)
    shift = _turned((-0.12 * sides[0], -0.12 * sides[1]), turn, 0, 0)
    _measured(stage, stage.cast[0], (*shift, stage.between(0.85, 1.0)), turn, sides)


def _measured_pair(stage: Stage) -> None:
    """Two things, each with its own arrows."""
    upright = stage.chance()
    for number, actor in enumerate(stage.cast[:2]):
        side = 2 * number - 1
        sides = (side, _sign(stage)) if upright else (_sign(stage), side)
        x, y = (0.36 * side, stage.between(-0.3, 0.3)) if upright else (stage.between(-0.3, 0.3), 0.36 * side)
        _measured(stage, actor, (x, y, stage.between(0.55, 0.68)), 0, sides)


def _measured_by_rulers(stage: Stage) -> None:
    """Two rulers along the borders, with dashed lines from the thing's ends to them."""
    side, size = _sign(stage), stage.between(1.0, 1.3)
    x, y = -0.14 * side * -1, -0.16
    stage.put(stage.cast[0], x, y, size)
    left, top, right, bottom = reach(outline(stage.cast[0], x, y, size))
    column, colour = -0.82 * side, blend(stage.spare[0].rgb, stage.paper, 0.4)
    stage.box(column, -0.1, 0.24, 1.66, colour, plain=True)
    stage.box(0.06 * side, 0.82, 1.7, 0.24, colour, plain=True)
    for number in range(13):
        mark = -0.85 + number * 0.13
        long = 0.16 if number % 3 == 0 else 0.09
        stage.line([(column + 0.12 * side, mark), (column + (0.12 - long) * side, mark)], width=0.024)
        stage.line([(mark + 0.1 * side, 0.7), (mark + 0.1 * side, 0.7 + long)], width=0.024)
    for level in (top, bottom):
        dashed(stage, (x, level), (column + 0.14 * side, level))
    for place in (left, right):
        dashed(stage, (place, y), (place, 0.7))
    _measure(stage, (left, 0.56), (right, 0.56), figure=False)
    _measure(stage, (column + 0.26 * side, top), (column + 0.26 * side, bottom), figure=False)


DIMENSIONS: tuple[Layout, ...] = (_measured_upright, _measured_turned, _measured_pair, _measured_by_rulers)
"""Ways to draw a thing with its measures."""


def _title_block(stage: Stage) -> None:
    """Frame of a drawing sheet with a block of text in a corner."""
    stage.frame(0, 0, 1.92, 1.92, line=0.026)
    side = _sign(stage)
    stage.frame(side * 0.72, 0.83, 0.48, 0.26, line=0.022)
    _label(stage, side * 0.72, 0.83, 0.34, lines=2)


def _exploded_slices(stage: Stage) -> None:
    """One thing cut into slices that are drawn apart, with dashed lines from each to the next."""
    actor, count = stage.cast[0], stage.count(3, 4)
    towards = float(stage.rng.choice([0, 90])) + stage.between(-14, 14)
    size, gap = stage.between(1.0, 1.15), stage.between(0.28, 0.33) - 0.09 * (count - 3)
    polygons = outline(actor, 0, 0, size)
    ahead = np.array(on_circle(1, towards), np.float32)
    depths = np.concatenate(polygons) @ ahead
    cuts = np.linspace(float(depths.min()), float(depths.max()), count + 1)
    edges = np.concatenate(polygons) @ np.array([-ahead[1], ahead[0]])
    for rail in (float(edges.min()) * 0.7, float(edges.max()) * 0.7):
        ends = [_turned((far, rail), towards, 0, 0) for far in (cuts[0] - gap * 1.9, cuts[-1] + gap * 1.9)]
        dashed(stage, *ends)
    for number in range(count):
        shift = (number - (count - 1) / 2) * gap
        x, y = (ahead * shift).tolist()
        with clipped_to(stage, band(x, y, towards, cuts[number] - 0.01, cuts[number + 1] + 0.01)):
            stage.put(actor, x, y, size)


def _exploded_layers(stage: Stage) -> None:
    """Plates lying above each other, seen from above, each bearing a flat copy."""
    count, flat = stage.count(3, 4), stage.between(0.4, 0.5)
    step = 1.3 / (count - 1)
    wide = stage.between(0.7, 0.85)
    for number in reversed(range(count)):
        level = (number - (count - 1) / 2) * step
        plate = [(-wide, level), (0, level - wide * flat), (wide, level), (0, level + wide * flat)]
        stage.shape(plate, blend(stage.paper, stage.spare[0].rgb, 0.35), plain=True)
        stage.line([*plate, plate[0]], width=0.026)
        actor = stage.cast[number % 2]
        stage.put(actor, 0, level, 1.0, stretch=stretched_to(actor, wide, wide * flat * 1.15, 2.2))
        if number:
            for x in (-wide, wide):
                dashed(stage, (x, level), (x, level - step))


def _exploded_axis(stage: Stage) -> None:
    """Things between washers on one slanted dashed axis."""
    turn, count = stage.between(0, 360), stage.count(1, 2)
    dashed(stage, on_circle(1.0, turn + 180), on_circle(1.0, turn), width=0.034)
    for number, place in enumerate(np.linspace(-0.78, 0.78, 2 * count + 1).tolist()):
        x, y = on_circle(place, turn)
        if number % 2:
            stage.put(stage.cast[number // 2], x, y, stage.between(0.75, 0.85) if count == 1 else 0.52)
            continue
        tall = stage.between(0.3, 0.42)
        for share, colour in ((1.0, stage.ink), (0.86, stage.spare[number // 2 % 2].rgb), (0.35, stage.paper)):
            washer = circle(0, 0, 1) * (0.15 * share, tall * share)
            stage.shape([_turned((u, v), turn, x, y) for u, v in washer.tolist()], colour, plain=True)


def _exploded_halves(stage: Stage) -> None:
    """A shell in two halves, its core between them, on a framed sheet."""
    _title_block(stage)
    towards, size = stage.between(-35, 35), stage.between(0.95, 1.1)
    core = 0.54
    low, high = -0.5 - core / 2, 0.5 + core / 2
    for rail in (-0.16, 0.16):
        dashed(stage, _turned((low, rail), towards, 0, -0.1), _turned((high, rail), towards, 0, -0.1))
    for side in (-1, 1):
        x, y = on_circle(0.44 * side, towards, 0, -0.1)
        edges = (-2.0, 0.0) if side < 0 else (0.0, 2.0)
        with clipped_to(stage, band(x, y, towards, *edges)):
            stage.put(stage.cast[0], x, y, size)
        stage.line([on_circle(size * 0.42, towards + turn, x, y) for turn in (-90, 90)], width=0.03)
    stage.put(stage.cast[1], 0, -0.1, core)


EXPLODED: tuple[Layout, ...] = (_exploded_slices, _exploded_layers, _exploded_axis, _exploded_halves)
"""Ways to draw a thing taken apart."""
