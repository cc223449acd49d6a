"""Composed series: things along a path, a change from one to the next, and what ties them.

Every path goes with every change and every tie that make sense on it, so that a few dozen parts give two thousand
relations, each with its own sentences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from relsim.world.palettes import blend
from relsim.world.relations.base import Layout
from relsim.world.relations.composed_marks import tint
from relsim.world.relations.composed_paths import Path
from relsim.world.relations.standing import Place, settled, spot, trimmed, turned
from relsim.world.stage import Actor, Stage, circle


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the things from first to last: ways to say it, and each one's actor, size, turn and fade.

    `at` is given the stage, the place's number, and the count of places; sizes are factors.
    """

    phrases: tuple[str, ...]
    at: Callable[[Stage, int, int], tuple[Actor, float, float, float]]
    ordered: bool = False  # whether it needs a first and a last


@dataclass(frozen=True, slots=True)
class Tie:
    """What is drawn beneath the things: ways to say it, and how, from places and the size of things there."""

    phrases: tuple[str, ...]
    draw: Callable[[Stage, list[Place], float], None]
    ordered: bool = False  # whether it runs from one thing to the next


def series(path: Path, change: Change, tie: Tie) -> Layout:
    """The layout of one composition."""
    return partial(_series, path=path, change=change, tie=tie)


def _series(stage: Stage, path: Path, change: Change, tie: Tie) -> None:
    points, size = settled(stage, path.points(stage), fill=stage.between(0.76, 0.96), largest=0.52)
    places = [spot(point) for point in points]
    tie.draw(stage, places, size)
    for number, (x, y) in enumerate(places):
        actor, scale, turn, fade = change.at(stage, number, len(places))
        stage.put(actor, x, y, size * scale, turn=turn, fade=fade)


_Placed = tuple[Actor, float, float, float]


def _share(number: int, count: int) -> float:
    return number / max(count - 1, 1)


def _alike(stage: Stage, _number: int, _count: int) -> _Placed:
    return stage.cast[0], 1.0, 0.0, 0.0


def _many_colours(stage: Stage, number: int, _count: int) -> _Placed:
    colours = [stage.cast[1].colour, stage.cast[2].colour, *stage.spare, stage.cast[0].colour]
    return stage.cast[0].painted(colours[number % len(colours)]), 1.0, 0.0, 0.0


