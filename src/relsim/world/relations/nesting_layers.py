"""One thing inside itself, bodies cut open, strata: everything that lies in layers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import RGB, blend
from relsim.world.stage import Stage, on_circle


def _shades(stage: Stage, count: int) -> list[RGB]:
    """Colours of the cast, the spare ones and mixtures, in an order of this scene's own."""
    colours = [actor.colour.rgb for actor in stage.cast] + [colour.rgb for colour in stage.spare]
    colours = [colours[i] for i in stage.rng.permutation(len(colours))]
    mixed = [blend(a, stage.paper, 0.45) for a in colours]
    return [*colours, *mixed][:count]


def _copies(stage: Stage, places: list[tuple[float, float, float]], turn: float) -> None:
    """Silhouettes of one kind at (x, y, size), in two colours by turns; the innermost is the thing itself."""
    colours = (stage.cast[1].colour.rgb, blend(stage.cast[1].colour.rgb, stage.paper, 0.6))
    for number, (x, y, size) in enumerate(places[:-1]):
        stage.put(stage.cast[0], x, y, size, turn=turn, silhouette=colours[number % 2])
    stage.put(stage.cast[0], *places[-1], turn=turn)


def nested_centred(stage: Stage) -> None:
    """Copies about one middle."""
    size, steps = stage.between(1.6, 1.9), stage.count(3, 4)
    x, y, turn = stage.between(-0.05, 0.05), stage.between(-0.05, 0.05), stage.between(-25, 25)
    shrink = stage.between(0.6, 0.68)
    _copies(stage, [(x, y, size * shrink**number) for number in range(steps)], turn)


def nested_polygons(stage: Stage) -> None:
    """Plain polygons, each turned a little against the last, around a thing."""
    sides, turn, twist = int(stage.rng.choice([3, 4, 5, 6, 28])), stage.between(0, 90), stage.between(0, 25)
    radius, steps, shrink = stage.between(0.82, 0.95), stage.count(4, 6), stage.between(0.68, 0.8)
    for number, colour in enumerate(_shades(stage, steps)):
        corners = [on_circle(radius * shrink**number, turn + twist * number + k * 360 / sides) for k in range(sides)]
        stage.shape(corners, colour)
    stage.put(stage.cast[0], 0, 0, max(radius * shrink**steps * 1.2, 0.3))


def nested_to_a_side(stage: Stage) -> None:
    """Copies share one border: a tunnel seen from one side."""
    size, steps, towards = stage.between(1.5, 1.75), stage.count(3, 4), stage.between(0, 360)
    shrink = stage.between(0.6, 0.68)
    x, y = on_circle(0.1, towards + 180)
    places = []
    for number in range(steps):
        places.append((x, y, size * shrink**number))
        dx, dy = on_circle(size * shrink**number * (1 - shrink) * 0.3, towards)
        x, y = x + dx, y + dy
    _copies(stage, places, 0.0)


def _cut_body(stage: Stage, outline: Points, centre: tuple[float, float], layers: int) -> None:
    """Bands of one outline, each a smaller copy about `centre`, with a core; a line parts each from the next."""
    middle = np.array(centre, np.float32)
    for number, colour in enumerate(_shades(stage, layers)):
        share = 1 - number * stage.between(0.8, 0.95) / layers
        band = (outline - middle) * share + middle
        stage.shape(band, colour, plain=number > 0)
        stage.line(np.concatenate([band, band[:2]]), width=0.05 if number == 0 else 0.025)


def layers_half(stage: Stage) -> None:
    """A ball cut in half: a half disc in bands with something at the core."""
    radius, turn = stage.between(0.85, 0.95), float(stage.rng.choice([0, 90, 180, 270])) + stage.between(-15, 15)
    x, y = on_circle(radius * 0.42, turn - 90)
    arc = [on_circle(radius, turn + k * 180 / 20, x, y) for k in range(21)]
    _cut_body(stage, np.array(arc, np.float32), (x, y), stage.count(3, 5))
    stage.put(stage.cast[0], *on_circle(radius * 0.2, turn + 90, x, y), 0.34)


