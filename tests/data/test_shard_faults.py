"""Writers that are killed and disks that are full: finished parts stay, and nothing else does."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from relsim.data.records import Status
from relsim.data.shard_rows import COLUMNS, ShardRow
from relsim.data.shard_writing import ShardWriter
from relsim.data.shards import ShardFolder, part_rows
from relsim.errors import ShardError

WRITER = """
import hashlib, random, sys, time
from relsim.data.records import Status
from relsim.data.shard_rows import ShardRow
from relsim.data.shard_writing import ShardWriter

folder, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with ShardWriter(folder, part_rows=10) as writer:
    for number in range(first, last):
        data = random.Random(number).randbytes(3000)
        facts = {"width": 1, "height": 1, "format": "PNG", "phash": "0" * 16}
        facts["sha256"] = hashlib.sha256(data).hexdigest()
        writer.append(ShardRow(number, f"id{number}", Status.OK, image=data, **facts))
        time.sleep(0.0005)
"""
"""Appends rows to a folder, a part for each ten."""


def start(folder, first, last):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(first), str(last)])


def row(number):
    data = random.Random(number).randbytes(3000)
    facts = {"width": 1, "height": 1, "format": "PNG", "sha256": hashlib.sha256(data).hexdigest(), "phash": "0" * 16}
    return ShardRow(number, f"id{number}", Status.OK, image=data, **facts)


def stored(folder):
    """Every row of the parts that lie there, each of which must be whole."""
    return [row for path in sorted(folder.glob("part-*.parquet")) for row in part_rows(path, COLUMNS)]


def test_a_killed_writer_leaves_whole_parts_and_the_next_goes_on(tmp_path):
    """Killed at five moments, each time continued after the rows that are there."""
    folder, rng = tmp_path / "s", random.Random(3)
    killed = 0
    while killed < 5:
        done = len(stored(folder)) if folder.exists() else 0
        with start(folder, done, 400) as process:
            while process.poll() is None and len(list(folder.glob("*"))) < 2 + done // 10:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        rows = stored(folder)
        assert rows == [row(number) for number in range(len(rows))]
        assert len(rows) % 10 == 0
        if process.returncode == 0:
            break
    with start(folder, len(stored(folder)), 400) as process:
        pass
    assert process.returncode == 0
    assert list(ShardFolder.open(folder).rows(COLUMNS)) == [row(number) for number in range(400)]
    assert not list(folder.glob(".tmp-*"))


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path):
    folder = tmp_path / "s"
    with start(folder, 0, 10_000) as process:
        while not list(folder.glob(".tmp-*")):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert list(folder.glob(".tmp-*"))
    with ShardWriter(folder):
        pass
    assert not list(folder.glob(".tmp-*"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_with_one_line_and_leaves_the_finished_parts(small_disk):
    disk, resize = small_disk
    folder = disk / "s"

    def write(first, last):
        with ShardWriter(folder, part_rows=10) as writer:
            for number in range(first, last):
                writer.append(row(number))

    with pytest.raises(ShardError) as caught:
        write(0, 300)
    message = str(caught.value)
    assert message.startswith(f"cannot write {folder}/part-000")
    assert message.endswith("Free some space or choose another place, then run again: finished parts are kept.")
    assert "\n" not in message
    done = len(stored(folder))
    assert 0 < done < 300
    assert not list(folder.glob(".tmp-*"))
    resize("4m")
    write(done, 300)
    assert list(ShardFolder.open(folder).rows(COLUMNS)) == [row(number) for number in range(300)]


def test_a_folder_that_may_not_be_written_is_one_line(public_folder, as_nobody):
    (public_folder / "s").mkdir(mode=0o555)
    with as_nobody(), pytest.raises(ShardError, match=r"cannot write .*/s: permission denied. Choose a place"):
        ShardWriter(public_folder / "s").__enter__()
