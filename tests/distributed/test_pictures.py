"""Pictures on their way: what arrives is what was read, and no more travels than fits."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, Status
from relsim.distributed.pictures import read_part
from relsim.encoders.base import draft_of


@pytest.fixture
def records(tmp_path):
    """Four pictures of 10 x 6 pixels (180 bytes) in several modes, and one that is none in the middle."""
    made = []
    for number, mode in enumerate(["RGB", "L", "text", "RGBA", "CMYK"]):
        path = tmp_path / f"{number}.tif"
        if mode == "text":
            path.write_text("no picture")
        else:
            pixels = np.random.default_rng(number).integers(0, 256, (6, 10, 4), dtype=np.uint8)
            Image.frombytes(mode, (10, 6), pixels.tobytes()[: 60 * len(Image.new(mode, (1, 1)).getbands())]).save(path)
        made.append(ImageRecord(path.stem, str(path), {"number": number}))
    return made


@pytest.fixture
def sent(records):
    def travel(**options):
        return pickle.loads(pickle.dumps(read_part(records, **options)))  # noqa: S301 - made in this line

    return travel


def test_what_arrives_is_what_reading_gives(records, sent):
    part = sent()
    for record in records:
        there, here = part.load(record), load_image(record)
        if isinstance(here, Failure):
            assert there == here
            assert there.status is Status.NOT_IMAGE
        else:
            assert (there.record, there.image.mode, there.image.size) == (record, "RGB", (10, 6))
            assert there.image.tobytes() == here.image.tobytes()


@pytest.mark.parametrize(
    ("room", "travelling"), [(179, []), (180, ["0"]), (360, ["0", "1", "2"]), (720, list("01234"))]
)
def test_what_does_not_fit_is_read_where_the_model_is(room, travelling, records, sent):
    part = sent(pixel_bytes=room)
    assert list(part.pictures) == travelling
    for record in records:
        there, here = part.load(record), load_image(record)
        assert there == here or there.image.tobytes() == here.image.tobytes()


def test_a_picture_that_travelled_is_not_read_again(records, sent):
    part = sent()
    for record in records:
        Path(record.source).unlink()
    assert part.load(records[0]).image.size == (10, 6)


@pytest.mark.parametrize("room", [0, 10**6])
def test_drafts_are_read_as_drafts_wherever_they_are_read(room, sent, records, tmp_path):
    """What stands where files are read says how it reads them, so that nothing is read in another way."""
    Image.effect_noise((160, 96), 60).convert("RGB").save(tmp_path / "large.jpg")
    records[:] = [ImageRecord("large", str(tmp_path / "large.jpg"))]
    part = sent(pixel_bytes=room, draft=20)
    assert list(part.pictures) == (["large"] if room else [])
    there, here = part(records[0]), load_image(records[0], draft=20)
    assert there.image.size == here.image.size == (40, 24)
    assert there.image.tobytes() == here.image.tobytes()
    assert draft_of(part) == 20
    assert draft_of(sent()) is None
