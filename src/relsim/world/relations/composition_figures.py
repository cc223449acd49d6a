"""Figures, vehicles and plants of which some parts are actors."""

from __future__ import annotations

import math

from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Layout
from relsim.world.relations.outlines import eyes, stretched_to
from relsim.world.stage import Actor, Stage, circle, curve, on_circle

Spot = tuple[float, float]


def _fitted(
    stage: Stage, actor: Actor, x: float, y: float, size: Spot, *, mirror: bool = False, turn: float = 0
) -> None:
    """An actor stretched into a box of width and height `size`."""
    stage.put(actor, x, y, 1.0, stretch=stretched_to(actor, *size, 1.7), mirror=mirror, turn=turn)


def _skin(stage: Stage) -> RGB:
    """Colour of a body that is not an actor."""
    return blend(stage.spare[0].rgb, stage.paper, stage.between(0.25, 0.5))


def _face(stage: Stage) -> None:
    """A large head: actors for eyes and for one or two of nose, mouth and ears."""
    wide, high = stage.between(0.72, 0.92), stage.between(0.78, 0.92)
    head = (circle(0, 0, 1) * (wide, high)).tolist()
    if stage.chance(0.35):
        head = [
            (-wide, -high),
            (wide, -high),
            (wide * stage.between(0.5, 1), high),
            (-wide * stage.between(0.5, 1), high),
        ]
    stage.shape(head, _skin(stage), plain=True)
    apart, level, size = stage.between(0.32, 0.4), stage.between(-0.4, -0.2), stage.between(0.42, 0.54)
    for side in (-1, 1):
        stage.put(stage.cast[0], side * apart, level, size, mirror=side > 0)
    with_nose = stage.chance(0.6)
    if with_nose:
        stage.put(stage.cast[1], 0, 0.12, stage.between(0.32, 0.4))
    if with_nose and stage.chance():
        bow = stage.between(-0.16, 0.25)
        stage.line(curve((0.4, 0.55), (-0.4, 0.55), bow), width=0.07)
    else:
        _fitted(stage, stage.cast[2], 0, stage.between(0.5, 0.56), (stage.between(0.7, 0.9), 0.34))


def _person(stage: Stage) -> None:
    """A standing figure: an actor for the head or for the trunk, others for the hands."""
    x, skin = stage.between(-0.2, 0.2), stage.spare[0].rgb
    spread, stride = stage.between(0.5, 0.62), stage.between(0.2, 0.36)
    for side in (-1, 1):
        hand = (x + side * spread, stage.between(-0.5, 0.35))
        stage.line([(x + side * 0.15, -0.1), hand], width=0.1, colour=skin)
        stage.line([(x + side * 0.14, 0.3), (x + side * stride, 0.9)], width=0.11, colour=skin)
        stage.put(stage.cast[1], *hand, stage.between(0.3, 0.38), mirror=side > 0)
    if stage.chance():
        wide = stage.between(0.3, 0.44)
        stage.shape([(x - 0.16, -0.2), (x + 0.16, -0.2), (x + wide, 0.5), (x - wide, 0.5)], skin, plain=True)
        _fitted(stage, stage.cast[0], x, -0.52, (0.72, 0.72))
    else:
        stage.disc(x, -0.62, 0.3, skin, plain=True)
        eyes(stage, x, -0.66, 0.08, (x, 0))
        _fitted(stage, stage.cast[0], x, 0.1, (0.76, 0.86))


def _vehicle(stage: Stage) -> None:
    """A cart, car or train seen from the side, with actors for wheels."""
    ahead = 1 if stage.chance() else -1
    colour, floor, wheel = stage.spare[0].rgb, stage.between(0.2, 0.4), stage.between(0.5, 0.62)
    count = 2 if wheel > 0.55 else stage.count(2, 3)
    length, roof = stage.between(0.78, 0.92), stage.between(-0.65, -0.3)
    body = [(-length, floor), (-length, -0.1), (-0.5, -0.15), (-0.3, roof), (0.4, roof), (0.5, -0.15), (length, -0.05)]
    stage.shape([(u * ahead, v) for u, v in (*body, (length, floor))], colour, plain=True)
    window = [(-0.24, roof + 0.1), (0.33, roof + 0.1), (0.38, -0.12), (-0.34, -0.12)]
    stage.shape([(u * ahead, v) for u, v in window], stage.paper, plain=True)
    stage.line([(-0.97, floor + wheel * 0.52), (0.97, floor + wheel * 0.52)], width=0.04)
    for number in range(count):
        x = (number / (count - 1) - 0.5) * 2 * 0.58
        stage.put(stage.cast[0], x, floor + 0.02, wheel, turn=stage.between(-20, 20))


