"""Memory that runs out for real: the allocator is asked for more than any address space holds, and refuses at once."""

import copy
import logging
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from relsim.data.records import Failure, ImageRecord, Status
from relsim.distributed.embedding import EncoderCall, _EmbedCall
from relsim.distributed.pictures import ReadPart
from relsim.encoders import registry
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.stream import Encoded, encode_images, encode_records
from relsim.errors import MemoryShortageError
from relsim.metric import RelationalSimilarity
from relsim.models.memory import Halving, is_out_of_memory
from relsim.vectors.build import fill_table
from relsim.vectors.table import VectorTable

BEYOND = 2**60  # bytes; 64-bit processors address 2**57 at most


def demand(batch, fits):
    """Memory for a batch: nothing for `fits` pictures, and beyond that what nobody has."""
    if len(batch) > fits:
        torch.empty(BEYOND, dtype=torch.uint8)


class Tight(FakeEncoder):
    """The fake on a machine with room for so many pictures; it keeps the sizes of the batches that were done."""

    def __init__(self, fits):
        self.fits, self.done = fits, []

    def encode(self, batch):
        demand(batch, self.fits)
        self.done.append(len(batch))
        return super().encode(batch)


@pytest.fixture(scope="module")
def records(tmp_path_factory, noise):
    """24 pictures of one token each for the fake."""
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number in range(24):
        noise(28, 28, seed=number).save(folder / f"{number:02}.png")
        found.append(ImageRecord(f"{number:02}", str(folder / f"{number:02}.png")))
    return found


def warnings(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def vectors(outcomes):
    return {item.record.image_id: item.vector.tolist() for item in outcomes if isinstance(item, Encoded)}


def test_the_allocators_refusals_are_told_from_other_faults():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(BEYOND, dtype=torch.uint8)
    with pytest.raises(RuntimeError) as wrong:
        torch.ones(2) @ torch.ones(3)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**60, np.uint8)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(of_numpy.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert not is_out_of_memory(wrong.value)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_embedding_goes_on_with_half_the_size_and_says_so_once(records, caplog):
    encoder = Tight(4)
    found = list(encode_records(records, encoder, budget=8))
    assert vectors(found) == vectors(encode_records(records, FakeEncoder(), budget=8))
    assert len(vectors(found)) == 24
    assert encoder.done == [4] * 6
    (said,) = warnings(caplog)
    assert "8 pictures does not fit into memory" in said


def test_later_parts_of_a_table_start_with_half_the_size(records, caplog, tmp_path):
    encoder = Tight(4)
    with VectorTable.create(tmp_path / "table", encoder.fingerprint, encoder.dimension) as table:
        fill_table(table, records, encoder, part_rows=8, budget=8)
        assert len(table) == 24
    assert len(warnings(caplog)) == 1


def test_a_worker_finds_out_once_for_all_its_parts(records, caplog, monkeypatch):
    encoder = Tight(4)
    monkeypatch.setattr(registry, "load_encoder", lambda name: encoder)
    work = _EmbedCall(EncoderCall("tight"), encoder.fingerprint, 8).load()
    parts = [work(ReadPart(records[start : start + 8])) for start in (0, 8, 16)]
    assert [len(part.encoded) for part in parts] == [8, 8, 8]
    assert len(warnings(caplog)) == 1


def test_the_error_arrives_whole_from_another_process():
    sent = copy.copy(MemoryShortageError("half a batch does not fit", 8))  # as pickle makes it anew
    assert (str(sent), sent.pictures) == ("half a batch does not fit", 8)


def test_half_that_does_not_fit_either_is_an_error_with_advice(records):
    with pytest.raises(MemoryShortageError, match=r"4 of 8 pictures.*--batch-tokens"):
        list(encode_records(records, Tight(3), budget=8))


def test_a_picture_that_does_not_fit_alone_costs_only_itself(records, tmp_path, caplog):
    Image.new("RGB", (280, 280)).save(tmp_path / "large.png")  # 100 tokens, beyond the budget

    class NothingLarge(FakeEncoder):
        def encode(self, batch):
            demand([] if batch[0].shape[0] < 280 else batch, 0)
            return super().encode(batch)

    large = ImageRecord("large", str(tmp_path / "large.png"))
    found = list(encode_records([*records, large], NothingLarge(), budget=8))
    (failure,) = [item for item in found if isinstance(item, Failure)]
    assert (failure.record, failure.status) == (large, Status.ENCODER)
    assert "this picture alone does not fit" in failure.reason
    assert len(vectors(found)) == 24
    assert warnings(caplog) == []


def test_pictures_in_memory_are_halved_too(noise, caplog):
    pictures = [noise(28, 28, seed=number) for number in range(8)]
    whole = encode_images(FakeEncoder(), pictures)
    np.testing.assert_array_equal(encode_images(Tight(4), pictures), whole)
    assert len(warnings(caplog)) == 1
    with pytest.raises(MemoryShortageError):
        encode_images(Tight(3), pictures)


@pytest.fixture
def tight_metric(load_golden, monkeypatch):
    """`tight_metric(n)`: the golden metric with room for n pictures in its forward pass, one thread's."""
    vlm = load_golden()
    forward = vlm._forward

    def make(fits):
        class Forward:
            device, dtype = forward.device, forward.dtype

            def __call__(self, batch):
                demand(batch, fits)
                return forward(batch)

        monkeypatch.setattr(vlm, "_forward", Forward())
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one lane: the batch is the model's
        return RelationalSimilarity(vlm)

    return make


def test_the_metric_halves_what_it_is_given(tight_metric, noise, caplog):
    pictures = [noise(56, 56, seed=number) for number in range(4)]
    whole = tight_metric(4).embed(pictures)
    assert (tight_metric(2).embed(pictures) - whole).abs().max() <= 1e-5
    assert len(warnings(caplog)) == 1
    with pytest.raises(MemoryShortageError, match="micro_batch_size"):
        tight_metric(1).embed(pictures)


def test_nothing_of_the_failed_batch_is_kept():
    """An exception's frames hold their tensors; they must be gone when the halves are tried."""
    held = []

    def model(batch):
        assert all(reference() is None for reference in held)
        states = torch.zeros(len(batch))
        held.append(weakref.ref(states))
        demand(batch, 2)
        return list(batch)

    assert Halving("anything").run([1, 2, 3], model) == [[1, 2], [3]]
    assert len(held) == 3


def test_other_faults_pass_through():
    def model(batch):
        raise RuntimeError("shapes do not fit")

    halving = Halving("anything")
    with pytest.raises(RuntimeError, match="shapes"):
        halving.run([1, 2], model)
    assert not halving.halved
