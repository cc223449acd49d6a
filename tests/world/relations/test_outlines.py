"""Outlines: where actors reach, what lies inside, and drawing only there."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from relsim.world.canvas import Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.outlines import (
    clipped_to,
    half_plane,
    heart_of,
    inside,
    outline,
    reach,
    spots_inside,
    stretched_to,
)
from relsim.world.stage import Actor, Stage, rectangle

PALETTE = PALETTES["picnic"]
ACTORS = [Actor(kind, PALETTE.colours[0]) for kind in OBJECTS.values()]


@pytest.fixture
def stage():
    return Stage(Canvas(100, PALETTE, "flat", View()), ACTORS[:3], PALETTE.colours[3:], 0.5, np.random.default_rng(0))


def pixels(stage):
    return np.asarray(stage.canvas.finish())


def test_inside_agrees_with_filled_pixels():
    polygon = np.array([(10, 10), (90, 20), (50, 50), (80, 90), (20, 70)], np.float32)
    image = Image.new("1", (100, 100))
    ImageDraw.Draw(image).polygon(polygon.ravel().tolist(), fill=1)
    columns, rows = np.meshgrid(np.arange(100), np.arange(100))
    points = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    assert (inside(points, [polygon]) == np.asarray(image).ravel()).mean() > 0.98


def test_inside_any_of_several():
    squares = [rectangle(-0.5, 0, 0.4, 0.4), rectangle(0.5, 0, 0.4, 0.4)]
    points = np.array([(-0.5, 0), (0.5, 0.1), (0, 0), (0.9, 0)], np.float32)
    assert inside(points, squares).tolist() == [True, True, False, False]


@pytest.mark.parametrize("turn", [0, 37, 90])
def test_an_outline_is_where_the_actor_is_drawn(stage, turn):
    actor = stage.cast[0]
    empty = pixels(stage).astype(int)
    stage.put(actor, 0.2, -0.1, 1.2, turn=turn, silhouette=(0, 0, 0))
    rows, columns = np.nonzero(np.abs(pixels(stage) - empty).max(axis=2) > 100)
    drawn = [columns.min() / 50 - 1, rows.min() / 50 - 1, (columns.max() + 1) / 50 - 1, (rows.max() + 1) / 50 - 1]
    assert np.allclose(drawn, reach(outline(actor, 0.2, -0.1, 1.2, turn=turn)), atol=0.05)


@pytest.mark.parametrize("actor", ACTORS[::6], ids=lambda actor: actor.kind.name)
def test_stretching_fits_the_box_and_keeps_to_its_limit(actor):
    across, down = stretched_to(actor, 1.2, 0.8, 1.5)
    left, top, right, bottom = reach(actor.kind.outline)
    assert across * (right - left) < 1.2 + 1e-6
    assert down * (bottom - top) < 0.8 + 1e-6
    assert 1 / 1.5 - 1e-6 < across / down < 1.5 + 1e-6


@pytest.mark.parametrize("actor", ACTORS[::4], ids=lambda actor: actor.kind.name)
def test_spots_lie_inside_and_apart(stage, actor):
    polygons = outline(actor, 0, 0, 1.0)
    spots = spots_inside(stage, polygons, 4)
    assert inside(spots, polygons).sum() >= 3
    assert inside(np.array([heart_of(polygons)], np.float32), polygons).all()
    gaps = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + np.eye(4)
    assert gaps.min() > 0.1


def test_drawing_reaches_no_further_than_the_clip(stage):
    squares = [rectangle(-0.5, 0, 0.4, 0.4), rectangle(0.5, 0, 0.4, 0.4)]
    before = pixels(stage)
    with clipped_to(stage, squares):
        stage.box(0, 0, 2, 2, (0, 0, 0))
    changed = (pixels(stage) != before).any(axis=2)
    assert changed.mean() == pytest.approx(2 * 0.4 * 0.4 / 4, abs=0.01)
    assert not changed[:, 45:55].any()


def test_a_half_plane_is_the_half_towards_its_direction(stage):
    before = pixels(stage)
    with clipped_to(stage, half_plane(0, 0, 0)):
        stage.box(0, 0, 2, 2, (0, 0, 0))
    changed = (pixels(stage) != before).any(axis=2)
    assert changed[:, 51:].all()
    assert not changed[:, :49].any()
