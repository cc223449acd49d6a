"""The network as a module of constants and real numbers: the same vectors as transformers' own forward pass."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from relsim.errors import CheckpointError
from relsim.models.base import load_base
from relsim.models.lora import merge_lora
from relsim.models.pixels import PixelConfig, Recipe, shown
from relsim.models.portable import PortableQwen25VL, pixel_side, prepared_steps


@pytest.fixture(scope="module")
def portable(golden, published, load_golden):
    """`portable(recipe)`: the golden network for that square, and the same through transformers."""

    def make(recipe):
        plain = load_golden(engine="plain", recipe=recipe)
        network, _ = load_base(golden / "base", torch.float32)
        merge_lora(network, published.adapter_config, published.adapter)
        return PortableQwen25VL(network, plain.checkpoint, plain.prompt, plain.pixels).eval(), plain

    return make


@pytest.mark.parametrize(
    "recipe",
    [
        "crop112",  # one window
        "crop224",  # four of one size
        "squash280",  # windows of four sizes, those at the border cut off
        "crop300",  # no multiple of 28: the processor resizes once more
    ],
)
def test_vectors_are_those_of_transformers(portable, golden_pictures, embed, recipe):
    network, plain = portable(recipe)
    pictures = golden_pictures[:5]
    pixels = np.stack([np.asarray(shown(picture, plain.recipe, plain.pixels)) for picture in pictures])
    with torch.inference_mode():
        found = network(torch.from_numpy(pixels))
        alone = network(torch.from_numpy(pixels[2:3]))
    expected = embed(plain, pictures)
    assert (expected @ expected.T).min() < 0.99  # pictures differ by more than what is allowed below
    assert (found - expected).abs().max() <= 1e-5
    assert (alone - expected[2]).abs().max() <= 1e-5


def test_recipe_without_a_square_is_refused(portable):
    with pytest.raises(CheckpointError, match="fixed square"):
        portable("native")


def test_network_that_computes_something_else_is_refused(portable, golden, published):
    _, plain = portable("crop112")
    network, _ = load_base(golden / "base", torch.float32)
    network.config.text_config.hidden_act = "gelu"
    with pytest.raises(CheckpointError, match="computes something"):
        PortableQwen25VL(network, plain.checkpoint, plain.prompt, plain.pixels)


@pytest.mark.parametrize("name", ["crop112", "squash300", "crop448"])
def test_steps_lead_to_the_pixels_that_the_processor_cuts(name, golden_pictures):
    """Done here as they are written down, by Pillow alone."""
    recipe, pixels = Recipe.parse(name), PixelConfig()
    filters = {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}
    for picture in golden_pictures:
        image = picture
        for step in prepared_steps(recipe, pixels):
            if step["do"] == "orient":
                assert step["by"] == "EXIF"
                image = ImageOps.exif_transpose(image)
            elif step["do"] == "crop":
                side = min(image.size)
                left, top = (image.width - side) // 2, (image.height - side) // 2
                image = image.crop((left, top, left + side, top + side))
            elif step["do"] == "resize":
                image = image.resize(step["size"], filters[step["filter"]])
            else:
                image = image.convert(step["mode"])
        assert image.size == (pixel_side(recipe, pixels),) * 2
        assert np.array_equal(np.asarray(image), np.asarray(shown(picture, recipe, pixels)))
