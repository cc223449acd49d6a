from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from relsim.world.objects import INK, MAIN, OBJECTS, PAPER, SECOND, animals, buildings, food, vehicles
from relsim.world.objects.base import MOST_POINTS, kind, main, paper, second
from relsim.world.objects.curves import band, box, circle, mirrored, poly, rotated, smooth, stroke

KINDS = pytest.mark.parametrize("thing", OBJECTS.values(), ids=OBJECTS.keys())


def painted(polygons, values, size):
    """`values` of the polygons on a (size, size) grid over the object box, 0 where there is none."""
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    for polygon, value in zip(polygons, values, strict=True):
        draw.polygon([((x + 0.5) * size, (y + 0.5) * size) for x, y in polygon.tolist()], fill=value)
    return np.asarray(image)


def tones(thing, size=256):
    return painted([part.points for part in thing.parts], [part.tone + 1 for part in thing.parts], size)


def silhouette(thing, size=256):
    return painted(thing.outline, [1] * len(thing.outline), size) > 0


def at_32(thing):
    return silhouette(thing).reshape(32, 8, 32, 8).mean(axis=(1, 3)) > 0.5


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def area(points):
    x, y = points.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_names_are_sorted_unique_lower_case_words():
    assert list(OBJECTS) == sorted(OBJECTS)
    assert len(OBJECTS) >= 66
    assert all(
        name == thing.name and name.replace(" ", "").isalpha() and name.islower() for name, thing in OBJECTS.items()
    )


def test_every_module_brings_one_category_and_no_name_twice():
    modules = (animals, buildings, food, vehicles)
    assert all({thing.category for thing in module.KINDS} == {module.__name__.rpartition(".")[2]} for module in modules)
    assert len({thing.plural for thing in OBJECTS.values()}) == len(OBJECTS)


@pytest.mark.parametrize(
    ("name", "plural"),
    [("leaf", "leaves"), ("fish", "fish"), ("cherry", "cherries"), ("snowman", "snowmen"), ("bus", "buses")],
)
def test_plurals(name, plural):
    assert OBJECTS[name].plural == plural


@KINDS
def test_a_kind_fills_the_box_and_sits_in_its_middle(thing):
    corners = np.concatenate([part.points for part in thing.parts])
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert (np.abs(corners) <= 0.5).all()
    assert 0.9 <= (high - low).max() <= 1.0
    np.testing.assert_allclose(low + high, 0, atol=1e-6)


@KINDS
def test_a_kind_is_quick_to_draw(thing):
    assert len(thing.parts) <= 8
    assert all(3 <= len(part.points) <= MOST_POINTS for part in thing.parts)
    assert all(part.points.dtype == np.float32 and part.tone in (MAIN, SECOND, INK, PAPER) for part in thing.parts)


@KINDS
def test_half_of_a_kind_is_its_main_colour(thing):
    tone = tones(thing)
    assert (tone == MAIN + 1).sum() >= 0.5 * (tone > 0).sum()


@KINDS
def test_the_outline_covers_exactly_what_is_painted(thing):
    assert ((tones(thing) > 0) != silhouette(thing)).mean() < 0.003


@KINDS
def test_a_directed_kind_shows_every_turn(thing):
    upright = silhouette(thing)
    poses = [np.rot90(side, turns) for side in (upright, upright[:, ::-1]) for turns in range(4)][1:]
    if thing.directed:
        assert max(overlap(upright, pose) for pose in poses) < 0.85


def test_silhouettes_differ_pairwise():
    shapes = {name: at_32(thing) for name, thing in OBJECTS.items()}
    closest = max((overlap(shapes[one], shapes[other]), one, other) for one, other in combinations(shapes, 2))
    assert closest[0] < 0.9, closest


def test_idle_polygons_are_left_out_of_the_outline():
    thing = kind("x", "x", "x", main(circle(0, 0, 50)), second(box(-10, -10, 10, 10)), paper(circle(0, 0, 5)))
    assert len(thing.outline) == 1
    assert thing.outline[0] is thing.parts[0].points


def test_a_drawing_is_scaled_by_its_longer_side():
    thing = kind("x", "x", "x", main(box(100, 100, 300, 200)))
    np.testing.assert_allclose(
        thing.parts[0].points, [[-0.48, -0.24], [0.48, -0.24], [0.48, 0.24], [-0.48, 0.24]], atol=1e-6
    )


def test_curves_have_the_area_of_what_they_follow():
    assert area(circle(50, 50, 40, 20)) == pytest.approx(np.pi * 40 * 20, rel=0.02)
    ring = "90 50  78 78  50 90  22 78  10 50  22 22  50 10  78 22"
    assert area(smooth(ring)) == pytest.approx(np.pi * 40**2, rel=0.04)
    assert area(band(50, 50, 30, 10, 0, 180)) == pytest.approx(np.pi * 30 * 10, rel=0.02)
    assert area(band(50, 50, 30, 10, 90, 450)) == pytest.approx(2 * np.pi * 30 * 10, rel=0.02)
    assert area(box(0, 0, 80, 60, 20)) == pytest.approx(80 * 60 - (4 - np.pi) * 20**2, rel=0.01)
    assert area(stroke("0 0  100 0", 10)) == pytest.approx(100 * 10 + np.pi * 5**2, rel=0.01)


def test_corners_stay_sharp_and_lines_between_them_straight():
    square = "0 0!  10 0!  10 10!  0 10!"
    np.testing.assert_array_equal(smooth(square), poly(square.replace("!", "")))


def test_a_curve_passes_through_its_points():
    curve = smooth("0 0!  20 30  60 20  90 0!")
    for point in ((0, 0), (20, 30), (60, 20), (90, 0)):
        assert np.linalg.norm(curve - point, axis=1).min() < 1e-9


def test_turns_are_clockwise_and_mirrors_vertical():
    np.testing.assert_allclose(rotated(poly("60 50"), 90), [[50, 60]])
    np.testing.assert_allclose(mirrored(poly("60 50"), x=40), [[20, 50]])
