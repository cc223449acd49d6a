"""Hand-crafted descriptors: against slow references and known colours, and what may and may not move them."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from relsim.encoders.base import Encoder
from relsim.encoders.descriptors import (
    CHROMA_BINS,
    LIGHTNESS_BINS,
    DescriptorEncoder,
    hog,
    lab_histogram,
    srgb_to_lab,
)
from relsim.errors import EncoderError

PARTS = ("both", "colour", "hog")


def scene(seed: int, size: tuple[int, int] = (180, 140)) -> Image.Image:
    """Shapes of random colours on a random, softly varying ground."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(0, 256, (3, 3, 3)).astype(np.uint8))
    image = ground.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for number in range(8):
        left, top = (int(rng.integers(0, side * 3 // 4)) for side in size)
        box = (left, top, left + int(rng.integers(10, 60)), top + int(rng.integers(10, 60)))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        (draw.ellipse if number % 2 else draw.rectangle)(box, fill=colour)
    return image


def cosine(first: Image.Image, second: Image.Image, parts: str = "both") -> float:
    encoder = DescriptorEncoder(parts)
    rows = encoder.encode([encoder.prepare(first), encoder.prepare(second)])
    return float(rows[0] @ rows[1])


def slow_hog(luma: np.ndarray, epsilon: float) -> np.ndarray:
    """Pixel by pixel; a vote's weight for a bin falls linearly to zero at 20 degrees from its centre."""
    height, width = luma.shape
    cells = np.zeros((height // 8, width // 8, 9))
    for y in range(height):
        for x in range(width):
            across = luma[y, x + 1] - luma[y, x - 1] if 0 < x < width - 1 else 0.0
            down = luma[y + 1, x] - luma[y - 1, x] if 0 < y < height - 1 else 0.0
            angle = math.degrees(math.atan2(down, across))
            for k in range(9):
                distance = abs((angle - (10 + 20 * k) + 90) % 180 - 90)
                cells[y // 8, x // 8, k] += math.sqrt(across**2 + down**2) * max(0.0, 1 - distance / 20) / 64
    blocks = np.zeros((height // 8 - 1, width // 8 - 1, 4, 9))
    for row in range(blocks.shape[0]):
        for column in range(blocks.shape[1]):
            block = cells[row : row + 2, column : column + 2].reshape(4, 9)
            for _ in range(2):
                block = block / math.sqrt((block**2).sum() + epsilon**2)
                last, block = block, np.minimum(block, 0.2)
            blocks[row, column] = last
    return blocks


class TestHog:
    @pytest.mark.parametrize("shape", [(16, 16), (32, 40)])
    @pytest.mark.parametrize("epsilon", [1e-5, 0.02])
    def test_equals_a_loop_over_pixels(self, shape, epsilon):
        luma = np.random.default_rng(0).random(shape)
        np.testing.assert_allclose(hog(luma, epsilon=epsilon), slow_hog(luma, epsilon), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("k", range(9))
    def test_a_ramp_votes_for_the_bin_of_its_direction_only(self, k):
        y, x = np.mgrid[:32, :32] / 32
        angle = math.radians(10 + 20 * k)
        blocks = hog(x * math.cos(angle) + y * math.sin(angle), epsilon=1e-9)
        expected = np.zeros((4, 9))
        expected[:, k] = 0.5  # four equal votes: 1/2 each, clipped to 0.2, scaled back to unit length
        np.testing.assert_allclose(blocks[1, 1], expected, atol=1e-7)

    def test_a_gradient_between_two_bins_votes_for_both(self):
        blocks = hog(np.tile(np.arange(32.0), (32, 1)))  # 0 degrees: half-way from 170 to 10
        np.testing.assert_allclose(blocks[1, 1, :, 0], blocks[1, 1, :, 8])
        assert blocks[1, 1, :, 1:8].max() == 0

    def test_brightness_and_contrast_do_not_count(self):
        luma = np.random.default_rng(1).random((64, 64))
        np.testing.assert_allclose(hog(0.3 * luma + 0.4, epsilon=1e-6), hog(luma, epsilon=1e-6), atol=1e-8)

    def test_a_negative_has_the_same_edges(self):
        luma = np.random.default_rng(1).random((64, 64))
        np.testing.assert_allclose(hog(1 - luma), hog(luma), atol=1e-12)

    def test_a_mirror_permutes(self):
        luma = np.random.default_rng(2).random((64, 64))
        mirrored = hog(luma)[:, ::-1, [1, 0, 3, 2], ::-1]
        np.testing.assert_allclose(hog(luma[:, ::-1]), mirrored, atol=1e-12)

    def test_blocks_of_texture_have_unit_length_and_flat_ones_none(self):
        luma = np.full((64, 64), 0.5)
        luma[:, 32:] = np.random.default_rng(3).random((64, 32))
        lengths = np.linalg.norm(hog(luma), axis=(2, 3))
        np.testing.assert_allclose(lengths[:, 4:], 1, atol=1e-3)
        assert lengths[:, :2].max() == 0


class TestColour:
    @pytest.mark.parametrize(
        ("rgb", "lab"),
        [
            ((255, 255, 255), (100, 0, 0)),
            ((0, 0, 0), (0, 0, 0)),
            ((255, 0, 0), (53.24, 80.09, 67.20)),
            ((0, 255, 0), (87.73, -86.18, 83.18)),
            ((0, 0, 255), (32.30, 79.19, -107.86)),
            ((119, 119, 119), (50.03, 0, 0)),
        ],
        ids=["white", "black", "red", "green", "blue", "mid-grey"],
    )
    def test_cielab_of_known_colours(self, rgb, lab):
        np.testing.assert_allclose(srgb_to_lab(np.array(rgb, np.uint8)), lab, atol=0.006)

    def test_every_grey_is_neutral(self):
        lab = srgb_to_lab(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))
        np.testing.assert_allclose(lab[:, 1:], 0, atol=1e-10)
        assert (np.diff(lab[:, 0]) > 0).all()

    def test_a_colour_at_the_centre_of_a_bin_fills_that_bin(self):
        histogram = lab_histogram(np.array([[25.0, 0.0, -60.0]]))
        assert np.flatnonzero(histogram).tolist() == [1 * 49 + 3 * 7 + 0]
        assert histogram.max() == 1

    def test_the_histogram_is_a_triangular_kernel_in_each_axis(self):
        rng = np.random.default_rng(4)
        colours = np.stack([rng.uniform(0, 100, 50), rng.uniform(-60, 60, 50), rng.uniform(-60, 60, 50)], axis=1)
        expected = np.zeros((5, 7, 7))
        for colour in colours:
            shares = [
                np.maximum(0, 1 - np.abs(value - centres) / (centres[1] - centres[0]))
                for value, centres in zip(colour, (LIGHTNESS_BINS, CHROMA_BINS, CHROMA_BINS), strict=True)
            ]
            expected += np.einsum("i,j,k->ijk", *shares) / 50
        np.testing.assert_allclose(lab_histogram(colours), expected.ravel(), atol=1e-12)

    def test_colours_beyond_the_bins_count_in_the_outermost(self):
        histogram = lab_histogram(np.array([[100.0, 99.0, -108.0]]))
        assert np.flatnonzero(histogram).tolist() == [4 * 49 + 6 * 7 + 0]


class TestWhatMoves:
    def test_a_tint_of_equal_luma_moves_colour_and_not_edges(self):
        grey = np.asarray(scene(5).convert("L").convert("RGB")).astype(float) * 0.5 + 60
        tinted = np.clip(np.rint(grey + np.array([60, -20, 21])), 0, 255)  # 0.2126 * 60 - 0.7152 * 20 + 0.0722 * 21 = 0
        first, second = (Image.fromarray(pixels.astype(np.uint8)) for pixels in (grey, tinted))
        assert cosine(first, second, "hog") > 0.99
        assert cosine(first, second, "colour") < 0.6

    def test_a_darker_picture_keeps_its_edges(self):
        image = scene(6)
        darker = ImageEnhance.Brightness(image).enhance(0.6)
        assert cosine(image, darker, "hog") > 0.95
        assert cosine(image, darker, "colour") < cosine(image, darker, "hog")

    def test_the_same_colours_in_other_places_share_the_histogram_only(self):
        image = Image.new("RGB", (64, 64), "red")
        image.paste("blue", (32, 0, 64, 64))
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        red, blue = np.array([53.24 - 50, 80.09, 67.20]), np.array([32.30 - 50, 79.19, -107.86])
        layouts = (16 * red @ blue + 25**2) / (8 * red @ red + 8 * blue @ blue + 25**2)
        assert cosine(image, mirrored, "colour") == pytest.approx((layouts + 1) / 2, abs=1e-4)

    def test_a_crop_is_nearest_to_its_own_picture(self):
        images = [scene(seed) for seed in range(12)]
        crops = [ImageEnhance.Contrast(image.crop((5, 5, 170, 132))).enhance(0.8) for image in images]
        encoder = DescriptorEncoder()
        similarity = encoder.encode([*map(encoder.prepare, crops)]) @ encoder.encode([*map(encoder.prepare, images)]).T
        assert similarity.argmax(axis=1).tolist() == list(range(12))

    def test_unrelated_pictures_are_not_all_alike(self):
        encoder = DescriptorEncoder()
        rows = encoder.encode([encoder.prepare(scene(seed)) for seed in range(20)])
        unrelated = (rows @ rows.T)[~np.eye(20, dtype=bool)]
        assert unrelated.mean() < 0.4
        assert unrelated.std() > 0.05

    def test_both_is_the_mean_of_the_halves(self):
        first, second = scene(7), scene(8)
        halves = (cosine(first, second, "colour") + cosine(first, second, "hog")) / 2
        assert cosine(first, second) == pytest.approx(halves, abs=1e-6)


@pytest.mark.parametrize("parts", PARTS)
class TestEveryPart:
    def test_it_is_an_encoder(self, parts):
        assert isinstance(DescriptorEncoder(parts), Encoder)

    def test_a_row_does_not_depend_on_its_batch(self, parts):
        encoder = DescriptorEncoder(parts)
        prepared = [encoder.prepare(scene(seed, (60 + 40 * seed, 90))) for seed in range(5)]
        together = encoder.encode(prepared)
        assert together.dtype == np.float32
        assert together.shape == (5, encoder.dimension)
        for row, item in zip(together, prepared, strict=True):
            np.testing.assert_array_equal(encoder.encode([item])[0], row)

    def test_an_empty_batch_has_no_rows(self, parts):
        encoder = DescriptorEncoder(parts)
        assert encoder.encode([]).shape == (0, encoder.dimension)

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 50), (64, 64), (63, 65)])
    def test_any_shape_gives_a_unit_vector(self, parts, size):
        vector = DescriptorEncoder(parts).prepare(scene(9).resize(size))
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("colour", ["black", "white", (119, 119, 119), "red"])
    def test_a_plain_picture_gives_a_unit_vector(self, parts, colour):
        vector = DescriptorEncoder(parts).prepare(Image.new("RGB", (50, 40), colour))
        assert np.isfinite(vector).all()
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)

    def test_grey_is_taken_as_rgb(self, parts):
        grey = scene(10).convert("L")
        assert cosine(grey, grey.convert("RGB"), parts) == pytest.approx(1, abs=1e-6)

    def test_threads_give_the_same(self, parts):
        encoder = DescriptorEncoder(parts)
        images = [scene(seed) for seed in range(16)]
        with ThreadPoolExecutor(4) as pool:
            for vector, image in zip(pool.map(encoder.prepare, images), images, strict=True):
                np.testing.assert_array_equal(vector, encoder.prepare(image))

    @pytest.mark.parametrize(("side", "grid"), [(16, 1), (32, 8), (128, 4)])
    def test_dimension_is_the_length_of_a_vector(self, parts, side, grid):
        encoder = DescriptorEncoder(parts, side=side, grid=grid)
        assert encoder.prepare(scene(11)).shape == (encoder.dimension,)


def test_edgeless_pictures_have_the_same_edges():
    assert cosine(Image.new("RGB", (9, 9), "red"), Image.new("RGB", (70, 70), "white"), "hog") == 1


def test_dimensions_at_the_default_sizes():
    assert [DescriptorEncoder(parts).dimension for parts in PARTS] == [342 + 1765, 342, 1765]


def test_cost_is_64_cells():
    encoder = DescriptorEncoder()
    assert encoder.cost(encoder.prepare(scene(12))) == 64


def test_parts_and_sizes_have_fingerprints_of_their_own():
    encoders = [*map(DescriptorEncoder, PARTS), DescriptorEncoder(side=128), DescriptorEncoder(grid=8)]
    assert len({encoder.fingerprint.digest for encoder in encoders}) == 5
    assert DescriptorEncoder().fingerprint == DescriptorEncoder("both", side=64, grid=4).fingerprint


@pytest.mark.parametrize("options", [{"side": 60}, {"side": 8}, {"grid": 0}, {"grid": 5}, {"parts": "shape"}])
def test_what_does_not_fit_is_refused(options):
    with pytest.raises(EncoderError, match=str(next(iter(options.values())))):
        DescriptorEncoder(**options)
