"""Letters, numerals and hearts as strokes, and things laid along them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import evenly, turned
from relsim.world.stage import Stage

_LETTERS: Mapping[str, str] = MappingProxyType(
    {
        "A": "-1,1 0,-1 1,1 | -0.5,0.2 0.5,0.2",
        "E": "1,-1 -1,-1 -1,1 1,1 | -1,0 0.7,0",
        "F": "1,-1 -1,-1 -1,1 | -1,-0.05 0.6,-0.05",
        "H": "-1,-1 -1,1 | 1,-1 1,1 | -1,0 1,0",
        "K": "-1,-1 -1,1 | 1,-1 -1,0 1,1",
        "L": "-1,-1 -1,1 1,1",
        "M": "-1,1 -1,-1 0,0.3 1,-1 1,1",
        "N": "-1,1 -1,-1 1,1 1,-1",
        "P": "-1,1 -1,-1 0.5,-1 1,-0.5 0.5,0.05 -1,0.05",
        "R": "-1,1 -1,-1 0.5,-1 1,-0.5 0.5,0.05 -1,0.05 1,1",
        "S": "0.95,-0.75 0.3,-1 -0.5,-0.95 -0.9,-0.5 -0.4,-0.1 0.5,0.15 0.9,0.55 0.4,1 -0.4,1 -0.95,0.75",
        "T": "-1,-1 1,-1 | 0,-1 0,1",
        "U": "-1,-1 -1,0.4 -0.5,1 0.5,1 1,0.4 1,-1",
        "V": "-1,-1 0,1 1,-1",
        "W": "-1,-1 -0.5,1 0,-0.4 0.5,1 1,-1",
        "X": "-1,-1 1,1 | 1,-1 -1,1",
        "Y": "-1,-1 0,0 1,-1 | 0,0 0,1",
        "Z": "-1,-1 1,-1 -1,1 1,1",
        "2": "-0.95,-0.6 -0.4,-1 0.5,-1 0.9,-0.5 -1,1 1,1",
        "4": "0.4,1 0.4,-1 -1,0.35 1,0.35",
        "5": "0.9,-1 -0.8,-1 -0.9,-0.1 0.3,-0.25 0.95,0.3 0.4,1 -0.9,0.9",
        "7": "-1,-1 1,-1 -0.3,1",
    }
)
"""Strokes in the square [-1, 1]², divided by bars."""

_SHORT = ("L", "T", "V", "X", "Y", "U", "N", "Z", "7", "4", "H")


def _strokes(stage: Stage, names: Sequence[str]) -> list[Points]:
    """Strokes of one of the letters."""
    text = _LETTERS[names[stage.pick(len(names))]]
    pairs = [[pair.split(",") for pair in stroke.split()] for stroke in text.split("|")]
    return [np.array(stroke, np.float32) for stroke in pairs]


def _heart() -> list[Points]:
    """The closed line of a heart in the square [-1, 1]²."""
    t = np.linspace(0, 2 * math.pi, 60)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    points = np.stack([np.sin(t) ** 3, (y - 2.6) / 14.5], axis=1)
    return [points.astype(np.float32)]


def _beads(strokes: Sequence[Points], gap: float) -> list[tuple[float, float, float]]:
    """Positions about `gap` apart along the strokes and the direction there, none where one lies already."""
    beads: list[tuple[float, float, float]] = []
    for stroke in strokes:
        for first, last in pairwise(stroke):
            direction = math.degrees(math.atan2(*(last - first)[::-1].tolist()))
            length = float(np.hypot(*(last - first)))
            for x, y in evenly([first, last], max(round(length / gap), 1) + 1).tolist():
                if all(math.hypot(x - u, y - v) > 0.72 * gap for u, v, _ in beads):
                    beads.append((x, y, direction))
    return beads


def _shaped(strokes: Sequence[Points], width: float, height: float, turn: float = 0.0, x: float = 0.0) -> list[Points]:
    """Strokes with half of their width and height given, turned, then shifted to the right."""
    return [turned(stroke * np.array([width, height], np.float32), turn) + np.array([x, 0]) for stroke in strokes]


def _letter_upright(stage: Stage) -> None:
    gap = stage.between(0.27, 0.36)
    letter = _shaped(_strokes(stage, tuple(_LETTERS)), stage.between(0.5, 0.78), stage.between(0.72, 0.8))
    turn = stage.between(-60, 60) if stage.chance() else 0
    for x, y, _ in _beads(letter, gap):
        stage.put(stage.cast[0], x, y, gap * 1.08, turn=turn)


def _letter_slanted(stage: Stage) -> None:
    """Things point along the strokes; the letter leans and each stroke may have its own kind."""
    gap, painted = stage.between(0.23, 0.28), stage.chance(0.3)
    lean = stage.between(10, 24) * (1 if stage.chance() else -1)
    strokes = _shaped(_strokes(stage, tuple(_LETTERS)), stage.between(0.48, 0.6), stage.between(0.68, 0.74), lean)
    for number, (x, y, direction) in enumerate(_beads(strokes, gap)):
        colour = stage.cast[number % 2].colour if painted else stage.cast[0].colour
        stage.put(stage.cast[0].painted(colour), x, y, gap * 1.2, turn=direction)


def _letter_heart(stage: Stage) -> None:
    count = stage.count(11, 17)
    width, height = stage.between(0.6, 0.82), stage.between(0.6, 0.8)
    shift = stage.between(-1, 1) * (0.82 - width)
    (line,) = _shaped(_heart(), width, height, stage.between(-22, 22), shift)
    points = evenly(line, count + 1)[:-1]
    size = 0.9 * float(np.hypot(*(points[1:] - points[:-1]).T).mean())
    alternate = stage.chance(0.4)
    taken: list[list[float]] = []
    for number, (x, y) in enumerate(points.tolist()):
        if all(math.hypot(x - u, y - v) > 0.6 * size for u, v in taken):  # the notch brings both arms together
            taken.append([x, y])
            stage.put(stage.cast[number % 2 if alternate else 0], x, y, min(max(size, 0.24), 0.36))


def _letter_pair(stage: Stage) -> None:
    """Two letters, one of each kind."""
    gap, height = stage.between(0.26, 0.31), stage.between(0.55, 0.8)
    for number, side in enumerate((-0.5, 0.5)):
        letter = _shaped(_strokes(stage, _SHORT), stage.between(0.27, 0.33), height, 0, side)
        for x, y, _ in _beads(letter, gap):
            stage.put(stage.cast[number], x, y, gap)


def _letter_on_a_card(stage: Stage) -> None:
    """A broad written stroke with few large things on it."""
    gap = stage.between(0.36, 0.46)
    letter = _shaped(_strokes(stage, _SHORT), stage.between(0.5, 0.7), stage.between(0.62, 0.7), stage.between(-8, 8))
    stage.box(0, 0, 1.9, 1.9, blend(stage.paper, stage.spare[0].rgb, 0.22), plain=True)
    for stroke in letter:
        stage.line(stroke, width=gap * 0.7, colour=blend(stage.paper, stage.ink, 0.25))
    for x, y, _ in _beads(letter, gap):
        stage.put(stage.cast[0], x, y, gap * 0.92)


LETTERS: tuple[Layout, ...] = (_letter_upright, _letter_slanted, _letter_heart, _letter_pair, _letter_on_a_card)
"""Ways to draw a letter from objects."""
