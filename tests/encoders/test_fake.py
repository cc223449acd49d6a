"""The fake encoder: every vector here was worked out in the head."""

import numpy as np
import pytest
from PIL import Image

from relsim.encoders.base import Encoder, TextEncoder
from relsim.encoders.fake import FakeEncoder


def vector(image: Image.Image) -> list[float]:
    encoder = FakeEncoder()
    return encoder.encode([encoder.prepare(image)])[0].tolist()


def test_it_is_an_encoder_of_pictures_and_of_sentences():
    assert isinstance(FakeEncoder(), Encoder)
    assert isinstance(FakeEncoder(), TextEncoder)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ("black", [0, 0, 0, 1]),
        ("white", [0.5, 0.5, 0.5, 0.5]),
        ("red", [0.5**0.5, 0, 0, 0.5**0.5]),
        ("cyan", [0, 3**-0.5, 3**-0.5, 3**-0.5]),
    ],
)
def test_a_plain_picture_is_its_colour_and_one(colour, expected):
    assert vector(Image.new("RGB", (30, 20), colour)) == pytest.approx(expected)
    assert FakeEncoder().encode_text([f"A {colour.upper()} thing."])[0].tolist() == pytest.approx(expected)


def test_half_red_half_blue_is_the_mean():
    image = Image.new("RGB", (4, 2), "red")
    image.paste("blue", (2, 0, 4, 2))
    half = [1 / 6**0.5, 0, 1 / 6**0.5, 2 / 6**0.5]  # (1/2, 0, 1/2, 1), of length sqrt(3/2)
    assert vector(image) == pytest.approx(half)
    assert FakeEncoder().encode_text(["red and blue"])[0].tolist() == pytest.approx(half)


def test_a_sentence_without_a_colour_is_black():
    assert FakeEncoder().encode_text(["growth of {Subject}", ""]).tolist() == [[0, 0, 0, 1]] * 2


@pytest.mark.parametrize(("size", "tokens"), [((1, 1), 1), ((28, 28), 1), ((29, 28), 2), ((280, 57), 30)])
def test_the_cost_is_the_number_of_squares(size, tokens):
    encoder = FakeEncoder()
    assert encoder.cost(encoder.prepare(Image.new("RGB", size))) == tokens


def test_empty_batches_have_no_rows():
    for rows in (FakeEncoder().encode([]), FakeEncoder().encode_text([])):
        assert rows.shape == (0, 4)
        assert rows.dtype == np.float32
