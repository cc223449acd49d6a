"""Pictures on their way: what arrives is what the model would see, and no more travels than fits."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, Status
from relsim.distributed.pictures import read_part
from relsim.encoders.base import draft_of, shrink_of
from relsim.encoders.registry import load_encoder
from relsim.encoders.relational import RelationalEncoder
from relsim.models.pixels import Recipe


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


SIZES = [(300, 200), (113, 112), (112, 112), (111, 113), (40, 400), (20, 700), (3, 5), (1, 20_000), (224, 112)]


@pytest.mark.parametrize("name", ["crop112", "squash112", "crop28", "native"])
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_made_smaller_is_the_same_to_its_recipe(name, size, noise):
    recipe, image = Recipe.parse(name), noise(*size)
    small = recipe.shrink(image)
    assert recipe.apply(small).tobytes() == recipe.apply(image).tobytes()
    pixels = small.width * small.height
    assert pixels == min(size[0] * size[1], recipe.side**2 if recipe.side else size[0] * size[1])


@pytest.mark.parametrize("name", ["relational", "descriptors", "descriptors-colour", "descriptors-hog"])
def test_encoders_prepare_the_same_of_a_picture_made_smaller(name, noise, load_golden):
    encoder = RelationalEncoder(load_golden(recipe="crop56")) if name == "relational" else load_encoder(name)
    shrink = pickle.loads(pickle.dumps(shrink_of(encoder)))  # noqa: S301 - made in this line
    for size in SIZES[:7]:
        here, there = encoder.prepare(noise(*size)), encoder.prepare(shrink(noise(*size)))
        assert np.array_equal(getattr(here, "pixels", here), getattr(there, "pixels", there))
    assert shrink(noise(300, 200)).size == ((56, 56) if name == "relational" else (64, 64))


def test_what_does_not_say_how_gets_whole_pictures(sent, records):
    assert shrink_of(load_encoder("fake")) is None
    assert sent(shrink=None).load(records[0]).image.size == (10, 6)


def test_many_more_pictures_fit_where_they_are_made_smaller(sent, records, noise, tmp_path):
    """The bound counts what travels; where it is full, the rest is read whole, and is the same to the recipe."""
    recipe = Recipe.parse("crop28")
    records[:] = [ImageRecord(f"{number}", str(tmp_path / f"{number}.png")) for number in range(8)]
    for number, record in enumerate(records):
        noise(300, 200, number).save(record.source)
    room = 6 * 28 * 28 * 3
    assert room < 300 * 200 * 3
    assert list(sent(pixel_bytes=room).pictures) == []
    part = sent(pixel_bytes=room, shrink=recipe.shrink)
    assert list(part.pictures) == list("012345")
    for record in records:
        there, here = part.load(record), load_image(record)
        assert there.record == record
        assert recipe.apply(there.image).tobytes() == recipe.apply(here.image).tobytes()
