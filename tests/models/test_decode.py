"""JPEG files decoded at a part of their size: by name, where the recipe throws pixels away, and not unnoticed."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from relsim.captions.captioner import Captioner
from relsim.captions.stream import Plan, caption_records
from relsim.data.images import decode_image, load_image, read_image
from relsim.data.records import Failure, ImageRecord, Status
from relsim.distributed.pictures import read_part
from relsim.encoders.base import draft_of
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.relational import RelationalEncoder
from relsim.encoders.stream import encode_all, encode_records
from relsim.errors import CheckpointError, EncoderError, FingerprintMismatchError
from relsim.models.generation import Sampling
from relsim.vectors import VectorTable
from relsim.vectors.query import Query, search_table

SIZES = [(1600, 1200), (900, 1400), (1024, 1024), (640, 480), (130, 120)]


def drawn(width, height, seed):
    """A shaded picture with edges at several scales and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    shades = np.stack([x * 200 / width, y * 200 / height, (x + y) * 100 / (width + height)], axis=-1)
    picture = Image.fromarray((shades + rng.integers(0, 20, shades.shape)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(25):
        left, top = rng.integers(0, width), rng.integers(0, height)
        right, bottom = left + rng.integers(5, width // 2), top + rng.integers(5, height // 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((left, top, right, bottom), fill=tuple(int(value) for value in rng.integers(0, 256, 3)))
    return picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Paths of JPEG files of all `SIZES`."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.jpg" for number in range(len(SIZES))]
    for number, path in enumerate(paths):
        drawn(*SIZES[number], number).save(path, quality=90)
    return paths


@pytest.fixture(scope="module")
def models(load_golden):
    """The golden network by a recipe, decoding exactly and with drafts."""
    return {how: load_golden(recipe="crop112", decode=how) for how in ("exact", "draft")}


def records_of(paths):
    return [ImageRecord(path.name, str(path)) for path in paths]


@pytest.mark.parametrize(
    ("least", "size"),
    [(112, (200, 150)), (150, (200, 150)), (151, (400, 300)), (600, (800, 600)), (601, (1600, 1200)), (9999, None)],
)
def test_a_draft_keeps_at_least_that_many_pixels(photos, least, size):
    """Eighths, quarters and halves of 1600 x 1200, whichever is the smallest with both sides long enough."""
    assert decode_image(photos[0].read_bytes(), draft=least).size == (size or SIZES[0])


def test_a_draft_of_the_whole_size_is_the_picture(photos):
    data = photos[3].read_bytes()
    assert decode_image(data, draft=480).tobytes() == decode_image(data).tobytes()


def test_a_draft_is_turned_upright(tmp_path):
    """The reduced picture is the whole one in small, lying on no side."""
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    drawn(1600, 800, 1).save(path, exif=exif, quality=95)
    record = ImageRecord("turned", str(path))
    whole, small = read_image(record).image, read_image(record, draft=100).image
    assert (whole.size, small.size) == ((800, 1600), (100, 200))
    difference = np.asarray(whole.resize(small.size, Image.Resampling.BOX), float) - np.asarray(small, float)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_other_formats_know_no_draft(name):
    file = io.BytesIO()
    drawn(640, 480, 2).save(file, name)
    assert decode_image(file.getvalue(), draft=16).tobytes() == decode_image(file.getvalue()).tobytes()


def test_a_broken_file_fails_as_without_a_draft(photos, tmp_path):
    path = tmp_path / "half.jpg"
    path.write_bytes(photos[0].read_bytes()[:5000])
    found = [load_image(ImageRecord("half", str(path)), draft=draft) for draft in (None, 112)]
    assert [failure.status for failure in found] == [Status.TRUNCATED] * 2
    assert found[0].reason == found[1].reason


def test_vectors_of_drafts_are_near_the_exact_ones(models, photos):
    """Files without a pixel to spare give the same vectors, the others nearly the same: cosine 0.99 and more."""
    records = records_of(photos)
    exact, draft = (encode_all(records, RelationalEncoder(models[how])) for how in ("exact", "draft"))
    cosines = (exact * draft).sum(axis=1)
    assert cosines.min() >= 0.99
    assert np.array_equal(exact[-1], draft[-1])
    assert not np.array_equal(exact[0], draft[0])
    strangers = (exact @ exact.T)[~np.eye(len(exact), dtype=bool)]
    assert cosines.min() > strangers.max(), "a draft is nearer to its own picture than any other picture is"


def test_pictures_are_decoded_whole_unless_asked(load_golden, models, photos):
    usual = load_golden(recipe="crop112")
    assert draft_of(RelationalEncoder(usual)) is None
    assert draft_of(FakeEncoder()) is None
    assert usual.fingerprint == models["exact"].fingerprint
    assert "decode" not in usual.fingerprint.to_dict()
    assert draft_of(RelationalEncoder(models["draft"])) == 112
    assert models["draft"].fingerprint.to_dict() == {**usual.fingerprint.to_dict(), "decode": "draft"}


def test_a_table_of_drafts_takes_no_exact_vectors(models, photos, tmp_path):
    first, second = (models[how].fingerprint for how in ("draft", "exact"))
    VectorTable.open_or_create(tmp_path / "table", first, 384).close()
    with pytest.raises(FingerprintMismatchError, match="decode"):
        VectorTable.open_or_create(tmp_path / "table", second, 384)


def test_a_picture_finds_itself_among_drafts(models, photos, tmp_path):
    """A query by its file is decoded as the table's files were."""
    encoder = RelationalEncoder(models["draft"])
    records = records_of(photos)
    with VectorTable.open_or_create(tmp_path / "table", encoder.fingerprint, encoder.dimension) as table:
        table.append("all", records, encode_all(records, encoder))
        found = search_table(table, Query.parse(str(photos[0]), table), 1, lambda _: encoder)
    assert found.hits[0].image_id == "0.jpg"
    assert found.hits[0].score == pytest.approx(1, abs=1e-6)


def test_a_recipe_that_needs_every_pixel_is_refused(load_golden):
    with pytest.raises(CheckpointError, match="native needs every pixel"):
        load_golden(recipe="native", decode="draft")


def test_an_unknown_way_names_the_known_ones(load_golden):
    with pytest.raises(CheckpointError, match="exact and draft"):
        load_golden(recipe="crop112", decode="fast")


def test_what_was_read_elsewhere_must_have_been_read_as_it_is_wanted(models, photos):
    """Else the vectors would be others than those asked for."""
    for read, wanted in (("draft", "exact"), ("exact", "draft")):
        encoder, other = RelationalEncoder(models[wanted]), RelationalEncoder(models[read])
        load = read_part(records_of(photos), draft=other.draft)
        with pytest.raises(EncoderError, match=rf"read with draft={other.draft}, .* wanted with draft={encoder.draft}"):
            list(encode_records(records_of(photos), encoder, load=load))
        here = list(encode_records(records_of(photos), other))
        there = list(encode_records(records_of(photos), other, load=load))
        assert [one.vector.tobytes() for one in here] == [one.vector.tobytes() for one in there]


def test_captions_are_written_about_drafts_by_name(golden, photos):
    """The captioner sees the pixels that a draft has, and says so in what its rows depend on."""
    found, prints = {}, {}
    for how in ("exact", "draft"):
        captioner = Captioner.load(
            golden / "captioner", base_model=golden / "base", dtype="float32", recipe="squash112", decode=how
        )
        seen = []
        prepare = captioner.prepare
        captioner.prepare = lambda image, seen=seen, prepare=prepare: seen.append(image.size) or prepare(image)
        outcomes = list(caption_records(records_of(photos[:1]), captioner, Plan(Sampling(True, 4, 0.7, 0.9, 0))))
        assert not isinstance(outcomes[0], Failure)
        found[how], prints[how] = seen, captioner.fingerprint.to_dict()
    assert found == {"exact": [(1600, 1200)], "draft": [(200, 150)]}
    assert prints["draft"] == {**prints["exact"], "decode": "draft"}
