import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.palettes import PALETTES, blend
from relsim.world.stage import circle, rectangle

PALETTE = PALETTES["picnic"]
PAPER, RED = PALETTE.paper.rgb, (200, 30, 40)


def canvas(style="flat", size=100, **view):
    return Canvas(size, PALETTE, style, View(**view))


def pixels(drawn):
    return np.asarray(drawn.finish(), np.int16)


def painted(drawn):
    """Pixels (rows, columns) that are not paper."""
    return (pixels(drawn) != PAPER).any(axis=2)


def shown(points, style="flat", *, plain=False, **view):
    drawn = canvas(style, **view)
    drawn.shape(points, RED, plain=plain)
    return drawn


def test_a_picture_has_the_size_that_was_asked_for():
    assert canvas(size=61).finish().size == (61, 61)
    assert not painted(canvas()).any()


def test_a_rectangle_covers_its_share_of_the_frame():
    """1 by 0.5 of a frame of 2 by 2, at the right place: columns 25 to 75, rows 50 to 75."""
    seen = painted(shown(rectangle(0, 0.25, 1, 0.5)))
    assert seen.sum() == pytest.approx(50 * 25, rel=0.1)
    assert seen[52:73, 27:73].all()
    assert not seen[:49].any()


@pytest.mark.parametrize("style", ["flat", "soft"])
def test_a_disc_covers_pi_r_squared(style):
    assert painted(shown(circle(0, 0, 0.8), style)).sum() == pytest.approx(np.pi * 40**2, rel=0.03)


def test_a_view_turns_clockwise_scales_and_shifts():
    """What is to the right comes to lie below; half as far; then to the left."""
    seen = painted(shown(rectangle(0.8, 0, 0.2, 0.2), turn=90, scale=0.5, x=-0.5))
    rows, columns = np.nonzero(seen)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == (pytest.approx(25, abs=0.6), pytest.approx(70, abs=0.6))


def test_tilt_lowers_what_is_seen():
    assert painted(shown(rectangle(0, 0, 1, 1), tilt=0.5)).any(axis=1).sum() == pytest.approx(25, abs=1)


def test_flat_is_one_colour():
    assert (pixels(shown(rectangle(0, 0, 1, 1)))[30:70, 30:70] == RED).all()


def test_an_outline_is_paper_inside_and_colour_at_the_border():
    picture = pixels(shown(rectangle(0, 0, 1, 1), "outline"))
    assert (picture[30:70, 30:70] == blend(PAPER, RED, 0.12)).all()
    assert (picture[50, 25] == RED).all()


def test_hatching_leaves_paper_between_its_lines():
    inside = pixels(shown(rectangle(0, 0, 1, 1), "hatched"))[30:70, 30:70].reshape(-1, 3)
    for tone in (RED, blend(PAPER, RED, 0.12)):
        assert 0.1 < (np.abs(inside - tone).max(axis=1) < 8).mean() < 0.8


def test_light_falls_from_the_upper_left():
    inside = pixels(shown(rectangle(0, 0, 1, 1), "soft"))[27:73, 27:73].sum(axis=2)
    assert inside[0, 0] > sum(RED) > inside[-1, -1]
    along = np.diagonal(inside)
    assert (np.diff(along) <= 0).all()


@pytest.mark.parametrize("style", STYLES)
def test_a_plain_shape_looks_the_same_in_every_style(style):
    points = circle(0.1, 0.1, 0.6)
    assert np.array_equal(pixels(shown(points, style, plain=True)), pixels(shown(points)))


@pytest.mark.parametrize("style", ["hatched", "soft"])
def test_small_shapes_are_filled_plainly(style):
    points = rectangle(0, 0, 1, 0.1)
    assert np.array_equal(pixels(shown(points, style)), pixels(shown(points)))


@pytest.mark.parametrize("style", STYLES)
def test_a_shape_across_the_border_is_cut_off_by_it(style):
    seen = painted(shown(circle(-1, -1, 0.8), style))
    assert seen.sum() == pytest.approx(np.pi * 40**2 / 4, rel=0.08)
    assert not seen[44:].any()


def test_a_stroke_is_as_wide_as_it_says():
    drawn = canvas()
    drawn.path(np.array([[-0.5, 0], [0.5, 0]], np.float32), RED, 0.2)
    assert painted(drawn)[:, 50].sum() == pytest.approx(10, abs=1)


def test_what_is_clipped_shows_only_within_the_polygons():
    """The union of two squares: nothing changes outside it, everything is painted inside."""
    drawn, squares = canvas(), (rectangle(-0.5, -0.5, 0.6, 0.6), rectangle(0.5, 0.5, 0.6, 0.6))
    with drawn.clipped(*squares):
        drawn.shape(rectangle(0, 0, 2, 2), RED)
    both = canvas()
    for square in squares:
        both.shape(square, RED)
    assert np.array_equal(pixels(drawn), pixels(both))


def test_clipping_twice_is_clipping_by_both():
    drawn = canvas()
    with drawn.clipped(rectangle(-0.2, 0, 1, 1)), drawn.clipped(rectangle(0.2, 0, 1, 1)):
        drawn.shape(rectangle(0, 0, 2, 2), RED)
    assert np.array_equal(pixels(drawn), pixels(shown(rectangle(0, 0, 0.6, 1))))
