"""Composition: what the parts are and what they make together."""

import itertools

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations.composition import RELATIONS
from relsim.world.relations.outlines import reach
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


def test_a_shape_of_many_has_many_pieces_spread_wide_and_does_not_show_its_model():
    for stage in stages("made_of_many"):
        assert len(stage.placed) >= 6
        left, top, right, bottom = reach([np.array([(x, y) for _, x, y, _, _ in stage.placed])])
        assert max(right - left, bottom - top) > 0.7
        assert stage.cast[0].kind.name not in {kind for kind, _ in stage.shown}


def test_a_hybrid_joins_halves_at_one_place():
    for stage in stages("hybrid"):
        joined = [
            (actor.kind.name, round(x, 5), round(y, 5)) for actor, x, y, _, how in stage.placed if "stretch" in how
        ]
        for _, x, y in joined:
            assert len({kind for kind, u, v in joined if (u, v) == (x, y)}) >= 2


def test_replaced_parts_and_blossoms_are_several():
    for name in ("part_replaced", "bouquet"):
        for stage in stages(name):
            assert 1 <= len(stage.placed) <= 12
            assert max(size for *_, size, _ in stage.placed) >= 0.4


def test_things_along_a_letter_are_of_one_size_and_keep_apart():
    for stage in stages("letter_from_objects"):
        places = np.array([(x, y) for _, x, y, _, _ in stage.placed])
        (size,) = {round(size, 6) for *_, size, _ in stage.placed}
        assert len(places) >= 5
        gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 9 * np.eye(len(places))
        assert gaps.min() > 0.45 * size
