"""Layouts of things that are tied to one another: chains, cycles, hubs and trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Layout
from relsim.world.relations.standing import EDGE, Place, colour_of, evenly, settled, spot, trimmed, troupe, turned
from relsim.world.stage import Stage, circle, curve, on_circle


def chain_across(stage: Stage) -> None:
    """Things in a wavy line at any angle, iron links from each to the next."""
    count = stage.count(3, 4)
    wave, phase = stage.between(0.1, 0.9), stage.between(0, 2 * math.pi)
    line = [(number * 0.9, wave * math.sin(phase + number * 2.1)) for number in range(count)]
    points, size = settled(stage, turned(line, stage.between(0, 360)), fill=0.62, largest=0.5)
    for first, second in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        _links(stage, *trimmed(first, second, size * 0.42, size * 0.42), 0.13)
    for (x, y), actor in zip(points.tolist(), troupe(stage, count), strict=True):
        stage.put(actor, x, y, size)


def chain_of_rings(stage: Stage) -> None:
    """Large rings that grip into one another, a thing in each."""
    count = stage.count(3, 5)
    line = turned([(number * 1.0, 0.45 * (number % 2)) for number in range(count)], stage.between(0, 360))
    points, size = settled(stage, line, fill=1.16, largest=0.86)
    for number, (x, y) in enumerate(points.tolist()):
        stage.ring(x, y, size * 0.49, width=0.065, colour=blend(colour_of(stage).rgb, stage.ink, 0.3 * (number % 2)))
    for (x, y), actor in zip(points.tolist(), troupe(stage, count), strict=True):
        stage.put(actor, x, y, size * 0.56)


def chain_hanging(stage: Stage) -> None:
    """A chain that hangs from a hook, the lowest thing the largest or the smallest."""
    count, x = stage.count(3, 4), stage.between(-0.4, 0.4)
    sway, grow = stage.between(-0.3, 0.3), stage.between(0.75, 1.3)
    sizes = np.array([grow**number for number in range(count)])
    step = 1.86 / (sizes.sum() + 0.5 * count)
    stage.line([(x - 0.4, -0.93), (x + 0.4, -0.93)], width=0.06)
    place, y = (x, -0.93), -0.93
    for number, actor in enumerate(troupe(stage, count)):
        size = float(sizes[number]) * step
        middle = (x + sway * ((number + 1) / count) ** 2, y + 0.5 * step + size / 2)
        _links(stage, *trimmed(place, middle, 0.0, size * 0.4), 0.13)
        stage.put(actor, *middle, size)
        place, y = (middle[0], middle[1] + size * 0.4), middle[1] + size / 2


def chain_of_wagons(stage: Stage) -> None:
    """Boxes coupled by bars with knobs, a thing in each box, on a bow or turning a corner."""
    count = stage.count(3, 5)
    way = curve((-0.7, stage.between(-0.3, 0.6)), (0.7, stage.between(-0.3, 0.6)), stage.between(-0.5, 0.5), 30)
    if stage.chance(0.4):
        way = np.array([(-0.7, 0.7), (-0.7, -0.6), (0.75, -0.6)], np.float32) * (1, stage.between(0.8, 1.1))
    points, size = settled(stage, evenly(turned(way, stage.pick(4) * 90), count), fill=0.72, largest=0.44)
    tone = blend(stage.paper, colour_of(stage).rgb, 0.5)
    stage.line(points, width=0.075)
    for first, second in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        for end in trimmed(first, second, size * 0.56, size * 0.56):
            stage.disc(*end, 0.06, stage.ink, plain=True)
    for (x, y), actor in zip(points.tolist(), troupe(stage, count), strict=True):
        stage.box(x, y, size, size, tone)
        stage.put(actor, x, y, size * 0.85)


def chain_of_ropes(stage: Stage) -> None:
    """Things scattered in a zigzag, a slack knotted rope from each to the next."""
    count, turn = stage.count(4, 5), stage.between(0, 360)
    line = [(number * 0.8, stage.between(0.9, 1.4) * (number % 2)) for number in range(count)]
    points, size = settled(stage, turned(line, turn), fill=0.66, largest=0.52)
    tone = blend(colour_of(stage).rgb, stage.ink, 0.4)
    for first, second in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        rope = curve(first, second, stage.between(0.12, 0.24) * (1 if first[0] > second[0] else -1))
        stage.line(rope, width=0.06, colour=tone)
        stage.disc(*spot(rope[6]), 0.065, tone, plain=True)
    for (x, y), actor in zip(points.tolist(), troupe(stage, count), strict=True):
        stage.put(actor, x, y, size)


def cycle_on_a_circle(stage: Stage) -> None:
    """Curved arrows along a circle, things between them."""
    count, radius, hand = stage.count(3, 5), stage.between(0.6, 0.66), 1 - 2 * stage.pick(2)
    size, start = min(0.56, 2.6 / (count + 1.6)), stage.between(0, 360)
    free = math.degrees(0.62 * size / radius)
    step = 360 / count
    bend = -hand * math.tan(math.radians(step - 2 * free) / 4) / 2
    for number in range(count):
        angle = start + hand * step * number
        ends = (on_circle(radius, angle + hand * free), on_circle(radius, angle + hand * (step - free)))
        stage.arrow(*ends, bend=bend, width=stage.between(0.045, 0.06), head=0.17)
        stage.put(stage.cast[number % 3], *on_circle(radius, angle), size)


def cycle_with_straight_arrows(stage: Stage) -> None:
    """Things at the corners of a triangle, a square or a pentagon, somewhat out of shape."""
    count, hand = stage.count(3, 5), 1 - 2 * stage.pick(2)
    corners = [on_circle(stage.between(0.85, 1.1), hand * 360 * k / count) for k in range(count)]
    points, size = settled(stage, turned(corners, stage.between(0, 360)), fill=0.5, largest=0.56)
    size = max(size, 0.42)
    actors = troupe(stage, count)
    for number, place in enumerate(points.tolist()):
        after = points[(number + 1) % count].tolist()
        ends = trimmed(place, after, size * 0.58, size * 0.58)
        stage.arrow(*ends, width=0.05, head=0.15, bend=hand * stage.between(-0.1, 0))
        stage.put(actors[number], place[0], place[1], size)


def cycle_about_a_disc(stage: Stage) -> None:
    """Broad arrows chase one another round a point; the things stand outside, before the gaps."""
    count, hand, start = 3 + stage.pick(2), 1 - 2 * stage.pick(2), stage.between(0, 360)
    radius, step = stage.between(0.32, 0.38), 360 / count
    tone = blend(colour_of(stage).rgb, stage.ink, 0.45)
    actors = (*stage.cast, stage.cast[0].painted(stage.spare[0]))
    for number in range(count):
        angle = start + hand * step * number
        arc = [on_circle(radius, angle + hand * (step * share - 8)) for share in np.linspace(0.1, 0.72, 9).tolist()]
        stage.line(arc, width=0.12, colour=tone)
        tip = on_circle(radius, angle + hand * (step * 1.02 - 8))
        base = [on_circle(radius + side, angle + hand * (step * 0.7 - 8)) for side in (0.15, -0.15)]
        stage.shape([tip, *base], tone, plain=True)
        stage.put(actors[number], *on_circle(0.72, angle), 0.44)


def cycle_on_a_track(stage: Stage) -> None:
    """Four stations of a rectangular track with arrows that turn its corners."""
    wide, high, hand = 0.68, stage.between(0.5, 0.68), 1 - 2 * stage.pick(2)
    corners = [(-wide, -high), (wide, -high), (wide, high), (-wide, high)][::hand]
    stations = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    tone, size = blend(stage.paper, colour_of(stage).rgb, 0.6), stage.between(0.44, 0.5)
    for number, (x, y) in enumerate(stations):
        corner, after = corners[(number + 1) % 4], stations[(number + 1) % 4]
        start = trimmed((x, y), corner, size * 0.6, 0.0)[0]
        end = trimmed(corner, after, 0.0, size * 0.58)[1]
        stage.line([start, corner], width=0.05)
        stage.arrow(corner, end, width=0.05, head=0.16)
        stage.disc(x, y, size * 0.54, tone)
        stage.put(stage.cast[number % 3], x, y, size * 0.85)


def hub_in_the_middle(stage: Stage) -> None:
    """Straight spokes from one large thing to small ones all round."""
    count, start, radius = stage.count(5, 9), stage.between(0, 360), stage.between(0.7, 0.76)
    size = min(0.38, 2.8 / count, 2 * (EDGE - radius))
    for number in range(count):
        place = on_circle(radius, start + 360 * number / count)
        stage.line([(0, 0), place], width=stage.between(0.03, 0.05))
    stage.disc(0, 0, 0.36, blend(stage.paper, stage.cast[0].colour.rgb, 0.2), plain=True)
    for number in range(count):
        stage.put(stage.cast[1], *on_circle(radius, start + 360 * number / count), size)
    stage.put(stage.cast[0], 0, 0, stage.between(0.5, 0.6))


def hub_of_a_wheel(stage: Stage) -> None:
    """A wheel: hub, spokes, rim; things between the spokes' ends on the rim."""
    count, start, radius = stage.count(4, 7), stage.between(0, 360), stage.between(0.68, 0.74)
    tilt = stage.between(0.72, 1)
    rim = circle(0, 0, radius, 40) * (1, tilt)
    tone = blend(colour_of(stage).rgb, stage.ink, 0.35)
    stage.line(np.concatenate([rim, rim[:2]]), width=0.07, colour=tone)
    places = [(x, y * tilt) for x, y in (on_circle(radius, start + 360 * k / count) for k in range(count))]
    for x, y in places:
        stage.line([(0, 0), (x, y)], width=0.06, colour=tone)
    stage.disc(0, 0, 0.29, tone)
    stage.disc(0, 0, 0.24, stage.paper, plain=True)
    stage.put(stage.cast[0], 0, 0, 0.4)
    for x, y in places:
        stage.put(stage.cast[1 + stage.pick(2)], x, y, min(0.4, 2.2 / count))


