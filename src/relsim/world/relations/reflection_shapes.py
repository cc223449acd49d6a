"""Images of things that are shapes: silhouettes to look into, holes and the pieces cut from them, mirrors."""

from __future__ import annotations

import numpy as np

from relsim.world.canvas import Points
from relsim.world.palettes import RGB, blend
from relsim.world.relations.base import Layout
from relsim.world.relations.outlines import clipped_to, heart_of, outline, reach, stretched_to
from relsim.world.stage import Actor, Stage, circle, curve, on_circle, rectangle

_BLACK: RGB = (18, 18, 26)
_WHITE: RGB = (250, 248, 242)


def _sign(stage: Stage) -> int:
    return 1 if stage.chance() else -1


def _dark(stage: Stage) -> RGB:
    """Colour of a silhouette: near black, or the ink where the paper is dark."""
    return _BLACK if sum(stage.paper) > 380 else blend(stage.ink, stage.paper, 0.12)


def _view(stage: Stage, x: float, y: float, size: float) -> None:
    """A landscape with a sun and one thing, `size` wide, over everything."""
    sky, land = blend(stage.spare[0].rgb, _WHITE, 0.6), blend(stage.spare[1].rgb, _WHITE, 0.15)
    stage.box(0, 0, 3, 3, sky, plain=True)
    side, level = _sign(stage), y + stage.between(0.1, 0.2) * size
    hills = [(-1.5, level), *curve((-1.0, level), (x, level), -0.2, 6).tolist(), (1.5, level - 0.1 * size), (1.5, 1.5)]
    stage.shape([*hills, (-1.5, 1.5)], land, plain=True)
    stage.disc(x + side * 0.26 * size, y - 0.24 * size, 0.1 * size, _WHITE, plain=True)
    stage.put(stage.cast[1], x - side * 0.06 * size, y + 0.02 * size, 0.42 * size)


def _edge(stage: Stage, polygons: list[Points], colour: RGB, width: float) -> None:
    for polygon in polygons:
        stage.line(np.concatenate([polygon, polygon[:2]]), width=width, colour=colour)


def _window_whole(stage: Stage) -> None:
    """The silhouette is a thick dark border around the scene."""
    actor, size, turn = stage.cast[0], stage.between(1.6, 1.75), stage.between(-20, 20)
    polygons = outline(actor, 0, 0, size, turn=turn)
    _edge(stage, polygons, _dark(stage), 0.13)
    x, y = heart_of(polygons)
    with clipped_to(stage, polygons):
        _view(stage, x, y, 1.2)


def _window_cut(stage: Stage) -> None:
    """A window in the silhouette."""
    actor, size = stage.cast[0], stage.between(1.7, 1.9)
    stage.put(actor, 0, 0, 1.0, silhouette=_dark(stage), stretch=stretched_to(actor, size, size, 2.0))
    wide, high = stretched_to(actor, size, size, 2.0)
    x, y = heart_of([polygon * (wide, high) for polygon in actor.kind.outline])
    half = stage.between(0.34, 0.42)
    pane = circle(x, y, half) if stage.chance() else rectangle(x, y, 2 * half, 2 * half * stage.between(0.8, 1.0))
    with clipped_to(stage, [pane.astype(np.float32)]):
        _view(stage, x, y, 2 * half * 0.95)
    stage.line(np.concatenate([pane, pane[:2]]), width=0.05, colour=_WHITE)


def _window_night(stage: Stage) -> None:
    """Things and stars inside the dark shape."""
    actor, size = stage.cast[0], stage.between(1.7, 1.9)
    turn = stage.between(-50, 50)
    polygons = outline(actor, 0, 0, size, turn=turn)
    stage.put(actor, 0, 0, size, turn=turn, silhouette=_dark(stage))
    x, y = heart_of(polygons)
    with clipped_to(stage, polygons):
        for _ in range(12):
            stage.disc(
                stage.between(-0.9, 0.9), stage.between(-0.9, 0.9), stage.between(0.02, 0.04), _WHITE, plain=True
            )
        stage.disc(x + 0.3, y - 0.3, 0.16, stage.spare[0].rgb, plain=True)
        stage.disc(x, y, 0.4, blend(stage.paper, _WHITE, 0.5), plain=True)
        stage.put(stage.cast[1], x, y, 0.62)


WINDOWS: tuple[Layout, ...] = (_window_whole, _window_cut, _window_night)
"""Ways to draw a silhouette with a scene inside."""


