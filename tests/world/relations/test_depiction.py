"""Depiction: what is shown of a thing, and how often."""

import itertools

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.depiction import RELATIONS
from relsim.world.stage import Actor, Stage

LAYOUTS = [pytest.param(layout, id=layout.__name__) for relation in RELATIONS for layout in relation.layouts]
BY_NAME = {relation.name: relation for relation in RELATIONS}


class Watched(Stage):
    """A stage that writes down where actors and arrows are put."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.placed, self.arrows = [], []

    def put(self, actor, x, y, size, **how):
        self.placed.append((actor, x, y, size, how))
        super().put(actor, x, y, size, **how)

    def arrow(self, start, end, **how):
        self.arrows.append((start, end))
        super().arrow(start, end, **how)


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


def sizes(stage, actor):
    return [size for placed, _, _, size, _ in stage.placed if placed.kind is actor.kind]


def test_a_diagram_shows_one_thing():
    for stage in stages("labelled_diagram"):
        assert len(stage.placed) == 1


def test_a_lens_enlarges():
    for stage in stages("magnifier"):
        found = sizes(stage, stage.cast[0])
        assert max(found) > 1.5 * min(found)


def test_a_screen_has_watchers_other_than_what_it_shows():
    for stage in stages("screen"):
        assert len(sizes(stage, stage.cast[0])) == 1
        assert len(stage.placed) >= 2


def test_every_thing_is_measured_in_two_directions_at_right_angles():
    for stage in stages("dimensions"):
        assert len(stage.arrows) == 4 * len(stage.placed)
        for number in range(0, len(stage.arrows), 4):
            wide, high = (np.subtract(*stage.arrows[number + k]) for k in (0, 2))
            assert abs(wide @ high) < 1e-4


def test_a_measure_is_as_long_as_the_thing():
    for seed in range(5):
        stage, _, _ = show(BY_NAME["dimensions"].layouts[0], seed)
        longest = max(np.hypot(*np.subtract(end, start)) for start, end in stage.arrows) * 2
        ((actor, _, _, size, _),) = stage.placed
        spans = np.ptp(np.concatenate(actor.kind.outline), axis=0)
        assert longest == pytest.approx(spans.max() * size, rel=1e-4)


def test_a_thinker_thinks_of_something_else():
    for stage in stages("thought"):
        assert len(sizes(stage, stage.cast[0])) == 1
        assert 2 <= len(stage.placed) <= 3


def test_slices_of_an_exploded_view_are_shifted_evenly():
    for seed in range(5):
        stage, _, _ = show(BY_NAME["blueprint_exploded"].layouts[0], seed)
        steps = np.diff([(x, y) for _, x, y, _, _ in stage.placed], axis=0)
        assert len(steps) >= 2
        assert np.allclose(steps, steps[0], atol=1e-5)
