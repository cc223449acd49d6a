"""The stream: one outcome per record, batches that follow from the records alone, and nothing left running."""

import itertools
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.caption_text import ClipT
from relsim.encoders.clip import ClipEncoder
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.prompted import PromptedEncoder
from relsim.encoders.read_ahead import READ_AHEAD, PartEnd
from relsim.encoders.registry import load_encoder
from relsim.encoders.relational import RelationalEncoder
from relsim.encoders.stream import (
    CUDA_BUDGET,
    DEFAULT_BUDGET,
    WINDOW_BATCHES,
    Encoded,
    budget_of,
    cut_by_cost,
    encode_images,
    encode_parts,
    encode_records,
)
from relsim.encoders.towers import TowerEncoder
from relsim.encoders.tuned import TunedEncoder
from relsim.errors import ImageError

SIZES = [(28 * (1 + number % 7), 28 * (1 + number % 3)) for number in range(40)]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


class Recorder(FakeEncoder):
    """The fake, keeping the sizes of the pictures of each batch that it is given."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []

    def encode(self, batch):
        self.batches.append([item.shape for item in batch])
        return super().encode(batch)


class Counting(FakeEncoder):
    """The fake, counting the pictures that it was given to prepare."""

    def __init__(self) -> None:
        self.prepared = 0

    def prepare(self, image):
        self.prepared += 1
        return super().prepare(image)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[ImageRecord]:
    """40 pictures of 1 to 21 tokens, each of a colour of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number, size in enumerate(SIZES):
        path = folder / f"{number:02}.png"
        Image.new("RGB", size, (6 * number, 255 - 6 * number, number)).save(path)
        found.append(ImageRecord(f"{number:02}", str(path)))
    return found


