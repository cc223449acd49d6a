"""Reflection: what belongs to what in an image, a shadow, a hole."""

import itertools

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.reflection import RELATIONS
from relsim.world.stage import Actor, Stage

LAYOUTS = [pytest.param(layout, id=layout.__name__) for relation in RELATIONS for layout in relation.layouts]
BY_NAME = {relation.name: relation for relation in RELATIONS}


class Watched(Stage):
    """A stage that writes down where actors are put."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.placed = []

    def put(self, actor, x, y, size, **how):
        self.placed.append((actor, x, y, size, how))
        super().put(actor, x, y, size, **how)


def show(layout, seed=0, style="flat"):
    """The stage, and the empty and the finished picture."""
    rng = np.random.default_rng(seed)
    palette = list(PALETTES.values())[seed % 16]
    canvas = Canvas(112, palette, style, View())
    empty = np.asarray(canvas.finish(), np.int16)
    kinds = [OBJECTS[name] for name in sorted(OBJECTS)[seed % 7 :: 9][:3]]
    cast = [Actor(kind, colour) for kind, colour in zip(kinds, palette.colours, strict=False)]
    stage = Watched(canvas, cast, palette.colours[3:], float(rng.random()), rng)
    layout(stage)
    return stage, empty, np.asarray(canvas.finish(), np.int16)


def stages(name, seeds=range(5)):
    """A stage for each layout and seed of a relation."""
    for layout, seed in itertools.product(BY_NAME[name].layouts, seeds):
        yield show(layout, seed)[0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_fills_some_of_the_picture(layout, style):
    for seed in (1, 2):
        _, empty, picture = show(layout, seed, style)
        assert (np.abs(picture - empty).max(axis=2) > 12).mean() > 0.03


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_actor_stands_in_the_picture(layout):
    for seed in range(4):
        stage, _, _ = show(layout, seed)
        assert stage.shown
        inside = [max(abs(x), abs(y)) < 1 for _, x, y, size, _ in stage.placed if size < 1.3]
        assert sum(inside) >= 0.75 * len(inside)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_seed_decides_every_pixel(layout):
    assert (show(layout, 3)[2] == show(layout, 3)[2]).all()
    assert (show(layout, 3)[2] != show(layout, 19)[2]).any()


def test_every_relation_has_three_layouts_and_seven_sentences():
    for relation in RELATIONS:
        assert len(set(relation.layouts)) >= 3
        assert len(set(relation.captions)) == 7
        assert all("{" in caption and 6 <= len(caption.split()) <= 14 for caption in relation.captions)


def test_water_shows_everything_twice_once_upside_down():
    for stage in stages("water_reflection"):
        above = [(a.kind.name, round(x, 5)) for a, x, _, _, how in stage.placed if how.get("stretch", (1, 1))[1] > 0]
        below = [(a.kind.name, round(x, 5)) for a, x, _, _, how in stage.placed if how.get("stretch", (1, 1))[1] < 0]
        assert set(above) == set(below)


def test_an_image_in_water_lies_below_its_thing():
    for stage in stages("water_reflection"):
        below = {round(x, 5): y for _, x, y, _, how in stage.placed if "stretch" in how}
        assert all(y < below[round(x, 5)] for _, x, y, _, how in stage.placed if "stretch" not in how)


def test_a_shadow_is_dark_and_not_of_the_thing_that_casts_it():
    for stage in stages("shadow_other"):
        assert sum(stage.shown.values()) == 1
        assert {kind for kind, _ in stage.shown} == {stage.cast[0].kind.name}
        assert all(actor.kind is stage.cast[1].kind for actor, *_, how in stage.placed if "silhouette" in how)


def test_inside_a_silhouette_something_else_is_seen():
    for stage in stages("silhouette_window"):
        assert {kind for kind, _ in stage.shown} == {stage.cast[1].kind.name}


def test_every_hole_has_its_piece_in_the_colour_of_the_sheet():
    for stage in stages("cut_out"):
        holes = {actor.kind.name for actor, *_, how in stage.placed if "silhouette" in how}
        assert {kind for kind, _ in stage.shown} == holes
        assert len({colour for _, colour in stage.shown}) == 1


def test_a_mirror_shows_each_thing_once_more_and_reversed():
    for stage in stages("mirror_pair"):
        assert all(count == 2 for count in stage.shown.values())
        for kind, _ in stage.shown:
            sides = [how["mirror"] for actor, *_, how in stage.placed if actor.kind.name == kind]
            assert sorted(sides) == [False, True]
