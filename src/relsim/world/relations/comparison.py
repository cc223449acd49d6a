"""Comparison: two set against each other, by size, by weight or as rivals; and, from `comparison_odd`, one and many."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import RGB, blend
from relsim.world.relations import comparison_odd
from relsim.world.relations.base import Relation
from relsim.world.relations.sequence_pieces import contrast
from relsim.world.relations.standing import turned
from relsim.world.stage import Actor, Stage

FAMILY = "comparison"


def _rivals(stage: Stage) -> tuple[Actor, Actor]:
    """A large one and a small one: the same kind or two kinds."""
    first, second = stage.cast[0], stage.cast[1]
    return (first, second if stage.chance(0.6) else first.painted(second.colour))


def _giant_on_ground(stage: Stage) -> None:
    """Both stand on one line and look at each other."""
    (large, small), left = _rivals(stage), stage.chance()
    size, tiny, ground = stage.between(1.15, 1.4), stage.between(0.24, 0.3), stage.between(0.78, 0.92)
    side = 1 if left else -1
    stage.line([(-0.96, ground), (0.96, ground)], width=0.05)
    stage.put(large, side * (-0.95 + size / 2), ground - size / 2, size, mirror=not left)
    stage.put(small, side * stage.between(0.68, 0.8), ground - tiny / 2, tiny, mirror=left)


def _giant_in_corner(stage: Stage) -> None:
    """A huge one fills a corner, a tiny one the opposite one; they lean towards each other."""
    large, small = _rivals(stage)
    size, tiny, quarter = stage.between(1.25, 1.5), stage.between(0.24, 0.32), stage.pick(4)
    x, y = ((-1, -1), (1, -1), (1, 1), (-1, 1))[quarter]
    at = 0.9 - size / 2
    stage.put(large, x * at, y * at, size, mirror=x > 0, turn=stage.between(-14, 14))
    stage.put(small, -x * 0.76, -y * 0.76, tiny, mirror=x < 0, turn=stage.between(-14, 14))


def _giant_and_pedestal(stage: Stage) -> None:
    """The tiny one stands on a column, a ladder of steps or a shelf, so that both are eye to eye."""
    (large, small), side = _rivals(stage), 1 if stage.chance() else -1
    size, tiny = stage.between(1.05, 1.3), stage.between(0.24, 0.3)
    ground, foot = 0.9, stage.between(0.24, 0.34)
    top = ground - size * stage.between(0.5, 0.8)
    stage.put(large, side * (-0.95 + size / 2), ground - size / 2, size, mirror=side < 0)
    stage.box(side * 0.72, (top + ground) / 2, foot, ground - top, blend(stage.paper, stage.ink, 0.3))
    stage.box(side * 0.72, top + 0.02, foot + 0.12, 0.07, stage.ink, plain=True)
    stage.put(small, side * 0.72, top - 0.015 - tiny / 2, tiny, mirror=side > 0)
    stage.line([(-0.96, ground), (0.96, ground)], width=0.05)


def _giant_above(stage: Stage) -> None:
    """The huge one hangs over the tiny one, or the tiny one over the huge one, on a tinted field each."""
    (large, small), above = _rivals(stage), 1 if stage.chance() else -1
    size, tiny = stage.between(1.2, 1.4), stage.between(0.24, 0.32)
    stage.put(large, stage.between(-0.2, 0.2), above * (0.88 - size / 2), size, turn=stage.between(-15, 15))
    x = stage.between(-0.6, 0.6)
    stage.put(small, x, -above * (0.93 - tiny / 2), tiny, mirror=x > 0)
    stage.line([(-0.95, -above * 0.96), (0.95, -above * 0.96)], width=0.05)


def _loads(stage: Stage) -> tuple[tuple[Actor, float], tuple[Actor, float], float]:
    """Two loads with their sizes, and the tilt in degrees: the larger one goes down."""
    sizes = (stage.between(0.36, 0.6), stage.between(0.36, 0.6))
    tilt = max(-17.0, min(17.0, (sizes[1] - sizes[0]) * 110)) * stage.chance(0.8)
    return (stage.cast[0], sizes[0]), (stage.cast[1], sizes[1]), tilt


def _seesaw(stage: Stage) -> None:
    """A plank on a wedge, a barrel or a post."""
    first, second, tilt = _loads(stage)
    x, ground, support = stage.between(-0.06, 0.06), stage.between(0.7, 0.9), stage.between(0.35, 0.6)
    top, arm = ground - support, 0.86
    manner, tone = stage.pick(3), blend(stage.paper, contrast(stage, stage.cast[0].colour).rgb, 0.7)
    if manner == 0:
        stage.shape([(x, top), (x + support * 0.6, ground), (x - support * 0.6, ground)], tone)
    elif manner == 1:
        stage.disc(x, ground - support / 2, support / 2, tone)
    else:
        stage.box(x, ground - support / 2, 0.14, support, tone)
    ends = turned([(-arm, 0), (arm, 0)], tilt) + np.array([x, top], np.float32)
    stage.line(ends, width=0.07)
    for (actor, size), side in ((first, -1), (second, 1)):
        at = turned([(side * (arm - size / 2 - 0.02), -size / 2 - 0.03)], tilt)[0]
        stage.put(actor, float(at[0]) + x, float(at[1]) + top, size, turn=tilt, mirror=side > 0)
    stage.line([(-0.95, ground + 0.02), (0.95, ground + 0.02)], width=0.05)


def _pan_scale(stage: Stage) -> None:
    """A beam on a tall stand with a pan on cords at either end."""
    first, second, tilt = _loads(stage)
    top, arm, drop = stage.between(-0.85, -0.68), stage.between(0.58, 0.64), stage.between(0.75, 1.0)
    stage.line([(0, top - 0.06), (0, 0.9)], width=0.06)
    stage.line([(-0.35, 0.9), (0.35, 0.9)], width=0.08)
    ends = turned([(-arm, 0), (arm, 0)], tilt) + np.array([0, top], np.float32)
    stage.line(ends, width=0.06)
    for (actor, size), (x, y) in zip((first, second), ends.tolist(), strict=True):
        pan = min(y + drop, 0.86)
        half = 0.3
        stage.line([(x - half, pan), (x, y), (x + half, pan)], width=0.022)
        stage.put(actor, x, pan - size * 0.46, size * 0.92)
        stage.line(
            [(x - half, pan), (x - half * 0.6, pan + 0.07), (x + half * 0.6, pan + 0.07), (x + half, pan)], width=0.05
        )


def _hanging_mobile(stage: Stage) -> None:
    """A beam on a cord from above; the two things hang from its ends."""
    first, second, tilt = _loads(stage)
    x, y, arm = stage.between(-0.12, 0.12), stage.between(-0.6, -0.3), stage.between(0.5, 0.58)
    stage.line([(x, -0.97), (x, y)], width=0.04)
    ends = turned([(-arm, 0), (arm, 0)], tilt * 1.4) + np.array([x, y], np.float32)
    stage.line(ends, width=0.06)
    stage.disc(x, y, 0.06, stage.ink, plain=True)
    cord = stage.between(0.15, 0.4)
    for (actor, size), (end, height) in zip((first, second), ends.tolist(), strict=True):
        large = size * 1.1
        stage.line([(end, height), (end, height + cord + 0.08)], width=0.03)
        stage.put(actor, end, min(height + cord + large / 2, 0.95 - large / 2), large)


def _kitchen_scale(stage: Stage) -> None:
    """Two dishes on a rocker with a dial between them; more small ones may weigh against one large one."""
    first, second, tilt = _loads(stage)
    base = stage.between(0.75, 0.9)
    body = [(-0.3, base), (-0.2, 0.28), (0.2, 0.28), (0.3, base)]
    stage.shape(body, blend(stage.paper, stage.ink, 0.35))
    stage.disc(0, 0.54, 0.15, stage.paper, plain=True)
    needle = turned([(0, 0), (0, -0.14)], tilt * 2.5) + np.array([0, 0.56], np.float32)
    stage.line(needle, width=0.035)
    ends = turned([(-0.6, 0), (0.6, 0)], tilt) + np.array([0, 0.24], np.float32)
    stage.line(ends, width=0.06)
    for number, (x, y) in enumerate(ends.tolist()):
        actor, size = (first, second)[number]
        y -= 0.12  # noqa: PLW2901
        stage.line([(x, y), (x, y + 0.12)], width=0.05)
        stage.line([(x - 0.33, y - 0.06), (x - 0.22, y), (x + 0.22, y), (x + 0.33, y - 0.06)], width=0.06)
        if number == 0 and stage.chance():
            for k in (-1, 0, 1):
                stage.put(actor, x + k * 0.2, y - 0.03 - 0.14 - 0.14 * (k == 0), 0.3)
        else:
            stage.put(actor, x, y - 0.02 - size * 0.55, size * 1.15)


def _fields(stage: Stage) -> tuple[RGB, RGB]:
    """Tints of the two sides: each stands out from the thing that is put there."""
    spare = [stage.paper, *(colour.rgb for colour in stage.spare)]
    near, far = stage.cast[1].colour.rgb, stage.cast[0].colour.rgb
    return blend(spare[0], near, stage.between(0.28, 0.42)), blend(spare[0], far, stage.between(0.28, 0.42))


def _versus_split(stage: Stage) -> None:
    """The picture halved by a straight line at any angle, one thing on each side."""
    degrees = stage.pick(8) * 45 + stage.between(-14, 14)
    _halves(stage, degrees, np.array([(0.0, -3.0), (0.0, 3.0)], np.float32))


def _versus_lightning(stage: Stage) -> None:
    """The same with a jagged line."""
    count = stage.count(3, 6)
    y = np.linspace(-1.6, 1.6, 2 * count)
    x = np.where(np.arange(2 * count) % 2 == 0, 1, -1) * stage.between(0.08, 0.16)
    _halves(stage, stage.pick(4) * 90 + stage.between(-30, 30), np.stack([x, y], axis=1).astype(np.float32))


def _halves(stage: Stage, degrees: float, border: Points) -> None:
    """Tint both sides of a border that runs along y before it is turned, and put a thing on each side."""
    for side, tint in zip((-1, 1), _fields(stage), strict=True):
        edge = np.array([(side * 3.0, 3.0), (side * 3.0, -3.0)], np.float32)
        stage.shape(turned(np.concatenate([border, edge]), degrees), tint, plain=True)
    stage.line(turned(border, degrees), width=stage.between(0.05, 0.09))
    size = stage.between(0.6, 0.76)
    spin = stage.between(-20, 20)
    for side, actor in zip((-1, 1), stage.cast, strict=False):
        x, y = turned([(side * 0.53, 0)], degrees)[0].tolist()
        grow = 1 / max(abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees))))
        stage.put(actor, x * grow, y * grow, size, turn=spin * side, mirror=x > 0)


def _versus_cards(stage: Stage) -> None:
    """Two cards side by side or one above the other, with a bar between them."""
    upright, size = stage.chance(), stage.between(0.62, 0.72)
    long, short = stage.between(1.3, 1.8), 0.84
    lift = stage.between(-0.12, 0.12) * (long < 1.6)
    for side, actor, tint in zip((-1, 1), stage.cast, _fields(stage), strict=False):
        x, y = (side * 0.51, lift * side) if upright else (lift * side, side * 0.51)
        card = (short, long) if upright else (long, short)
        stage.box(x, y, *card, tint, plain=True)
        stage.frame(x, y, *card, line=0.045)
        stage.put(actor, x, y, size, mirror=x > 0)
    bar = [(0, -0.95), (0, 0.95)] if upright else [(-0.95, 0), (0.95, 0)]
    stage.line(bar, width=0.07)


def _versus_medallions(stage: Stage) -> None:
    """Two discs that face each other across a bolt of lightning, at any angle."""
    degrees = stage.between(25, 65) + 90 * stage.pick(4)
    radius = stage.between(0.44, 0.5)
    for side, actor, tint in zip((-1, 1), stage.cast, _fields(stage), strict=False):
        at = turned([(side, 0)], degrees)[0]
        x, y = (at / np.abs(at) * (0.95 - radius)).tolist()
        stage.disc(x, y, radius, tint, plain=True)
        stage.ring(x, y, radius, width=0.05)
        stage.put(actor, x, y, radius * 1.3, mirror=x > 0)
    bolt = [(0.07, -1.1), (-0.12, 0.08), (0.1, -0.06), (-0.07, 1.1)]
    corner = 45 + 90 * math.floor(degrees / 90)
    stage.line(turned(np.array(bolt, np.float32), corner), width=stage.between(0.06, 0.09))


RELATIONS: tuple[Relation, ...] = (
    *comparison_odd.RELATIONS,
    Relation(
        "size_contrast",
        FAMILY,
        (
            "A huge {Object} facing a tiny {Item}",
            "Contrast in size between a giant {Subject} and a very small one",
            "A gigantic {Object} towers over a tiny {Item} facing it",
            "An enormous {Subject} confronts a tiny one, a contrast of sizes",
            "One {Object} is gigantic, the other one is tiny",
            "Big against small: a huge {Item} facing a little one",
            "A tiny {Subject} is dwarfed by a gigantic {Object}",
        ),
        (_giant_on_ground, _giant_in_corner, _giant_and_pedestal, _giant_above),
    ),
    Relation(
        "balance",
        FAMILY,
        (
            "{Object} weighed against {Item} on a balance",
            "Two {Items} on the two sides of a scale",
            "{Subject} and {Object} weighed against each other on a seesaw",
            "Comparing the weights of {Object} and {Item} on a pair of scales",
            "A balance scale with {Subject} on one side and {Object} on the other",
            "A pair of scales weighing {Item} against {Another Item}",
            "{Object} acts as the counterweight of {Item} on a balance beam",
        ),
        (_seesaw, _pan_scale, _hanging_mobile, _kitchen_scale),
    ),
    Relation(
        "versus",
        FAMILY,
        (
            "{Subject} versus {Opponent} on either side of a dividing line",
            "Two opposing halves, {Subject} against {Opponent}",
            "A split picture with {Subject} versus {Opponent}",
            "{Subject} on one half against its rival {Opponent} on the other",
            "Two rivals separated by a line: {Subject} versus {Opponent}",
            "A divided frame where {Subject} and {Opponent} are rivals",
            "A divided picture that sets {Subject} against {Opponent}",
        ),
        (_versus_split, _versus_lightning, _versus_cards, _versus_medallions),
    ),
)
