"""Composed stands: one thing, and what it stands on, hangs from, is carried by or sheltered under."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from relsim.world.relations.composed_marks import Mark, tint
from relsim.world.stage import Stage, circle, curve, on_circle


def _on_a_pedestal(stage: Stage, x: float, y: float, size: float) -> None:
    foot, tone = y + size * 0.5, tint(stage, 0.55)
    stage.box(x, foot + 0.05, size * 0.9, 0.1, tone)
    stage.box(x, foot + 0.2, size * 0.55, 0.22, tone)
    stage.box(x, foot + 0.34, size * 1.0, 0.1, tone)


def _on_wheels(stage: Stage, x: float, y: float, size: float) -> None:
    foot = y + size * 0.5
    stage.box(x, foot, size * 1.15, 0.09, tint(stage, 0.7))
    for side in (-0.36, 0.36):
        stage.disc(x + side * size, foot + 0.14, 0.12, stage.ink, plain=True)
        stage.disc(x + side * size, foot + 0.14, 0.05, stage.paper, plain=True)


def _under_a_roof(stage: Stage, x: float, y: float, size: float) -> None:
    top, tone = y - size * 0.55, tint(stage, 0.65)
    stage.shape([(x - size * 0.75, top), (x, top - size * 0.45), (x + size * 0.75, top)], tone)
    for side in (-0.62, 0.62):
        stage.line([(x + side * size, top), (x + side * size, y + size * 0.55)], width=0.07)


def _under_an_umbrella(stage: Stage, x: float, y: float, size: float) -> None:
    top = y - size * 0.4
    dome = [on_circle(size * 0.7, angle, x, top) for angle in range(180, 361, 15)]
    stage.shape(dome, tint(stage, 0.7))
    stage.line([(x + size * 0.1, top), (x + size * 0.6, y + size * 0.55)], width=0.045)


def _on_a_hook(stage: Stage, x: float, y: float, size: float) -> None:
    stage.line([(x, -1.2), (x, y - size * 0.6)], width=0.04)
    hook = [on_circle(0.12, angle, x, y - size * 0.5) for angle in range(-90, 151, 20)]
    stage.line(hook, width=0.05)


def _with_wings(stage: Stage, x: float, y: float, size: float) -> None:
    tone = tint(stage, 0.45)
    for side in (1, -1):
        feathers = [(0.25, 0.1), (0.6, -0.45), (0.95, -0.35), (0.85, -0.05), (0.9, 0.12), (0.7, 0.2), (0.25, 0.25)]
        stage.shape([(x + side * size * u, y + size * v) for u, v in feathers], tone)


def _in_a_beam(stage: Stage, x: float, y: float, size: float) -> None:
    lamp = x + stage.between(-0.5, 0.5)
    corners = [
        (lamp - 0.06, -1.05),
        (lamp + 0.06, -1.05),
        (x + size * 0.7, y + size * 0.5),
        (x - size * 0.7, y + size * 0.5),
    ]
    stage.shape(corners, tint(stage, 0.3), plain=True)
    stage.shape(circle(0, 0, size * 0.7) * (1.0, 0.2) + (x, y + size * 0.5), tint(stage, 0.45), plain=True)


def _on_a_hill(stage: Stage, x: float, y: float, size: float) -> None:
    foot = y + size * 0.42
    mound = [
        (x + 1.3 * size * math.cos(a), foot + 0.55 * size * (1 - math.sin(a))) for a in np.linspace(0, math.pi, 16)
    ]
    stage.shape(mound, tint(stage, 0.55))


def _in_a_boat(stage: Stage, x: float, y: float, size: float) -> None:
    rim = y + size * 0.3
    hull = [
        (x - size * 0.85, rim),
        (x + size * 0.85, rim),
        (x + size * 0.5, rim + size * 0.35),
        (x - size * 0.5, rim + size * 0.35),
    ]
    stage.shape(hull, tint(stage, 0.75))
    stage.line([(x + k * 0.16, rim + size * 0.4 + 0.04 * (k % 2)) for k in range(-6, 7)], width=0.035)


def _haloed(stage: Stage, x: float, y: float, size: float) -> None:
    halo = circle(0, 0, size * 0.34, 24) * (1.0, 0.3) + (x, y - size * 0.66)
    stage.line(np.concatenate([halo, halo[:2]]), width=0.045)


def _target(stage: Stage, x: float, y: float, size: float) -> None:
    tone = tint(stage, 0.5)
    for step, radius in enumerate((0.9, 0.7, 0.5)):
        stage.disc(x, y, size * radius, tone if step % 2 == 0 else stage.paper, plain=True)


def _lifted(stage: Stage, x: float, y: float, size: float) -> None:
    top = y - size * 0.85
    for side in (-0.25, 0.0, 0.25):
        stage.line([(x, y - size * 0.3), (x + side, top)], width=0.02)
        stage.disc(x + side, top, 0.15, tint(stage, 0.7))


def _caged(stage: Stage, x: float, y: float, size: float) -> None:
    foot, r = y + size * 0.6, size * 0.62
    for share in np.linspace(-1, 1, 7).tolist():
        stage.line(curve((x + share * r, foot), (x, y - size * 0.75), 0.2 * share), width=0.03)
    stage.line([(x - r, foot), (x + r, foot)], width=0.07)


STANDS: Mapping[str, Mark] = {
    "on_a_pedestal": Mark(("on a pedestal", "raised on a plinth like a statue"), under=_on_a_pedestal),
    "on_wheels": Mark(("on wheels", "rolling on a cart"), under=_on_wheels),
    "under_a_roof": Mark(("sheltered under a roof", "housed under a gable"), under=_under_a_roof),
    "under_an_umbrella": Mark(("protected by an umbrella", "under a parasol"), under=_under_an_umbrella),
    "on_a_hook": Mark(("hanging from a hook", "suspended on a line from above"), under=_on_a_hook),
    "with_wings": Mark(("with a pair of wings", "winged and ready to fly"), under=_with_wings),
    "in_a_beam": Mark(("in a spotlight", "lit by a beam from above"), under=_in_a_beam),
    "on_a_hill": Mark(("on top of a hill", "standing on a mound"), under=_on_a_hill),
    "in_a_boat": Mark(("riding in a boat", "carried by a small vessel"), over=_in_a_boat),
    "haloed": Mark(("with a halo above it", "crowned by a ring of light"), over=_haloed),
    "target": Mark(("in the bull's eye of a target", "at the center of rings to aim at"), under=_target),
    "lifted": Mark(("lifted by balloons", "floating up on strings of balloons"), under=_lifted),
    "caged": Mark(("trapped in a cage", "kept in a domed cage"), over=_caged),
}
"""Stands by name."""