def hub_between_columns(stage: Stage) -> None:
    """A central box, curved lines to a column of things on either side."""
    count, upright = stage.count(2, 4), stage.chance()
    tone = blend(stage.paper, stage.cast[0].colour.rgb, 0.25)
    size = min(0.42, 1.6 / count)
    lanes = np.linspace(-0.88 + size / 2, 0.88 - size / 2, count).tolist()
    for side in (-0.74, 0.74):
        for lane in lanes:
            x, y = (side, lane) if upright else (lane, side)
            middle = (0.0, lane * 0.1) if upright else (lane * 0.1, 0.0)
            stage.line(curve(middle, (x, y), stage.between(-0.1, 0.1)), width=0.045)
            stage.put(stage.cast[1 if side < 0 else 2], x, y, size)
    stage.box(0, 0, 0.6, 0.6, tone, plain=True)
    stage.frame(0, 0, 0.6, 0.6, line=0.04)
    stage.put(stage.cast[0], 0, 0, 0.5)


def hub_aside(stage: Stage) -> None:
    """A hub far from the middle, spokes of unequal length, a disc under each thing."""
    angle, count = stage.between(0, 360), stage.count(6, 8)
    x, y = on_circle(0.26, angle)
    tone, places = blend(stage.paper, colour_of(stage).rgb, 0.55), []
    for number in range(count):
        away = angle + 360 * (number + stage.between(-0.15, 0.15)) / count
        reach = 0.6 + 0.33 * (1 - math.cos(math.radians(away - angle))) / 2 * (1 + 0.3 * (number % 2))
        px, py = on_circle(reach, away, x, y)
        places.append((min(max(px, -0.76), 0.76), min(max(py, -0.76), 0.76)))
    for place in places:
        stage.line([(x, y), place], width=0.04)
    for place in places:
        stage.disc(*place, 0.175, tone)
        stage.put(stage.cast[2], *place, 0.27)
    stage.disc(x, y, 0.34, blend(stage.ink, stage.paper, 0.4), plain=True)
    stage.put(stage.cast[0], x, y, 0.5)