def _sheet(stage: Stage, points: Points, colour: RGB) -> None:
    """A sheet of paper with a shadow at its lower border."""
    stage.shape(points + np.array([0.03, 0.04], np.float32), blend(stage.paper, _BLACK, 0.45), plain=True)
    stage.shape(points, colour, plain=True)


def _hole(stage: Stage, actor: Actor, place: tuple[float, float, float, float]) -> None:
    """The hole (x, y, size, turn) that an actor left: the ground shows, and the upper edge throws a shadow."""
    x, y, size, turn = place
    polygons = outline(actor, x, y, size, turn=turn)
    with clipped_to(stage, polygons):
        stage.put(actor, x, y, size, turn=turn, silhouette=blend(stage.paper, _BLACK, 0.5))
        stage.put(actor, x + 0.03, y + 0.045, size, turn=turn, silhouette=stage.paper)


def _cut_beside(stage: Stage) -> None:
    """Sheet on one side, piece on the other."""
    upright, side = stage.chance(), _sign(stage)
    actor, size = stage.cast[0], stage.between(0.68, 0.78)
    long = stage.between(1.5, 1.85)
    sheet, piece = (-0.46 * side, stage.between(-0.1, 0.1)), (0.52 * side, stage.between(-0.4, 0.4))
    wide, high = 0.95, long
    if not upright:
        sheet, piece, wide, high = sheet[::-1], piece[::-1], high, wide
    _sheet(stage, rectangle(*sheet, wide, high), actor.colour.rgb)
    _hole(stage, actor, (*sheet, size, stage.between(-30, 30)))
    stage.put(actor, *piece, size, turn=stage.between(-70, 70))


def _cut_several(stage: Stage) -> None:
    """Different holes in a strip and their pieces below or above it."""
    flip, colour = _sign(stage), stage.cast[0].colour
    size = 0.56
    _sheet(stage, rectangle(0, -0.44 * flip, 1.88, stage.between(0.78, 0.92)), colour.rgb)
    order = stage.rng.permutation(3).tolist()
    for number, actor in enumerate(stage.cast):
        x = (number - 1) * 0.61
        _hole(stage, actor, (x, -0.44 * flip, size, 0))
        place = ((order[number] - 1) * 0.61, (0.48 + stage.between(-0.08, 0.08)) * flip)
        stage.put(actor.painted(colour), *place, size, turn=stage.between(-35, 35))


def _cut_from_disc(stage: Stage) -> None:
    """A round sheet in one corner, the piece in the opposite one."""
    u, v = _sign(stage), _sign(stage)
    actor, radius = stage.cast[0], stage.between(0.6, 0.66)
    x, y = -0.32 * u, -0.3 * v
    _sheet(stage, circle(x, y, radius, 40), actor.colour.rgb)
    size, turn = radius * 1.3, stage.between(0, 360)
    _hole(stage, actor, (x, y, size, turn))
    stage.put(actor, 0.54 * u, 0.54 * v, size, turn=turn + stage.between(-50, 50))


def _cut_lifted(stage: Stage) -> None:
    """A sheet over the whole picture; the piece lies partly over its own hole."""
    actor, size, turn = stage.cast[0], stage.between(0.85, 0.95), stage.between(-180, 180)
    away = stage.between(0, 360)
    _sheet(stage, rectangle(0, 0, 1.86, 1.86), actor.colour.rgb)
    x, y = on_circle(0.36, away)
    _hole(stage, actor, (x, y, size, turn))
    u, v = on_circle(0.42, away + 180)
    stage.put(actor, u + 0.04, v + 0.05, size, turn=turn, silhouette=blend(actor.colour.rgb, _BLACK, 0.5))
    stage.put(actor, u, v, size, turn=turn)


CUT_OUTS: tuple[Layout, ...] = (_cut_beside, _cut_several, _cut_from_disc, _cut_lifted)
"""Ways to draw a hole and its piece."""


def _mirror_bar(stage: Stage, x: float, half: float, lean: float) -> None:
    """A mirror seen from its edge: a thick line with strokes at its back."""
    ends = [on_circle(half, lean - 90, x, 0), on_circle(half, lean + 90, x, 0)]
    stage.line(ends, width=0.08)
    stage.line(ends, width=0.03, colour=_WHITE)


