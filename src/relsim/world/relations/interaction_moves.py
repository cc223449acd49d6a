"""Layouts of two things that deal with each other: exchanges and chases."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import block_arrow, colour_of, spot, streaks, swung, trimmed, turned, within
from relsim.world.stage import Stage, on_circle


def exchange_by_bows(stage: Stage) -> None:
    """Two curved arrows between two things, there on one side and back on the other, at any angle."""
    turn, reach = stage.between(0, 360), stage.between(0.56, 0.64)
    size, bow = stage.between(0.5, 0.6), stage.between(0.25, 0.5)
    side = 1 - 2 * stage.pick(2)
    for hand in (1, -1):
        start, end = (-hand * reach * 0.85, -hand * side * 0.26), (hand * reach * 0.85, -hand * side * 0.26)
        first, last = turned([start, end], turn).tolist()
        stage.arrow(tuple(first), tuple(last), bend=-bow * side, width=0.06, head=0.18)
    for number, x in enumerate((-reach, reach)):
        stage.put(stage.cast[number], *swung(x, 0.0, turn), size)


def exchange_by_broad_arrows(stage: Stage) -> None:
    """Two panels across from each other, two broad arrows in the gap pointing opposite ways."""
    turn, deep, tall = stage.pick(2) * 90, stage.between(0.56, 0.64), stage.between(1.2, 1.86)
    gap = 0.95 - deep
    for number, middle in enumerate((-0.95 + deep / 2, 0.95 - deep / 2)):
        x, y = (middle, 0.0) if turn == 0 else (0.0, middle)
        sides = (deep, tall) if turn == 0 else (tall, deep)
        stage.box(x, y, *sides, blend(stage.paper, stage.cast[number].colour.rgb, 0.3), plain=True)
        stage.put(stage.cast[number], x, y, deep * 0.92)
    apart, wide = stage.between(0.22, 0.36), stage.between(0.14, 0.2)
    for number, hand in enumerate((1, -1)):
        tips = turned([(-hand * gap * 0.98, hand * apart), (hand * gap * 0.98, hand * apart)], turn).tolist()
        stage.shape(block_arrow(tips[0], tips[1], wide), blend(stage.ink, stage.spare[number].rgb, 0.5), plain=True)


def exchange_of_goods(stage: Stage) -> None:
    """Between two large things a small one travels each way above its arrow."""
    turn, size = stage.pick(2) * 90 + stage.between(-20, 20), stage.between(0.5, 0.6)
    lane = stage.between(0.3, 0.4)
    for hand in (1, -1):
        tips = turned([(-hand * 0.62, hand * lane * 0.7), (hand * 0.62, hand * lane * 0.7)], turn).tolist()
        stage.arrow(*trimmed(tips[0], tips[1], size * 0.36, size * 0.36), width=0.05, head=0.15)
        goods = stage.cast[2] if hand > 0 else stage.cast[2].painted(stage.spare[0])
        stage.put(goods, *swung(0.0, hand * (lane * 0.7 + 0.24), turn), 0.34)
    for number, x in enumerate((-0.68, 0.68)):
        stage.put(stage.cast[number], *swung(x, 0.0, turn), size)


def exchange_round_the_corners(stage: Stage) -> None:
    """Two things in opposite corners; each arrow leads round another corner to the other."""
    side, size = 1 - 2 * stage.pick(2), stage.between(0.6, 0.76)
    hand = 1 - 2 * stage.pick(2)
    reach, far = 0.93 - size / 2, stage.between(0.64, 0.82)
    for sign, actor in ((1, stage.cast[0]), (-1, stage.cast[1])):
        x, y = -sign * reach, -sign * reach
        corner = (far * sign, -far * sign) if hand > 0 else (-far * sign, far * sign)
        first = (x + sign * size * 0.56, corner[1]) if hand > 0 else (corner[0], y + sign * size * 0.56)
        last = (corner[0], -y - sign * size * 0.56) if hand > 0 else (-x - sign * size * 0.56, corner[1])
        stage.line([(first[0] * side, first[1]), (corner[0] * side, corner[1])], width=0.06)
        stage.disc(corner[0] * side, corner[1], 0.03, stage.ink, plain=True)
        stage.arrow((corner[0] * side, corner[1]), (last[0] * side, last[1]), width=0.06, head=0.18)
        stage.put(actor, x * side, y, size)


def chase_on_a_wave(stage: Stage) -> None:
    """Leader and follower on one winding way of dashes or of steps that crosses the picture."""
    waves, high, size = stage.between(0.6, 1.1), stage.between(0.3, 0.5), stage.between(0.42, 0.5)
    t = np.linspace(0, 1, 60)
    wave = np.stack([1.6 * t, high * np.sin(t * 2 * math.pi * waves + stage.between(0, 6))], axis=1)
    path = within(stage, turned(wave, stage.between(0, 360)), size / 2)
    (_dashes if stage.chance() else _steps)(stage, path)
    _pair_on(stage, path, size)


def chase_round_a_track(stage: Stage) -> None:
    """Two on a round course, one behind the other, streaks after them."""
    start, hand, tilt = stage.between(0, 360), 1 - 2 * stage.pick(2), stage.between(0.75, 1)
    tone = blend(stage.paper, colour_of(stage).rgb, 0.4)
    course = np.array([on_circle(0.68, start + hand * 4.5 * k) for k in range(80)], np.float32) * (1, tilt)
    stage.line(np.concatenate([course, course[:2]]), width=0.3, colour=tone)
    lag = 15 + stage.pick(4)
    for lane in (0.9, 1.0, 1.1):
        stage.line(course[stage.pick(6) : 25] * lane, width=0.035)
        stage.line(course[26 + lag - 6 : 26 + lag] * lane, width=0.035)
    for number, place in enumerate((30, 30 + lag)):
        stage.put(stage.cast[number], *spot(course[place]), 0.5)


def chase_straight(stage: Stage) -> None:
    """A large one close behind a small one on a straight line, long streaks and puffs of dust."""
    turn = stage.between(-35, 35)
    hand = 1 - 2 * stage.pick(2)
    large, small = stage.between(0.6, 0.72), stage.between(0.36, 0.44)
    places = turned([(-0.1, 0.0), (0.66, stage.between(-0.08, 0.08))], turn).tolist()
    for lane in (-0.2, 0.0, 0.2):
        ends = turned([(-0.45, lane), (-stage.between(0.7, 0.9), lane)], turn).tolist()
        stage.line([(hand * x, y) for x, y in ends], width=0.045)
    puff = blend(stage.paper, stage.ink, 0.3)
    for number in range(3):
        x, y = swung(-0.5 - 0.16 * number, 0.42, turn)
        stage.disc(hand * x, y, 0.12 - 0.025 * number, puff, plain=True)
    for actor, (x, y), size in zip(stage.cast, places, (large, small), strict=False):
        stage.put(actor, hand * x, y, size, mirror=hand < 0)
    for lane in (-0.1, 0.1):
        ends = turned([(0.42, lane), (0.24, lane)], turn).tolist()
        stage.line([(hand * x, y) for x, y in ends], width=0.04)


def chase_over_hills(stage: Stage) -> None:
    """Over a hilly ground, with a track of steps behind both."""
    hand, low, high = 1 - 2 * stage.pick(2), stage.between(0.1, 0.5), stage.between(0.2, 0.4)
    t = np.linspace(0, 1, 40)
    ground = np.stack([hand * (2.8 * t - 1.4), low + high * np.cos(stage.between(0, 6) + 7 * t)], axis=1).astype(
        np.float32
    )
    border = np.array([(hand * 1.4, 1.4), (-hand * 1.4, 1.4)], np.float32)
    stage.shape(np.concatenate([ground, border]), blend(stage.paper, colour_of(stage).rgb, 0.45), plain=True)
    for number in range(6, 15, 2):
        x, y = ground[number].tolist()
        stage.disc(x, y + 0.08 + 0.08 * (number % 4 > 1), 0.045, stage.ink, plain=True)
    for number, (place, size) in enumerate(((18, 0.52), (29, 0.46))):
        x, y = ground[place].tolist()
        streaks(stage, 0 if hand > 0 else 180, (x - hand * size * 0.52, y - size / 2), 0.16, 0.26)
        stage.put(stage.cast[number], x, y - size / 2, size, mirror=hand < 0)


def chase_on_a_loop(stage: Stage) -> None:
    """A long looping trail shows the way that both have come."""
    turns, start, hand = stage.between(0.9, 1.3), stage.between(0, 360), 1 - 2 * stage.pick(2)
    size, inner = stage.between(0.44, 0.52), stage.between(0.25, 0.5)
    way = [on_circle(inner + (1 - inner) * k / 59, start + hand * 360 * turns * k / 59) for k in range(60)]
    path = within(stage, np.array(way, np.float32), size / 2)
    stage.line(path, width=0.05, colour=blend(stage.ink, stage.paper, 0.35))
    _pair_on(stage, path, size)


def _dashes(stage: Stage, path: Points) -> None:
    """A dashed line along a finely divided path."""
    for first in range(0, len(path) - 2, 5):
        stage.line(path[first : first + 4], width=0.05)


def _steps(stage: Stage, path: Points) -> None:
    """Footprints left and right of a finely divided path."""
    for first in range(0, len(path) - 3, 3):
        along = path[first + 3] - path[first]
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
        x, y = (path[first] + (0.07 if first % 2 else -0.07) * across).tolist()
        stage.disc(x, y, 0.042, stage.ink, plain=True)


def _pair_on(stage: Stage, path: Points, size: float) -> None:
    """The leader at the end of a path, the follower at its heels."""
    apart = np.hypot(*(path - path[-1]).T)
    place = int(np.flatnonzero(apart >= stage.between(1.25, 1.5) * size)[-1])
    stage.put(stage.cast[0], *spot(path[place]), size)
    stage.put(stage.cast[1], *spot(path[-1]), size * stage.between(0.75, 1))


EXCHANGE: tuple[Layout, ...] = (
    exchange_by_bows, exchange_by_broad_arrows, exchange_of_goods, exchange_round_the_corners,
)  # fmt: skip
CHASE: tuple[Layout, ...] = (
    chase_on_a_wave, chase_round_a_track, chase_straight, chase_over_hills, chase_on_a_loop,
)  # fmt: skip
