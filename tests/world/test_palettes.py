import math
from itertools import combinations

import pytest
from PIL import Image, ImageCms

from relsim.world.palettes import HELD_OUT_PALETTES, PALETTES, blend

EVERY = pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES.keys())


TO_LAB = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")


def lab(rgb):
    """CIELAB by Pillow's colour management (LittleCMS): L 0 to 100, a and b about -128 to 127."""
    light, a, b = ImageCms.applyTransform(Image.new("RGB", (1, 1), rgb), TO_LAB).tobytes()
    return light * 100 / 255, (a ^ 128) - 128, (b ^ 128) - 128


def words(names):
    return {colour.word for name in names for colour in (PALETTES[name].ink, *PALETTES[name].colours)}


def test_sixteen_palettes_of_thirteen_words():
    assert len(PALETTES) == 16
    papers = {palette.paper.word for palette in PALETTES.values()}
    assert len(words(PALETTES) | papers) == 13


@EVERY
def test_a_palette_has_five_colours_of_different_names(palette):
    assert len({colour.word for colour in palette.colours}) == len(palette.colours) == 5


@EVERY
def test_what_is_drawn_stands_out_from_the_paper(palette):
    """A distance of 35 in CIELAB; a just noticeable difference is 2.3."""
    paper = lab(palette.paper.rgb)
    assert min(math.dist(paper, lab(colour.rgb)) for colour in (palette.ink, *palette.colours)) > 35


@EVERY
def test_colours_of_a_palette_differ(palette):
    assert min(math.dist(lab(a.rgb), lab(b.rgb)) for a, b in combinations(palette.colours, 2)) > 20


def test_every_word_of_a_held_out_palette_is_trained():
    trained = PALETTES.keys() - set(HELD_OUT_PALETTES)
    papers = {PALETTES[name].paper.word for name in PALETTES}
    assert words(HELD_OUT_PALETTES) <= words(trained)
    assert papers <= words(trained) | {PALETTES[name].paper.word for name in trained}


def test_blends_lie_on_the_line_between_two_colours():
    assert blend((0, 100, 200), (100, 100, 0), 0.25) == (25, 100, 150)
    assert blend((1, 2, 3), (9, 9, 9), 0) == (1, 2, 3)
    assert blend((1, 2, 3), (9, 9, 9), 1) == (9, 9, 9)
