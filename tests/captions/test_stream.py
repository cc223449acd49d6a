"""Records in, captions and failures out."""

import pytest
from PIL import Image

from relsim.captions import stream
from relsim.captions.stream import caption_records
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.sources import list_images
from relsim.models.generation import Sampling

SHORT = Sampling(max_new_tokens=4)


@pytest.fixture
def records(golden, tmp_path, noise):
    noise(120, 80).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    noise(50, 70).save(tmp_path / "c.png")
    Image.new("RGB", (3000, 10)).save(tmp_path / "d.png")
    noise(28, 28).save(tmp_path / "e.png")
    return list_images([tmp_path])


def outcomes(records, captioner, **options):
    return [
        (item.record.image_id, item.status if isinstance(item, Failure) else item.caption)
        for item in caption_records(records, captioner, SHORT, **options)
    ]


def test_outcomes_come_in_the_order_of_the_records(captioner, records, monkeypatch):
    """Whatever the window, and each caption is that of the picture alone."""
    found = dict(outcomes(records, captioner))
    assert list(found) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert found["b.png"] == Status.EMPTY
    for name in ("a.png", "c.png", "e.png"):
        picture = Image.open(next(record.source for record in records if record.image_id == name)).convert("RGB")
        assert found[name] == captioner.caption(picture, max_new_tokens=4)[0]
    monkeypatch.setattr(stream, "WINDOW", 2)
    assert outcomes(records, captioner, workers=1) == list(found.items())


def test_a_shape_that_the_recipe_cannot_take_is_a_row(load_captioner, records):
    assert dict(outcomes(records, load_captioner(recipe="native")))["d.png"] == Status.BAD_SHAPE


def test_no_records_give_no_outcomes(captioner):
    assert outcomes([], captioner) == []


def test_a_picture_that_the_captioner_fails_on_costs_only_itself(captioner, records, monkeypatch):
    """The network refuses one picture; its batch is done again, one by one."""
    whole = dict(outcomes(records, captioner))
    healthy = type(captioner._decoder).__call__
    bad = captioner.prepare(Image.open(records[2].source).convert("RGB")).pixels.tobytes()

    def refusing(self, batch, sampling):
        if any(patches.pixels.tobytes() == bad for patches in batch):
            raise RuntimeError("out of memory\ndetails")
        return healthy(self, batch, sampling)

    monkeypatch.setattr(type(captioner._decoder), "__call__", refusing)
    found = {item.record.image_id: item for item in caption_records(records, captioner, SHORT)}
    assert found["c.png"].reason == "RuntimeError: out of memory"
    assert found["a.png"].caption == whole["a.png"]


def test_a_stream_may_be_left_early(captioner, records):
    first = next(iter(caption_records(records, captioner, SHORT)))
    assert first.record == ImageRecord("a.png", records[0].source)
