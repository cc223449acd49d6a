"""Pictures for encoders."""

import pytest


@pytest.fixture(scope="session")
def pictures(noise):
    """Seven pictures of several shapes, one narrow."""
    sizes = [(28, 28), (64, 48), (40, 90), (200, 30), (33, 33), (28, 56), (120, 120)]
    return [noise(width, height, seed) for seed, (width, height) in enumerate(sizes)]
