"""Faults are caused, not played: killed processes, full and read-only disks, damaged files."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import deque

import numpy as np
import pytest

from relsim.errors import TableError
from relsim.vectors import VectorTable

WRITER = """
import sys, pathlib
import numpy as np
from relsim.data.records import Failure, ImageRecord, Status
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

with VectorTable.open_or_create(sys.argv[1], Fingerprint.of({"encoder": "relational"}), 64) as table:
    print("ready", flush=True)
    for number in range(int(sys.argv[2])):
        name = f"{number:04d}"
        if table.has_part(name):
            continue
        vectors = np.zeros((5, 64), np.float32)
        vectors[:, number % 64] = 1
        records = [ImageRecord(f"{name}-{row}", f"/{name}/{row}.png", {"part": number}) for row in range(5)]
        table.append(name, records, vectors, [Failure(ImageRecord(f"{name}-x", "/x"), Status.EMPTY, "zero bytes")])
        if number % 10 == 9:
            table.delete([f"{number - 1:04d}-0"])
        print(name, flush=True)
    sys.stdin.read()
"""


def start_writer(folder, parts):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(parts)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(writer):
    writer.send_signal(signal.SIGKILL)
    writer.communicate()


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_a_killed_writer_leaves_finished_appends(tmp_path):
    """Ten kills at random moments; after each, the table is what the finished changes made it."""
    random = np.random.default_rng()
    done = 0
    for kills in range(1, 11):
        writer = start_writer(tmp_path / "t", 10_000)
        told = [writer.stdout.readline() for _ in range(1 + random.integers(0, 8))][1:]
        time.sleep(random.uniform(0, 0.02))
        kill(writer)
        table = VectorTable.open(tmp_path / "t")
        table.verify()
        assert len(table.part_names) >= done + len(told)
        done = len(table.part_names)
        deleted = {f"{number - 1:04d}-0" for number in range(9, done, 10)}
        # A kill between an append and the deletion that follows leaves that one row for good.
        kept = deleted & set(table.ids)
        assert len(kept) <= kills
        ids = [f"{number:04d}-{row}" for number in range(done) for row in range(5)]
        assert list(table.ids) == [image_id for image_id in ids if image_id not in deleted - kept]
        parts = [int(image_id[:4]) for image_id in table.ids]
        assert [row.fields["part"] for row in table.rows()] == parts
        assert np.array_equal(table.vectors.argmax(axis=1), np.array(parts) % 64)
        assert len(table.failures()) == done
    assert done > 0


def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path, facts, unit, named):
    """What a killed writer may leave over is gone after the next one, and the files are the same byte for byte."""
    ids, vectors = [f"{i}" for i in range(20)], unit(20, 8)

    def run(folder):
        with VectorTable.open_or_create(folder, facts, 8) as table:
            for start in range(0, 20, 5):
                if not table.has_part(f"{start}"):
                    table.append(f"{start}", named(ids[start : start + 5]), vectors[start : start + 5])

    run(tmp_path / "whole")
    run(tmp_path / "broken")
    document = json.loads((tmp_path / "broken" / "table.json").read_text())
    document["parts"] = document["parts"][:2]
    document["rows"] = 10
    (tmp_path / "broken" / "table.json").write_text(json.dumps(document))
    (tmp_path / "broken" / ".tmp-part-10.parquet-0123abcd").write_bytes(b"half a part")
    opened = VectorTable.open(tmp_path / "broken")
    assert list(opened.ids) == ids[:10]
    run(tmp_path / "broken")
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_a_second_writer_is_refused_and_a_dead_one_forgotten(tmp_path, unit, named):
    writer = start_writer(tmp_path / "t", 1)
    try:
        assert writer.stdout.readline() == "ready\n"
        table = VectorTable.open(tmp_path / "t")
        with pytest.raises(TableError, match="being written by another process"):
            table.append("mine", named(["a"]), unit(1, 64))
    finally:
        kill(writer)
    with table:
        table.append("mine", named(["a"]), unit(1, 64))
    assert "a" in VectorTable.open(tmp_path / "t")


def test_two_writers_in_one_process_are_two(new_table, unit, named):
    first = new_table(["a"], unit(1, 3))
    second = VectorTable.open(first.path)
    with first:
        first.append("1", named(["b"]), unit(1, 3))
        with pytest.raises(TableError, match="another process"):
            second.delete(["a"])
    with second:
        assert second.delete(["a"]) == 1


@pytest.fixture
def mounted(tmp_path):
    """A file system of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def check_full_disk(folder, facts, unit, named):
    def append(number):
        ids = [f"{number}-{row}" for row in range(100 * (number + 1))]
        table.append(f"{number}", named(ids), unit(len(ids), 64, number))

    with VectorTable.create(folder, facts, 64) as table:
        reason = r"cannot write .*(No space left|File too large).*finished parts are kept"
        with pytest.raises(TableError, match=reason):
            deque(map(append, range(100)))
        done = len(table.part_names)
        assert done > 0
        rows = sum(100 * (number + 1) for number in range(done))
        for opened in (table, VectorTable.open(folder)):
            assert len(opened) == rows
            assert np.array_equal(opened.vectors[-100 * done :], unit(100 * done, 64, done - 1))
            opened.verify()
        assert not list(folder.glob(".tmp-*"))
        assert len(list(folder.glob("part-*"))) == done
        table.append("small", named(["a"]), unit(1, 64))
    assert "a" in VectorTable.open(folder)