def _winged(stage: Stage) -> None:
    """A butterfly from above with actors for wings."""
    tilt = stage.between(-25, 25)
    upper, lower = stage.between(0.72, 0.86), stage.between(0.48, 0.6)
    for side in (-1, 1):
        for actor, size, away, out in ((stage.cast[0], upper, 65, 0.58), (stage.cast[1], lower, 125, 0.55)):
            place = on_circle(out, tilt + side * away - 90)
            stage.put(actor, *place, size, turn=tilt + side * stage.between(0, 30), mirror=side < 0)
    head, tail = on_circle(0.42, tilt - 90), on_circle(0.62, tilt + 90)
    stage.line([head, tail], width=0.17)
    stage.disc(*head, 0.15, stage.ink, plain=True)
    for side in (-1, 1):
        stage.line(curve(head, on_circle(0.86, tilt - 90 + side * 18), 0.15 * side), width=0.035)


def _beast(stage: Stage) -> None:
    """A four-legged animal: an actor for its trunk, or for its head."""
    ahead = 1 if stage.chance() else -1
    colour, belly, ground = stage.spare[0].rgb, stage.between(0.0, 0.15), 0.88
    for foot in (-0.58, -0.28, 0.12, 0.4):
        stage.line(
            [(foot * ahead, belly), ((foot + stage.between(-0.1, 0.1)) * ahead, ground)], width=0.1, colour=colour
        )
    stage.line(curve((-0.55 * ahead, belly), (-0.92 * ahead, stage.between(-0.6, 0.3)), 0.2), width=0.08, colour=colour)
    head = (0.62 * ahead, stage.between(-0.62, -0.45))
    stage.line([(0.3 * ahead, belly), head], width=0.2, colour=colour)
    if stage.chance():
        _fitted(stage, stage.cast[0], -0.1 * ahead, belly, (1.2, 0.8), mirror=ahead < 0)
        stage.disc(*head, 0.24, colour, plain=True)
        for side in (-1, 1):
            stage.put(stage.cast[1], head[0] + side * 0.18, head[1] - 0.22, 0.26)
        eyes(stage, head[0], head[1], 0.08, (head[0] + ahead, head[1] + 0.2))
    else:
        stage.shape(circle(0, 0, 1) * (0.66, 0.34) + (-0.1 * ahead, belly), colour, plain=True)
        stage.put(stage.cast[0], *head, stage.between(0.6, 0.66), mirror=ahead < 0)


REPLACED_PARTS: tuple[Layout, ...] = (_face, _person, _vehicle, _winged, _beast)
"""Ways to draw a whole with actors for parts."""


def _leaf(stage: Stage, x: float, y: float, towards: float, length: float) -> None:
    """A pointed leaf that starts at (x, y)."""
    tip = on_circle(length, towards, x, y)
    sides = [*curve((x, y), tip, 0.22, 6).tolist(), *curve(tip, (x, y), 0.22, 6).tolist()]
    stage.shape(sides, stage.spare[0].rgb, plain=True)


def _stem(stage: Stage, root: Spot, tip: Spot, bend: float, leaves: int = 2) -> None:
    """A bent stem with leaves to both sides."""
    path = curve(root, tip, bend, 13).tolist()
    stage.line(path, width=0.055, colour=stage.spare[0].rgb)
    along = math.degrees(math.atan2(tip[1] - root[1], tip[0] - root[0]))
    for number in range(leaves):
        x, y = path[4 + 3 * number]
        _leaf(stage, x, y, along + (1 if number % 2 else -1) * stage.between(35, 60), stage.between(0.2, 0.28))


