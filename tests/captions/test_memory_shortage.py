"""Captions where memory runs out for real."""

import logging

import numpy as np
import pytest
import torch

from relsim.captions.filtering import Scored, batch_halving, filter_records
from relsim.captions.stream import Captioned, Plan, caption_records
from relsim.data.records import ImageRecord, Status
from relsim.errors import MemoryShortageError
from relsim.models.generation import Sampling

GREEDY = Sampling(greedy=True, max_new_tokens=2)


@pytest.fixture
def records(tmp_path, noise):
    """8 small pictures, no two alike."""
    found = []
    for number in range(8):
        noise(28, 28, seed=number).save(tmp_path / f"{number}.png")
        found.append(ImageRecord(str(number), str(tmp_path / f"{number}.png")))
    return found


def warnings(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def tight_captioner(load_captioner, monkeypatch):
    """`tight_captioner(n)`: the golden captioner with room for n pictures."""

    def make(fits):
        captioner = load_captioner()
        answer = captioner._answer

        def tight(batch, sampling):
            if len(batch) > fits:
                torch.empty(2**60, dtype=torch.uint8)  # beyond any address space: the allocator refuses
            return answer(batch, sampling)

        monkeypatch.setattr(captioner, "_answer", tight)
        return captioner

    return make


def test_captions_go_on_with_half_the_size(tight_captioner, records, caplog):
    plan = Plan(GREEDY, batch_size=4)
    found = list(caption_records(records, tight_captioner(20), plan))
    assert warnings(caplog) == []
    halved = list(caption_records(records, tight_captioner(2), plan))
    assert [item.caption for item in halved] == [item.caption for item in found]
    assert all(isinstance(item, Captioned) for item in halved)
    assert len(warnings(caplog)) == 1


def test_captions_that_do_not_fit_by_halves_are_an_error_with_advice(tight_captioner, records):
    with pytest.raises(MemoryShortageError, match="--batch-size"):
        list(caption_records(records, tight_captioner(1), Plan(GREEDY, batch_size=4)))


def test_a_picture_that_cannot_be_captioned_alone_is_a_row(tight_captioner, records):
    (failure,) = caption_records(records[:1], tight_captioner(0), Plan(GREEDY))
    assert failure.status == Status.ENCODER
    assert "this picture alone" in failure.reason


class TightFilter:
    """A filter whose network has room for so many pictures; it is as sure of a picture as that is bright."""

    name, dimension, threshold = "tight", 1, 0.5

    def __init__(self, fits):
        self.fits = fits

    def budget(self, batch_size):
        return batch_size

    def prepare(self, image):
        return float(np.asarray(image).mean() / 255)

    def cost(self, prepared):
        return 1

    def encode(self, batch):
        if len(batch) > self.fits:
            torch.empty(2**60, dtype=torch.uint8)
        return np.array(batch, np.float32)[:, None]


def test_a_filter_goes_on_with_half_the_size_and_the_next_call_may_know(records, caplog):
    halving = batch_halving()
    for _ in range(2):
        found = list(filter_records(records, TightFilter(2), batch_size=4, halving=halving))
        assert found == list(filter_records(records, TightFilter(8), batch_size=4))
        assert all(isinstance(item, Scored) for item in found)
    assert len(warnings(caplog)) == 1
    with pytest.raises(MemoryShortageError, match="--batch-size"):
        list(filter_records(records, TightFilter(1), batch_size=4))