def test_a_full_disk_loses_nothing(mounted, facts, unit, named):
    check_full_disk(mounted / "t", facts, unit, named)


def test_a_file_size_limit_loses_nothing(tmp_path, facts, unit, named):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        check_full_disk(tmp_path / "t", facts, unit, named)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_rows_from_being_deleted_by_halves(mounted, facts, unit, named):
    """Rewriting a part needs room for it; without, the table stays as it was."""
    with VectorTable.create(mounted / "t", facts, 64) as table:
        for number in range(3):
            ids = [f"{number}-{row}" for row in range(400)]
            table.append(f"{number}", named(ids), unit(400, 64, number))
        before = files(mounted / "t")
        with pytest.raises(TableError, match="No space left"):
            table.delete(["0-0", "1-0", "2-0"])
        with pytest.raises(TableError, match="No space left"):
            table.compact()
        assert files(mounted / "t") == before
        assert len(VectorTable.open(mounted / "t")) == len(table) == 1200


def test_a_read_only_place_can_be_read_and_says_so(mounted, facts, unit, named):
    with VectorTable.create(mounted / "t", facts, 3) as table:
        table.append("0", named(["a"]), unit(1, 3))
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    opened = VectorTable.open(mounted / "t")
    assert list(opened.ids) == ["a"]
    with pytest.raises(TableError, match=r"Read-only file system\. Choose a place that you may write to"):
        opened.append("1", named(["b"]), unit(1, 3))
    with pytest.raises(TableError, match="Read-only"):
        VectorTable.create(mounted / "other", facts, 3)


@pytest.fixture
def two_parts(new_table, unit):
    return new_table([f"{i}" for i in range(20)], unit(20, 8), pieces=2).path


@pytest.mark.parametrize("kind", ["truncated", "flipped", "missing", "empty", "grown"])
def test_a_damaged_part_is_named(two_parts, kind):
    (path,) = two_parts.glob("part-000001-*")
    data = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
    else:
        data[len(data) // 2] ^= 0x10
        damaged = {"truncated": data[:-100], "empty": b"", "flipped": data, "grown": data + b"\0"}[kind]
        path.write_bytes(damaged)
    with pytest.raises(TableError, match=f"{path.name} is (missing|damaged)"):
        VectorTable.open(two_parts)


def test_any_flipped_bit_of_a_small_table_is_found(two_parts):
    (path,) = two_parts.glob("part-000000-*")
    data = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, 8 * len(data), 50):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(TableError, match=path.name):
            VectorTable.open(two_parts)


def test_large_tables_are_hashed_when_asked(two_parts, monkeypatch):
    monkeypatch.setattr("relsim.vectors.view.HASH_ON_OPEN", 0)
    (path,) = two_parts.glob("part-000000-*")
    vectors = VectorTable.open(two_parts).blocks[0]
    at = path.read_bytes().index(vectors.tobytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x01")
    opened = VectorTable.open(two_parts)
    with pytest.raises(TableError, match=f"{path.name} is damaged: its SHA-256"):
        opened.verify()


def test_damage_that_a_quick_open_misses_is_an_error_when_met(two_parts, monkeypatch):
    """Whatever byte is wrong, reading gives rows or a `TableError`, and never another exception."""
    monkeypatch.setattr("relsim.vectors.view.HASH_ON_OPEN", 0)
    (path,) = two_parts.glob("part-000000-*")
    data = path.read_bytes()
    errors = []
    for position in np.random.default_rng(1).integers(0, 8 * len(data), 200):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            table = VectorTable.open(two_parts)
            assert len(table.vectors) == len(list(table.rows())) == len(table.ids)
        except TableError as error:
            errors.append(str(error))
    assert errors
    assert all(path.name in error for error in errors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.clear(), "format"),
        (lambda d: d.update(version=2), "version 2; this relsim reads version 1"),
        (lambda d: d.update(rows=19), "its parts sum up to 20 rows"),
        (lambda d: d.update(dimension="8"), "dimension is '8'"),
        (lambda d: d.update(dimension=9), "damaged: "),
        (lambda d: d.pop("parts"), "damaged"),
        (lambda d: d["parts"][0].update(file="../../etc/passwd"), "names no file of a table"),
        (lambda d: d["parts"].append(d["parts"][0]), "rows"),
        (lambda d: d["parts"][0].pop("sha256"), "lacks one of"),
        (lambda d: d.update(fingerprint={"a": [1]}), "flat set of facts"),
    ],
)
def test_a_damaged_table_json_is_refused(two_parts, change, message):
    path = two_parts / "table.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(TableError, match=message):
        _ = VectorTable.open(two_parts).vectors


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "[" * 100_000])
def test_a_table_json_that_is_no_table_is_refused(two_parts, text):
    (two_parts / "table.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(TableError, match=r"table\.json is damaged"):
        VectorTable.open(two_parts)
