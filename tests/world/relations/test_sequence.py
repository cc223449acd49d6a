"""Sequences: what changes from stage to stage is what a scene shows."""

import math
from dataclasses import replace

import numpy as np
import pytest

from relsim.world.canvas import Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.sequence_paths import EDGE, PATHS, spots
from relsim.world.relations.sequence_pieces import bands, contour, cut, opposite, split
from relsim.world.stage import Actor, Stage, circle


def area(polygon):
    """Area of a polygon, by the shoelace formula."""
    x, y = np.asarray(polygon, np.float64).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_spots_do_not_touch(path, count):
    """Squares of two stages are further apart than their mean side, and lie within the edge."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        stage = Stage(Canvas(8, PALETTES["picnic"], "flat", View()), (), (), 0.5, rng)
        places = spots(stage, path, [1.0 + seed / 10 * k for k in range(count)], apart=1.1)
        for number, one in enumerate(places):
            assert max(abs(one.x), abs(one.y)) + one.room / 2 <= EDGE + 1e-5
            for other in places[number + 1 :]:
                assert math.dist((one.x, one.y), (other.x, other.y)) >= 1.1 * (one.room + other.room) / 2 - 1e-5


def test_growth_only_grows(scenes):
    """Each is larger than the one before; the last at least twice the first."""
    for _, stage in scenes("growth"):
        sizes = [size for _, _, _, size, _ in stage.placed]
        assert len(sizes) >= 3
        assert min(np.diff(sizes)) > 0
        assert sizes[-1] > 2 * sizes[0]


def test_rotation_turns_by_equal_steps(scenes):
    """From stage to stage the turn changes by the same angle, at least 25 degrees."""
    for _, stage in scenes("rotation_steps"):
        steps = np.diff([how.get("turn", 0.0) for *_, how in stage.placed])
        assert np.allclose(steps, steps[0], atol=1e-3)
        assert abs(steps[0]) >= 25


def test_metamorphosis_begins_and_ends_whole(scenes):
    """The first stage is the first kind, the last stage the second kind, both uncut."""
    for _, stage in scenes("metamorphosis"):
        assert stage.placed[0][0] is stage.cast[0]
        assert stage.placed[-1][0] is stage.cast[1]


def test_fading_is_steady(scenes):
    """Sorted by faintness each is fainter than the one before, from unfaded to almost gone, at one size."""
    for _, stage in scenes("fading"):
        fades = sorted(how.get("fade", 0.0) for *_, how in stage.placed)
        assert fades[0] == 0.0
        assert 0.8 < fades[-1] < 0.95
        assert min(np.diff(fades)) > 0.05
        assert len({size for _, _, _, size, _ in stage.placed}) == 1


def test_multiplication_doubles(scenes):
    """One, two and four are seven; with eight they are fifteen."""
    assert {stage.shown.total() for _, stage in scenes("multiplication")} == {7, 15}


def test_filling_up_has_one_thing_in_each_stage(scenes):
    """Three or four stages; vessels may hold nothing but what fills them."""
    for name, stage in scenes("filling_up"):
        assert stage.shown.total() in ({0, 3, 4} if name.startswith("pouring") else {3, 4})


@pytest.mark.parametrize("name", ["falling_apart", "assembly_line"])
def test_pieces_are_not_counted_as_things(scenes, name):
    """What was broken or is being built counts once."""
    assert {stage.shown.total() for _, stage in scenes(name)} == {1}


def test_assembly_always_has_arrows(scenes):
    """At least one from each stage to the next."""
    assert min(len(stage.arrows) for _, stage in scenes("assembly_line")) >= 2


@pytest.mark.parametrize("name", sorted(OBJECTS)[::6])
def test_a_cut_loses_nothing(name):
    """For each convex part the two sides of a cut have together the area of the whole, but for slivers."""
    actor = Actor(OBJECTS[name], PALETTES["picnic"].colours[0])
    whole = sum(area(part.points) for part in actor.kind.parts)
    for degrees in (0, 37, 90, 200):
        line = (degrees, 0.05)
        sides = [cut(actor, line), cut(actor, opposite(line))]
        halves = sum(area(part.points) for side in sides for part in side.kind.parts)
        assert halves == pytest.approx(whole, abs=0.0032 * len(actor.kind.parts))


@pytest.mark.parametrize("name", sorted(OBJECTS)[::6])
def test_pieces_lie_where_they_were_cut(name):
    """Moved back to their places, bands and pieces stay within the whole and together reach as far."""
    actor = Actor(OBJECTS[name], PALETTES["picnic"].colours[0])
    points = np.concatenate([part.points for part in actor.kind.parts])
    for pieces in (bands(actor, 3, -90), split(actor, [(20, 0.0), (110, 0.03)])):
        back = np.concatenate(
            [np.add(part.points, (piece.x, piece.y)) for piece in pieces for part in piece.actor.kind.parts]
        )
        assert np.allclose(back.min(axis=0), points.min(axis=0), atol=0.05)
        assert np.allclose(back.max(axis=0), points.max(axis=0), atol=0.05)


def test_the_contour_of_a_round_thing_is_its_line():
    """The contour of a regular polygon of 40 corners goes through them."""
    ring = circle(0, 0, 0.4, 40)
    kind = replace(OBJECTS["star"], parts=(), outline=(ring,))
    assert np.allclose(contour(Actor(kind, PALETTES["picnic"].colours[0])), ring, atol=0.01)
