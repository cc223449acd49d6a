"""One that differs from many: in colour, in how it stands, or by not being there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from relsim.world.canvas import Points
from relsim.world.relations.base import Layout, Relation
from relsim.world.relations.sequence_pieces import BARE, contour, contrast, dashed, mark_for, marked
from relsim.world.relations.standing import lean, settled, turned
from relsim.world.stage import Stage, circle, on_circle, rectangle

FAMILY = "comparison"

Formation = Callable[[Stage], Points]
"""Where the many stand, in any unit."""


def block(stage: Stage) -> Points:
    """Rows and columns."""
    rows, columns = [(2, 3), (3, 3), (3, 4), (2, 4), (3, 2), (4, 3), (4, 2)][stage.pick(7)]
    stretch = stage.between(0.85, 1.2)
    return _points([(x * stretch, y) for y in range(rows) for x in range(columns)])


def staggered(stage: Stage) -> Points:
    """Rows of changing length, each set between the things of the row above."""
    lengths = [(2, 3, 2), (3, 2, 3), (3, 4, 3), (2, 3), (3, 2)][stage.pick(5)]
    points = [(x - (n - 1) / 2, y * 0.87) for y, n in enumerate(lengths) for x in range(n)]
    return turned(_points(points), stage.pick(2) * 90)


def line(stage: Stage) -> Points:
    """A slanting row of four or five."""
    count = stage.count(4, 5)
    return turned(_points([(x, 0) for x in range(count)]), stage.between(25, 65) + 90 * stage.pick(4))


def bow(stage: Stage) -> Points:
    """An open arc."""
    count, span = stage.count(5, 7), stage.between(150, 230)
    start = stage.between(0, 360)
    return _points([on_circle(1, start + span * k / (count - 1)) for k in range(count)])


def rosette(stage: Stage) -> Points:
    """One in the middle of five or six others."""
    count, start = stage.count(5, 6), stage.between(0, 360)
    return _points([(0, 0), *(on_circle(1, start + 360 * k / count) for k in range(count))])


def cross(stage: Stage) -> Points:
    """As the five on a die, or a plus, with arms of one or two."""
    arms = 1 if stage.chance(0.7) else 2
    points = [(0, 0), *((x * k, y * k) for k in range(1, arms + 1) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)))]
    return turned(_points(points), stage.between(0, 90))


def wave(stage: Stage) -> Points:
    """A line that goes up and down, or to and fro."""
    count = stage.count(5, 7)
    points = [(k * stage.between(0.62, 0.68), (-0.6, 0.6)[k % 2]) for k in range(count)]
    return turned(_points(points), stage.between(-25, 25) + stage.pick(4) * 90)


def crowd(stage: Stage) -> Points:
    """Anywhere, not too close together."""
    count = stage.count(5, 9)
    pool = stage.rng.uniform(-1, 1, (60, 2)).astype(np.float32)
    chosen = [pool[0]]
    while len(chosen) < count:
        gaps = np.hypot(*(pool[:, None] - np.array(chosen)[None]).transpose(2, 0, 1)).min(axis=1)
        chosen.append(pool[int(gaps.argmax())])
    return np.array(chosen, np.float32)


def odd_colour(formation: Formation) -> Layout:
    """All of one kind and colour but for one of another colour."""

    def layout(stage: Stage) -> None:
        points, size = settled(stage, formation(stage), fill=1.0, largest=0.75)
        actor, odd, tilt = stage.cast[0], stage.pick(len(points)), lean(stage)
        other = actor.painted(contrast(stage, actor.colour))
        for number, (x, y) in enumerate(points.tolist()):
            stage.put(other if number == odd else actor, x, y, size * (0.86 if tilt else 1.0), turn=tilt)

    layout.__name__ = f"odd_colour_in_{formation.__name__}"
    return layout


def odd_turn(formation: Formation) -> Layout:
    """All stand alike but for one that is turned by much."""

    def layout(stage: Stage) -> None:
        points, size = settled(stage, formation(stage), fill=1.02, largest=0.8)
        odd, mark, base = (
            stage.pick(len(points)),
            mark_for(stage, stage.cast[0]),
            stage.pick(4) * 90 * stage.chance(0.35),
        )
        widest = 115 if mark == BARE else 180  # some bare things look alike upside down
        off = stage.between(65, widest) * (1 if stage.chance() else -1)
        for number, (x, y) in enumerate(points.tolist()):
            marked(stage, stage.cast[0], (x, y), size, base + (off if number == odd else 0), mark)

    layout.__name__ = f"odd_turn_in_{formation.__name__}"
    return layout


def _odd_lollipop(stage: Stage) -> None:
    """Things on sticks stand along a line, or hang from it; one leans far over."""
    count, odd = stage.count(4, 6), stage.pick(4)
    hanging, pitch = stage.chance(), 1.8 / count
    size = min(pitch * 1.05, stage.between(0.4, 0.5))
    ground = stage.between(0.55, 0.9)
    length = stage.between(0.75, 1.0)
    off = stage.between(45, 60) * (1 if odd < (count - 1) / 2 else -1)  # inwards, not out of the frame
    for number in range(count):
        x, lean_ = -0.9 + pitch * (number + 0.5), off if number == odd else 0
        tip = on_circle(length * (0.8 if number == odd else 1), lean_ - 90, x, ground)
        sign = -1 if hanging else 1
        stage.line([(x, ground * sign), (tip[0], tip[1] * sign)], width=0.05)
        stage.put(stage.cast[0], tip[0], tip[1] * sign, size, turn=(lean_ * sign) + (180 if hanging else 0))
    stage.line([(-0.95, ground * sign), (0.95, ground * sign)], width=0.05)


def missing_one(formation: Formation) -> Layout:
    """A regular arrangement with one place empty: a dashed line stands there."""

    def layout(stage: Stage) -> None:
        points, size = settled(stage, formation(stage), fill=0.98, largest=0.75)
        gap, manner = stage.pick(len(points)), stage.pick(3)
        for number, (x, y) in enumerate(points.tolist()):
            if number != gap:
                stage.put(stage.cast[0], x, y, size * 0.96)
                continue
            shapes = (
                contour(stage.cast[0]) * size,
                circle(0, 0, size * 0.46),
                rectangle(0, 0, size * 0.86, size * 0.86),
            )
            dashed(stage, shapes[manner] + np.array([x, y], np.float32), dash=0.075, width=0.034)

    layout.__name__ = f"missing_one_in_{formation.__name__}"
    return layout


def _missing_on_shelves(stage: Stage) -> None:
    """Shelves, or pegs, with a thing for each place but one."""
    rows, columns, odd = stage.count(1, 3), stage.count(3, 4), stage.pick(100)
    pitch, high = 1.86 / columns, 1.86 / max(rows, 2)
    size = min(pitch, high) * 0.84
    for row in range(rows):
        level = high * (row - (rows - 1) / 2) + size / 2
        stage.line([(-0.95, level + 0.03), (0.95, level + 0.03)], width=0.06)
        for column in range(columns):
            x = pitch * (column - (columns - 1) / 2)
            if row * columns + column != odd % (rows * columns):
                stage.put(stage.cast[row % 2], x, level - size / 2, size)
            else:
                empty = contour(stage.cast[row % 2]) * size + np.array([x, level - size / 2], np.float32)
                dashed(stage, empty, dash=0.075, width=0.034)


def _points(points: Sequence[tuple[float, float]]) -> Points:
    return np.array(points, np.float32)


_FORMATIONS = (block, staggered, line, bow, rosette, cross, wave)

RELATIONS: tuple[Relation, ...] = (
    Relation(
        "odd_colour",
        FAMILY,
        (
            "One {Object} of a different color among identical ones",
            "All {Items} share one color except for a single one",
            "A single {Item} stands out by its color from all the others",
            "Identical {Objects}, one of them in an odd color",
            "Among {Items} of the same color one is colored differently",
            "The odd {Object} differs from the others only in its color",
            "Only one of the {Subjects} has another color than the rest",
        ),
        tuple(odd_colour(formation) for formation in (*_FORMATIONS, crowd)),
    ),
    Relation(
        "odd_turn",
        FAMILY,
        (
            "One {Object} is turned in a different direction from all the others",
            "All {Items} point the same way except one that is turned around",
            "A single {Item} is turned the wrong way while all others are aligned",
            "Identical {Objects}, one of them turned the wrong way round",
            "All but one of the {Objects} are turned the same way",
            "Only one of the aligned {Objects} is turned differently",
            "The other {Items} are aligned, the odd one out is turned away",
        ),
        (_odd_lollipop, *(odd_turn(formation) for formation in (*_FORMATIONS, crowd))),
    ),
    Relation(
        "missing_one",
        FAMILY,
        (
            "One {Item} is missing from a regular arrangement, its place left empty",
            "An empty gap where one of the {Objects} should be",
            "A set of {Items} in which a single one is missing",
            "The outline of an absent {Object} marks a gap in the pattern",
            "A regular arrangement of {Objects} with one missing",
            "A dashed outline shows where the missing {Item} belongs",
            "Every place holds an {Object} except one gap that is left empty",
        ),
        (_missing_on_shelves, *(missing_one(formation) for formation in _FORMATIONS)),
    ),
)
