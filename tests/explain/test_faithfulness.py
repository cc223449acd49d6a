"""Curves of deletion and insertion against a similarity that is a sum over cells, where both are known exactly."""

import numpy as np
import pytest
from PIL import Image

from relsim.explain.faithfulness import CELLS, STAGES, area, cell_boxes, curves, order_of, rank_correlation
from relsim.explain.occlusion import mean_colour
from relsim.models.attention import spread
from relsim.models.pixels import Recipe

CROP = Recipe("crop", 28)


@pytest.fixture(scope="module")
def weights():
    values = np.random.default_rng(2).random((CELLS, CELLS))
    return values / values.sum()


def additive(picture, weights, seen):
    """The sum of the weights of the cells that show the picture; fails for a cell that is covered in part."""
    colour, whole = mean_colour(picture, seen), np.asarray(picture)
    boxes = cell_boxes(seen)

    def measure(pictures):
        scores = []
        for image in pictures:
            pixels, total = np.asarray(image), 0.0
            for cell, (left, top, right, bottom) in enumerate(boxes):
                part = pixels[top:bottom, left:right]
                same = (part == whole[top:bottom, left:right]).all()
                assert same or (part == colour).all()
                total += weights.ravel()[cell] * same
            scores.append(total)
        return np.array(scores)

    return measure


@pytest.mark.parametrize(("recipe", "size"), [(Recipe.NATIVE, (80, 48)), (CROP, (90, 64))])
def test_curves_are_the_sums_of_what_is_left(noise, weights, recipe, size):
    picture = noise(*size)
    seen = recipe.seen(*size)
    maps = {
        "right": spread(weights.astype(np.float32), *size, recipe),
        "wrong": -spread(weights.astype(np.float32), *size, recipe),
    }
    found = curves(picture, recipe, additive(picture, weights, seen), maps, draws=4)
    assert list(found) == ["right", "wrong", "random"]
    ranked = np.sort(weights.ravel())[::-1]
    gone = [ranked[: stage * CELLS * CELLS // STAGES].sum() for stage in range(STAGES + 1)]
    np.testing.assert_allclose(found["right"].deletion, 1 - np.array(gone), atol=1e-12)
    np.testing.assert_allclose(found["right"].insertion, gone, atol=1e-12)
    np.testing.assert_allclose(found["wrong"].deletion, gone[::-1], atol=1e-12)
    low, high = found["right"].areas
    assert low < found["random"].areas[0] < found["wrong"].areas[0]
    assert high > found["random"].areas[1] > found["wrong"].areas[1]
    assert low + high == pytest.approx(1)


def test_the_same_seed_gives_the_same_chance(noise, weights):
    picture = noise(64, 64)
    measure = additive(picture, weights, (0, 0, 64, 64))
    first, again, other = (curves(picture, Recipe.NATIVE, measure, {}, seed=seed)["random"] for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_every_cell_has_a_place_and_only_one():
    for seen in ((0, 0, 64, 64), (7, 3, 40, 31)):
        count = np.zeros((80, 80), int)
        for left, top, right, bottom in cell_boxes(seen):
            count[top:bottom, left:right] += 1
        assert (count[seen[1] : seen[3], seen[0] : seen[2]] == 1).all()
        assert count.sum() == (seen[2] - seen[0]) * (seen[3] - seen[1])


def test_the_greatest_go_first_and_chance_decides_between_equals():
    values = np.array([[1.0, 3.0], [3.0, 0.0]])
    orders = [order_of(values, np.random.default_rng(seed)).tolist() for seed in range(40)]
    assert {tuple(order) for order in orders} == {(1, 2, 0, 3), (2, 1, 0, 3)}


@pytest.mark.parametrize(
    ("curve", "expected"), [((1.0, 0.0), 0.5), ((1, 1, 1), 1.0), ((0, 0, 1, 1), 0.5), ((1, 0, 0), 0.25)]
)
def test_areas_of_curves(curve, expected):
    assert area(curve) == pytest.approx(expected)


def test_rank_correlation_of_maps():
    cells = np.arange(12.0).reshape(3, 4)
    assert rank_correlation(cells, cells**3) == pytest.approx(1)
    assert rank_correlation(cells, -cells) == pytest.approx(-1)
    assert rank_correlation(cells, np.ones((3, 4))) is None


def test_a_picture_of_one_colour_is_covered_by_itself():
    picture = Image.new("RGB", (32, 32), (9, 8, 7))
    seen = []

    def keep(pictures):
        seen.extend(image.tobytes() for image in pictures)
        return np.ones(len(seen))

    curves(picture, Recipe.NATIVE, keep, {})
    assert set(seen) == {picture.tobytes()}
