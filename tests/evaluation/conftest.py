"""What tests of retrieval and of pairs share: pictures whose hashes differ, and what a duplicate is in plain words."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from relsim.data.facts import hamming_distance, perceptual_hash


@pytest.fixture(scope="session")
def blocks():
    """`blocks(seed)` is a picture of 8 x 8 random squares: unrelated pictures are far apart by their hashes."""

    def picture(seed, size=64):
        rng = np.random.default_rng(seed)
        squares = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        return squares.resize((size, size), Image.Resampling.NEAREST)

    return picture


@pytest.fixture(scope="session")
def plain_duplicate():
    """`plain_duplicate(first, second, distance)`: why two files are duplicates, None if they are not."""

    def reason(first, second, distance):
        if hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest():
            return "exact"
        hashes = [perceptual_hash(Image.open(path).convert("RGB")) for path in (first, second)]
        flat = {"0000000000000000", "8000000000000000"}
        return "near" if not flat & set(hashes) and hamming_distance(*hashes) <= distance else None

    return reason
