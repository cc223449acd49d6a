"""Sequences of making and unmaking: a thing fills up, falls apart, or is put together part by part."""

from __future__ import annotations

import numpy as np

from relsim.world.palettes import blend
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
from relsim.world.relations.sequence_pieces import (
    Piece,
    bands,
    cut,
    reach,
    split,
    turned,
    uncounted,
)
from relsim.world.stage import Stage, on_circle

FAMILY = "sequence"

_SHRUNK = 0.74
"""Size of a broken thing in its spot: its pieces need room."""


def _share(k: int, n: int) -> float:
    """How full stage k of n is: never quite empty, at last brimful."""
    return 0.1 + 0.85 * k / (n - 1)


def _pouring(stage: Stage, n: int) -> Step:
    """A vessel with straight walls, in which something floats on more and more liquid."""
    foot, mouth, floats = stage.between(0.3, 0.7), stage.between(0.6, 0.78), stage.chance(0.75)
    liquid = stage.cast[1].colour.rgb

    def step(spot: Spot, k: int) -> None:
        high = spot.room * (0.76 if floats else 0.92)
        base, share = spot.y + spot.room / 2, _share(k, n)
        half = (foot * spot.room / 2, mouth * spot.room / 2)
        level = half[0] + (half[1] - half[0]) * share
        top = base - high
        glass = [(-half[1], top), (-half[0], base), (half[0], base), (half[1], top)]
        stage.shape([(spot.x + x, y) for x, y in glass], blend(stage.paper, (255, 255, 255), 0.5), plain=True)
        surface = base - high * share
        if floats:
            size = spot.room * min(0.36, 1.6 * level / spot.room)
            stage.put(stage.cast[0], spot.x, surface - size * 0.3, size)
        sides = [(-level, surface), (-half[0], base), (half[0], base), (level, surface)]
        stage.shape([(spot.x + x, y) for x, y in sides], liquid, plain=True)
        stage.line([(spot.x + x, y) for x, y in glass], width=0.045)

    return step


def _colouring_in(stage: Stage, n: int) -> Step:
    """A pale shape takes its colours from one end to the other."""
    actor, degrees = stage.cast[0], stage.pick(4) * 90 + stage.between(-25, 25)
    low, high = reach(actor, degrees)
    pale = blend(stage.paper, stage.ink, 0.22)

    def step(spot: Spot, k: int) -> None:
        share = _share(k, n) if k < n - 1 else 1.0
        stage.put(actor, spot.x, spot.y, spot.room, silhouette=pale)
        stage.put(cut(actor, (degrees, high - (high - low) * share)), spot.x, spot.y, spot.room)

    return step


def _going_round(stage: Stage, n: int) -> Step:
    """A dial around something fills up sector by sector."""
    start, way = stage.between(-180, 180), 1 if stage.chance() else -1
    colour, empty = stage.cast[1].colour.rgb, blend(stage.paper, stage.ink, 0.16)

    def step(spot: Spot, k: int) -> None:
        radius, sweep = spot.room * 0.5, 360 * _share(k, n) * way
        stage.disc(spot.x, spot.y, radius, empty, plain=True)
        rim = [on_circle(radius, start + sweep * i / 20, spot.x, spot.y) for i in range(21)]
        stage.shape([(spot.x, spot.y), *rim], colour, plain=True)
        stage.disc(spot.x, spot.y, radius * 0.66, stage.paper, plain=True)
        stage.put(stage.cast[0], spot.x, spot.y, radius * 0.95)

    return step