def tree_with_elbows(stage: Stage) -> None:
    """Levels one below another, lines with right angles; the root on any side."""
    turn = stage.pick(4) * 90 if stage.chance() else 0

    def tie(first: Place, second: Place, _: int) -> None:
        half = (first[1] + second[1]) / 2, (first[0] + second[0]) / 2
        upright = turn % 180 == 0
        bends = [(first[0], half[0]), (second[0], half[0])] if upright else [(half[1], first[1]), (half[1], second[1])]
        stage.line([first, *bends, second], width=0.045)

    _tree(stage, turn, tie)


def tree_with_straight_lines(stage: Stage) -> None:
    """Straight lines to everything one level on, at any angle."""
    width = stage.between(0.035, 0.055)
    _tree(stage, stage.pick(4) * 90 + stage.between(-12, 12), lambda a, b, _: stage.line([a, b], width=width))


def tree_with_limbs(stage: Stage) -> None:
    """Curved limbs that become thinner with each level, on discs."""
    tone = blend(colour_of(stage).rgb, stage.ink, 0.5)

    def tie(first: Place, second: Place, level: int) -> None:
        side = 1 if first[0] < second[0] else -1
        stage.line(curve(first, second, 0.14 * side), width=0.1 - 0.05 * level, colour=tone)
        stage.disc(*second, 0.2 - 0.03 * level, blend(tone, stage.paper, 0.6), plain=True)

    _tree(stage, 180 if stage.chance(0.6) else stage.pick(4) * 90, tie)


