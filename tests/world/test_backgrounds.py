import numpy as np
import pytest
from PIL import Image

from relsim.world.backgrounds import BACKGROUNDS, Sheet, tinted
from relsim.world.palettes import PALETTES

EVERY = pytest.mark.parametrize("name", BACKGROUNDS)


def painted(name, palette="picnic", seed=0):
    colours = PALETTES[palette]
    sheet = Sheet(Image.new("RGB", (160, 160), colours.paper.rgb), colours, np.random.default_rng(seed))
    BACKGROUNDS[name](sheet)
    return np.asarray(sheet.image, np.int16)


def test_there_are_six():
    assert list(BACKGROUNDS) == ["plain", "shaded", "striped", "ruled", "dotted", "blotched"]


@EVERY
def test_a_seed_decides_a_background(name):
    first, again, other = painted(name), painted(name), painted(name, seed=1)
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (name == "plain")


@EVERY
@pytest.mark.parametrize("palette", PALETTES)
def test_a_background_stays_near_its_paper(name, palette):
    """No pixel is further from the paper than 40 % of the way to the palette's furthest colour."""
    paper, *colours = (
        np.array(colour.rgb) for colour in (PALETTES[palette].paper, PALETTES[palette].ink, *PALETTES[palette].colours)
    )
    furthest = max(np.linalg.norm(colour - paper) for colour in colours)
    for seed in range(3):
        distance = np.linalg.norm(painted(name, palette, seed) - paper, axis=2)
        assert distance.max() <= 0.4 * furthest + 2
        assert (distance.max() > 8) == (name != "plain")


def test_tints_are_those_of_pasting_through_a_mask():
    """Pillow's own pasting through eight bits is the oracle."""
    ground, colour = (247, 12, 90), (3, 200, 91)
    strength = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    expected = Image.new("RGB", (16, 16), ground)
    expected.paste(colour, (0, 0, 16, 16), strength)
    assert tinted(strength.copy(), ground, colour).tobytes() == expected.tobytes()