def _mirror_line(stage: Stage) -> None:
    """Thing and image to both sides of a mirror, as far from it."""
    size, away, turn = stage.between(0.75, 0.88), stage.between(0.47, 0.52), stage.between(-35, 35)
    y, looks = stage.between(-0.2, 0.2), stage.chance(0.3)
    for side in (-1, 1):
        facing = (side > 0) != looks
        fade = 0.3 if side > 0 else 0.0
        stage.put(stage.cast[0], side * away, y, size, turn=turn * side * -1, mirror=facing, fade=fade)
    _mirror_bar(stage, 0, stage.between(0.8, 0.95), 0)


def _mirror_standing(stage: Stage) -> None:
    """A large mirror on feet that shows the thing before it."""
    side, wide, turn = _sign(stage), stage.between(0.8, 0.95), stage.between(-20, 20)
    skew = stage.between(0.06, 0.14) * side
    x, y = 0.48 * side, -0.08
    glass = [(x - wide / 2, y - 0.75 + skew), (x + wide / 2, y - 0.75 - skew), (x + wide / 2, y + 0.75 + skew)]
    pane = np.array([*glass, (x - wide / 2, y + 0.75 - skew)], np.float32)
    for foot in (-0.3, 0.3):
        stage.line([(x + foot, y + 0.6), (x + foot * 1.2, 0.94)], width=0.08)
    stage.shape(pane, blend(stage.paper, _WHITE, 0.55), plain=True)
    level, size = stage.between(0.0, 0.2), stage.between(0.68, 0.8)
    with clipped_to(stage, [pane]):
        for offset in (-0.28, -0.16):
            stage.line([(x + offset - 0.3, y + 0.3), (x + offset + 0.3, y - 0.5)], width=0.05, colour=_WHITE)
        stage.put(stage.cast[0], x, level, size * 0.94, mirror=side > 0, turn=-turn, fade=0.2)
    stage.line(np.concatenate([pane, pane[:2]]), width=0.08, colour=stage.spare[0].rgb)
    stage.put(stage.cast[0], -0.5 * side, level + 0.1, size, mirror=side < 0, turn=turn)


def _mirror_oval(stage: Stage) -> None:
    """An oval mirror on a table, the thing small before it."""
    side = _sign(stage)
    x, high, wide = 0.34 * side, stage.between(0.62, 0.68), stage.between(0.46, 0.54)
    pane = (circle(0, 0, 1, 36) * (wide, high) + (x, -0.22)).astype(np.float32)
    stage.line([(x, 0.4), (x, 0.86)], width=0.12, colour=stage.spare[0].rgb)
    stage.line([(-0.96, 0.88), (0.96, 0.88)], width=0.06)
    stage.shape(pane, blend(stage.paper, _WHITE, 0.55), plain=True)
    size = stage.between(0.56, 0.66)
    with clipped_to(stage, [pane]):
        stage.line([(x - 0.5, 0.1), (x + 0.1, -0.9)], width=0.07, colour=_WHITE)
        stage.put(stage.cast[0], x, -0.18, size * 1.1, mirror=side > 0, fade=0.2)
    stage.line(np.concatenate([pane, pane[:2]]), width=0.09, colour=stage.spare[0].rgb)
    _, _, _, foot = reach(outline(stage.cast[0], 0, 0, size))
    stage.put(stage.cast[0], -0.58 * side, 0.84 - foot, size, mirror=side < 0)


def _mirror_company(stage: Stage) -> None:
    """Two things at different distances from a mirror, both seen again in it."""
    flip = _sign(stage)
    near, far, size = stage.between(0.28, 0.32), stage.between(0.62, 0.68), stage.between(0.5, 0.56)
    lean = (stage.between(-35, 35), stage.between(-35, 35))
    for side in (-1, 1):
        fade = 0.3 if side > 0 else 0.0
        for actor, away, level, turn in zip(stage.cast, (near, far), (-0.42 * flip, 0.36 * flip), lean, strict=False):
            stage.put(actor, side * away, level, size, turn=-side * turn, mirror=side > 0, fade=fade)
    _mirror_bar(stage, 0, 0.94, 0)
    for number in range(6):
        stage.line([(0.03, -0.75 + number * 0.28), (0.12, -0.85 + number * 0.28)], width=0.03)


MIRRORS: tuple[Layout, ...] = (_mirror_line, _mirror_standing, _mirror_oval, _mirror_company)
"""Ways to draw a thing before a mirror."""
