"""Nesting and layers: one inside another, or one on top of another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import blend
from relsim.world.relations.base import Relation
from relsim.world.stage import Stage, circle, on_circle, rectangle

FAMILY = "nesting"


def _shades(stage: Stage, count: int) -> list[tuple[int, int, int]]:
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


def _nested_centred(stage: Stage) -> None:
    size, steps = stage.between(1.6, 1.9), stage.count(3, 4)
    x, y, turn = stage.between(-0.05, 0.05), stage.between(-0.05, 0.05), stage.between(-25, 25)
    shrink = stage.between(0.6, 0.68)
    _copies(stage, [(x, y, size * shrink**number) for number in range(steps)], turn)


def _nested_polygons(stage: Stage) -> None:
    sides, turn, twist = int(stage.rng.choice([3, 4, 5, 6, 28])), stage.between(0, 90), stage.between(0, 25)
    radius, steps, shrink = stage.between(0.82, 0.95), stage.count(4, 6), stage.between(0.68, 0.8)
    for number, colour in enumerate(_shades(stage, steps)):
        corners = [on_circle(radius * shrink**number, turn + twist * number + k * 360 / sides) for k in range(sides)]
        stage.shape(corners, colour)
    stage.put(stage.cast[0], 0, 0, max(radius * shrink**steps * 1.2, 0.3))


def _nested_to_a_side(stage: Stage) -> None:
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
    """Bands of one outline, each a smaller copy about `centre`, with a core."""
    middle = np.array(centre, np.float32)
    for number, colour in enumerate(_shades(stage, layers)):
        share = 1 - number * stage.between(0.8, 0.95) / layers
        stage.shape((outline - middle) * share + middle, colour)


def _layers_half(stage: Stage) -> None:
    """A ball cut in half: a half disc in bands with something at the core."""
    radius, turn = stage.between(0.85, 0.95), float(stage.rng.choice([0, 90, 180, 270])) + stage.between(-15, 15)
    x, y = on_circle(radius * 0.42, turn - 90)
    arc = [on_circle(radius, turn + k * 180 / 20, x, y) for k in range(21)]
    _cut_body(stage, np.array(arc, np.float32), (x, y), stage.count(3, 5))
    stage.put(stage.cast[0], *on_circle(radius * 0.2, turn + 90, x, y), 0.34)


def _layers_wedge(stage: Stage) -> None:
    """A whole ball with a wedge taken out: bands show in the cut."""
    radius, turn = stage.between(0.8, 0.92), stage.between(0, 360)
    opening, layers = stage.between(70, 120), stage.count(3, 5)
    colours = _shades(stage, layers + 1)
    stage.disc(0, 0, radius, colours[0])
    for number, colour in enumerate(colours[1:]):
        reach = radius * (0.94 - 0.8 * number / layers)
        wedge = [(0.0, 0.0), *(on_circle(reach, turn + opening * k / 12) for k in range(13))]
        stage.shape(wedge, colour, plain=number == 0)
    stage.put(stage.cast[0], *on_circle(radius * 0.3, turn + opening / 2 + 180), 0.5)


def _layers_slab(stage: Stage) -> None:
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


def _fill(stage: Stage, left: float, right: float, floor: float, depth: float) -> None:
    """Things lying between two walls on a floor, in staggered rows."""
    size = stage.between(0.34, 0.46)
    columns = max(2, int((right - left) / size))
    rows = max(1, int(depth / size))
    for row in range(rows):
        for column in range(columns - row % 2):
            x = left + (column + 0.5 + row % 2 / 2) * (right - left) / columns
            actor = stage.cast[stage.pick(2)]
            stage.put(actor, x, floor - (row + 0.5) * size * 0.92, size, turn=stage.between(-30, 30))


def _in_jar(stage: Stage) -> None:
    width, height, neck = stage.between(1.1, 1.5), stage.between(1.4, 1.75), stage.between(0.6, 0.85)
    half, top, floor = width / 2, -height / 2, height / 2
    shoulder = top + stage.between(0.2, 0.35)
    body = [(-half * neck, top), (half * neck, top), (half, shoulder), (half, floor), (-half, floor), (-half, shoulder)]
    stage.shape(body, blend(stage.cast[2].colour.rgb, stage.paper, 0.7), plain=True)
    _fill(stage, -half + 0.05, half - 0.05, floor - 0.05, (floor - shoulder) * 0.9)
    stage.line([*body, body[0]], width=0.05)


def _in_bowl(stage: Stage) -> None:
    """A bowl from the side, its contents showing above the rim."""
    radius, y = stage.between(0.75, 0.92), stage.between(0.05, 0.25)
    size = stage.between(0.42, 0.55)
    for row, count in enumerate((3, 2)):
        for k in range(count):
            x = (k - (count - 1) / 2) * size * 0.95
            stage.put(stage.cast[stage.pick(2)], x, y - size * (0.28 + 0.62 * row), size, turn=stage.between(-25, 25))
    half = [on_circle(radius, k * 180 / 16, 0, y) for k in range(17)]
    stage.shape(half, stage.cast[2].colour.rgb)
    stage.line([(-radius * 1.08, y), (radius * 1.08, y)], width=0.06)


def _in_box(stage: Stage) -> None:
    """An open box seen from above: four walls, flaps outside, things on the floor."""
    width, height = stage.between(1.1, 1.4), stage.between(1.0, 1.3)
    flap = stage.between(0.16, 0.28)
    colour = stage.cast[2].colour.rgb
    for x, y, w, h in (
        (0, -(height + flap) / 2, width * 0.9, flap),
        (0, (height + flap) / 2, width * 0.9, flap),
        (-(width + flap) / 2, 0, flap, height * 0.9),
        ((width + flap) / 2, 0, flap, height * 0.9),
    ):
        stage.box(x, y, w, h, blend(colour, stage.ink, 0.2))
    stage.box(0, 0, width, height, blend(colour, stage.paper, 0.6), plain=True)
    columns, rows = stage.count(2, 3), 2
    size = min(width / columns, height / rows) * 0.8
    for row in range(rows):
        for column in range(columns):
            x, y = (column + 0.5) / columns * width - width / 2, (row + 0.5) / rows * height - height / 2
            stage.put(stage.cast[stage.pick(2)], x, y, size, turn=stage.between(-40, 40))
    stage.frame(0, 0, width, height, line=0.05)


def _strata(stage: Stage, edges: list[Points]) -> None:
    """Bands between consecutive edges, with things embedded in each."""
    colours = _shades(stage, len(edges) - 1)
    for number, (upper, lower) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        stage.shape(np.concatenate([upper, lower[::-1]]), blend(colours[number], stage.paper, 0.35), plain=True)
        stage.line(upper, width=0.03)
    for upper, lower, actor in zip(edges[:-1], edges[1:], (*stage.cast, *stage.cast), strict=False):
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


def _strata_flat(stage: Stage) -> None:
    _strata(stage, _edges(stage, stage.count(3, 4), 0.0))


def _strata_wavy(stage: Stage) -> None:
    _strata(stage, _edges(stage, stage.count(3, 4), stage.between(0.1, 0.18)))


def _strata_cake(stage: Stage) -> None:
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


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A picture hanging at (x, y), turned and scaled: places on it are in its own units."""

    x: float
    y: float
    turn: float
    scale: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place on the sheet is in the scene."""
        angle = math.radians(self.turn)
        cos, sin = math.cos(angle) * self.scale, math.sin(angle) * self.scale
        return self.x + x * cos - y * sin, self.y + x * sin + y * cos

    def inner(self, x: float, y: float, scale: float, turn: float = 0.0) -> _Sheet:
        """A smaller sheet on this one."""
        return _Sheet(*self.at(x, y), self.turn + turn, self.scale * scale)


def _hang(stage: Stage, sheet: _Sheet, width: float, height: float, depth: int, *, oval: bool = False) -> None:
    """Paper and frame of a picture, in two tints by turns."""
    if oval:
        corners = [sheet.at(width / 2 * math.cos(t), height / 2 * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 28)]
    else:
        w, h = width / 2, height / 2
        corners = [sheet.at(*corner) for corner in ((-w, -h), (w, -h), (w, h), (-w, h))]
    tint = blend(stage.cast[1].colour.rgb, stage.paper, 0.85 if depth % 2 else 0.6)
    stage.shape(corners, tint, plain=True)
    stage.line([*corners, corners[0], corners[1]], width=max(0.07 * sheet.scale, 0.03))


def _first_sheet(stage: Stage, reach: float) -> _Sheet:
    """Turned and placed by chance; `reach` is the sheet's half diagonal at scale 1."""
    scale = stage.between(0.8, 1.0) / reach
    room = 0.95 - scale * reach * 0.9
    return _Sheet(stage.between(-room, room), stage.between(-room, room), stage.between(-38, 38), scale)


