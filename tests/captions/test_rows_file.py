"""Manifests that grow: what a kill, a full disk, a second writer and other settings do to them."""

import json
import os
import signal
import subprocess
import sys

import pytest

from relsim.captions.rows_file import RowsFile, head_of
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.errors import SourceError
from relsim.fingerprint import Fingerprint

FACTS = Fingerprint.of({"weights": "abc", "threshold": 0.5})

ENDLESS = """
import sys
from relsim.captions.rows_file import RowsFile
from relsim.data.manifest import ManifestRow
from relsim.fingerprint import Fingerprint

with RowsFile(sys.argv[1], "scores", Fingerprint.of({"weights": "abc", "threshold": 0.5})) as file:
    number = len(file.rows)
    print("open", flush=True)
    while True:
        file.append(ManifestRow(f"{number + i}", extra={"score": (number + i) / 7}) for i in range(3))
        number += 3
        print(number, flush=True)
"""


def row(number, **extra):
    return ManifestRow(f"{number}", extra={"score": number / 7, **extra})


def opened(path, kind="scores", facts=FACTS, **options):
    return RowsFile(path, kind, facts, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.jsonl"


@pytest.fixture
def endless(path):
    """A process that adds rows without end, once it has begun."""
    with subprocess.Popen([sys.executable, "-c", ENDLESS, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_the_file_is_the_manifest_that_is_written_at_once(path, tmp_path):
    rows = [row(1), row(2, note="ä\u2028"), ManifestRow("3", "https://x/3", "a {Thing}", {"half": "\ud800"})]
    with opened(path) as file:
        for item in rows:
            file.append([item])
        assert file.rows == rows
    write_manifest(tmp_path / "whole.jsonl", rows)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_the_head_says_what_made_the_rows(path):
    with opened(path):
        pass
    assert json.loads(head_of(path).read_text()) == {
        "schema": "relsim.rows/1",
        "kind": "scores",
        "made_by": {"threshold": 0.5, "weights": "abc"},
    }


def test_rows_are_on_the_disk_while_the_file_is_open(path):
    with opened(path) as file:
        file.append([row(1), row(2)])
        assert read_manifest(path) == [row(1), row(2)]


def test_a_second_context_goes_on_after_the_last_row(path):
    with opened(path) as file:
        file.append([row(1)])
    with opened(path) as file:
        assert file.rows == [row(1)]
        file.append([row(2)])
    assert read_manifest(path) == [row(1), row(2)]


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_taken_away(path, cut, caplog):
    with opened(path) as file:
        file.append([row(1), row(2)])
    whole = path.read_bytes()
    os.truncate(path, len(whole) - cut)
    with opened(path) as file:
        assert file.rows == [row(1)]
        file.append([row(2)])
    assert path.read_bytes() == whole
    assert "no whole line" in caplog.text


def test_a_torn_line_longer_than_a_piece_that_is_read_is_taken_away(path):
    with opened(path) as file:
        file.append([row(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"image_hash": "' + b"x" * 150_000)
    with opened(path) as file:
        assert file.rows == [row(1)]
    assert path.read_bytes() == whole


def test_a_file_of_one_torn_line_is_empty(path):
    with opened(path) as file:
        file.append([row(1)])
    os.truncate(path, 10)
    with opened(path) as file:
        assert file.rows == []
    assert path.read_bytes() == b""


def test_a_killed_writer_leaves_whole_rows_to_go_on_from(path, endless):
    while int(endless.stdout.readline()) < 30:
        pass
    endless.send_signal(signal.SIGKILL)
    endless.wait()
    with opened(path) as file:
        count = len(file.rows)
        file.append([row(count)])
    assert count >= 30
    assert read_manifest(path) == [row(number) for number in range(count + 1)]


def test_a_second_writer_is_refused(path, endless):
    with pytest.raises(SourceError, match="being written by another process"), opened(path):
        pass


def test_other_settings_are_refused_and_named(path):
    with opened(path) as file:
        file.append([row(1)])
    before = path.read_bytes()
    other = Fingerprint.of({"weights": "abc", "threshold": 0.9})
    wanted = r"other settings \(threshold: 0.5 there, 0.9 here\). Start anew."
    with pytest.raises(SourceError, match=wanted), opened(path, facts=other, remedy="Start anew."):
        pass
    with pytest.raises(SourceError, match="holds scores, not captions"), opened(path, kind="captions"):
        pass
    assert path.read_bytes() == before


def test_a_file_of_another_origin_is_refused_and_stays(path):
    path.write_text("my notes, not ended by a line")
    with pytest.raises(SourceError, match=r"no rows\.jsonl\.head\.json beside it says what made it"), opened(path):
        pass
    assert path.read_text() == "my notes, not ended by a line"


@pytest.mark.parametrize("head", ["", "[]", '{"schema": "other/1"}', '{"schema": "relsim.rows/1", "kind": "scores"}'])
def test_a_damaged_head_is_refused(path, head):
    with opened(path) as file:
        file.append([row(1)])
    head_of(path).write_text(head)
    with pytest.raises(SourceError, match=r"cannot be read as relsim\.rows/1"), opened(path):
        pass


def test_an_empty_file_is_begun_whatever_its_head_says(path):
    with opened(path):
        pass
    with opened(path, facts=Fingerprint.of({"weights": "other"})) as file:
        file.append([row(1)])
    with pytest.raises(SourceError, match="weights"), opened(path):
        pass


def test_a_row_that_no_manifest_may_hold_adds_nothing(path):
    with opened(path) as file:
        file.append([row(1)])
        with pytest.raises(SourceError, match="row 3"):
            file.append([row(2), row(3, caption="twice")])
        assert file.rows == [row(1)]
    assert read_manifest(path) == [row(1)]


def test_a_full_disk_leaves_the_rows_of_finished_calls(small_disk):
    folder, remount = small_disk
    path = folder / "rows.jsonl"
    with opened(path) as file:
        for number in range(20):
            file.append([row(number, filler="x" * 20_000)])
        with pytest.raises(SourceError, match="no space left"):
            file.append(row(number, filler="x" * 20_000) for number in range(20, 40))
        count = len(file.rows)
        assert path.read_bytes().endswith(b"}\n")
    assert count == 20
    remount("size=4m")
    with opened(path) as file:
        assert [item.image_hash for item in file.rows] == [str(number) for number in range(count)]
        file.append([row(count)])
    assert len(read_manifest(path)) == count + 1


@pytest.mark.parametrize("name", ["missing/rows.jsonl", "."])
def test_what_cannot_be_written_is_told(tmp_path, name):
    with pytest.raises(SourceError, match="cannot be written"), opened(tmp_path / name):
        pass