def tree_of_halves(stage: Stage) -> None:
    """At each fork one branch ends and the other forks again, as in a chart of matches or of kinship."""
    forks, hand = stage.count(2, 3), 1 - 2 * stage.pick(2)
    tops = [(hand * 0.5 * level, 1.0 * level) for level in range(forks + 1)]
    ends = [(hand * (0.5 * level - 0.5 - 0.12 * forks), level + 1.0) for level in range(forks)]
    points, size = settled(stage, turned([*tops, *ends], stage.pick(4) * 90), fill=0.9, largest=0.52)
    places = points.tolist()
    for level in range(forks):
        for below in (places[level + 1], places[forks + 1 + level]):
            stage.line([places[level], below], width=0.05)
    for number, place in enumerate(places):
        level = number if number <= forks else number - forks
        stage.put(stage.cast[level % 3], place[0], place[1], size)


def _tree(stage: Stage, turn: float, tie: Callable[[Place, Place, int], None]) -> None:
    """One thing, two or three on the next level and one to three below each; `tie` joins two, at level 0 or 1."""
    leaves = ((2, 2), (3, 2), (1, 3), (2, 1, 2), (3, 3), (2, 2, 2))[stage.count(0, 5)]
    total, spread = sum(leaves), 0.95 if turn % 90 == 0 else 0.85
    size = min(0.4, 1.9 / total)
    slots = (np.linspace(-1, 1, total) * (EDGE - size / 2) * spread).tolist()
    levels = [spread * y for y in (-0.7, -0.02, 0.76)]
    children = [slots[sum(leaves[:k]) : sum(leaves[: k + 1])] for k in range(len(leaves))]
    middles = [sum(group) / len(group) for group in children]
    root = sum(middles) / len(middles)

    def at(x: float, level: int) -> Place:
        placed = turned([(x, levels[level])], turn)[0]
        return float(placed[0]), float(placed[1])

    for middle, group in zip(middles, children, strict=True):
        tie(at(root, 0), at(middle, 1), 0)
        for leaf in group:
            tie(at(middle, 1), at(leaf, 2), 1)
    upright = turn if stage.chance(0.3) else 0
    stage.put(stage.cast[0], *at(root, 0), 0.48, turn=upright)
    for middle, group in zip(middles, children, strict=True):
        stage.put(stage.cast[1], *at(middle, 1), 0.4, turn=upright)
        for leaf in group:
            stage.put(stage.cast[2], *at(leaf, 2), size * 0.92, turn=upright)


def _links(stage: Stage, start: Sequence[float], end: Sequence[float], width: float, tone: RGB | None = None) -> None:
    """Oval links, every other one seen from its edge, from one point to the other."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length, angle = math.hypot(dx, dy), math.degrees(math.atan2(dy, dx))
    count = max(2, round(length / 0.13))
    count += 1 - count % 2
    step = length / count
    for number in range(count):
        x, y = start[0] + dx * (number + 0.5) / count, start[1] + dy * (number + 0.5) / count
        if number % 2:
            bar = turned([(-step * 0.72, 0.0), (step * 0.72, 0.0)], angle) + np.array([x, y], np.float32)
            stage.line(bar, width=0.05, colour=tone)
        else:
            oval = turned(circle(0, 0, 1, 14) * (step * 0.72, width / 2), angle) + np.array([x, y], np.float32)
            stage.line(np.concatenate([oval, oval[:2]]), width=0.035, colour=tone)


CHAIN: tuple[Layout, ...] = (chain_across, chain_of_rings, chain_hanging, chain_of_wagons, chain_of_ropes)
CYCLE: tuple[Layout, ...] = (cycle_on_a_circle, cycle_with_straight_arrows, cycle_about_a_disc, cycle_on_a_track)
HUB: tuple[Layout, ...] = (hub_in_the_middle, hub_of_a_wheel, hub_between_columns, hub_aside)
TREE: tuple[Layout, ...] = (tree_with_elbows, tree_with_straight_lines, tree_with_limbs, tree_of_halves)