def _droste_side(stage: Stage) -> None:
    """Beside the actor hangs the picture of it all."""
    side, tall = (1 if stage.chance() else -1), stage.between(1.1, 1.5)
    sheet = _first_sheet(stage, math.hypot(0.95, tall / 2))
    for depth in range(3):
        _hang(stage, sheet, 1.9, tall, depth)
        stage.put(stage.cast[0], *sheet.at(-side * 0.5, 0), 0.75 * sheet.scale, turn=sheet.turn)
        sheet = sheet.inner(side * 0.42, 0, 0.48)


def _droste_middle(stage: Stage) -> None:
    """The picture hangs in the middle, two actors below or above it."""
    below, oval, twist = (1 if stage.chance() else -1), stage.chance(), stage.between(-14, 14)
    sheet = _first_sheet(stage, 0.98 if oval else 1.25)
    for depth in range(3):
        _hang(stage, sheet, 1.8, 1.8, depth, oval=oval)
        for x in (-0.42, 0.42):
            stage.put(stage.cast[0], *sheet.at(x, below * 0.5), 0.45 * sheet.scale, turn=sheet.turn)
        sheet = sheet.inner(0, -below * 0.22, 0.5, twist)


def _droste_corner(stage: Stage) -> None:
    """Each picture stands in a corner of the last."""
    across, down = (1 if stage.chance() else -1), (1 if stage.chance() else -1)
    sheet, twist = _first_sheet(stage, 1.25), stage.between(-20, 20)
    for depth in range(3):
        _hang(stage, sheet, 1.8, 1.7, depth)
        place = sheet.at(-across * 0.38, -down * 0.34)
        stage.put(stage.cast[0], *place, 0.85 * sheet.scale, turn=sheet.turn)
        sheet = sheet.inner(across * 0.38, down * 0.36, 0.47, twist)


