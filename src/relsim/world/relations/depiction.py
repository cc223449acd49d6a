"""Depiction: a picture of a thing as a picture: labelled, enlarged, watched, measured, imagined, taken apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Relation
from relsim.world.relations.depiction_drawings import DIMENSIONS, EXPLODED, LABELLED
from relsim.world.relations.outlines import clipped_to, dashed, eyes, heart_of, outline, spots_inside
from relsim.world.stage import Actor, Stage, circle, on_circle

FAMILY = "depiction"

Spot = tuple[float, float]


def _sign(stage: Stage) -> int:
    return 1 if stage.chance() else -1


def _glass(stage: Stage) -> RGB:
    """Colour of a lens, a screen or an empty sheet."""
    return blend(stage.paper, stage.ink, 0.06)


def _lens(stage: Stage, x: float, y: float, radius: float, handle: float) -> None:
    """Rim and handle of a magnifying glass."""
    stage.line([on_circle(radius * 1.05, handle, x, y), on_circle(radius * 1.3, handle, x, y)], width=0.09)
    grip = [on_circle(radius * 1.3, handle, x, y), on_circle(radius * 1.25 + 0.36, handle, x, y)]
    stage.line(grip, width=0.17, colour=stage.spare[0].rgb)
    stage.ring(x, y, radius, width=0.09)


def _enlarged(
    stage: Stage, actor: Actor, lens: tuple[float, float, float], away: Spot, size: float, turn: float
) -> None:
    """What a lens (x, y, radius) shows: the actor at `size`, its middle `away` from that of the lens."""
    x, y, radius = lens
    with clipped_to(stage, [circle(x, y, radius)]):
        stage.disc(x, y, radius * 1.1, _glass(stage), plain=True)
        stage.put(actor, x + away[0], y + away[1], size, turn=turn)


def _inward(spot: Sequence[float], heart: Spot) -> Spot:
    """A point between a spot and the heart of a body, so that a lens over it shows more than an edge."""
    return (spot[0] * 0.58 + heart[0] * 0.42, spot[1] * 0.58 + heart[1] * 0.42)


def _lens_over(stage: Stage) -> None:
    """A lens held over one part of a thing."""
    actor, size, turn = stage.cast[0], stage.between(1.1, 1.35), stage.between(-25, 25)
    x, y = stage.between(-0.15, 0.15), stage.between(-0.15, 0.15)
    stage.put(actor, x, y, size, turn=turn)
    body = outline(actor, x, y, size, turn=turn)
    spots = spots_inside(stage, body, 6).tolist()
    spot = _inward(max(spots, key=lambda at: math.hypot(at[0] - x, at[1] - y)), heart_of(body))
    radius, factor = stage.between(0.34, 0.42), stage.between(1.8, 2.2)
    out = math.degrees(math.atan2(spot[1] - y, spot[0] - x))
    lens = on_circle(0.1, out, *spot)
    away = ((x - spot[0]) * factor, (y - spot[1]) * factor)
    _enlarged(stage, actor, (*lens, radius), away, size * factor, turn)
    inward = math.degrees(math.atan2(-lens[1], -lens[0]))
    _lens(stage, *lens, radius, inward + stage.between(-60, 60))


def _lens_callout(stage: Stage) -> None:
    """A small mark on the thing, and elsewhere a large lens with what is there."""
    actor, size = stage.cast[0], stage.between(0.62, 0.75)
    u, v = _sign(stage), _sign(stage)
    x, y = 0.56 * u, 0.56 * v
    stage.put(actor, x, y, size)
    (spot,) = spots_inside(stage, outline(actor, x, y, size), 1).tolist()
    radius, mark, factor = stage.between(0.5, 0.58), 0.13, stage.between(2.8, 3.4)
    lens = (-0.32 * u, -0.3 * v)
    across = math.degrees(math.atan2(lens[1] - spot[1], lens[0] - spot[0])) + 90
    for side in (0, 180):
        stage.line([on_circle(mark, across + side, *spot), on_circle(radius, across + side, *lens)], width=0.028)
    stage.ring(spot[0], spot[1], mark, width=0.045)
    away = ((x - spot[0]) * factor, (y - spot[1]) * factor)
    _enlarged(stage, actor, (*lens, radius), away, size * factor, 0)
    _lens(stage, *lens, radius, 90 * v + stage.between(-18, 18))


def _lens_on_one_of_many(stage: Stage) -> None:
    """Many little things; the one under the lens looks big."""
    columns = stage.count(4, 5)
    step, radius = 1.8 / columns, stage.between(0.42, 0.52)
    size = step * 0.7
    x, y = stage.between(-0.35, 0.35), stage.between(-0.35, 0.35)
    for row in range(columns):
        for column in range(columns):
            place = ((column + 0.5) * step - 0.9, (row + 0.5) * step - 0.9)
            if math.hypot(place[0] - x, place[1] - y) > radius + 0.05:
                stage.put(stage.cast[(row + column) % 2], *place, size)
    _enlarged(stage, stage.cast[0], (x, y, radius), (0, 0), radius * stage.between(1.5, 1.8), stage.between(-20, 20))
    _lens(stage, x, y, radius, math.degrees(math.atan2(-y, -x)) + stage.between(-40, 40))


def _lens_close_up(stage: Stage) -> None:
    """A thing over the whole picture, a large lens over the part in one corner."""
    actor, turn, factor = stage.cast[0], stage.between(-40, 40), stage.between(1.7, 2.1)
    u, v = _sign(stage), _sign(stage)
    radius, place = stage.between(0.46, 0.54), (-0.14 * u, -0.14 * v, 1.55)
    lens = (0.34 * u, 0.34 * v)
    stage.put(actor, *place, turn=turn)
    body = outline(actor, *place, turn=turn)
    spots = spots_inside(stage, body, 9).tolist()
    spot = _inward(min(spots, key=lambda at: math.hypot(at[0] - lens[0], at[1] - lens[1])), heart_of(body))
    away = ((place[0] - spot[0]) * factor, (place[1] - spot[1]) * factor)
    _enlarged(stage, actor, (*lens, radius), away, place[2] * factor, turn)
    _lens(stage, *lens, radius, math.degrees(math.atan2(v, -u) if stage.chance() else math.atan2(-v, u)))


def _display(stage: Stage, shown: Actor, place: tuple[float, float, float, float], line: float = 0.1) -> None:
    """A framed screen (x, y, width, height) that shows an actor."""
    x, y, width, height = place
    stage.box(x, y, width + line, height + line, stage.ink, plain=True)
    stage.box(x, y, width, height, _glass(stage), plain=True)
    stage.put(shown, x, y, min(width, height) * 0.86)


def _watcher(stage: Stage, actor: Actor, x: float, y: float, size: float, target: Spot) -> None:
    """An actor with eyes on the target."""
    stage.put(actor, x, y, size, mirror=target[0] < x)
    eyes(stage, x, y - size * 0.22, max(size * 0.15, 0.065), target)


def _screen_monitor(stage: Stage) -> None:
    """A monitor on a stand to one side, a watcher with lines of sight to the other."""
    side, width, height = _sign(stage), stage.between(0.85, 1.0), stage.between(0.7, 0.95)
    x, y = 0.4 * side, stage.between(-0.4, -0.2)
    stage.line([(x, y), (x, 0.85)], width=0.12)
    stage.line([(x - 0.3, 0.86), (x + 0.3, 0.86)], width=0.1)
    _display(stage, stage.cast[0], (x, y, width, height))
    size = stage.between(0.58, 0.7)
    place = (-0.62 * side, 0.6 - stage.between(0, 0.35))
    for corner in (-1, 1):
        near = (x - side * width / 2, y + corner * height / 2)
        dashed(stage, (place[0], place[1] - size * 0.22), near)
    _watcher(stage, stage.cast[1], *place, size, (x, y))


def _screen_easel(stage: Stage) -> None:
    """A canvas on an easel with a watcher below or beside it."""
    x, lean = _sign(stage) * stage.between(0.15, 0.3), stage.between(-0.06, 0.06)
    wood = stage.spare[0].rgb
    for foot in (-0.48, 0.0, 0.48):
        stage.line([(x + lean, -0.95), (x + foot, 0.93)], width=0.075, colour=wood)
    stage.line([(x - 0.5, 0.3), (x + 0.5, 0.3)], width=0.1, colour=wood)
    width, height = stage.between(0.8, 1.0), stage.between(0.9, 1.05)
    _display(stage, stage.cast[0], (x, 0.24 - height / 2, width, height), 0.06)
    size = stage.between(0.6, 0.72)
    _watcher(stage, stage.cast[1], -0.62 * (1 if x > 0 else -1), 0.55, size, (x, -0.2))


def _screen_cinema(stage: Stage) -> None:
    """A wide screen above, a row of watchers below."""
    height = stage.between(0.85, 1.0)
    _display(stage, stage.cast[0], (0, -0.42, stage.between(1.5, 1.75), height))
    count = stage.count(2, 4)
    size = {2: 0.66, 3: 0.58, 4: 0.46}[count]
    for number in range(count):
        place = ((number - (count - 1) / 2) * 1.75 / count, 0.62 + stage.between(-0.05, 0.05))
        _watcher(stage, stage.cast[1], *place, size, (0, -0.42))


def _screen_gallery(stage: Stage) -> None:
    """A picture hanging on a cord; a watcher stands close, another farther off."""
    side, tall = _sign(stage), stage.chance()
    width, height = (0.75, 1.1) if tall else (1.05, 0.8)
    x, y = -0.36 * side, stage.between(-0.25, -0.1)
    top = y - height / 2
    stage.line([(x - width * 0.35, top), (x, top - 0.24), (x + width * 0.35, top)], width=0.03)
    stage.disc(x, top - 0.24, 0.05, stage.ink, plain=True)
    _display(stage, stage.cast[0], (x, y, width, height), stage.between(0.1, 0.18))
    stage.line([(-0.97, 0.9), (0.97, 0.9)], width=0.04)
    _watcher(stage, stage.cast[1], 0.62 * side, 0.6, 0.6, (x, y))
    if stage.chance():
        _watcher(stage, stage.cast[2], x - 0.15 * side, 0.68, 0.42, (x, y))


def _cloud(stage: Stage, x: float, y: float, width: float, height: float) -> None:
    """A bubble with a bumpy border."""
    bumps, phase = 9, stage.between(0, 40)
    for grown, colour in ((0.035, stage.ink), (0.0, _glass(stage))):
        for number in range(bumps):
            u, v = on_circle(1, phase + number * 360 / bumps)
            centre = (x + u * width * 0.33, y + v * height * 0.33)
            stage.disc(*centre, 0.17 * max(width, height) + grown, colour, plain=True)
        stage.shape(circle(0, 0, 1) * (width * 0.38, height * 0.38) + (x, y), colour, plain=True)


def _trail(stage: Stage, start: Spot, end: Spot, sizes: Sequence[float] = (0.05, 0.075, 0.1)) -> None:
    """Little bubbles from a thinker to its thought."""
    for number, radius in enumerate(sizes):
        share = (number + 0.3) / len(sizes)
        place = (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
        stage.disc(*place, radius + 0.03, stage.ink, plain=True)
        stage.disc(*place, radius, _glass(stage), plain=True)


def _thought_above(stage: Stage) -> None:
    """Thinker in a lower corner, thought in the opposite upper one."""
    side, size = _sign(stage), stage.between(0.66, 0.8)
    x, y, wide, high = 0.26 * side, -0.38, stage.between(1.2, 1.4), stage.between(0.95, 1.1)
    place = (-0.52 * side, 0.52)
    stage.put(stage.cast[0], *place, size, mirror=side < 0)
    _trail(stage, (place[0] + 0.2 * side, place[1] - size * 0.45), (x - 0.1 * side, y + high * 0.4))
    _cloud(stage, x, y, wide, high)
    stage.put(stage.cast[1], x, y, stage.between(0.62, 0.72))


def _thought_dream(stage: Stage) -> None:
    """Thinker lies on the ground, its dream above it."""
    side, x = _sign(stage), stage.between(-0.12, 0.12)
    stage.line([(-0.95, 0.9), (0.95, 0.9)], width=0.05)
    stage.put(stage.cast[0], -0.3 * side, 0.62, stage.between(0.62, 0.7), turn=-90 * side)
    _trail(stage, (0.1 * side, 0.5), (0.32 * side, 0.05), (0.05, 0.08))
    _cloud(stage, x, -0.42, stage.between(1.4, 1.6), stage.between(0.9, 1.0))
    count = 1 + stage.pick(2)
    for number in range(count):
        stage.put(stage.cast[1 + number], x + (number - (count - 1) / 2) * 0.66, -0.42, 0.68 if count == 1 else 0.56)


def _thoughts_of_two(stage: Stage) -> None:
    """One thinker between two thoughts."""
    size, below = stage.between(0.66, 0.78), 1
    y = stage.between(-0.45, -0.3)
    stage.put(stage.cast[0], 0, 0.52 * below, size)
    for side, actor in ((-1, stage.cast[1]), (1, stage.cast[2])):
        _trail(stage, (0.16 * side, 0.52 - size * 0.45), (0.4 * side, y + 0.35), (0.04, 0.06, 0.08))
        _cloud(stage, 0.49 * side, y, 0.82, 0.82)
        stage.put(actor, 0.49 * side, y, stage.between(0.48, 0.56))


def _thought_sideways(stage: Stage) -> None:
    """Thinker and thought side by side, the thought larger than its thinker."""
    side, size = _sign(stage), stage.between(0.5, 0.56)
    slope = stage.between(-0.2, 0.35)
    place, x, y = (-0.69 * side, slope), 0.42 * side, -slope * 0.5
    stage.put(stage.cast[0], *place, size, mirror=side < 0)
    _trail(stage, (place[0] + 0.1 * side, place[1] - 0.4), (x - 0.2 * side, y - 0.5), (0.05, 0.075, 0.1))
    _cloud(stage, x, y, 1.0, stage.between(1.2, 1.4))
    stage.put(stage.cast[1], x, y, stage.between(0.6, 0.7))


RELATIONS = (
    Relation(
        "labelled_diagram",
        FAMILY,
        (
            "A labelled diagram of {Object} with lines pointing to its parts",
            "Leader lines connect the parts of a {Subject} to text labels",
            "Annotated diagram with labels and lines to the parts of {Object}",
            "Diagram in which each part of a {Subject} has its label",
            "{Subject} surrounded by text labels and pointer lines to its parts",
            "Annotations with thin lines describe the components of a {Subject}",
            "A chart that labels the different parts of {Object}",
        ),
        LABELLED,
    ),
    Relation(
        "magnifier",
        FAMILY,
        (
            "A magnifying glass enlarges a detail of {Object}",
            "Looking through a lens at a magnified part of a {Subject}",
            "A magnifier held over {Object} shows it enlarged",
            "The {Detail} of a {Subject} appears bigger under a magnifying lens",
            "Close-up of a {Detail} seen through a magnifying glass",
            "A round lens zooms in on {Object}",
            "Through the magnifier a small {Detail} looks large",
        ),
        (_lens_over, _lens_callout, _lens_on_one_of_many, _lens_close_up),
    ),
    Relation(
        "screen",
        FAMILY,
        (
            "A {Viewer} watching {Subject} on a screen",
            "{Viewer} looks at {Object} displayed on a screen or canvas",
            "An audience views a picture of {Subject} on display",
            "{Subject} is shown on a screen while {Viewer} watches it",
            "A {Viewer} in front of a display that shows {Object}",
            "Spectators look at an image of {Subject} on a screen or easel",
            "On the display is {Object}, and a {Viewer} gazes at it",
        ),
        (_screen_monitor, _screen_easel, _screen_cinema, _screen_gallery),
    ),
    Relation(
        "dimensions",
        FAMILY,
        (
            "{Object} drawn with arrows that measure its width and height",
            "Dimension arrows mark the height and width of a {Subject}",
            "A technical drawing of {Object} with its measurements",
            "The size of a {Subject} is measured along both sides",
            "Measurement lines show how wide and how tall {Object} is",
            "{Object} with its dimensions indicated by double-headed arrows",
            "Width and height of a {Subject} given by measuring lines",
        ),
        DIMENSIONS,
    ),
    Relation(
        "thought",
        FAMILY,
        (
            "{Subject} imagines {Object} in a thought bubble",
            "A thought bubble shows what {Subject} is thinking of",
            "A {Subject} dreaming about {Object}, in a thought bubble",
            "Inside the mind of a {Subject}: a thought of {Object}",
            "A {Subject} thinks of {Object}, pictured in a cloud of thought",
            "{Object} is only a dream or thought of {Subject}",
            "The {Subject} has an imagined {Object} on its mind",
        ),
        (_thought_above, _thought_dream, _thoughts_of_two, _thought_sideways),
    ),
    Relation(
        "blueprint_exploded",
        FAMILY,
        (
            "An exploded view: components of {Object} separated in a line along an axis",
            "Exploded drawing: components of a {Subject} separated along dashed lines",
            "Parts of {Object} pulled apart along dashed lines, as in an assembly drawing",
            "Assembly drawing with layers of a {Subject} drawn apart in exploded view",
            "Components of {Object} spaced out along one axis, joined by dashed lines",
            "{Object} in exploded view, its components separated but aligned on an axis",
            "A disassembled {Subject} whose parts float apart along a dashed axis",
        ),
        EXPLODED,
    ),
)