def _filling_bars(stage: Stage) -> None:
    """Bars one under the other or side by side, each fuller than the one before, each with its thing at the end."""
    count, upright = stage.count(3, 4), stage.chance()
    pitch = 1.86 / count
    size = min(pitch * 0.9, 0.55)
    thick, length = pitch * stage.between(0.5, 0.75), 1.8 - size
    empty = blend(stage.paper, stage.ink, 0.16)
    for k in range(count):
        at, full = -0.93 + pitch * (k + 0.5), length * _share(k, count)
        start = 0.93 - size - 0.06  # where the bar begins; it runs to the other border
        for extent, colour in ((length, empty), (full, stage.cast[1].colour.rgb)):
            x, y = (at, start - extent / 2) if upright else (-start + extent / 2, at)
            stage.box(x, y, *((thick, extent) if upright else (extent, thick)), colour, plain=True)
        x, y = (at, start - length / 2) if upright else (-start + length / 2, at)
        stage.frame(x, y, *((thick, length) if upright else (length, thick)), line=0.035)
        middle = 0.93 - size / 2
        stage.put(stage.cast[0], *((at, middle) if upright else (-middle, at)), size)


def _breaking(stage: Stage, n: int) -> Step:
    """Whole, then cracked, then in pieces that drift apart and turn."""
    actor, degrees = stage.cast[0], stage.between(0, 360)
    lines = [
        (degrees + shift + stage.between(-18, 18), stage.between(-0.06, 0.06))
        for shift in ((0, 90) if n > 3 or stage.chance() else (0, 60, 120))
    ]
    pieces = split(actor, lines)
    spins = [stage.between(-70, 70) for _ in pieces]
    cracks = [turned(_jagged(stage), 0, 0, line[0]) for line in lines]

    def step(spot: Spot, k: int) -> None:
        share, size = (k / (n - 1)) ** 1.2, spot.room * _SHRUNK
        if k == 0:
            stage.put(actor, spot.x, spot.y, size * 1.1)
            return
        with uncounted(stage):
            for piece, spin in zip(pieces, spins, strict=True):
                away = np.array([piece.x, piece.y]) * (1 + share) + (0, 0.1 * share)
                x, y = (np.clip(away, -_room(piece), _room(piece)) * size + (spot.x, spot.y)).tolist()
                stage.put(piece.actor, x, y, size, turn=spin * max(share - 0.35, 0) * 1.5)
        if k == 1:
            for line in cracks:
                stage.line(line * size + np.array([spot.x, spot.y], np.float32), width=0.02)

    return step


def _room(piece: Piece) -> float:
    """How far from the middle of a spot a piece may drift, however it is turned."""
    points = np.concatenate([part.points for part in piece.actor.kind.parts])
    return max(0.5 / _SHRUNK - float(np.hypot(*points.T).max()), 0.0)


def _collapsing(stage: Stage) -> None:
    """A large whole one above, or beside, its own pieces in a heap."""
    actor, aside = stage.cast[0], stage.chance()
    degrees = stage.between(0, 180)
    pieces = split(actor, [(degrees + shift, stage.between(-0.05, 0.05)) for shift in (0, 55, 115)])
    size = stage.between(0.88, 0.96)
    where = (-0.48, stage.between(-0.35, 0.1)) if aside else (stage.between(-0.4, 0.4), -0.46)
    stage.put(actor, *where, size)
    with uncounted(stage):
        for number, place in enumerate(stage.rng.permutation(len(pieces)).tolist()):
            across = (number + 0.5) / len(pieces) * 2 - 1
            x, y = (
                (0.5 + 0.3 * across, 0.62 - 0.3 * (number % 2))
                if aside
                else (0.72 * across, 0.58 + 0.15 * (number % 2))
            )
            stage.put(pieces[place].actor, x, y, size * 0.86, turn=stage.between(0, 360))
    stage.line([(-0.95, 0.93), (0.95, 0.93)], width=0.05)


