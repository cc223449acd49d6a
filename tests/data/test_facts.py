"""What follows from an image's bytes, against Pillow, hashlib, SciPy and numbers worked out by hand."""

import hashlib
import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFilter
from scipy.fft import dct

from relsim.data.facts import hamming_distance, image_facts, perceptual_hash
from relsim.data.images import FORMATS
from relsim.data.shard_rows import SUFFIXES
from relsim.errors import ImageError


def encoded(image, format_name="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def hash_by_scipy(image):
    """The hash by its definition: DCT-II by columns, then by rows, eight lowest frequencies against their median."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    low = dct(dct(grey, axis=0), axis=1)[:8, :8]
    bits = "".join("1" if value > np.median(low) else "0" for value in low.ravel())
    return f"{int(bits, 2):016x}"


def test_facts_of_a_file(photo):
    data = encoded(photo, "JPEG", quality=90)
    facts = image_facts(data)
    assert (facts.width, facts.height, facts.format) == (96, 64, "JPEG")
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.phash == perceptual_hash(Image.open(io.BytesIO(data)))


def test_size_is_that_of_the_upright_image(photo):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    facts = image_facts(encoded(photo, "JPEG", exif=exif))
    assert (facts.width, facts.height) == (64, 96)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "ICO", "JPEG2000"])
def test_formats_go_by_their_own_name(photo, format_name):
    assert image_facts(encoded(photo, format_name)).format == format_name


def test_a_jpeg_of_several_pictures_is_a_jpeg(photo):
    """Pillow calls it MPO when it has opened one."""
    data = encoded(photo, "MPO", save_all=True, append_images=[photo.transpose(Image.Transpose.ROTATE_90)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert image_facts(data).format == "JPEG"


def test_every_format_has_a_suffix():
    assert set(SUFFIXES) == set(FORMATS)


def test_what_is_no_image_has_no_facts():
    with pytest.raises(ImageError, match="not an image"):
        image_facts(b"<!doctype html>")


def test_hash_by_definition(golden_images):
    for path in golden_images:
        image = Image.open(path).convert("RGB")
        assert perceptual_hash(image) == hash_by_scipy(image), path.name


@pytest.mark.parametrize(
    ("colour", "value"), [("white", "8" + 15 * "0"), ("#123456", "8" + 15 * "0"), ("black", 16 * "0")]
)
def test_hash_of_one_colour(colour, value):
    """Every coefficient but the mean is 0, and so is the median."""
    assert perceptual_hash(Image.new("RGB", (50, 40), colour)) == value


def test_alike_images_differ_in_few_bits(golden_images):
    for path in golden_images:
        image = Image.open(path).convert("RGB")
        smaller = image.resize((max(1, image.width * 2 // 3), max(1, image.height * 2 // 3)))
        again = Image.open(io.BytesIO(encoded(smaller.filter(ImageFilter.GaussianBlur(0.6)), "JPEG", quality=70)))
        assert hamming_distance(perceptual_hash(image), perceptual_hash(again)) <= 8, path.name


def test_distance_counts_bits():
    assert hamming_distance("0" * 16, "f" * 16) == 64
    assert hamming_distance("8000000000000001", "8000000000000003") == 1
