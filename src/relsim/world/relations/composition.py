"""Composition: many or few make one: a shape of many, halves joined, parts replaced, a plant, a letter."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Relation
from relsim.world.relations.composition_figures import BOUQUETS, REPLACED_PARTS
from relsim.world.relations.composition_letters import LETTERS
from relsim.world.relations.outlines import band, clipped_to, half_plane, inside, outline, reach, stretched_to
from relsim.world.stage import Actor, Stage, on_circle

FAMILY = "composition"


def _filling(stage: Stage, polygons: list[Points], count: int, margin: float = 0.0) -> tuple[Points, float]:
    """About `count` points of a staggered lattice inside the polygons, and their spacing.

    Points outside count as inside where the share `margin` of the spacing leads into a polygon.
    """
    left, top, right, bottom = reach(polygons)
    grid = (
        np.stack(np.meshgrid(np.linspace(left, right, 20), np.linspace(top, bottom, 20)), axis=-1)
        .reshape(-1, 2)
        .astype(np.float32)
    )
    area = inside(grid, polygons).mean() * (right - left) * (bottom - top)
    gap = max(math.sqrt(area / count / 0.87), 0.15)
    rows = np.arange(top - gap, bottom + gap, gap * 0.87)
    columns = np.arange(left - gap, right + gap, gap)
    across, down = np.meshgrid(columns, rows)
    across = across + (np.arange(len(rows)) % 2)[:, None] * gap / 2
    offset = stage.rng.uniform(-0.5, 0.5, 2) * gap
    points = (np.stack([across.ravel(), down.ravel()], axis=1) + offset).astype(np.float32)
    steps = [on_circle(margin * gap, turn) for turn in (0, 90, 180, 270)] if margin else [(0.0, 0.0)]
    within = [inside(points + np.array(step, np.float32), polygons) for step in steps]
    return points[np.any(within, axis=0)], gap


def _border(stage: Stage, polygons: list[Points], colour: RGB, width: float) -> None:
    for polygon in polygons:
        stage.line(np.concatenate([polygon, polygon[:2]]), width=width, colour=colour)


def _crowd_upright(stage: Stage) -> None:
    """Pieces standing side by side wherever the big shape is."""
    big, small = stage.cast[:2]
    polygons = outline(big, 0, 0, stage.between(1.65, 1.82), turn=stage.between(-12, 12))
    under = blend(stage.paper, big.colour.rgb, stage.between(0.2, 0.38))
    for polygon in polygons:
        stage.shape(polygon, under, plain=True)
    points, gap = _filling(stage, polygons, stage.count(12, 20))
    if stage.chance(0.6):
        _border(stage, polygons, under, 0.06)
    turn = stage.between(-40, 40)
    for x, y in points.tolist():
        stage.put(small, x, y, gap * 1.05, turn=turn)


def _crowd_cut_out(stage: Stage) -> None:
    """Larger pieces of two kinds, cut off exactly at the border of the big shape."""
    big, one, other = stage.cast
    polygons = outline(big, 0, 0, stage.between(1.65, 1.92), turn=stage.between(-60, 60))
    points, gap = _filling(stage, polygons, stage.count(8, 13), margin=0.42)
    _border(stage, polygons, big.colour.rgb, 0.07)
    with clipped_to(stage, polygons):
        stage.box(0, 0, 2.4, 2.4, blend(stage.paper, big.colour.rgb, 0.2), plain=True)
        for x, y in points.tolist():
            stage.put(one if stage.chance(0.7) else other, x, y, gap * 1.1, turn=stage.between(0, 360))


def _crowd_gathering(stage: Stage) -> None:
    """The shape stands to one side; more pieces arrive from the other."""
    big, small = stage.cast[:2]
    side = 1 if stage.chance() else -1
    polygons = outline(big, -0.24 * side, stage.between(-0.15, 0.15), stage.between(1.3, 1.42))
    for polygon in polygons:
        stage.shape(polygon, blend(stage.paper, big.colour.rgb, 0.38), plain=True)
    points, gap = _filling(stage, polygons, stage.count(11, 17))
    for x, y in points.tolist():
        stage.put(small, x, y, gap * 1.1, turn=stage.between(-30, 30))
    for _ in range(stage.count(3, 6)):
        stage.put(small, side * stage.between(0.62, 0.86), stage.between(-0.85, 0.85), gap, turn=stage.between(0, 360))


def _crowd_of_tiles(stage: Stage) -> None:
    """A mosaic over the whole picture: tiles that belong to the shape hold a piece."""
    big, small = stage.cast[:2]
    number = stage.count(6, 7)
    step = 1.9 / number
    polygons = outline(big, 0, 0, 1.9)
    centres = (np.arange(number) + 0.5) * step - 0.95
    points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2).astype(np.float32)
    light, full = blend(stage.paper, stage.ink, 0.08), blend(stage.paper, big.colour.rgb, 0.4)
    for (x, y), within in zip(points.tolist(), inside(points, polygons).tolist(), strict=True):
        stage.box(x, y, step * 0.9, step * 0.9, full if within else light, plain=True)
        if within:
            stage.put(small, x, y, step * 0.9)
    _border(stage, polygons, big.colour.rgb, 0.035)


def _joined(stage: Stage, actors: tuple[Actor, ...], place: tuple[float, float, float, float], cut: float) -> None:
    """One body in a box (x, y, width, height): the first actor on the far side of the cut, the second on the other.

    The cut is a line across the direction of `cut` degrees.
    """
    x, y, width, height = place
    for number, actor in enumerate(actors[:2]):
        with clipped_to(stage, half_plane(x, y, cut + 180 * (1 - number))):
            stage.put(actor, x, y, 1.0, stretch=stretched_to(actor, width, height))
    reach_of_seam = 0.53 * (height * abs(math.cos(math.radians(cut))) + width * abs(math.sin(math.radians(cut))))
    ends = [on_circle(reach_of_seam, cut + 90 * side, x, y) for side in (-1, 1)]
    stage.line(ends, width=0.03)


def _hybrid_alone(stage: Stage) -> None:
    width, height = stage.between(1.3, 1.85), stage.between(1.3, 1.85)
    cut = float(stage.rng.choice([0, 180, 90, 270, 45, 135])) + stage.between(-12, 12)
    _joined(stage, stage.cast, (0, 0, width, height), cut)


def _hybrid_recipe(stage: Stage) -> None:
    """One thing plus another equals a body with half of each."""
    first, second = stage.cast[:2]
    upright, small = stage.chance(), stage.between(0.58, 0.7)
    flip = 1 if stage.chance() else -1
    at = [(-0.5, -0.58), (0.5, -0.58), (0.0, 0.38)]
    one, other, both = [(u, v * flip) if upright else (v * flip, u) for u, v in at]
    stage.put(first, *one, small)
    stage.put(second, *other, small)
    for turn in (0, 90):
        centre = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2)
        stage.line([on_circle(0.13, turn, *centre), on_circle(0.13, turn + 180, *centre)], width=0.07)
    _joined(stage, stage.cast, (*both, 1.0, 1.0), 0 if stage.chance() else 90)


def _hybrid_swapped(stage: Stage) -> None:
    """Both ways of joining the same two halves."""
    first, second = stage.cast[:2]
    cut, side = 0 if stage.chance(0.6) else 90, stage.between(0.86, 0.94)
    slope = stage.between(-0.5, 0.5)
    for number, pair in enumerate(((first, second), (second, first))):
        offset = (number - 0.5) * 0.98
        place = (offset, offset * slope) if cut == 0 else (offset * slope, offset)
        size = (side, 1.4) if cut == 0 else (1.4, side)
        _joined(stage, pair, (*place, *size), cut + 90 if stage.chance(0.3) else cut)


def _hybrid_in_thirds(stage: Stage) -> None:
    """Head of one, middle of another, foot of a third, as in a flip book."""
    upright = stage.chance()
    width, height = stage.between(1.2, 1.6), stage.between(1.6, 1.85)
    towards = 90 if upright else 0
    box = (width, height) if upright else (height, width)
    third = height / 6
    for number, actor in enumerate(stage.cast):
        start = [-2, -third, third][number]
        with clipped_to(stage, band(0, 0, towards, start, [-third, third, 2][number])):
            stage.put(actor, 0, 0, 1.0, stretch=stretched_to(actor, *box))
    for place in (-third, third):
        x, y = on_circle(place, towards)
        stage.line([on_circle(width * 0.55, towards + 90 * side, x, y) for side in (-1, 1)], width=0.03)


RELATIONS = (
    Relation(
        "made_of_many",
        FAMILY,
        (
            "A large {Shape} formed by many small {Items}",
            "Numerous tiny {Items} together make up the silhouette of one big {Subject}",
            "One big {Object} composed entirely of little {Items}",
            "Seen from afar, countless small {Items} form the shape of a {Subject}",
            "The outline of a {Subject} is filled with a crowd of small {Items}",
            "A mosaic of many {Items} that reads as a single large {Subject}",
            "Many little {Items} assembled into the form of one giant {Object}",
        ),
        (_crowd_upright, _crowd_cut_out, _crowd_gathering, _crowd_of_tiles),
    ),
    Relation(
        "hybrid",
        FAMILY,
        (
            "A hybrid that is half {Object} and half {Other}",
            "Half of {Object} fused with half of {Other} into one hybrid",
            "Two different {Subjects} merged into one hybrid body, half and half",
            "Hybrid creature: one half is {Object}, the other half {Other}",
            "Hybrid of two {Subjects}, one half of each spliced together",
            "A hybrid body: front half of {Object}, back half of {Other}",
            "A crossbreed made by splicing half a {Subject} to half of another",
        ),
        (_hybrid_alone, _hybrid_recipe, _hybrid_swapped, _hybrid_in_thirds),
    ),
    Relation(
        "part_replaced",
        FAMILY,
        (
            "A {Figure} whose body parts are replaced by {Objects}",
            "{Objects} take the place of parts of a {Figure}",
            "A {Creature} with {Objects} instead of its usual parts",
            "A face or {Figure} in which {Items} stand in for its features",
            "{Objects} substitute for the limbs or features of a {Figure}",
            "Certain parts of the {Figure} have been swapped for {Objects}",
            "In place of its normal parts this {Creature} has {Objects}",
        ),
        REPLACED_PARTS,
    ),
    Relation(
        "bouquet",
        FAMILY,
        (
            "A plant whose stems bear {Objects} instead of flowers",
            "{Objects} grow like blossoms at the ends of stems",
            "A bouquet of {Objects} on stalks with leaves",
            "Plant with leafy branches bearing {Objects} as fruits or flowers",
            "{Items} bloom on a leafy plant in place of flowers",
            "A plant with many stems, each one ending in a {Flower}",
            "Stalks with leaves sprout {Items} as their flowers or fruits",
        ),
        BOUQUETS,
    ),
    Relation(
        "letter_from_objects",
        FAMILY,
        (
            "A letter of the alphabet spelled out with {Objects}",
            "{Objects} laid along the strokes of a letter or symbol",
            "Several {Items} lined up to write a letter",
            "A written character whose lines consist of {Objects} in a row",
            "{Items} arranged to draw a letter, numeral or heart symbol",
            "Typography made by placing {Objects} along each stroke of a letter",
            "A readable sign traced with {Items}, like a letter or a heart",
        ),
        LETTERS,
    ),
)
