"""Composed marks: one thing, and what is drawn over it and around it.

Arrows that measure, beams that weigh, stems that bear, water that mirrors and gifts that go both ways are left out
of all composed relations: relations with them are held out of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import block_arrow, colour_of, streaks
from relsim.world.stage import Stage, on_circle

Drawn = Callable[[Stage, float, float, float], None]
"""Draws at (x, y) for a thing of a size."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is done to one thing: ways to say it, what is drawn before it, and what after."""

    phrases: tuple[str, ...]
    under: Drawn | None = None
    over: Drawn | None = None


def tint(stage: Stage, share: float = 0.5) -> RGB:
    """Any colour of the scene, mixed into the paper; `share` of it is colour."""
    return blend(stage.paper, colour_of(stage).rgb, share)


def marked(mark: Mark, count: int) -> Layout:
    """One thing with the mark; `count` more of its kind stand about without it."""
    return partial(_marked, mark=mark, count=count)


def _marked(stage: Stage, mark: Mark, count: int) -> None:
    size = stage.between(0.85, 1.1) if count == 0 else 0.5
    cells = [(0.0, 0.0)] if count == 0 else [(x, y) for x in (-0.6, 0.0, 0.6) for y in (-0.6, 0.0, 0.6)]
    order = stage.rng.permutation(len(cells))[: count + 1].tolist()
    turn = stage.between(-25, 25)
    for number, cell in enumerate(order):
        drift = 0.18 if count == 0 else 0.04
        x, y = (value + stage.between(-drift, drift) for value in cells[cell])
        first = number == 0
        if first and mark.under:
            mark.under(stage, x, y, size)
        stage.put(stage.cast[0], x, y, size * (1.0 if count == 0 else 0.9), turn=turn)
        if first and mark.over:
            mark.over(stage, x, y, size)


def _crossed_out(stage: Stage, x: float, y: float, size: float) -> None:
    r, ink = size * 0.55, blend(colour_of(stage).rgb, stage.ink, 0.5)
    stage.line([(x - r, y - r), (x + r, y + r)], width=0.09, colour=ink)
    stage.line([(x - r, y + r), (x + r, y - r)], width=0.09, colour=ink)


def _forbidden(stage: Stage, x: float, y: float, size: float) -> None:
    stage.ring(x, y, size * 0.62, width=0.08)
    stage.line([on_circle(size * 0.62, 225, x, y), on_circle(size * 0.62, 45, x, y)], width=0.08)


def _ringed(stage: Stage, x: float, y: float, size: float) -> None:
    stage.ring(x, y, size * 0.64, width=0.06, colour=blend(colour_of(stage).rgb, stage.ink, 0.3))


def _dashed_ring(stage: Stage, x: float, y: float, size: float) -> None:
    for angle in range(0, 360, 30):
        stage.line([on_circle(size * 0.64, angle + step, x, y) for step in (0, 8, 16)], width=0.04)


def _underlined(stage: Stage, x: float, y: float, size: float) -> None:
    for step in (0.6, 0.7):
        stage.line([(x - size * 0.55, y + size * step), (x + size * 0.55, y + size * step)], width=0.045)


def _corners(stage: Stage, x: float, y: float, size: float) -> None:
    r = size * 0.6
    for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        px, py = x + sx * r, y + sy * r
        stage.line([(px - sx * r * 0.4, py), (px, py), (px, py - sy * r * 0.4)], width=0.05)


def _crosshair(stage: Stage, x: float, y: float, size: float) -> None:
    stage.ring(x, y, size * 0.5, width=0.035)
    for angle in (0, 90, 180, 270):
        stage.line([on_circle(size * 0.2, angle, x, y), on_circle(size * 0.72, angle, x, y)], width=0.035)


def _shining(stage: Stage, x: float, y: float, size: float) -> None:
    count = 10
    for number in range(count):
        angle = 360 * number / count
        reach = 0.8 if number % 2 else 0.9
        stage.line([on_circle(size * 0.62, angle, x, y), on_circle(size * reach, angle, x, y)], width=0.04)


def _moving(stage: Stage, x: float, y: float, size: float) -> None:
    away = stage.pick(2) * 180 + stage.between(-20, 20)
    streaks(stage, away, on_circle(size * 0.55, away + 180, x, y), size * 0.45, size * 0.5)


def _pointed_at(stage: Stage, x: float, y: float, size: float) -> None:
    away = stage.between(0, 360)
    stage.shape(block_arrow(on_circle(size * 1.05, away, x, y), on_circle(size * 0.55, away, x, y), 0.1), stage.ink)