def _bubble(stage: Stage) -> None:
    """Something inside a transparent ball with a highlight."""
    radius = stage.between(0.75, 0.92)
    stage.disc(0, 0, radius, blend(stage.cast[1].colour.rgb, stage.paper, 0.72), plain=True)
    stage.put(stage.cast[0], 0, 0.02, radius * 1.1, turn=stage.between(-15, 15))
    stage.ring(0, 0, radius, width=0.05, colour=stage.cast[1].colour.rgb)
    start = stage.between(190, 230)
    stage.line([on_circle(radius * 0.82, start + k * 8) for k in range(6)], width=0.07, colour=(255, 255, 255))


def _bell_jar(stage: Stage) -> None:
    """Something under a glass dome on a foot."""
    width, height, foot = stage.between(0.55, 0.75), stage.between(1.1, 1.4), stage.between(0.6, 0.8)
    glass, colour = blend(stage.cast[1].colour.rgb, stage.paper, 0.75), stage.cast[1].colour.rgb
    top = foot - height + width
    dome = [(-width, foot), *(on_circle(width, 180 + k * 12, 0, top) for k in range(16)), (width, foot)]
    stage.shape(dome, glass, plain=True)
    size = min(1.5 * width, 0.85 * height)
    stage.put(stage.cast[0], 0, foot - size * 0.55, size)
    stage.line(dome, width=0.05, colour=colour)
    stage.disc(0, foot - height - 0.02, 0.09, colour)
    stage.box(0, foot + 0.07, 2.3 * width, 0.16, colour)


def _netted(stage: Stage) -> None:
    """Something behind a crossed net that follows a ring."""
    radius = stage.between(0.78, 0.9)
    stage.put(stage.cast[0], 0, 0, radius * 1.2)
    colour, step = stage.cast[1].colour.rgb, radius / 2.5
    with stage.clipped(circle(0, 0, radius)):
        for k in range(-5, 6):
            stage.line([(k * step - radius, -radius), (k * step + radius, radius)], width=0.045, colour=colour)
            stage.line([(k * step + radius, -radius), (k * step - radius, radius)], width=0.045, colour=colour)
    stage.ring(0, 0, radius, width=0.06, colour=colour)


