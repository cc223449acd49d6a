"""Filling a table: what is embedded, what is skipped, what is tried again, and what a second writer is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.fake import FakeEncoder
from relsim.errors import FingerprintMismatchError, TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable
from relsim.vectors.build import fill_table, part_name


class CountingEncoder(FakeEncoder):
    """The fake encoder, with a record of its batches."""

    def __init__(self):
        self.batches = []

    def encode(self, batch):
        self.batches.append(len(batch))
        return super().encode(batch)


@pytest.fixture
def encoder():
    return CountingEncoder()


@pytest.fixture
def images(tmp_path):
    """Records of n pictures of one colour each, those numbered in `bad` being empty files."""
    folder = tmp_path / "images"
    folder.mkdir()

    def make(n, bad=()):
        records = []
        for number in range(n):
            path = folder / f"{number:03d}.png"
            if number in bad:
                path.write_bytes(b"")
            else:
                Image.new("RGB", (28, 28), (number, 2 * number % 256, 7)).save(path)
            records.append(ImageRecord(path.stem, str(path), {"number": number}))
        return records

    return make


@pytest.fixture
def fill(tmp_path, encoder):
    def run(records, name="t", part_rows=4, **options):
        with VectorTable.open_or_create(tmp_path / name, encoder.fingerprint, 4) as table:
            summary = fill_table(table, records, encoder, part_rows=part_rows, **options)
        return VectorTable.open(tmp_path / name), summary

    return run


def mean_colour(number):
    vector = np.array([number / 255, 2 * number % 256 / 255, 7 / 255, 1])
    return vector / np.linalg.norm(vector)


def counts(summary):
    return summary.total, summary.embedded, summary.skipped, len(summary.failures)


def failed(table):
    return {failure.record.image_id: failure.status for failure in table.failures()}


def test_rows_come_in_the_order_of_the_records_with_their_fields(fill, images):
    table, summary = fill(images(10))
    assert counts(summary) == (10, 10, 0, 0)
    assert [row.image_id for row in table.rows()] == [f"{number:03d}" for number in range(10)]
    assert [row.fields for row in table.rows()] == [{"number": number} for number in range(10)]
    assert np.allclose(table.vectors, [mean_colour(number) for number in range(10)], atol=1e-6)


def test_a_table_does_not_depend_on_the_number_of_parts_before_it_was_continued(fill, images):
    records = images(10)
    fill(records[:4])
    table, summary = fill(records)
    whole, _ = fill(records, name="whole")
    assert counts(summary) == (10, 6, 4, 0)
    assert list(table.ids) == list(whole.ids)
    assert table.vectors.tobytes() == whole.vectors.tobytes()


def test_what_is_there_is_neither_read_nor_embedded(fill, images, encoder):
    records = images(6)
    fill(records)
    encoder.batches.clear()
    for record in records:
        Path(record.source).unlink()
    _, summary = fill(records)
    assert counts(summary) == (6, 0, 6, 0)
    assert encoder.batches == []


def test_a_part_is_one_append_with_its_failures(fill, images):
    records = images(8, bad={1, 6, 7})
    table, summary = fill(records)
    assert table.part_names == (part_name(records[:4]), part_name(records[4:]))
    assert failed(table) == {"001": Status.EMPTY, "006": Status.EMPTY, "007": Status.EMPTY}
    assert counts(summary) == (8, 5, 0, 3)
    assert summary.reasons == {"empty": 3}


def test_a_part_name_depends_on_ids_and_their_order_only(named):
    first = part_name(named(["a", "b"]))
    assert first == part_name(named(["a", "b"], caption="other"))
    assert len({first, part_name(named(["b", "a"])), part_name(named(["ab"])), part_name(named(["a"]))}) == 4


def test_parts_are_merged_on_the_way_and_the_table_is_the_same(fill, images, monkeypatch):
    """What is written at each part must not grow with the number of parts, nor ids be read again."""
    records = images(41, bad={3, 17, 18, 40})
    whole, _ = fill(records, name="whole", part_rows=2)
    lines = []
    append = VectorTable.append

    def counted(table, *args):
        append(table, *args)
        lines.append(table.loose_files)
        assert list(table.ids) == [row.image_id for row in VectorTable.open(table.path).rows()]

    monkeypatch.setattr(VectorTable, "append", counted)
    monkeypatch.setattr("relsim.vectors.build._LOOSE_FILES", 5)
    table, summary = fill(records, part_rows=2)
    assert counts(summary) == (41, 37, 0, 4)
    assert len(lines) == 21
    assert max(lines) <= 7  # a part may bring a file of rows and one of failures
    assert [row.image_id for row in table.rows()] == [row.image_id for row in whole.rows()]
    assert table.vectors.tobytes() == whole.vectors.tobytes()
    assert failed(table) == failed(whole)
    assert {part.sha256 for part in table._contents.parts} == {part.sha256 for part in whole._contents.parts}


def test_failures_are_tried_again_and_an_unchanged_one_changes_nothing(fill, images, tmp_path):
    records = images(8, bad={1, 6})
    fill(records)
    before = {path.name: path.read_bytes() for path in (tmp_path / "t").iterdir()}
    _, summary = fill(records)
    assert counts(summary) == (8, 0, 6, 2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "t").iterdir()} == before


def test_a_mended_image_takes_its_failures_place(fill, images):
    fill(images(8, bad={1, 6}))
    table, summary = fill(images(8, bad={6}))
    assert counts(summary) == (8, 1, 6, 1)
    assert failed(table) == {"006": Status.EMPTY}
    assert np.allclose(table.vector("001"), mean_colour(1), atol=1e-6)


def test_mending_one_image_of_a_part_that_failed_as_a_whole_keeps_the_other_failures(fill, images):
    """The second run stores a part of the same ids, that is, under the same name."""
    fill(images(4, bad={0, 1, 2, 3}))
    table, _ = fill(images(4, bad={0, 1, 3}))
    assert list(table.ids) == ["002"]
    assert failed(table) == dict.fromkeys(["000", "001", "003"], Status.EMPTY)


def test_another_reason_replaces_the_former_and_no_other(fill, images):
    records = images(4, bad={0, 1, 2, 3})
    fill(records)
    Path(records[2].source).write_text("no picture")
    table, _ = fill(records)
    assert failed(table) == {
        "000": Status.EMPTY,
        "001": Status.EMPTY,
        "002": Status.NOT_IMAGE,
        "003": Status.EMPTY,
    }


def test_many_small_parts_are_merged_in_order(fill, images):
    records = images(40, bad={5})
    table, _ = fill(records, part_rows=2)
    assert len(table.part_names) == 1
    assert list(table.ids) == [record.image_id for record in records if record.image_id != "005"]
    assert failed(table) == {"005": Status.EMPTY}
    again, summary = fill(records, part_rows=2)
    assert counts(summary) == (40, 0, 39, 1)
    assert list(again.ids) == list(table.ids)


def test_each_record_has_one_outcome(fill, images):
    outcomes = []
    fill(images(9, bad={2, 3}), on_outcome=outcomes.append)
    assert sorted(outcome.record.image_id for outcome in outcomes) == [f"{number:03d}" for number in range(9)]
    assert sum(isinstance(outcome, Failure) for outcome in outcomes) == 2


def test_no_records_leave_the_table_as_it_is(fill):
    table, summary = fill([])
    assert counts(summary) == (0, 0, 0, 0)
    assert len(table) == 0


def test_another_encoders_table_is_refused_before_anything_is_read(tmp_path, images, encoder):
    with VectorTable.create(tmp_path / "t", Fingerprint.of({"encoder": "other"}), 4) as table:
        with pytest.raises(FingerprintMismatchError, match="'other' there, 'fake' here"):
            fill_table(table, images(3), encoder)
        assert len(table) == 0
    assert encoder.batches == []


def test_a_second_writer_is_refused_before_it_embeds(tmp_path, images, encoder):
    with VectorTable.create(tmp_path / "t", encoder.fingerprint, 4):
        late = VectorTable.open(tmp_path / "t")
        with pytest.raises(TableError, match="written by another process"):
            fill_table(late, images(3), encoder)
    assert encoder.batches == []


def test_rows_that_another_writer_added_since_opening_are_skipped(tmp_path, fill, images, encoder):
    records = images(6)
    fill(records[:0])
    opened = VectorTable.open(tmp_path / "t")
    fill(records[:4])
    with opened:
        assert counts(fill_table(opened, records, encoder, part_rows=4)) == (6, 2, 4, 0)
    assert len(VectorTable.open(tmp_path / "t")) == 6


def test_a_complete_table_needs_no_lock(tmp_path, fill, images, encoder):
    records = images(3)
    fill(records)
    with VectorTable.open(tmp_path / "t") as writer:
        writer.delete(())
        assert counts(fill_table(VectorTable.open(tmp_path / "t"), records, encoder)) == (3, 0, 3, 0)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("caf\udce9", "caf\\xe9"),
        ({"\ud800": ["\udfff", 1, None]}, {"\\ud800": ["\\udfff", 1, None]}),
        ("日本 é 😀\n", "日本 é 😀\n"),
    ],
)
def test_what_is_no_utf8_is_stored_in_escapes(value, stored, fill, images):
    (good,) = images(1)
    bad = ImageRecord("bad", "/none/\udcff.png", {"caption": value})
    table, _ = fill([ImageRecord("good", good.source, {"caption": value}), bad])
    (row,), (failure,) = table.rows(), table.failures()
    assert row.fields == failure.record.fields == {"caption": stored}
    assert failure.record.source == "/none/\\xff.png"