def _turning(stage: Stage, x: float, y: float, size: float) -> None:
    start = stage.between(0, 360)
    for number in range(2):
        arc = [on_circle(size * 0.66, start + 180 * number + step, x, y) for step in range(0, 130, 10)]
        stage.line(arc, width=0.045)
        stage.arrow(arc[-1], on_circle(size * 0.66, start + 180 * number + 150, x, y), width=0.045, head=0.14)


def _ticked(stage: Stage, x: float, y: float, size: float) -> None:
    px, py = x + size * 0.5, y - size * 0.45
    stage.disc(px, py, 0.2, tint(stage, 0.7))
    stage.line([(px - 0.1, py), (px - 0.03, py + 0.09), (px + 0.12, py - 0.1)], width=0.05)


def _price_tag(stage: Stage, x: float, y: float, size: float) -> None:
    px, py = x + size * 0.5, y + size * 0.45
    stage.line([(x, y), (px, py)], width=0.02)
    stage.shape(
        [
            (px - 0.05, py - 0.12),
            (px + 0.32, py - 0.12),
            (px + 0.32, py + 0.12),
            (px - 0.05, py + 0.12),
            (px - 0.16, py),
        ],
        tint(stage, 0.6),
    )
    stage.disc(px - 0.05, py, 0.03, stage.paper, plain=True)


def _ruled_over(stage: Stage, x: float, y: float, size: float) -> None:
    r = size * 0.62
    for step in np.linspace(-r, r, 6).tolist():
        stage.line([(x + step, y - r), (x + step, y + r)], width=0.022)
        stage.line([(x - r, y + step), (x + r, y + step)], width=0.022)


def _behind_bars(stage: Stage, x: float, y: float, size: float) -> None:
    r = size * 0.64
    for step in np.linspace(-r, r, 6).tolist():
        stage.line([(x + step, y - r), (x + step, y + r)], width=0.055)
    for level in (-r, r):
        stage.line([(x - r, y + level), (x + r, y + level)], width=0.06)


def _half_covered(stage: Stage, x: float, y: float, size: float) -> None:
    side = 1 - 2 * stage.pick(2)
    stage.box(x + side * size * 0.35, y, size * 0.7, size * 1.3, tint(stage, 0.7))


def _tied_up(stage: Stage, x: float, y: float, size: float) -> None:
    ribbon = blend(colour_of(stage).rgb, stage.ink, 0.2)
    for ends in (((x, y - size * 0.6), (x, y + size * 0.6)), ((x - size * 0.6, y), (x + size * 0.6, y))):
        stage.line(ends, width=0.08, colour=ribbon)
    for side in (1, -1):
        stage.shape([(x, y), (x + side * 0.2, y - 0.16), (x + side * 0.2, y + 0.06)], ribbon, plain=True)


MARKS: Mapping[str, Mark] = {
    "crossed_out": Mark(("crossed out", "struck through with a large X"), over=_crossed_out),
    "forbidden": Mark(("under a prohibition sign", "forbidden: a ring with a slanting bar over it"), over=_forbidden),
    "ringed": Mark(("circled by hand", "with a ring drawn around it"), over=_ringed),
    "dashed_ring": Mark(("inside a dotted circle", "surrounded by a broken ring"), over=_dashed_ring),
    "underlined": Mark(("underlined twice", "with two lines below it"), over=_underlined),
    "corners": Mark(("between four corner marks", "framed in a viewfinder"), over=_corners),
    "crosshair": Mark(("in the crosshairs", "seen through a gun sight"), over=_crosshair),
    "shining": Mark(("shining in all directions", "with rays of light around it"), over=_shining),
    "moving": Mark(("rushing past, lines of speed behind it", "in quick motion"), over=_moving),
    "pointed_at": Mark(("with a big arrow pointing at it", "pointed out by an arrow"), over=_pointed_at),
    "turning": Mark(("spinning, with curved arrows around it", "rotating about itself"), over=_turning),
    "ticked": Mark(("approved with a check mark", "ticked off"), over=_ticked),
    "price_tag": Mark(("for sale, with a price tag", "with a tag tied to it"), over=_price_tag),
    "ruled_over": Mark(("under a fine grid of lines", "overlaid by a mesh"), over=_ruled_over),
    "behind_bars": Mark(("locked behind bars", "imprisoned behind a grating"), over=_behind_bars),
    "half_covered": Mark(("half hidden behind a screen", "partly covered by a panel"), over=_half_covered),
    "tied_up": Mark(("wrapped with a ribbon and a bow", "tied up like a gift"), over=_tied_up),
}
"""Marks over and around a thing, by name."""