def layers_wedge(stage: Stage) -> None:
    """A whole ball with a wedge taken out: bands show in the cut."""
    radius, turn = stage.between(0.8, 0.92), stage.between(0, 360)
    opening, layers = stage.between(70, 120), stage.count(3, 5)
    colours = _shades(stage, layers + 1)
    stage.disc(0, 0, radius, colours[0])
    for number, colour in enumerate(colours[1:]):
        reach = radius * (0.94 - 0.8 * number / layers)
        wedge = [(0.0, 0.0), *(on_circle(reach, turn + opening * k / 12) for k in range(13))]
        stage.shape(wedge, colour, plain=True)
        stage.line([*wedge, *wedge[:2]], width=0.025)
    stage.ring(0, 0, radius, width=0.05)
    stage.put(stage.cast[0], *on_circle(radius * 0.3, turn + opening / 2 + 180), 0.5)


def layers_slab(stage: Stage) -> None:
    """A block seen at its cut edge: a rounded box in bands around a core."""
    width, height, layers = stage.between(1.3, 1.8), stage.between(1.0, 1.7), stage.count(3, 5)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    corner = stage.between(2.5, 6)
    outline = np.stack(
        [
            width / 2 * np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** (2 / corner),
            height / 2 * np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** (2 / corner),
        ],
        axis=1,
    ).astype(np.float32)
    _cut_body(stage, outline, (stage.between(-0.15, 0.15), stage.between(-0.15, 0.15)), layers)
    stage.put(stage.cast[0], 0, 0, 0.42)


def _strata(stage: Stage, edges: list[Points]) -> None:
    """Bands between consecutive edges, with things embedded in each."""
    colours = _shades(stage, len(edges) - 1)
    for number, (upper, lower) in enumerate(pairwise(edges)):
        stage.shape(np.concatenate([upper, lower[::-1]]), blend(colours[number], stage.paper, 0.35), plain=True)
        stage.line(upper, width=0.03)
    for (upper, lower), actor in zip(pairwise(edges), (*stage.cast, *stage.cast), strict=False):
        count = stage.count(2, 4)
        for k in range(count):
            place = int((k + stage.between(0.3, 0.7)) / count * len(upper))
            (x, top), (_, bottom) = upper[place].tolist(), lower[place].tolist()
            stage.put(actor, x * 0.9, (top + bottom) / 2, min(abs(bottom - top) * 0.75, 0.42))


def _edges(stage: Stage, layers: int, bend: float) -> list[Points]:
    """Wavy lines across the picture, top to bottom."""
    x = np.linspace(-0.95, 0.95, 16)
    phase, waves = stage.between(0, 6), stage.between(0.5, 2.5)
    heights = np.linspace(stage.between(-0.95, -0.6), 0.92, layers + 1)
    heights[1:-1] += stage.rng.uniform(-0.06, 0.06, layers - 1)
    wave = bend * np.sin(phase + waves * x * np.pi)
    return [np.stack([x, h + wave * (1 - abs(h) * 0.6)], axis=1).astype(np.float32) for h in heights]


def strata_flat(stage: Stage) -> None:
    """Level bands across the picture."""
    _strata(stage, _edges(stage, stage.count(3, 4), 0.0))


def strata_wavy(stage: Stage) -> None:
    """Bands with one wave running through all of them."""
    _strata(stage, _edges(stage, stage.count(3, 4), stage.between(0.1, 0.18)))


def strata_cake(stage: Stage) -> None:
    """Tiers that narrow upwards, something standing on top."""
    layers, width = stage.count(3, 4), stage.between(1.5, 1.85)
    height = 1.25 / layers
    for number, colour in enumerate(_shades(stage, layers)):
        y = 0.92 - (number + 0.5) * height
        tier = width * (1 - number * stage.between(0.16, 0.2))
        stage.box(0, y, tier, height, colour)
        for k in range(3):
            stage.put(stage.cast[1 + number % 2], (k - 1) * tier * 0.3, y, height * 0.7)
    stage.put(stage.cast[0], 0, 0.92 - layers * height - 0.25, 0.5)
