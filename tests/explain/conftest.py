"""Two golden pictures, explained once on the golden network."""

import pytest


@pytest.fixture(scope="session")
def pair(golden_pictures):
    """A square picture and one that is wide, both small."""
    return golden_pictures[5], golden_pictures[14]


@pytest.fixture(scope="session")
def captioner(golden):
    """The golden captioner."""
    from relsim.captions.captioner import Captioner

    return Captioner.load(golden / "captioner", base_model=golden / "base", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def explained(metric, pair, captioner):
    """All there is, with few places for the patch."""
    from relsim.captions.anonymity import check
    from relsim.encoders.descriptors import DescriptorEncoder
    from relsim.explain.pair import Settings

    return metric.explain(
        *pair,
        names=("photos/square.png", "wide.png"),
        attributes=DescriptorEncoder(),
        writer=captioner,
        check=check,
        settings=Settings(steps=3, count=4),
    )
