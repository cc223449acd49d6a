"""Layouts of things that move to or from one point: convergence and bursts."""

from __future__ import annotations

import math

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import EDGE, block_arrow, colour_of, streaks, swung, trimmed, turned
from relsim.world.stage import Stage, on_circle


def convergence_from_all_round(stage: Stage) -> None:
    """Things on all sides, an arrow from each to the one in the middle."""
    count, start, radius = stage.count(4, 7), stage.between(0, 360), stage.between(0.7, 0.76)
    size, middle = min(0.38, 2 * (EDGE - radius)), stage.between(0.42, 0.5)
    x, y = stage.between(-0.06, 0.06), stage.between(-0.06, 0.06)
    for number in range(count):
        place = on_circle(radius, start + 360 * number / count)
        stage.arrow(*trimmed(place, (x, y), size * 0.5, middle * 0.56), width=0.045, head=0.13)
        stage.put(stage.cast[1], *place, size)
    stage.put(stage.cast[0], x, y, middle)


def convergence_from_one_side(stage: Stage) -> None:
    """A row of things along one border, arrows to a large one across."""
    count, turn, size = stage.count(3, 5), stage.pick(4) * 90 + stage.between(-8, 8), stage.between(0.54, 0.68)
    small, goal = min(0.42, 1.6 / count), (0.86 - size / 2, stage.between(-0.35, 0.35))
    bow = stage.between(-0.2, 0.2)
    target = swung(*goal, turn)
    for number, lane in enumerate(np.linspace(-0.64, 0.64, count).tolist()):
        place = swung(-0.66, lane, turn)
        stage.arrow(
            *trimmed(place, target, small * 0.55, size * 0.5), bend=bow * (1 - number) / 2, width=0.045, head=0.14
        )
        stage.put(stage.cast[1 + number % 2], *place, small)
    stage.put(stage.cast[0], *target, size)


def convergence_of_streams(stage: Stage) -> None:
    """Broad streams join in one point and go on as a single arrow into one thing."""
    count, turn = stage.count(3, 5), stage.pick(4) * 90 + stage.between(-8, 8)
    join, size = stage.between(-0.05, 0.1), stage.between(0.46, 0.54)
    tone = blend(colour_of(stage).rgb, stage.ink, 0.4)
    small = min(0.36, 1.5 / count)
    for number, lane in enumerate(np.linspace(-0.72, 0.72, count).tolist()):
        path = _ease((-0.6, lane), (join, 0.0))
        stage.line(turned(path, turn), width=0.075, colour=tone)
        stage.put(stage.cast[1 + number % 2], *swung(-0.72, lane, turn), small)
    tip = 0.88 - size
    stage.shape(turned(block_arrow((join - 0.06, 0.0), (tip, 0.0), 0.17), turn), tone, plain=True)
    stage.put(stage.cast[0], *swung(tip + 0.03 + size / 2, 0.0, turn), size)


def convergence_of_arrows(stage: Stage) -> None:
    """Broad arrows alone, from everywhere upon one large thing."""
    count, start, size = stage.count(6, 10), stage.between(0, 360), stage.between(0.6, 0.72)
    x, y = stage.between(-0.12, 0.12), stage.between(-0.12, 0.12)
    tones = [blend(colour.rgb, stage.ink, 0.3) for colour in stage.spare]
    for number in range(count):
        dx, dy = on_circle(1, start + 360 * number / count)
        reach = min((0.95 - x * np.sign(dx)) / max(abs(dx), 1e-3), (0.95 - y * np.sign(dy)) / max(abs(dy), 1e-3), 1.15)
        tail, tip = (x + dx * reach, y + dy * reach), (x + dx * size * 0.62, y + dy * size * 0.62)
        stage.shape(block_arrow(tail, tip, min(0.13, 1.1 / count)), tones[number % 2], plain=True)
    stage.put(stage.cast[0], x, y, size)


def convergence_into_a_funnel(stage: Stage) -> None:
    """Things and arrows above a funnel, one thing below it."""
    count, mouth, x = stage.count(3, 4), stage.between(0.75, 0.92), stage.between(-0.1, 0.1)
    turn = 180 if stage.chance(0.25) else stage.pick(2) * 90
    for number, lane in enumerate(np.linspace(-0.76, 0.76, count).tolist()):
        place = swung(lane, -0.72, turn)
        neck = swung(x + lane * 0.35, 0.05, turn)
        stage.put(stage.cast[1 + number % 2], *place, min(0.42, 1.5 / count))
        stage.arrow(*trimmed(place, neck, 0.22, 0.06), width=0.05, head=0.14)
    sides = [(x - mouth * 0.75, -0.1), (x - 0.12, 0.25), (x - 0.12, 0.4), (x + 0.12, 0.4), (x + 0.12, 0.25)]
    stage.shape(turned([*sides, (x + mouth * 0.75, -0.1), (x, 0.12)], turn), colour_of(stage).rgb)
    stage.put(stage.cast[0], *swung(x, 0.68, turn), 0.5)


