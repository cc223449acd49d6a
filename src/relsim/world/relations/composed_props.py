"""Composed props: several things, and the one structure that holds, hangs, drops, shelters or carries all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from relsim.world.relations.base import Layout
from relsim.world.relations.composed_marks import tint
from relsim.world.relations.composed_series import Change
from relsim.world.relations.standing import Place
from relsim.world.stage import Stage, curve, on_circle


@dataclass(frozen=True, slots=True)
class Prop:
    """What holds several things: ways to say it, and how it is drawn; it gives their places and their size.

    What `over` draws hides a part of the things.
    """

    phrases: tuple[str, ...]
    draw: Callable[[Stage], tuple[list[Place], float]]
    over: Callable[[Stage], None] | None = None


def held(prop: Prop, change: Change) -> Layout:
    """The layout of one prop whose things change from first to last."""
    return partial(_held, prop=prop, change=change)


def _held(stage: Stage, prop: Prop, change: Change) -> None:
    places, size = prop.draw(stage)
    for number, (x, y) in enumerate(places):
        actor, scale, turn, fade = change.at(stage, number, len(places))
        stage.put(actor, x, y, size * scale, turn=turn, fade=fade)
    if prop.over:
        prop.over(stage)


def _lanes(count: int, reach: float) -> list[float]:
    return np.linspace(-reach, reach, count).tolist() if count > 1 else [0.0]


def _clothes_line(stage: Stage) -> tuple[list[Place], float]:
    count, sag = stage.count(3, 5), stage.between(-0.16, -0.05)
    top = stage.between(-0.6, -0.2)
    for side in (-0.92, 0.92):
        stage.line([(side, top - 0.05), (side, 0.92)], width=0.06)
    rope, size = curve((-0.92, top), (0.92, top), sag * -1), min(0.46, 1.6 / count)
    stage.line(rope, width=0.03)
    places = []
    for x in _lanes(count, 0.68):
        y = float(np.interp(x, rope[:, 0], rope[:, 1]))
        stage.line([(x, y), (x, y + 0.12)], width=0.03)
        places.append((x, y + 0.1 + size / 2))
    return places, size


def _table(stage: Stage) -> tuple[list[Place], float]:
    count, top = stage.count(2, 4), stage.between(0.0, 0.35)
    stage.box(0, top + 0.05, 1.8, 0.1, tint(stage, 0.7))
    for side in (-0.75, 0.75):
        stage.line([(side, top + 0.1), (side, 0.92)], width=0.07)
    size = min(0.6, 1.6 / count)
    return [(x, top - size / 2) for x in _lanes(count, 0.82 - size / 2)], size


def _skewer(stage: Stage) -> tuple[list[Place], float]:
    count, angle = stage.count(3, 5), stage.between(0, 180)
    stage.line([on_circle(0.98, angle), on_circle(0.98, angle + 180)], width=0.05)
    return [on_circle(reach, angle) for reach in _lanes(count, 0.66)], min(0.5, 1.3 / count)


def _slope(stage: Stage) -> tuple[list[Place], float]:
    count, side, size = stage.count(2, 4), 1 - 2 * stage.pick(2), 0.4
    stage.shape(
        [(-0.98 * side, -0.3), (0.98 * side, 0.75), (0.98 * side, 0.95), (-0.98 * side, 0.95)], tint(stage, 0.5)
    )
    return [(x * side, -0.3 + (x + 0.98) * 1.05 / 1.96 - size * 0.52) for x in _lanes(count, 0.7)], size


def _windows(stage: Stage) -> tuple[list[Place], float]:
    rows, columns = 2, stage.count(2, 3)
    stage.box(0, 0.2, 1.5, 1.4, tint(stage, 0.5))
    stage.shape([(-0.88, -0.5), (0, -0.95), (0.88, -0.5)], tint(stage, 0.8))
    size = 1.1 / max(columns, rows)
    places = [(x, y) for y in (-0.12, 0.5) for x in _lanes(columns, 0.72 - size / 2)]
    for x, y in places:
        stage.box(x, y, size, size, stage.paper, plain=True)
        stage.frame(x, y, size, size, line=0.03)
    return places, size * 0.84


def _cart(stage: Stage) -> tuple[list[Place], float]:
    count, rim = stage.count(2, 4), 0.25
    size = min(0.5, 1.4 / count)
    stage.line([(0.7, rim + 0.1), (0.96, rim - 0.2)], width=0.05)
    return [(x, rim - size * 0.3) for x in _lanes(count, 0.62 - size / 2)], size


def _cart_body(stage: Stage) -> None:
    stage.shape([(-0.8, 0.22), (0.8, 0.22), (0.66, 0.62), (-0.66, 0.62)], tint(stage, 0.8))
    for x in (-0.4, 0.4):
        stage.disc(x, 0.7, 0.19, stage.ink, plain=True)
        stage.disc(x, 0.7, 0.09, stage.paper, plain=True)


def _cloud(stage: Stage) -> tuple[list[Place], float]:
    rows, columns = 2, stage.count(2, 4)
    for x, y, radius in ((-0.4, -0.62, 0.24), (0.0, -0.7, 0.3), (0.38, -0.62, 0.25), (0.0, -0.55, 0.28)):
        stage.disc(x, y, radius, tint(stage, 0.4), plain=True)
    size = min(0.42, 1.5 / columns)
    places = []
    for row in range(rows):
        for x in _lanes(columns, 0.6):
            drop = (x + 0.1 * (row % 2), -0.02 + 0.55 * row + stage.between(0, 0.15))
            stage.line([(drop[0], drop[1] - size * 0.75), (drop[0], drop[1] - size * 0.5)], width=0.03)
            places.append(drop)
    return places, size * 0.9


def _umbrella(stage: Stage) -> tuple[list[Place], float]:
    count = stage.count(2, 4)
    dome = [(0.95 * math.cos(a), -0.1 - 0.7 * math.sin(a)) for a in np.linspace(0, math.pi, 20).tolist()]
    stage.shape(dome, tint(stage, 0.7))
    stage.line([(0, -0.9), (0, 0.92)], width=0.05)
    size = min(0.5, 1.6 / (count + count % 2))
    lanes = _lanes(count + count % 2, 0.85 - size / 2)
    return [(x, 0.9 - size / 2) for x in lanes], size


def _net(stage: Stage) -> tuple[list[Place], float]:
    count, size = stage.count(3, 5), 0.42
    return [on_circle(0.3, 90 + 360 * k / count, 0, 0.15) for k in range(count)], size


def _net_over(stage: Stage) -> None:
    rim = [(0.75 * math.cos(a), 0.15 + 0.75 * math.sin(a)) for a in np.linspace(0, math.pi, 16).tolist()]
    stage.line([*rim, (-0.05, -0.9), (0.05, -0.9), rim[0]], width=0.035)
    for step in np.linspace(-0.6, 0.6, 6).tolist():
        stage.line([(step, -0.35), (step * 0.8, 0.75)], width=0.018)
        stage.line([(-0.6, 0.15 + step * 0.7), (0.6, 0.15 + step * 0.7)], width=0.018)


def _crane(stage: Stage) -> tuple[list[Place], float]:
    side, count, size = 1 - 2 * stage.pick(2), stage.count(1, 3), 0.4
    stage.line([(-0.6 * side, 0.92), (-0.6 * side, -0.8)], width=0.09)
    stage.line([(-0.85 * side, -0.8), (0.9 * side, -0.8)], width=0.07)
    stage.line([(-0.6 * side, -0.4), (-0.1 * side, -0.8)], width=0.04)
    stage.line([(0.5 * side, -0.8), (0.5 * side, -0.3 + (count - 1) * size)], width=0.03)
    return [(0.5 * side, -0.3 + (k + 0.45) * size) for k in range(count)], size * 0.92


def _stack(stage: Stage) -> tuple[list[Place], float]:
    count = stage.count(3, 5)
    size = 1.7 / count
    stage.box(0, 0.92, 1.2, 0.08, tint(stage, 0.7))
    return [(stage.between(-0.06, 0.06), 0.88 - (k + 0.5) * size) for k in range(count)], min(size, 0.5)


def _roundabout(stage: Stage) -> tuple[list[Place], float]:
    count = stage.count(3, 5)
    stage.shape([(-0.9, -0.5), (0, -0.95), (0.9, -0.5)], tint(stage, 0.7))
    stage.line([(0, -0.6), (0, 0.9)], width=0.08)
    stage.box(0, 0.9, 1.7, 0.1, tint(stage, 0.6))
    places = []
    for number, x in enumerate(_lanes(count, 0.72)):
        y = 0.12 if number % 2 else 0.36
        stage.line([(x, -0.5), (x, 0.86)], width=0.03)
        places.append((x, y))
    return places, min(0.46, 1.7 / count)


def _wave(stage: Stage) -> tuple[list[Place], float]:
    count, level = stage.count(2, 4), stage.between(-0.1, 0.3)
    size = min(0.5, 1.6 / count)
    return [(x, level - size * 0.25 + 0.06 * math.sin(9 * x)) for x in _lanes(count, 0.7)], size


def _sea(stage: Stage) -> None:
    crest = [(x, 0.3 + 0.07 * math.sin(9 * x)) for x in np.linspace(-1.3, 1.3, 40).tolist()]
    stage.shape([*crest, (1.3, 1.3), (-1.3, 1.3)], tint(stage, 0.7), plain=True)


PROPS: Mapping[str, Prop] = {
    "clothes_line": Prop(("pegged to a clothesline", "hung out on a rope between two posts"), _clothes_line),
    "table": Prop(("set out on a table", "standing side by side on a tabletop"), _table),
    "skewer": Prop(("threaded on a skewer", "pierced by one stick"), _skewer),
    "slope": Prop(("rolling down a slope", "on a steep hillside"), _slope),
    "windows": Prop(("looking out of the windows of a house", "one in each window of a building"), _windows),
    "cart": Prop(("loaded on a cart", "carried off in a wagon"), _cart, _cart_body),
    "cloud": Prop(("raining from a cloud", "falling out of the sky like rain"), _cloud),
    "umbrella": Prop(("sheltered together under one parasol", "under a large canopy"), _umbrella),
    "net": Prop(("caught in a net", "gathered in a mesh bag"), _net, _net_over),
    "crane": Prop(("lifted by a crane", "hanging from the arm of a hoist"), _crane),
    "stack": Prop(("piled up into a tower", "stacked one on top of another"), _stack),
    "roundabout": Prop(("riding on a merry-go-round", "going around on a carousel"), _roundabout),
    "sea": Prop(("half sunk in a sea", "bobbing among the waves"), _wave, _sea),
}
"""Props by name."""
