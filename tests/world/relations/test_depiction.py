"""Depiction: what is shown of a thing, and how often."""

import numpy as np
import pytest

from relsim.world.relations import RELATIONS


def sizes(stage, actor):
    return [size for placed, _, _, size, _ in stage.placed if placed.kind is actor.kind]


def test_a_diagram_shows_one_thing(scenes):
    for _, stage in scenes("labelled_diagram"):
        assert len(stage.placed) == 1


def test_a_lens_enlarges(scenes):
    for _, stage in scenes("magnifier"):
        found = sizes(stage, stage.cast[0])
        assert max(found) > 1.5 * min(found)


def test_a_screen_has_watchers_other_than_what_it_shows(scenes):
    for _, stage in scenes("screen"):
        assert len(sizes(stage, stage.cast[0])) == 1
        assert len(stage.placed) >= 2


def test_every_thing_is_measured_in_two_directions_at_right_angles(scenes):
    for _, stage in scenes("dimensions"):
        assert len(stage.arrows) == 4 * len(stage.placed)
        for number in range(0, len(stage.arrows), 4):
            wide, high = (np.subtract(*stage.arrows[number + k]) for k in (0, 2))
            assert abs(wide @ high) < 1e-4


def test_a_measure_is_as_long_as_the_thing(show):
    for seed in range(5):
        stage = show(RELATIONS["dimensions"].layouts[0], seed).stage
        longest = max(np.hypot(*np.subtract(end, start)) for start, end in stage.arrows) * 2
        ((actor, _, _, size, _),) = stage.placed
        spans = np.ptp(np.concatenate(actor.kind.outline), axis=0)
        assert longest == pytest.approx(spans.max() * size, rel=1e-4)


def test_a_thinker_thinks_of_something_else(scenes):
    for _, stage in scenes("thought"):
        assert len(sizes(stage, stage.cast[0])) == 1
        assert 2 <= len(stage.placed) <= 3


def test_slices_of_an_exploded_view_are_shifted_evenly(show):
    for seed in range(5):
        stage = show(RELATIONS["blueprint_exploded"].layouts[0], seed).stage
        steps = np.diff([(x, y) for _, x, y, _, _ in stage.placed], axis=0)
        assert len(steps) >= 2
        assert np.allclose(steps, steps[0], atol=1e-5)
