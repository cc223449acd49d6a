"""Composition: what the parts are and what they make together."""

import numpy as np

from relsim.world.relations.outlines import reach


def test_a_shape_of_many_has_many_pieces_spread_wide_and_does_not_show_its_model(scenes):
    for _, stage in scenes("made_of_many"):
        assert len(stage.placed) >= 6
        left, top, right, bottom = reach([np.array([(x, y) for _, x, y, _, _ in stage.placed])])
        assert max(right - left, bottom - top) > 0.7
        assert stage.cast[0].kind.name not in {kind for kind, _ in stage.shown}


def test_a_hybrid_joins_halves_at_one_place(scenes):
    for _, stage in scenes("hybrid"):
        joined = [
            (actor.kind.name, round(x, 5), round(y, 5)) for actor, x, y, _, how in stage.placed if "stretch" in how
        ]
        for _, x, y in joined:
            assert len({kind for kind, u, v in joined if (u, v) == (x, y)}) >= 2


def test_replaced_parts_and_blossoms_are_several(scenes):
    for name in ("part_replaced", "bouquet"):
        for _, stage in scenes(name):
            assert 1 <= len(stage.placed) <= 12
            assert max(size for *_, size, _ in stage.placed) >= 0.4


def test_things_along_a_letter_are_of_one_size_and_keep_apart(scenes):
    for _, stage in scenes("letter_from_objects"):
        places = np.array([(x, y) for _, x, y, _, _ in stage.placed])
        (size,) = {round(size, 6) for *_, size, _ in stage.placed}
        assert len(places) >= 5
        gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 9 * np.eye(len(places))
        assert gaps.min() > 0.45 * size