@pytest.fixture
def mixed(records, tmp_path) -> dict[str, tuple[ImageRecord, Status]]:
    """Records of every kind and what becomes of them."""
    good = Path(records[20].source).read_bytes()
    data = good.index(b"IDAT") + 4
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0))
    contents = {
        "empty": (b"", Status.EMPTY),
        "text": (b"hello, this is no picture", Status.NOT_IMAGE),
        "cut": (good[: len(good) // 2], Status.TRUNCATED),
        "damaged": (good[:data] + b"\x55" * 8 + good[data + 8 :], Status.DAMAGED),
        "bomb": (b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""), Status.TOO_LARGE),
    }
    found = {}
    for name, (content, status) in contents.items():
        (tmp_path / name).write_bytes(content)
        found[name] = (ImageRecord(name, str(tmp_path / name)), status)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    found["link"] = (ImageRecord("link", str(tmp_path / "link")), Status.MISSING)
    found["absent"] = (ImageRecord("absent", str(tmp_path / "absent")), Status.MISSING)
    found["folder"] = (ImageRecord("folder", str(tmp_path)), Status.DIRECTORY)
    found |= {record.image_id: (record, Status.OK) for record in records[:12]}
    return found


def decode_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def vectors(outcomes) -> dict[str, bytes]:
    return {outcome.record.image_id: outcome.vector.tobytes() for outcome in outcomes}


class TestOutcomes:
    @pytest.mark.parametrize("budget", [1, 30, 10_000])
    def test_every_record_has_one(self, mixed, budget):
        outcomes = list(
            encode_records([record for record, _ in mixed.values()], FakeEncoder(), workers=3, budget=budget)
        )
        found = {item.record.image_id: item.status if isinstance(item, Failure) else Status.OK for item in outcomes}
        expected = {name: status for name, (_, status) in mixed.items()}
        assert found == expected
        assert len(outcomes) == len(mixed)
        assert all(item.reason for item in outcomes if isinstance(item, Failure))

    def test_a_vector_belongs_to_its_record(self, records):
        for outcome in encode_records(records, FakeEncoder(), workers=3, budget=25):
            number = int(outcome.record.image_id)
            colour = np.array([6 * number / 255, 1 - 6 * number / 255, number / 255, 1])
            np.testing.assert_allclose(outcome.vector, colour / np.linalg.norm(colour), atol=1e-6)

    def test_no_records_give_no_outcomes(self):
        assert list(encode_records([], FakeEncoder())) == []

    def test_the_same_record_twice_has_two(self, records):
        outcomes = list(encode_records([records[0]] * 2, FakeEncoder()))
        assert [outcome.record for outcome in outcomes] == [records[0]] * 2

    def test_pictures_in_memory_give_the_same_vectors_as_files(self, records):
        images = [Image.open(record.source) for record in records]
        streamed = vectors(encode_records(records, FakeEncoder(), workers=2, budget=30))
        assert [row.tobytes() for row in encode_images(FakeEncoder(), images, budget=50)] == list(
            dict(sorted(streamed.items())).values()
        )

    def test_no_pictures_in_memory_give_no_rows(self):
        assert encode_images(FakeEncoder(), []).shape == (0, 4)


class TestBatches:
    def test_they_do_not_depend_on_timing(self, records):
        class Unsteady(Recorder):
            def prepare(self, image):
                time.sleep(random.uniform(0, 0.01))
                return super().prepare(image)

        runs = []
        for workers in (1, 2, 7):
            encoder = Unsteady()
            order = [
                outcome.record.image_id for outcome in encode_records(records, encoder, workers=workers, budget=20)
            ]
            runs.append((encoder.batches, order))
        assert runs[0] == runs[1] == runs[2]
        assert len(runs[0][0]) > 4

    def test_they_keep_to_the_budget(self, records):
        encoder = Recorder()
        list(encode_records(records, encoder, workers=2, budget=20))
        costs = [[height * width // 28**2 for height, width, _ in batch] for batch in encoder.batches]
        assert max(max(batch) for batch in costs) == 21  # more than the budget
        assert all(sum(batch) <= 20 or len(batch) == 1 for batch in costs)
        assert Counter(itertools.chain(*costs)) == Counter(width * height // 28**2 for width, height in SIZES)

    @given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 100))
    def test_a_cut_holds_every_item_once_sorted_and_within_the_budget(self, costs, budget):
        batches = cut_by_cost(costs, budget)
        assert sorted(itertools.chain(*batches)) == list(range(len(costs)))
        assert [costs[i] for i in itertools.chain(*batches)] == sorted(costs)
        for batch in batches:
            assert sum(costs[i] for i in batch) <= budget or len(batch) == 1
        for batch, following in itertools.pairwise(batches):
            assert sum(costs[i] for i in batch) + costs[following[0]] > budget


class TestFailures:
    def test_a_failing_batch_is_tried_one_by_one_and_only_the_culprit_fails(self, records):
        class Allergic(Recorder):
            def encode(self, batch):
                rows = super().encode(batch)
                if any(item.shape[:2] == (28, 28) and item[0, 0, 0] == 0 for item in batch):
                    raise RuntimeError("not this one\nwith a second line")
                return rows

        encoder = Allergic()
        outcomes = list(encode_records(records, encoder, workers=2, budget=10_000))
        failures = [item for item in outcomes if isinstance(item, Failure)]
        assert [(item.record.image_id, item.status) for item in failures] == [("00", Status.ENCODER)]
        assert failures[0].reason == "RuntimeError: not this one"
        assert [len(batch) for batch in encoder.batches] == [40] + [1] * 40
        expected = vectors(encode_records(records[1:], FakeEncoder()))
        assert vectors(item for item in outcomes if isinstance(item, Encoded)) == expected

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_vector_that_is_not_finite_is_a_failure(self, records, value):
        class Overflowing(FakeEncoder):
            def encode(self, batch):
                rows = super().encode(batch)
                rows[[item.shape[:2] == (28, 28) for item in batch], 2] = value
                return rows

        outcomes = list(encode_records(records[:10], Overflowing()))
        failures = [item for item in outcomes if isinstance(item, Failure)]
        assert [(item.record.image_id, item.status) for item in failures] == [("00", Status.ENCODER)]
        assert "not finite" in failures[0].reason
        assert len(outcomes) == 10

    def test_an_image_that_the_encoder_refuses_keeps_its_status(self, records):
        class Picky(FakeEncoder):
            def prepare(self, image):
                if image.width > 150:
                    raise ImageError(Status.BAD_SHAPE, "too wide for me")
                return super().prepare(image)

        found = {item.record.image_id: item for item in encode_records(records[:7], Picky())}
        refused = [item for item in found.values() if isinstance(item, Failure)]
        assert [(item.status, item.reason) for item in refused] == [(Status.BAD_SHAPE, "too wide for me")] * 2
        assert sorted(item.record.image_id for item in refused) == ["05", "06"]

    @pytest.mark.parametrize(
        "error", [ValueError(""), MemoryError("no room"), StopIteration("early"), ImageError("odd", "x")]
    )
    @pytest.mark.parametrize("step", ["prepare", "cost"])
    def test_whatever_preparing_raises_is_one_failure(self, records, step, error):
        class Faulty(FakeEncoder):
            pass

        def fail(self, item):
            size = item.size if isinstance(item, Image.Image) else (item.shape[1], item.shape[0])
            if size == (28, 28):
                raise error
            return getattr(FakeEncoder, step)(self, item)

        setattr(Faulty, step, fail)
        outcomes = list(encode_records(records[:10], Faulty(), workers=2))
        assert sum(isinstance(item, Encoded) for item in outcomes) == 9
        assert [item.status for item in outcomes if isinstance(item, Failure)] == [Status.ENCODER]

    @pytest.mark.parametrize("fault", ["too few rows", "too many rows", "wrong width", "a number"])
    def test_a_result_of_the_wrong_shape_loses_no_record(self, records, fault):
        class Confused(FakeEncoder):
            def encode(self, batch):
                rows = super().encode(batch)
                wrong = {
                    "too few rows": rows[:-1],
                    "too many rows": np.vstack([rows, rows[:1]]),
                    "wrong width": rows[:, :3],
                    "a number": 1.0,
                }
                return wrong[fault]

        outcomes = list(encode_records(records[:10], Confused()))
        assert sorted(item.record.image_id for item in outcomes) == [record.image_id for record in records[:10]]
        assert {item.status for item in outcomes if isinstance(item, Failure)} == {Status.ENCODER}
        assert not [item for item in outcomes if isinstance(item, Encoded)]


class TestParts:
    def test_each_is_embedded_as_if_it_came_alone(self, records):
        """In the same batches, so that a part which is done again has the same bits."""
        parts = [records[:7], [], records[7:8], records[8:30]]
        encoder = Recorder()
        found = list(encode_parts(parts, encoder, workers=2, budget=20))
        alone = Recorder()
        expected = [[*encode_records(part, alone, workers=2, budget=20)] for part in parts]
        ends = [place for place, item in enumerate(found) if isinstance(item, PartEnd)]
        assert len(ends) == len(parts)
        cut = [found[start:stop] for start, stop in zip([0, *(end + 1 for end in ends)], ends, strict=False)]
        for part, whole in zip(cut, expected, strict=True):
            assert vectors(part) == vectors(whole)
        assert encoder.batches == alone.batches

    def test_the_next_one_is_read_while_the_model_works(self, records):
        """The model gives nothing of the first part until all of the second has been read."""
        seen = []

        class Waiting(Counting):
            def encode(self, batch):
                deadline = time.monotonic() + 5
                while self.prepared < 8 and time.monotonic() < deadline:
                    time.sleep(0.01)
                seen.append(self.prepared)
                return super().encode(batch)

        found = encode_parts([records[:4], records[4:8]], Waiting(), workers=2, budget=10_000)
        assert sum(isinstance(item, PartEnd) for item in found) == 2
        assert seen == [8, 8]

    @pytest.mark.parametrize(
        ("device", "budget"), [("cpu", DEFAULT_BUDGET), ("cuda", CUDA_BUDGET), (None, DEFAULT_BUDGET)]
    )
    def test_batches_suit_the_device(self, device, budget):
        encoder = FakeEncoder()
        if device is not None:
            encoder.device = torch.device(device)
        assert budget_of(encoder) == budget

    @pytest.mark.parametrize(
        "kind", [RelationalEncoder, TowerEncoder, ClipEncoder, TunedEncoder, PromptedEncoder, ClipT]
    )
    def test_encoders_with_a_network_say_where_it_is(self, kind):
        assert isinstance(kind.device, property)

    def test_where_a_network_is_told_is_where_it_computes(self):
        assert load_encoder("relational", device="cpu").device == torch.device("cpu")


class TestFlow:
    @pytest.mark.parametrize("cost", [0, 1, 5])
    def test_records_are_taken_a_window_ahead_and_no_further(self, records, cost):
        class Steady(FakeEncoder):
            def cost(self, prepared):
                return cost

        taken = 0

        def endless():
            nonlocal taken
            for record in itertools.islice(itertools.cycle(records), 5_000):
                taken += 1
                yield record

        stream = encode_records(endless(), Steady(), workers=2, budget=10)
        next(stream)
        stream.close()
        window = -(-10 * WINDOW_BATCHES // max(1, cost))
        assert taken <= window + READ_AHEAD * 2 + 1

    def test_reading_runs_ahead_of_the_model(self, records):
        prepared = []

        class Watched(Recorder):
            def prepare(self, image):
                prepared.append(image.size)
                return super().prepare(image)

        stream = encode_records(records, Watched(), workers=2, budget=1)
        next(stream)
        deadline = time.monotonic() + 5
        while len(prepared) < 1 + 2 * 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        stream.close()
        assert 1 + 2 * 2 <= len(prepared) <= 4 + READ_AHEAD * 2 + 1

    def test_closing_early_starts_no_more_work_and_leaves_no_thread(self, records):
        started = []

        class Slow(FakeEncoder):
            def prepare(self, image):
                started.append(image.size)
                time.sleep(0.05)
                return super().prepare(image)

        stream = encode_records(records, Slow(), workers=2, budget=1)
        next(stream)
        at_close = len(started)
        stream.close()
        assert decode_threads() == []
        assert len(started) <= at_close + 4

    def test_a_stream_that_is_not_begun_starts_nothing(self, records):
        encode_records(records, FakeEncoder())
        assert decode_threads() == []

    def test_an_error_of_the_source_ends_the_stream(self, records):
        def source():
            yield from records[:3]
            raise OSError("the list is gone")

        with pytest.raises(OSError, match="the list is gone"):
            list(encode_records(source(), FakeEncoder(), workers=2))
        assert decode_threads() == []

    @pytest.mark.parametrize("step", ["prepare", "encode"])
    def test_an_interrupt_passes_through(self, records, step):
        class Interrupted(FakeEncoder):
            pass

        def interrupt(self, item):
            raise KeyboardInterrupt

        setattr(Interrupted, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(encode_records(records, Interrupted(), workers=2))
        assert decode_threads() == []

    def test_control_c_ends_an_endless_stream(self, records):
        program = f"""
import itertools
from relsim.data.records import ImageRecord
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.stream import encode_records
records = (ImageRecord(str(number), {records[0].source!r}) for number in itertools.count())
for number, outcome in enumerate(encode_records(records, FakeEncoder(), workers=2, budget=8)):
    if number == 100:
        print("running", flush=True)
"""
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "running\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
        assert process.returncode == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")


def test_reading_ahead_is_bounded_by_cost(tmp_path):
    """Pictures that cost a window each are not read ahead beyond what keeps the workers busy."""
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    records = [ImageRecord(str(number), str(tmp_path / "one.png")) for number in range(200)]

    class Costly(Counting):
        def cost(self, item):
            return 10_000

    encoder = Costly()
    outcomes = encode_records(records, encoder, workers=2, budget=1_000)
    next(outcomes)
    time.sleep(0.3)
    assert encoder.prepared <= 2 * 2 + 2
    outcomes.close()
