"""The golden captioner, and copies of its folder to change."""

import json
import shutil

import pytest


@pytest.fixture(scope="session")
def golden_captions(golden):
    """The published package's greedy captions: `prompt`, `max_new_tokens`, `greedy` by file name."""
    return json.loads((golden / "expected_captions.json").read_text())


@pytest.fixture(scope="session")
def load_captioner(golden):
    """Loads the golden captioner on its golden base, on the CPU in fp32 unless told otherwise."""
    from relsim.captions.captioner import Captioner

    def load(checkpoint=golden / "captioner", **options):
        return Captioner.load(
            checkpoint, **{"base_model": golden / "base", "device": "cpu", "dtype": "float32", **options}
        )

    return load


@pytest.fixture(scope="session")
def captioner(load_captioner):
    """The golden captioner."""
    return load_captioner()


@pytest.fixture
def copy_of_captioner(golden, tmp_path):
    """`copy_of_captioner({"recipe": …})` is a copy of the golden captioner with that `relsim.json`, if any."""

    def copy(metadata=None, name="captioner"):
        folder = shutil.copytree(golden / "captioner", tmp_path / name)
        if metadata is not None:
            (folder / "relsim.json").write_text(json.dumps(metadata))
        return folder

    return copy