def burst_of_things(stage: Stage) -> None:
    """A jagged flash; things tumble away from it with streaks behind them."""
    count, start, x, y = stage.count(5, 8), stage.between(0, 360), stage.between(-0.1, 0.1), stage.between(-0.1, 0.1)
    _flash(stage, x, y, stage.between(0.26, 0.36), 7 + stage.pick(4))
    for number in range(count):
        angle = start + 360 * (number + stage.between(-0.15, 0.15)) / count
        reach, size = stage.between(0.68, 0.76), stage.between(0.32, 0.42)
        streaks(stage, angle, on_circle(reach - size * 0.6, angle, x * 0.3, y * 0.3), 0.2, 0.16)
        stage.put(stage.cast[number % 3], *on_circle(reach, angle, x * 0.3, y * 0.3), size, turn=stage.between(0, 360))


def burst_from_a_border(stage: Stage) -> None:
    """An eruption: pieces fly out of a mouth at one border, over half the compass."""
    turn, count = stage.pick(4) * 90 if stage.chance() else 0, stage.count(5, 8)
    tone = blend(colour_of(stage).rgb, stage.ink, 0.2)
    for number in range(count):
        angle = -160 + 140 * (number + stage.between(-0.2, 0.2)) / (count - 1)
        reach = stage.between(0.8, 1.1) if number % 2 else stage.between(1.1, 1.34)
        x, y = on_circle(reach, angle, 0, 0.72)
        place = swung(min(max(x, -0.76), 0.76), max(y, -0.76), turn)
        foot = swung(0, 0.72, turn)
        direction = math.degrees(math.atan2(place[1] - foot[1], place[0] - foot[0]))
        streaks(stage, direction, trimmed(foot, place, 0.0, 0.22)[1], 0.3, 0.14)
        stage.put(stage.cast[number % 2], *place, stage.between(0.28, 0.36), turn=stage.between(0, 360))
    stage.shape(turned([(-0.6, 0.95), (-0.2, 0.45), (0.2, 0.45), (0.6, 0.95)], turn), tone)
    _flash(stage, *swung(0, 0.42, turn), 0.24, 9)


def burst_of_shards(stage: Stage) -> None:
    """Sharp splinters, point outwards, about one thing that gave way; short rays between them."""
    count, start, size = stage.count(7, 11), stage.between(0, 360), stage.between(0.44, 0.54)
    tones = [colour.rgb for colour in (*stage.spare, stage.cast[1].colour)]
    for number in range(count):
        angle, half = start + 360 * number / count, stage.between(6, 11)
        near, far = stage.between(0.48, 0.58), stage.between(0.82, 0.95)
        corners = [
            on_circle(near, angle - half),
            on_circle(far, angle + stage.between(-5, 5)),
            on_circle(near, angle + half),
        ]
        stage.shape(corners, tones[number % 3])
        ray = angle + 180 / count
        stage.line([on_circle(0.4, ray), on_circle(stage.between(0.55, 0.9), ray)], width=0.03)
    _flash(stage, 0, 0, 0.42, count)
    stage.put(stage.cast[0], 0, 0, size * 0.8, turn=stage.between(-30, 30))


def burst_towards_the_viewer(stage: Stage) -> None:
    """Wedges of light from a point off the middle; pieces become larger the further they have flown."""
    x, y = on_circle(stage.between(0.1, 0.4), stage.between(0, 360))
    tone, rays = blend(stage.paper, colour_of(stage).rgb, 0.45), stage.count(8, 13)
    start = stage.between(0, 360)
    for number in range(rays):
        angle, wide = start + 360 * number / rays, stage.between(4, 8)
        ends = [on_circle(2.2, angle + turn, x, y) for turn in (-wide, wide)]
        with_border = np.clip(np.array([(x, y), *ends], np.float32), -0.96, 0.96)
        stage.shape(with_border, tone, plain=True)
    _flash(stage, x, y, 0.2, 8)
    for number in range(stage.count(6, 9)):
        angle = start + 137.5 * number
        reach = 0.32 + 0.075 * number
        px, py = on_circle(reach, angle, x, y)
        size = 0.2 + 0.36 * reach
        px, py = (min(max(v, size / 2 - EDGE), EDGE - size / 2) for v in (px, py))
        stage.put(stage.cast[number % 3], px, py, size, turn=angle)


def _ease(start: tuple[float, float], end: tuple[float, float]) -> Points:
    """A path that leaves and arrives level."""
    t = np.linspace(0, 1, 16)
    rise = t**2 * (3 - 2 * t)
    return np.stack([start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * rise], axis=1).astype(
        np.float32
    )


def _flash(stage: Stage, x: float, y: float, radius: float, points: int) -> None:
    """A jagged star in two colours."""
    start = stage.between(0, 360)
    for share, tone in ((1.0, stage.ink), (0.78, stage.paper)):
        star = [
            on_circle(radius * share * (1 if k % 2 == 0 else 0.55), start + 180 * k / points, x, y)
            for k in range(2 * points)
        ]
        stage.shape(star, tone, plain=True)


CONVERGENCE: tuple[Layout, ...] = (
    convergence_from_all_round, convergence_from_one_side, convergence_of_streams, convergence_of_arrows,
    convergence_into_a_funnel,
)  # fmt: skip
BURST: tuple[Layout, ...] = (burst_of_things, burst_from_a_border, burst_of_shards, burst_towards_the_viewer)
