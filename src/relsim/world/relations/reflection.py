"""Reflection: a thing and its image: in water, in a mirror, as a shadow, as a silhouette, as the hole it leaves."""

from __future__ import annotations

import numpy as np

from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Relation
from relsim.world.relations.outlines import clipped_to, outline, reach
from relsim.world.relations.reflection_shapes import CUT_OUTS, MIRRORS, WINDOWS
from relsim.world.stage import Actor, Stage, circle, on_circle

FAMILY = "reflection"

_BLACK: RGB = (18, 18, 26)
_WHITE: RGB = (250, 248, 242)


def _sign(stage: Stage) -> int:
    return 1 if stage.chance() else -1


def _water(stage: Stage) -> RGB:
    """Colour of a water surface: the paper, tinted."""
    return blend(stage.paper, stage.spare[0].rgb, 0.34)


def _ripples(stage: Stage, level: float, count: int, wide: float = 0.9) -> None:
    """Short wavy strokes in the water below a level."""
    colour = blend(_water(stage), _WHITE, 0.55)
    for number in range(count):
        x, y = stage.between(-wide, wide * 0.6), level + 0.14 + number * (0.82 - level) / count
        waves = np.linspace(0, 1, 12)
        points = np.stack([x + waves * 0.42, y + 0.025 * np.sin(waves * 12)], axis=1).astype(np.float32)
        stage.line(points, width=0.03, colour=colour)


def _mirrored_down(stage: Stage, actor: Actor, place: tuple[float, float, float, float], squash: float) -> None:
    """An actor (x, level, size, turn) that stands on the water level, and its fainter image below."""
    x, level, size, turn = place
    _, _, _, foot = reach(outline(actor, 0, 0, size, turn=turn))
    gap = 0.015
    stage.put(actor, x, level - foot - gap, size, turn=turn)
    _, _, _, low = reach(outline(actor, 0, 0, size, turn=turn))
    shape = actor.painted(actor.colour)
    stage.put(shape, x, level + low * squash + gap, size, turn=-turn * squash, stretch=(1, -squash), fade=0.5)


def _water_wide(stage: Stage) -> None:
    """Lake to the lower border, one large thing at its shore."""
    level = stage.between(-0.05, 0.12)
    stage.box(0, (level + 1.6) / 2, 3, 1.6 - level, _water(stage), plain=True)
    stage.line([(-1.5, level), (1.5, level)], width=0.03)
    tall = level + 0.93
    wide = max(right - left for left, _, right, _ in [reach(stage.cast[0].kind.outline)])
    size = min(tall * 1.05, 1.7 / wide)
    _mirrored_down(stage, stage.cast[0], (stage.between(-0.25, 0.25), level, size, stage.between(-8, 8)), 0.9)
    _ripples(stage, level, stage.count(3, 6))


def _water_row(stage: Stage) -> None:
    """Several things on the shore and all of them again below it."""
    level, count = stage.between(-0.12, 0.1), stage.count(2, 3)
    stage.box(0, (level + 1.6) / 2, 3, 1.6 - level, _water(stage), plain=True)
    squash = min(1.0, (0.9 - level) / (level + 0.95))
    for number in range(count):
        x = ((number + 0.5) / count - 0.5) * 1.8
        size = min(1.75 / count, level + 0.92) * stage.between(0.72, 1.0)
        _mirrored_down(stage, stage.cast[number % 3], (x, level, size, 0), squash)
    stage.line([(-1.5, level), (1.5, level)], width=0.03)
    _ripples(stage, level, stage.count(2, 4))


def _water_pond(stage: Stage) -> None:
    """A pond seen from above its bank; the image ends where the water ends."""
    level, wide = stage.between(-0.12, 0.05), stage.between(0.8, 0.93)
    x = stage.between(-0.1, 0.1)
    pond = circle(0, 0, 1, 36) * (wide, 0.44) + (x, level + 0.36)
    stage.shape(pond, _water(stage), plain=True)
    stage.line(np.concatenate([pond, pond[:2]]), width=0.035)
    size = stage.between(0.7, 0.8)
    with clipped_to(stage, [pond.astype(np.float32)]):
        _mirrored_down(stage, stage.cast[0], (x, level + 0.06, size, 0), 0.85)
        _ripples(stage, level + 0.1, 3, 0.5)
    _, _, _, foot = reach(outline(stage.cast[0], 0, 0, size))
    stage.put(stage.cast[0], x, level + 0.045 - foot, size)