def _cage(stage: Stage) -> None:
    """Something in a cage of upright bars."""
    width, height, bars = stage.between(1.2, 1.6), stage.between(1.4, 1.7), stage.count(5, 7)
    stage.put(stage.cast[0], 0, 0, min(width, height) * 0.75)
    colour = stage.cast[1].colour.rgb
    for k in range(bars):
        x = (k / (bars - 1) - 0.5) * width
        stage.line([(x, -height / 2), (x, height / 2)], width=0.05, colour=colour)
    for y in (-height / 2, height / 2):
        stage.shape(rectangle(0, y, width * 1.1, 0.13), colour)


RELATIONS = (
    Relation(
        "concentric_copies",
        FAMILY,
        (
            "The same {Shape} nested inside itself, smaller and smaller",
            "Ever smaller copies of one {Shape} set inside each other",
            "A {Shape} within the same {Shape} within the same {Shape}",
            "Concentric copies of a {Shape}, shrinking toward the center",
            "Each {Shape} contains a smaller version of the identical {Shape}",
            "Nested {Shapes} like dolls, each inside the next larger one",
            "Repeated {Shape} shrinking inward, one nested in another",
        ),
        (_nested_centred, _nested_polygons, _nested_to_a_side),
    ),
    Relation(
        "layers_cutaway",
        FAMILY,
        (
            "Cutaway of a {Body} showing its inner {Layers} around a {Core}",
            "Cross-section of {Object} revealing skin, {Layers} and {Core}",
            "A {Body} cut open so that its interior {Layers} can be seen",
            "Sliced {Object} exposes the shells between surface and {Core}",
            "The inside structure of a {Body} in cross-section, layer under layer",
            "A cut through {Object} shows an outer crust, inner {Layers} and a {Core}",
            "Interior of a {Body} laid open: crust, {Layers}, {Core}",
        ),
        (_layers_half, _layers_wedge, _layers_slab),
    ),
    Relation(
        "container",
        FAMILY,
        (
            "A {Container} filled with many {Items}",
            "Several {Items} kept together inside one {Container}",
            "{Items} stored in a {Container}",
            "An open {Container} holding a load of {Items}",
            "A vessel full of {Items}",
            "Many {Items} lie inside a {Container}",
            "A {Container} packed with {Items}",
        ),
        (_in_jar, _in_bowl, _in_box),
    ),
    Relation(
        "stacked_strata",
        FAMILY,
        (
            "Horizontal {Strata} stacked on each other, each with its own {Items}",
            "Levels of {Material} lying one above another, different {Items} in every level",
            "Bands of {Material} piled up like sediment, {Items} embedded in them",
            "A stack of {Tiers}, each tier bearing another kind of {Item}",
            "Stratified {Material} with {Items} buried at every level",
            "Layer upon layer of {Material} from bottom to top, holding {Items}",
            "Sediment-like tiers of {Material}, one on top of the other, with {Items}",
        ),
        (_strata_flat, _strata_wavy, _strata_cake),
        turn=8.0,
    ),
    Relation(
        "picture_in_picture",
        FAMILY,
        (
            "A framed {Picture} that contains the same framed {Picture} again",
            "Recursive image: the {Scene} appears within its own picture frame",
            "A {Picture} inside a {Picture} inside a {Picture}",
            "{Scene} showing a frame with the same {Scene} in it, endlessly",
            "The frame holds an image of itself, repeated in depth",
            "Self-containing {Picture}: every frame shows the whole frame again",
            "An image of {Scene} which includes a framed image of that {Scene}",
        ),
        (_droste_side, _droste_middle, _droste_corner),
        turn=8.0,
    ),
    Relation(
        "enclosed",
        FAMILY,
        (
            "A single {Object} enclosed by a transparent {Enclosure}",
            "One {Object} trapped within a see-through {Enclosure}",
            "{Object} caught and surrounded on all sides by an {Enclosure}",
            "An {Enclosure} encloses the {Object} like a cage or a bubble",
            "The {Object} is imprisoned, visible inside its {Enclosure}",
            "Captive {Object} enclosed by a transparent {Enclosure}",
            "A see-through {Enclosure} confines one {Object}",
        ),
        (_bubble, _bell_jar, _netted, _cage),
    ),
)
