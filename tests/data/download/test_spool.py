"""The spool: what was whole is read back, what was not is dropped, at every byte."""

import os
import random

import pytest

from relsim.data.download.bodies import IN_MEMORY, Body
from relsim.data.download.spool import Spool

RECORDS = [(5, {"status": "ok"}, b"\xff\xd8" * 50), (2, {"status": "dead", "reason": "gröber"}, b""), (9, {}, b"x")]


def write(path, records=RECORDS):
    spool = Spool(path)
    ends = []
    for row, facts, image in records:
        spool.append(row, facts, [image], len(image))
        ends.append(path.stat().st_size)
    spool.close()
    return ends


def contents(path):
    spool = Spool(path)
    return {row: spool.read(row) for row in spool.rows}


def expected(records):
    return {row: ({"row": row, **facts}, image) for row, facts, image in records}


def test_what_is_appended_is_read_back(tmp_path):
    write(tmp_path / "spool")
    assert contents(tmp_path / "spool") == expected(RECORDS)


def test_a_file_cut_at_any_byte_holds_the_records_before_the_cut(tmp_path):
    whole = tmp_path / "spool"
    ends = write(whole)
    data = whole.read_bytes()
    for size in range(len(data) + 1):
        cut = tmp_path / "cut"
        cut.write_bytes(data[:size])
        whole_records = sum(end <= size for end in ends)
        assert contents(cut) == expected(RECORDS[:whole_records])
        spool = Spool(cut)  # and goes on from there
        spool.append(77, {"status": "late"}, [b"abc"], 3)
        spool.close()
        assert contents(cut) == expected([*RECORDS[:whole_records], (77, {"status": "late"}, b"abc")])


def test_a_changed_byte_drops_its_record_and_what_follows(tmp_path):
    path = tmp_path / "spool"
    ends = write(path)
    data = path.read_bytes()
    random.seed(3)
    for place in random.sample(range(len(data)), 60):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        assert contents(path) == expected(RECORDS[: sum(end <= place for end in ends)])


def test_the_last_record_of_a_row_counts(tmp_path):
    write(tmp_path / "spool", [(1, {"status": "timeout"}, b""), (2, {}, b""), (1, {"status": "ok"}, b"data")])
    assert contents(tmp_path / "spool")[1] == ({"row": 1, "status": "ok"}, b"data")


def test_a_record_that_fails_half_way_leaves_no_trace(tmp_path):
    def pieces():
        yield b"some"
        raise OSError("the body cannot be read")

    spool = Spool(tmp_path / "spool")
    spool.append(1, {"status": "ok"}, [b"first"], 5)
    with pytest.raises(OSError, match="cannot be read"):
        spool.append(2, {"status": "ok"}, pieces(), 8)
    spool.append(3, {"status": "ok"}, [b"third"], 5)
    spool.close()
    assert contents(tmp_path / "spool") == expected([(1, {"status": "ok"}, b"first"), (3, {"status": "ok"}, b"third")])


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY + 17])
def test_bodies_of_any_size_come_back_and_large_ones_are_files(size, tmp_path):
    data = os.urandom(size)
    body = Body(tmp_path)
    for start in range(0, size, 70_000):
        body.add(data[start : start + 70_000])
    body.finish()
    assert (body.size, b"".join(body.pieces())) == (size, data)
    assert (body.path is not None) == (size > IN_MEMORY) == bool(list(tmp_path.iterdir()))
    if body.path is not None:
        assert body.path.read_bytes() == data
    body.close()
    assert list(tmp_path.iterdir()) == []
