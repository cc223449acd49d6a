"""Batches as they come from the background: the same pictures as read at once, and never many of them."""

import threading

import numpy as np
import pytest
import torch

from relsim.models.pixels import PixelConfig
from relsim.training.crops import CropStore
from relsim.training.feed import Feed, Part, read_ahead, read_patches


@pytest.fixture
def part(crops):
    store = CropStore.open(crops)
    return Part(store, np.arange(len(store)))


@pytest.mark.parametrize(("rank", "ranks"), [(0, 1), (1, 3)])
@pytest.mark.parametrize("micro", [None, 1, 3, 7, 50])
@pytest.mark.parametrize("passes", [1, 2])
def test_each_pass_sees_the_pictures_of_the_batch(part, micro, passes, rank, ranks):
    feed = Feed(part, PixelConfig(), seed=3, batch_size=7, micro_batch_size=micro, rank=rank, ranks=ranks)
    with feed.batches(2, 8, passes=passes) as batches:
        steps = []
        for batch in batches:
            steps.append(batch.step)
            whole = feed.batch(batch.step)
            assert np.array_equal(batch.rows, whole.rows)
            assert np.array_equal(batch.paraphrases, whole.paraphrases)
            for _ in range(passes):
                found = list(batch.pictures)
                assert len(found) == len(batch.places) == len(whole.pictures)
                for place, pictures, at_once in zip(batch.places, found, whole.pictures, strict=True):
                    assert torch.equal(pictures, read_patches(part, batch.rows[place], PixelConfig()))
                    assert torch.equal(pictures, at_once)
    assert steps == list(range(2, 8))


def test_places_of_all_processes_make_up_the_batch(part):
    feeds = [
        Feed(part, PixelConfig(), seed=3, batch_size=11, micro_batch_size=2, rank=rank, ranks=3) for rank in range(3)
    ]
    covered = np.concatenate([np.arange(11)[place] for feed in feeds for place in feed.batch(0).places])
    assert np.array_equal(covered, np.arange(11))


def test_one_micro_batch_is_read_while_one_is_worked_on(part):
    """And no more: what a large batch takes does not grow with it."""
    read = []
    feed = Feed(part, PixelConfig(), seed=3, batch_size=24, micro_batch_size=1)
    inner = feed._read
    feed._read = lambda rows, place: (read.append(place.start), inner(rows, place))[1]
    with feed.batches(0, 2) as batches:
        seen = 0
        for batch in batches:
            for _ in batch.pictures:
                seen += 1
                assert len(read) <= seen + 1
    assert len(read) == seen == 48


def test_reading_goes_on_while_the_consumer_works():
    """The second read happens although nobody has asked for a second item."""
    second = threading.Event()

    def read(number):
        if number == 1:
            second.set()
        return number

    with read_ahead(read, 0, 3) as items:
        assert next(items) == 0
        assert second.wait(30)
        assert list(items) == [1, 2]


def test_an_error_of_the_reader_reaches_the_consumer():
    def read(number):
        if number == 1:
            raise OSError("the disk is gone")
        return number

    with pytest.raises(OSError, match="the disk is gone"), read_ahead(read, 0, 3) as items:
        list(items)