def _water_above(stage: Stage) -> None:
    """A thing hangs in the air well above the water, its image just as deep."""
    level, lift = stage.between(-0.08, 0.08), stage.between(0.12, 0.22)
    stage.box(0, (level + 1.6) / 2, 3, 1.6 - level, _water(stage), plain=True)
    stage.line([(-1.5, level), (1.5, level)], width=0.03)
    x, size, turn = stage.between(-0.3, 0.3), stage.between(0.64, 0.72), stage.between(-60, 60)
    _, _, _, foot = reach(outline(stage.cast[0], 0, 0, size, turn=turn))
    stage.put(stage.cast[0], x, level - lift - foot, size, turn=turn)
    stage.put(stage.cast[0], x, level + lift + foot, size, turn=-turn, stretch=(1, -1), fade=0.5)
    _ripples(stage, level, stage.count(4, 7))


def _wall(stage: Stage) -> tuple[RGB, RGB]:
    """Colour of a bright wall or floor and of a shadow on it."""
    wall = blend(stage.paper, _WHITE, 0.45)
    return wall, blend(wall, _BLACK, 0.72)


def _lamp(stage: Stage, x: float, y: float, towards: float) -> None:
    """A round lamp with rays."""
    for number in range(5):
        away = towards + (number - 2) * 24
        stage.line([on_circle(0.2, away, x, y), on_circle(0.34, away, x, y)], width=0.04)
    stage.disc(x, y, 0.13, stage.spare[0].rgb)
    stage.ring(x, y, 0.13)


def _cast_down(stage: Stage, actor: Actor, foot: tuple[float, float], lean: float, length: float, colour: RGB) -> None:
    """The shadow of an actor, laid from its foot; `lean` per unit of height sideways, `length` downwards."""
    _, _, _, bottom = reach(actor.kind.outline)
    for polygon in actor.kind.outline:
        height = bottom - polygon[:, 1]
        points = np.stack([foot[0] + polygon[:, 0] * 0.8 + lean * height, foot[1] + length * height], axis=1)
        stage.shape(points.astype(np.float32), colour, plain=True)


def _shadow_on_wall(stage: Stage) -> None:
    """A lamp in front, a large shadow on the wall behind."""
    side = _sign(stage)
    wall, dark = _wall(stage)
    x, y = 0.3 * side, stage.between(-0.28, -0.18)
    stage.box(x, y, 1.24, 1.36, wall, plain=True)
    stage.put(stage.cast[1], x, y, stage.between(1.0, 1.15), silhouette=dark, mirror=side < 0)
    size = stage.between(0.55, 0.66)
    stage.put(stage.cast[0], -0.22 * side, 0.6, size)
    _lamp(stage, -0.78 * side, stage.between(0.5, 0.75), -20 if side > 0 else 200)


def _shadow_on_floor(stage: Stage) -> None:
    """The thing stands, its shadow lies in front of it."""
    side = _sign(stage)
    wall, dark = _wall(stage)
    level = stage.between(-0.32, -0.18)
    stage.box(0, (level + 1.6) / 2, 3, 1.6 - level, wall, plain=True)
    size, x = stage.between(0.72, 0.82), -stage.between(0.1, 0.22) * side
    ground = level + 0.25
    _, _, _, foot = reach(outline(stage.cast[0], 0, 0, size))
    _cast_down(
        stage, stage.cast[1], (x, ground - 0.03), stage.between(0.7, 0.95) * side, stage.between(0.78, 0.88), dark
    )
    stage.put(stage.cast[0], x, ground - foot, size)
    _lamp(stage, -0.78 * side, -0.74, 45 if side > 0 else 135)


