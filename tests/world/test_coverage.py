"""The mask of a scene: what does not depend on the paper, pixel by pixel."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from relsim.world.canvas import STYLES, Canvas
from relsim.world.looks import Split
from relsim.world.palettes import PALETTES
from relsim.world.relations import RELATIONS
from relsim.world.scenes import coverage, draw, draw_scene, scenes

SIZE = 96


def staged(name, style, seed):
    """A scene of the relation in that style, on plain paper."""
    scene = draw_scene(Split.RELATIONS, np.random.default_rng([seed, *name.encode()]), relation=name)
    return replace(scene, look=replace(scene.look, style=style, background="plain"))


def on(scene, background):
    return np.asarray(draw(replace(scene, look=replace(scene.look, background=background)), SIZE).image).astype(int)


@pytest.mark.parametrize(
    ("name", "style"), [(name, STYLES[place % len(STYLES)]) for place, name in enumerate(RELATIONS)]
)
def test_paper_shows_where_nothing_is_covered_and_nowhere_else(name, style):
    scene = staged(name, style, 1)
    mask, plain = coverage(scene, SIZE), on(scene, "plain")
    assert mask.shape == (SIZE, SIZE)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 0.25, 0.5, 0.75, 1}
    assert 0.005 < mask.mean() <= 1
    assert bool(mask.mean() < 0.99) == (name != "versus")  # its two fields leave no paper
    paper = np.array(PALETTES[scene.look.palette].paper.rgb)
    assert (plain[mask == 0] == paper).all()
    for background in ("shaded", "striped"):
        other = on(scene, background)
        assert (other[mask == 1] == plain[mask == 1]).all()
        canvas = Canvas(SIZE, PALETTES[scene.look.palette], style, scene.look.view)
        canvas.background(background, np.random.default_rng(scene.look.background_seed))
        bare = np.asarray(canvas.finish()).astype(int)
        assert (other[mask == 0] == bare[mask == 0]).all()
        assert (bare != paper).any()


def test_a_share_of_a_pixel_is_the_share_of_what_shows_through():
    """Between the paper's colour and the drawing's, a border pixel moves with the paper by what is not covered."""
    scene = staged("ring", "flat", 3)
    mask, plain, shaded = coverage(scene, SIZE), on(scene, "plain"), on(scene, "shaded")
    canvas = Canvas(SIZE, PALETTES[scene.look.palette], "flat", scene.look.view)
    canvas.background("shaded", np.random.default_rng(scene.look.background_seed))
    moved = np.asarray(canvas.finish()).astype(int) - np.array(PALETTES[scene.look.palette].paper.rgb)
    border = (mask > 0) & (mask < 1)
    assert border.sum() > 100
    expected = (1 - mask[border])[:, None] * moved[border]
    np.testing.assert_allclose((shaded - plain)[border], expected, atol=1.5 + 0.1 * np.abs(moved).max())


def test_asking_for_the_mask_changes_no_picture():
    for scene in islice(scenes(Split.VALIDATION, 5), 6):
        before = draw(scene, SIZE).image.tobytes()
        first, second = coverage(scene, SIZE), coverage(scene, SIZE)
        assert (first == second).all()
        assert draw(scene, SIZE).image.tobytes() == before