def _jagged(stage: Stage) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A crack through the middle of the unit square, along y."""
    y = np.linspace(-0.5, 0.5, 7)
    x = np.where(np.arange(7) % 2 == 0, 1, -1) * stage.between(0.03, 0.06)
    return np.stack([x, y], axis=1).astype(np.float32)


def _assembling(stage: Stage, n: int) -> Step:
    """Each stage has one part more; the next part waits beside the place where it belongs."""
    actor, degrees = stage.cast[0], stage.pick(4) * 90 + stage.between(-20, 20)
    way = np.array(on_circle(1, degrees))
    parts = bands(actor, n, degrees)

    def step(spot: Spot, k: int) -> None:
        if k == n - 1:
            stage.put(actor, spot.x, spot.y, spot.room)
            return
        with uncounted(stage):
            size = spot.room * 0.8
            for number, piece in enumerate(parts[: k + 2]):
                gap = 0.2 if number == k + 1 else -0.06
                x, y = (spot.x, spot.y) + (np.array([piece.x, piece.y]) + way * gap) * size
                stage.put(piece.actor, float(x), float(y), size)

    return step


def _conveyor(stage: Stage) -> None:
    """A belt on rollers carries the unfinished thing from one place to the next; parts come from above."""
    count = stage.count(3, 4)
    pitch, level = 1.88 / count, stage.between(0.42, 0.6)
    size = min(pitch * stage.between(0.86, 0.96), 0.62)
    parts = bands(stage.cast[0], count, -90)
    _belt(stage, level)
    for k in range(count):
        x = -0.94 + pitch * (k + 0.5)
        with uncounted(stage):
            for piece in parts[: k + 1] if k < count - 1 else ():
                stage.put(piece.actor, x + piece.x * size, level - size / 2 + piece.y * size, size)
            if k < count - 1:
                high = level - size - 0.36 + size * 0.1
                stage.put(parts[k + 1].actor, x, high - 0.08, size)
        if k == count - 1:
            stage.put(stage.cast[0], x, level - size / 2, size)
        else:
            stage.arrow((x, level - size - 0.2), (x, level - size + 0.05), head=0.11)
    stage.arrow((-0.9, min(level + 0.36, 0.9)), (0.93, min(level + 0.36, 0.9)), head=0.13, width=0.045)


def _belt(stage: Stage, level: float) -> None:
    stage.box(0, level + 0.04, 1.92, 0.08, stage.ink, plain=True)
    for x in np.linspace(-0.85, 0.85, 6).tolist():
        stage.disc(x, level + 0.16, 0.075, blend(stage.ink, stage.paper, 0.35), plain=True)


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "filling_up",
        FAMILY,
        (
            "{Container} filling up more and more at each stage",
            "The level in {Vessel} rises step by step until it is full",
            "{Object} becomes fuller and fuller, from empty to full",
            "Filling levels of {Item} from nearly empty to completely full",
            "Progress of {Container} being filled, a little more each time",
            "Each {Vessel} is fuller than the one before it",
            "From empty to full: {Object} filled to a higher level every time",
        ),
        (
            _filling_bars,
            *(staged(path, _pouring, count=(3, 4)) for path in (row, slope, two_rows)),
            *(staged(path, _colouring_in, count=(3, 4)) for path in (row, arc, column)),
            *(staged(path, _going_round, count=(3, 4)) for path in (two_rows, arc, zigzag)),
        ),
    ),
    Relation(
        "falling_apart",
        FAMILY,
        (
            "{Object} cracks and falls apart into pieces",
            "Whole {Item} breaking into fragments stage by stage",
            "{Subject} disintegrates from intact to shattered",
            "An intact {Object}, then cracked, then broken into pieces",
            "Stages of {Item} breaking apart and crumbling",
            "Gradual destruction of {Subject} into separate broken parts",
            "{Object} goes to pieces: unbroken, cracked, shattered",
        ),
        (
            _collapsing,
            *(staged(path, _breaking, count=(3, 4), arrows=0.15) for path in (column, slope, arc, two_rows, zigzag)),
        ),
    ),
    Relation(
        "assembly_line",
        FAMILY,
        (
            "{Object} assembled part by part until it is complete",
            "Assembly of {Item}: each station adds one more part",
            "Parts are put together one after another to build {Subject}",
            "Step by step assembly of {Object} from its parts",
            "An assembly line adding pieces until {Item} is finished",
            "Assembly of {Subject} in steps, each one more complete",
            "{Object} under construction, another component added at every step",
        ),
        (
            _conveyor,
            *(staged(path, _assembling, count=(3, 4), arrows=1.0) for path in (row, column, slope, two_rows, zigzag)),
        ),
    ),
)
