"""Pixels held to transformers' own image processor (Pillow backend) and to Pillow."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from relsim.errors import CheckpointError, ImageError
from relsim.models.pixels import PixelConfig, Recipe, cut, cut_squares, limit_longest_edge, normalized, smart_resize

DEFAULT = PixelConfig()
SMALL = PixelConfig(min_pixels=4 * 28 * 28, max_pixels=40 * 28 * 28)
SIXTEEN = PixelConfig(patch_size=16, min_pixels=65_536, max_pixels=262_144, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CONFIGS = {"as published": DEFAULT, "narrow limits": SMALL, "patches of 16": SIXTEEN}


def oracle(config):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(
        patch_size=config.patch_size,
        merge_size=config.merge_size,
        temporal_patch_size=config.temporal_patch_size,
        size={"shortest_edge": config.min_pixels, "longest_edge": config.max_pixels},
        image_mean=list(config.mean),
        image_std=list(config.std),
    )


def oracle_size(height, width, config):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as theirs

    return theirs(height, width, config.factor, config.min_pixels, config.max_pixels)


SIZES = [
    *[(1, 1), (1, 200), (200, 1), (2, 400), (13, 14), (14, 14), (27, 29), (28, 28), (42, 42), (70, 98), (84, 126)],
    *[(56, 56), (55, 57), (3584, 3584), (3583, 3585), (3585, 3584), (7000, 35), (35, 7000), (20_000, 20_000)],
    *[(448, 448), (1080, 1920), (12_000, 60), (100_000, 500)],
]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_size_equals_the_processors(size, config):
    """Extremes, halves that are rounded to even, and both limits of the area."""
    assert smart_resize(*size, config) == oracle_size(*size, config)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(1, 9_000), st.integers(1, 9_000), st.sampled_from(list(CONFIGS.values())))
def test_size_equals_the_processors_everywhere(height, width, config):
    if max(height, width) / min(height, width) > 200:
        with pytest.raises(ImageError):
            smart_resize(height, width, config)
    else:
        assert smart_resize(height, width, config) == oracle_size(height, width, config)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 9_000), st.integers(1, 9_000))
def test_sides_are_multiples_of_28(height, width):
    if max(height, width) <= 200 * min(height, width):
        rows, columns = smart_resize(height, width, DEFAULT)
        assert rows % 28 == columns % 28 == 0
        assert min(rows, columns) >= 28


@pytest.mark.parametrize("size", [(1, 201), (201, 1), (10, 2_001), (5_000, 24)])
def test_more_than_200_to_1_is_a_bad_shape(size):
    with pytest.raises(ImageError, match=r"beyond 200:1") as caught:
        cut(Image.new("RGB", size), Recipe.NATIVE, DEFAULT)
    assert caught.value.status == "bad_shape"


def test_a_square_recipe_takes_any_aspect_ratio():
    """The crop leaves a square and the squash ignores the ratio."""
    for recipe in (Recipe.CROP448, Recipe.SQUASH448):
        assert cut(Image.new("RGB", (3, 900)), recipe, DEFAULT).grid == (32, 32)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(
    "size", [(28, 28), (57, 43), (300, 199), (448, 448), (90, 700), (1, 1), (1_200, 30), (5, 900)], ids=str
)
def test_patches_equal_the_processors(noise, size, config):
    """Same grid, same order of patches, values within 1e-6."""
    picture = noise(*size)
    ours, theirs = cut(picture, Recipe.NATIVE, config), oracle(config)(picture, return_tensors="np")
    assert [1, *ours.grid] == theirs["image_grid_thw"][0].tolist()
    np.testing.assert_allclose(normalized(ours, config), theirs["pixel_values"], atol=1e-6)


def test_patches_equal_the_processors_on_the_golden_pictures(golden_pictures):
    processor = oracle(DEFAULT)
    for picture in golden_pictures:
        ours, theirs = cut(picture, Recipe.NATIVE, DEFAULT), processor(picture, return_tensors="np")
        assert [1, *ours.grid] == theirs["image_grid_thw"][0].tolist()
        np.testing.assert_allclose(normalized(ours, DEFAULT), theirs["pixel_values"], atol=1e-6)


@pytest.mark.parametrize("size", [(500, 333), (333, 500), (448, 448), (449, 448), (101, 7), (1_000, 1_001)], ids=str)
def test_crop448_takes_the_centre_square_then_lanczos(noise, size):
    picture = noise(*size)
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    square = Image.fromarray(np.asarray(picture)[top : top + side, left : left + side])
    by_pillow = square.resize((448, 448), Image.Resampling.LANCZOS)
    assert Recipe.CROP448.apply(picture).tobytes() == by_pillow.tobytes()


def test_native_leaves_the_picture_alone(noise):
    picture = noise(33, 77)
    assert Recipe.NATIVE.apply(picture) is picture


@pytest.mark.parametrize("recipe", [Recipe.NATIVE, Recipe.CROP448, Recipe.SQUASH448], ids=lambda recipe: recipe.value)
def test_cutting_leaves_the_original_unchanged(noise, recipe):
    picture = noise(130, 77)
    before = picture.tobytes()
    cut(picture, recipe, DEFAULT)
    assert picture.tobytes() == before


@pytest.mark.parametrize(
    "name", ["native", "crop448", "squash448", "crop28", "crop96", "crop112", "squash168", "crop3584"]
)
def test_recipe_keeps_its_name(name):
    assert Recipe.parse(name).value == name


def test_recipes_of_one_name_are_one():
    assert Recipe.parse("crop448") == Recipe.CROP448
    assert len({Recipe.parse("squash448"), Recipe.SQUASH448, Recipe.CROP448, Recipe.NATIVE}) == 3


@pytest.mark.parametrize(
    "name",
    ["", "crop", "squash", "crop0", "crop450", "crop-28", "crop0448", "crop448 ", "CROP448", "native448", "crop3588"],
)
def test_unknown_recipe_names_what_is_known(name):
    with pytest.raises(ValueError, match="known are native, crop<side> and squash<side>"):
        Recipe.parse(name)


@pytest.mark.parametrize("parts", [("native", 448), ("crop", None), ("squash", 450)])
def test_recipe_of_parts_that_do_not_fit_is_refused(parts):
    with pytest.raises(ValueError, match="no recipe"):
        Recipe(*parts)


@pytest.mark.parametrize("side", [112, 168])
def test_any_side_is_pillows_lanczos(noise, side):
    picture = noise(300, 200)
    for recipe, square in ((f"crop{side}", picture.crop((50, 0, 250, 200))), (f"squash{side}", picture)):
        by_pillow = square.resize((side, side), Image.Resampling.LANCZOS)
        assert Recipe.parse(recipe).apply(picture).tobytes() == by_pillow.tobytes()


@pytest.mark.parametrize("side", [56, 112, 448])
def test_squares_are_cut_as_one_picture_is(noise, side):
    """Also from a view that does not lie in memory as it reads."""
    pictures = [noise(side, side, seed) for seed in range(3)]
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    one_by_one = np.stack([cut(picture, Recipe.NATIVE, DEFAULT).pixels for picture in pictures])
    np.testing.assert_array_equal(cut_squares(pixels, DEFAULT), one_by_one)
    np.testing.assert_array_equal(cut_squares(pixels[::-1], DEFAULT), one_by_one[::-1])


@pytest.mark.parametrize("shape", [(2, 100, 100, 3), (2, 56, 112, 3), (2, 28, 28, 3), (2, 56, 56, 4)], ids=str)
def test_squares_that_the_processor_would_resize_are_refused(shape):
    with pytest.raises(ValueError, match="cannot be cut"):
        cut_squares(np.zeros(shape, np.uint8), DEFAULT)


@pytest.mark.parametrize("longest", [1, 17, 100, 300, 448, 699, 700, 701, 5_000])
@pytest.mark.parametrize("size", [(90, 700), (700, 90), (333, 500)], ids=str)
def test_limit_of_the_longest_edge_is_pillows_thumbnail(noise, size, longest):
    picture = noise(*size)
    thumbnail = picture.copy()
    thumbnail.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    limited = limit_longest_edge(picture, longest)
    assert limited.size == thumbnail.size
    assert limited.tobytes() == thumbnail.tobytes()
    assert picture.size == size


def test_no_limit_keeps_the_picture(noise):
    picture = noise(90, 70)
    assert limit_longest_edge(picture, None) is picture


def test_configuration_of_the_golden_checkpoint_is_the_published_one(golden):
    assert PixelConfig.from_file(golden / "relsim" / "preprocessor_config.json") == DEFAULT


@pytest.mark.parametrize(
    "limits",
    [{"min_pixels": 784, "max_pixels": 78_400}, {"size": {"shortest_edge": 784, "longest_edge": 78_400}}],
    ids=["by name", "under size"],
)
def test_limits_are_read_where_transformers_reads_them(tmp_path, noise, limits):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "Qwen2VLImageProcessor", **limits}))
    config = PixelConfig.from_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Qwen2VLImageProcessorPil.from_pretrained(tmp_path)
    assert (config.min_pixels, config.max_pixels) == (784, 78_400)
    picture = noise(500, 400)
    assert [1, *cut(picture, Recipe.NATIVE, config).grid] == theirs(picture)["image_grid_thw"][0].tolist()


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_damaged_configuration_is_a_checkpoint_error(tmp_path, text):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        PixelConfig.from_file(path)


def test_unknown_filter_is_a_checkpoint_error(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text('{"resample": 1}')
    with pytest.raises(CheckpointError, match="only bicubic"):
        PixelConfig.from_file(path)


@pytest.mark.parametrize(
    "config",
    [{"size": {"shortest_edge": "x"}}, {"patch_size": 0}, {"image_mean": [0.5]}, {"image_std": ["a", "b", "c"]}],
    ids=str,
)
def test_values_that_are_no_sizes_are_refused(tmp_path, config):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json"):
        PixelConfig.from_file(path)