def _in_vase(stage: Stage) -> None:
    """Stems fan out of a vase or a pot."""
    x, count, mouth = stage.between(-0.15, 0.15), stage.count(3, 6), stage.between(0.35, 0.5)
    size, spread = {3: 0.56, 4: 0.5, 5: 0.44, 6: 0.4}[count], stage.between(110, 150)
    foot, brim = stage.between(0.16, 0.34), stage.between(0.2, 0.34)
    tips = []
    for number in range(count):
        lean = (number / (count - 1) - 0.5) * spread
        far = stage.between(0.82, 1.0) if number % 2 or count < 5 else stage.between(1.02, 1.16)
        tip = on_circle(far, lean - 90, x, mouth)
        tips.append((max(min(tip[0], 0.74), -0.74), max(tip[1], -0.7)))
        _stem(stage, (x, mouth + 0.1), tips[-1], lean / 500, 1)
    stage.shape([(x - brim, mouth), (x + brim, mouth), (x + foot, 0.95), (x - foot, 0.95)], stage.spare[1].rgb)
    for tip in tips:
        stage.put(stage.cast[0] if stage.chance(0.7) else stage.cast[1], *tip, size, turn=stage.between(-20, 20))


def _in_a_bed(stage: Stage) -> None:
    """Single stems of different heights grow out of the soil."""
    count, ground = stage.count(2, 4), stage.between(0.68, 0.8)
    size, bark = {2: 0.72, 3: 0.58, 4: 0.46}[count], blend(stage.spare[1].rgb, stage.ink, 0.4)
    stage.shape([(-0.97, ground), (0, ground - 0.1), (0.97, ground), (0.97, 0.97), (-0.97, 0.97)], bark, plain=True)
    for number in range(count):
        x = (number / (count - 1) - 0.5) * 1.25
        tip = (x + stage.between(-0.08, 0.08), stage.between(-0.62, -0.1 if number % 2 else -0.4))
        _stem(stage, (x, ground), tip, stage.between(-0.12, 0.12), 3)
        stage.put(stage.cast[0], *tip, size, turn=stage.between(-25, 25))


def _as_fruit(stage: Stage) -> None:
    """A tree with boughs to both sides; actors hang from them."""
    x, colour = stage.between(-0.12, 0.12), blend(stage.spare[1].rgb, stage.ink, 0.35)
    stage.shape([(x - 0.2, 0.95), (x + 0.2, 0.95), (x + 0.05, -0.7), (x - 0.05, -0.7)], colour, plain=True)
    stage.line([(-0.95, 0.94), (0.95, 0.94)], width=0.06, colour=colour)
    boughs = stage.count(3, 5)
    first = 1 if stage.chance() else -1
    for number in range(boughs):
        side = first if number % 2 == 0 else -first
        level = 0.4 - number * 1.0 / max(boughs - 1, 1)
        end = (x + side * stage.between(0.55, 0.7), level - stage.between(0.15, 0.3))
        stage.line(curve((x, level), end, -0.12 * side), width=0.08, colour=colour)
        for leaf in (0.45, 0.8):
            at = (x + (end[0] - x) * leaf, level + (end[1] - level) * leaf)
            _leaf(stage, *at, -90 + side * stage.between(0, 50), 0.26)
        stage.line([end, (end[0], end[1] + 0.1)], width=0.03, colour=colour)
        stage.put(stage.cast[0], end[0], end[1] + 0.26, stage.between(0.4, 0.46))


def _on_a_twig(stage: Stage) -> None:
    """A long branch across the picture, with an actor at the end of every twig."""
    turn, count = stage.between(0, 360), stage.count(3, 5)
    start, end = on_circle(1.25, turn + 180), on_circle(0.62, turn)
    path = curve(start, end, stage.between(-0.15, 0.15), 25).tolist()
    stage.line(path, width=0.09, colour=stage.spare[0].rgb)
    for number in range(count):
        x, y = path[5 + round(16 * number / count)]
        tip = on_circle(stage.between(0.5, 0.58), turn + (65 if number % 2 else -65), x, y)
        _stem(stage, (x, y), tip, stage.between(-0.1, 0.1), 1)
        stage.put(stage.cast[number % 2], *tip, stage.between(0.4, 0.5))
    stage.put(stage.cast[0], *end, stage.between(0.45, 0.55))


BOUQUETS: tuple[Layout, ...] = (_in_vase, _in_a_bed, _as_fruit, _on_a_twig)
"""Ways to draw a plant that bears actors."""