def _mixed(stage: Stage, number: int, _count: int) -> _Placed:
    return stage.cast[(number * 2 + number // 3) % 3], 1.0, 0.0, 0.0


def _growing(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[0], 0.4 + 0.7 * _share(number, count), 0.0, 0.0


def _swelling(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[0], 1.15 - 1.5 * abs(_share(number, count) - 0.5), 0.0, 0.0


def _waisted(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[0], 0.4 + 1.4 * abs(_share(number, count) - 0.5), 0.0, 0.0


def _by_turns_large(stage: Stage, number: int, _count: int) -> _Placed:
    return stage.cast[0], (1.1, 0.55)[number % 2], 0.0, 0.0


def _tumbling(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[0], 1.0, 180 * _share(number, count), 0.0


def _upside_down(stage: Stage, number: int, _count: int) -> _Placed:
    return stage.cast[0], 1.0, 180.0 * (number % 2), 0.0


def _other_ends(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[1 if number in (0, count - 1) else 0], 1.0, 0.0, 0.0


def _other_middle(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[1 if number == count // 2 else 0], 1.0, 0.0, 0.0


def _halves(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[0 if number < count / 2 else 1], 1.0, 0.0, 0.0


def _every_third(stage: Stage, number: int, _count: int) -> _Placed:
    return stage.cast[1 if number % 3 == 2 else 0], 1.0, 0.0, 0.0


def _paling_ends(stage: Stage, number: int, count: int) -> _Placed:
    return stage.cast[0], 1.0, 0.0, 1.6 * abs(_share(number, count) - 0.5)


def _huge_first(stage: Stage, number: int, _count: int) -> _Placed:
    return stage.cast[1 if number == 0 else 0], 1.25 if number == 0 else 0.6, 0.0, 0.0


CHANGES: Mapping[str, Change] = {
    "alike": Change(("all alike", "each the same as the next"), _alike),
    "many_colours": Change(("each of another color", "in many colors"), _many_colours),
    "mixed": Change(("of different kinds", "of mixed kinds"), _mixed),
    "growing": Change(("each larger than the one before", "from small to large"), _growing, ordered=True),
    "swelling": Change(("largest in the middle", "smaller toward both ends"), _swelling, ordered=True),
    "waisted": Change(("smallest in the middle", "larger toward both ends"), _waisted, ordered=True),
    "by_turns_large": Change(("large and small by turns", "every second one smaller"), _by_turns_large),
    "tumbling": Change(("each turned a little further", "gradually tipping over"), _tumbling, ordered=True),
    "upside_down": Change(("upright and upside down by turns", "every second one upside down"), _upside_down),
    "other_ends": Change(
        ("with another kind at both ends", "the first and the last different"), _other_ends, ordered=True
    ),
    "other_middle": Change(
        ("with a different one in the middle", "the middle one of another kind"), _other_middle, ordered=True
    ),
    "halves": Change(("one half of one kind, the other half of another", "changing kind half-way"), _halves),
    "every_third": Change(("every third one different", "two of one kind, then one of another"), _every_third),
    "paling_ends": Change(
        ("paling toward both ends", "strongest in the middle, faint at the ends"), _paling_ends, ordered=True
    ),
    "huge_first": Change(("a huge one leading small ones", "small ones behind a large leader"), _huge_first),
}
"""Changes by name."""


def _nothing(_stage: Stage, _places: list[Place], _size: float) -> None:
    pass


def _string(stage: Stage, places: list[Place], _size: float) -> None:
    stage.line(places, width=stage.between(0.03, 0.06))


def _arrows(stage: Stage, places: list[Place], size: float) -> None:
    for start, end in pairwise(places):
        stage.arrow(*trimmed(start, end, size * 0.5, size * 0.5), width=0.04, head=0.12)


def _road(stage: Stage, places: list[Place], size: float) -> None:
    stage.line(places, width=size * 1.2, colour=tint(stage, 0.5))


def _bubbles(stage: Stage, places: list[Place], size: float) -> None:
    tone = tint(stage, 0.35)
    for place in places:
        stage.disc(*place, size * 0.54, tone, plain=True)
        stage.ring(*place, size * 0.54, width=0.025)


def _boxes(stage: Stage, places: list[Place], size: float) -> None:
    tone = tint(stage, 0.3)
    for x, y in places:
        stage.box(x, y, size * 1.02, size * 1.02, tone, plain=True)
        stage.frame(x, y, size * 1.02, size * 1.02, line=0.025)


def _one_frame(stage: Stage, places: list[Place], size: float) -> None:
    points = np.asarray(places)
    low, high = points.min(axis=0) - 0.55 * size, points.max(axis=0) + 0.55 * size
    middle, extent = (low + high) / 2, high - low
    if stage.chance():
        stage.box(*spot(middle), *spot(extent), tint(stage, 0.3), plain=True)
    stage.frame(*spot(middle), *spot(extent), line=0.04)


def _captions(stage: Stage, places: list[Place], size: float) -> None:
    grey = blend(stage.paper, stage.ink, 0.55)
    for x, y in places:
        stage.box(x, y + size * 0.56, size * stage.between(0.5, 0.8), 0.05, grey, plain=True)


def _bars(stage: Stage, places: list[Place], size: float) -> None:
    for start, end in pairwise(places):
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        away = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
        bar = turned([(0.0, -size * 0.5), (0.0, size * 0.5)], away) + np.array([x, y], np.float32)
        stage.line(bar, width=0.05)


def _rays(stage: Stage, places: list[Place], _size: float) -> None:
    """A line from each to one point outside all of them."""
    x, y = np.asarray(places).mean(axis=0).tolist()
    knot = (x + 0.25 * (1 if x < 0 else -1), y + 0.25 * (1 if y < 0 else -1))
    for place in places:
        stage.line([knot, place], width=0.025)
    stage.disc(*knot, 0.06, stage.ink, plain=True)


def _shadows(stage: Stage, places: list[Place], size: float) -> None:
    """A flat spot on the ground under each."""
    tone = blend(stage.paper, stage.ink, 0.35)
    for x, y in places:
        stage.shape(circle(0, 0, size * 0.5, 18) * (1.0, 0.24) + (x, y + size * 0.5), tone, plain=True)


TIES: Mapping[str, Tie] = {
    "loose": Tie(("", ""), _nothing),
    "string": Tie((", strung on a line", ", joined by a line"), _string, ordered=True),
    "arrows": Tie((", with arrows from each to the next", ", arrows showing their order"), _arrows, ordered=True),
    "road": Tie((", on a broad band", ", along a road"), _road, ordered=True),
    "bubbles": Tie((", each in a circle of its own", ", each inside a bubble"), _bubbles),
    "boxes": Tie((", each in a box of its own", ", each in a separate square"), _boxes),
    "one_frame": Tie((", all within one frame", ", enclosed by one border"), _one_frame),
    "captions": Tie((", each with a label below", ", each with a line of text"), _captions),
    "bars": Tie((", separated by bars", ", with a bar between neighbors"), _bars, ordered=True),
    "rays": Tie((", each tied to one knot by a thread", ", threads from all meeting in a knot"), _rays),
    "shadows": Tie((", each above its own shadow", ", hovering over spots of shadow"), _shadows),
}
"""Ties by name."""
