"""Pictures for the tests of this folder."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photo():
    """A 96 x 64 RGB image with gradients and noise, so that every codec has something to store."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:64, 0:96]
    smooth = np.stack([x * 2, y * 3, x + y], axis=-1)
    return Image.fromarray((smooth + rng.integers(0, 40, smooth.shape)).astype(np.uint8))


@pytest.fixture
def public_folder():
    """A folder that every user may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def as_nobody():
    """A context in which this process has no more rights than the user `nobody` (or its own, if it is not root)."""

    @contextlib.contextmanager
    def drop():
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop


@pytest.fixture(scope="session")
def golden_images():
    """The image files that the published package was run on."""
    folder = Path(__file__).parents[1] / "golden" / "images"
    if not folder.is_dir():
        pytest.skip("the golden images are not in this checkout")
    return sorted(folder.iterdir())
