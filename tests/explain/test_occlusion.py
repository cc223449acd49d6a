"""A patch slides over a picture: where it lies, and what falls, against pictures that are covered by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from relsim.encoders.relational import RelationalEncoder
from relsim.explain.occlusion import cover, mean_colour, means_in, occlude, patch_boxes, similarity_to
from relsim.models.attention import spread
from relsim.models.pixels import Recipe

CROP = Recipe("crop", 28)


@given(
    left=st.integers(0, 50),
    top=st.integers(0, 50),
    width=st.integers(20, 400),
    height=st.integers(20, 400),
    steps=st.integers(2, 15),
    share=st.floats(0.05, 0.9),
)
def test_patches_lie_evenly_from_border_to_border(left, top, width, height, steps, share):
    boxes = patch_boxes((left, top, left + width, top + height), steps, share)
    assert len(boxes) == steps**2
    sizes = {(box[2] - box[0], box[3] - box[1]) for box in boxes}
    assert sizes == {(max(1, round(share * width)), max(1, round(share * height)))}
    assert boxes[0][:2] == (left, top)
    assert boxes[-1][2:] == (left + width, top + height)
    firsts = np.array([box[0] for box in boxes[:steps]])
    assert boxes[:steps] == tuple((*box[:1], top, box[2], boxes[0][3]) for box in boxes[:steps])
    assert np.ptp(np.diff(firsts)) <= 1


@pytest.mark.parametrize("recipe", [Recipe.NATIVE, CROP])
def test_the_fall_is_all_of_a_pixel_wherever_the_patch_covers_it(noise, recipe):
    """The similarity is the red of one pixel, so the fall is what the mean colour takes from it, or nothing."""
    picture, spot = noise(60, 40), (33, 21)

    def red(pictures):
        return np.array([float(image.getpixel(spot)[0]) for image in pictures])

    found = occlude(picture, recipe, red, steps=5, share=0.3)
    seen = (0, 0, 60, 40) if recipe is Recipe.NATIVE else (10, 0, 50, 40)
    mean = np.asarray(picture)[seen[1] : seen[3], seen[0] : seen[2]].reshape(-1, 3).mean(axis=0).round()
    fall = picture.getpixel(spot)[0] - mean[0]
    inside = [left <= spot[0] < right and top <= spot[1] < bottom for left, top, right, bottom in found.boxes]
    assert any(inside)
    assert found.similarity == picture.getpixel(spot)[0]
    assert found.falls.ravel().tolist() == [fall * one for one in inside]
    values = found.spread(60, 40)
    assert values[spot[1], spot[0]] == pytest.approx(fall)
    assert np.abs(values).max() == pytest.approx(abs(fall))
    outside = np.ones((40, 60), bool)
    outside[seen[1] : seen[3], seen[0] : seen[2]] = False
    assert (values[outside] == 0).all()


def test_a_map_is_the_mean_over_the_patches_on_each_pixel(noise):
    rng = np.random.default_rng(0)
    given_falls = rng.normal(size=17)
    found = occlude(noise(31, 23), Recipe.NATIVE, lambda pictures: given_falls[: len(list(pictures))], steps=4)
    values = found.spread(31, 23)
    for row in range(23):
        for column in range(31):
            on_it = [
                fall
                for fall, (left, top, right, bottom) in zip(found.falls.ravel(), found.boxes, strict=True)
                if left <= column < right and top <= row < bottom
            ]
            assert values[row, column] == pytest.approx(np.mean(on_it) if on_it else 0.0, abs=1e-6)


def test_falls_are_those_of_pictures_that_are_covered_by_hand(metric, pair):
    picture, other = pair
    target = metric.embed(other)[0]
    found = occlude(picture, metric.vlm.recipe, similarity_to(metric.encoder, target.numpy()), steps=3, share=0.4)
    colour = tuple(int(value) for value in np.asarray(picture).reshape(-1, 3).mean(axis=0).round())
    by_hand = []
    for left, top, right, bottom in found.boxes:
        pixels = np.asarray(picture).copy()
        pixels[top:bottom, left:right] = colour
        by_hand.append(metric(picture, other) - metric(Image.fromarray(pixels), other))
    np.testing.assert_allclose(found.falls.ravel(), by_hand, atol=1e-5)
    assert np.abs(found.falls).max() > 1e-3
    assert found.similarity == pytest.approx(metric(picture, other), abs=1e-5)


def test_similarities_come_in_order_and_few_pictures_are_held(packed, noise):
    """Pictures are asked for as they are needed: never more than 32 beyond those that were scored."""
    encoder, made, scored = RelationalEncoder(packed), [], []

    class Counting:
        def __getattr__(self, name):
            return getattr(encoder, name)

        def encode(self, batch):
            scored.append(len(batch))
            return encoder.encode(batch)

    def pictures():
        for number in range(70):
            made.append(number)
            assert number - sum(scored) < 32
            yield noise(28, 28, number)

    target = np.eye(384, dtype=np.float32)[5]
    found = similarity_to(Counting(), target)(pictures())
    batch = [packed.prepare(noise(28, 28, number)) for number in range(70)]
    np.testing.assert_allclose(found, packed.embed(batch)[:, 5].to(torch.float64), atol=1e-5)
    assert len(made) == 70


@pytest.mark.parametrize(("recipe", "size"), [(Recipe.NATIVE, (60, 36)), (CROP, (50, 36))])
def test_means_in_cells_undo_the_spreading_of_cells(recipe, size):
    """Where cells are whole pixels; a border within a pixel mixes two neighbours."""
    cells = np.random.default_rng(1).random((3, 4)).astype(np.float32)
    seen = recipe.seen(*size)
    area = (seen[2] - seen[0]) * (seen[3] - seen[1]) / cells.size
    found = means_in(spread(cells, *size, recipe), seen, cells.shape)
    np.testing.assert_allclose(found * area, cells, rtol=1e-5)


def test_means_in_cells_weigh_pixels_by_how_much_of_them_lies_inside():
    values = np.arange(5, dtype=np.float32)[None]
    found = means_in(values, (0, 0, 5, 1), (1, 2))
    np.testing.assert_allclose(found, [[(0 + 1 + 0.5 * 2) / 2.5, (0.5 * 2 + 3 + 4) / 2.5]])


def test_covering_leaves_the_picture_as_it_was(noise):
    picture = noise(20, 10)
    before = picture.tobytes()
    covered = cover(picture, [(0, 0, 5, 5), (15, 5, 20, 10)], (1, 2, 3))
    assert picture.tobytes() == before
    changed = (np.asarray(covered) != np.asarray(picture)).any(axis=2)
    assert changed.sum() == 50
    assert (np.asarray(covered)[changed] == (1, 2, 3)).all()
    assert mean_colour(covered, (0, 0, 5, 5)) == (1, 2, 3)


@pytest.mark.parametrize(("steps", "share"), [(1, 0.3), (0, 0.3), (4, 0.0), (4, 1.0), (4, -0.2)])
def test_a_patch_without_a_place_to_go_is_refused(noise, steps, share):
    with pytest.raises(ValueError, match="2 steps or more"):
        occlude(noise(28, 28), Recipe.NATIVE, lambda pictures: np.zeros(len(list(pictures))), steps=steps, share=share)