def _shadow_in_beam(stage: Stage) -> None:
    """A beam of light widens from a torch over the thing to a bright disc with the shadow."""
    side, slope = _sign(stage), stage.between(-18, 18)
    wall, dark = _wall(stage)
    towards = slope if side > 0 else 180 + slope
    source, target = on_circle(0.88, towards + 180), on_circle(0.42, towards)
    radius = stage.between(0.48, 0.54)
    edges = [on_circle(radius, towards + turn, *target) for turn in (90, -90)]
    stage.shape([source, *edges], blend(stage.paper, wall, 0.5), plain=True)
    stage.disc(*target, radius, wall, plain=True)
    stage.put(stage.cast[1], *target, radius * stage.between(1.4, 1.55), silhouette=dark)
    stage.put(stage.cast[0], *on_circle(0.38, towards + 180), stage.between(0.42, 0.48))
    stage.line([on_circle(1.1, towards + 180), on_circle(0.8, towards + 180)], width=0.22)


def _shadow_behind(stage: Stage) -> None:
    """A small thing in front of its own huge shadow."""
    wall, dark = _wall(stage)
    side = _sign(stage)
    stage.box(0, -0.1, 1.9, 1.5, wall, plain=True)
    stage.put(stage.cast[1], 0.12 * side, -0.14, stage.between(1.3, 1.42), silhouette=dark, mirror=stage.chance())
    stage.line([(-0.97, 0.68), (0.97, 0.68)], width=0.035)
    size = stage.between(0.56, 0.64)
    _, _, _, foot = reach(outline(stage.cast[0], 0, 0, size))
    stage.put(stage.cast[0], -0.3 * side, 0.9 - foot, size)


RELATIONS = (
    Relation(
        "water_reflection",
        FAMILY,
        (
            "{Object} reflected upside down in the water below",
            "A water surface mirrors {Subject}, inverted and fainter",
            "An upside-down reflection of {Object} under the waterline",
            "{Subject} above the water and its inverted image beneath",
            "Still water shows the reflection of a {Subject}",
            "The {Object} is doubled by its rippling reflection in a lake",
            "Below the shore, {Objects} appear again as flipped reflections in the water",
        ),
        (_water_wide, _water_row, _water_pond, _water_above),
        8.0,
    ),
    Relation(
        "shadow_other",
        FAMILY,
        (
            "{Object} casts a shadow shaped like {Other}",
            "The shadow of a {Subject} is that of something else",
            "A shadow that does not match the {Object} casting it",
            "{Subject} throws the dark shadow of a different {Object}",
            "Light on a {Subject} creates a shadow in another shape",
            "The shadow shows {Other} although {Object} stands in the light",
            "A {Subject} whose shadow takes the form of another {Object}",
        ),
        (_shadow_on_wall, _shadow_on_floor, _shadow_in_beam, _shadow_behind),
    ),
    Relation(
        "silhouette_window",
        FAMILY,
        (
            "A scene visible inside the silhouette of a {Subject}",
            "The dark silhouette of {Object} contains another {Scene}",
            "Silhouette of a {Subject} filled with a view of a {Scene}",
            "Inside the outline of a {Subject} a whole {Scene} appears",
            "A {Scene} appears inside the window of a silhouette of {Object}",
            "{Object} as a silhouette through which a {Scene} can be seen",
            "A double exposure: a {Scene} inside the dark profile of a {Subject}",
        ),
        WINDOWS,
    ),
    Relation(
        "cut_out",
        FAMILY,
        (
            "A {Shape} cut out of a sheet, the piece lying beside its hole",
            "A {Shape} hole in a sheet and the cut-out piece beside it",
            "The {Shape} was cut from the sheet and leaves a matching gap",
            "A cut-out {Object} beside the sheet with the hole it came from",
            "Negative and positive: the punched-out {Shape} and the opening left behind",
            "From a sheet a {Shape} has been removed; it fits the empty hole",
            "Paper with a {Shape}-formed opening, the missing piece laid beside it",
        ),
        CUT_OUTS,
    ),
    Relation(
        "mirror_pair",
        FAMILY,
        (
            "{Object} facing its own mirror image",
            "A {Subject} looks at its reflection in a mirror",
            "Two mirrored copies of a {Subject} face each other across a mirror",
            "A vertical mirror shows {Object} reversed left to right",
            "{Subject} stands before a mirror and sees itself reversed",
            "On both sides of the mirror the same {Object}, flipped",
            "The looking glass returns a reversed copy of the {Subject}",
        ),
        MIRRORS,
    ),
)
