"""What a download tells while it goes on: lines where there is no terminal, and the time that is left."""

import importlib.util
import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relsim.cli import download_progress as module
from relsim.cli.download_progress import Lines, download_progress
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Status

_PLACE = Path(__file__).parents[1] / "data" / "download" / "conftest.py"
_spec = importlib.util.spec_from_file_location("download_fixtures", _PLACE)
fixtures = sys.modules.setdefault("download_fixtures", importlib.util.module_from_spec(_spec))
if not hasattr(fixtures, "web"):
    _spec.loader.exec_module(fixtures)
authority, ca_file, web = fixtures.authority, fixtures.ca_file, fixtures.web

OFTEN = """
import sys
from relsim.cli import download_progress
download_progress.INTERVAL = 0.2
from relsim.cli.main import app
app(prog_name="relsim")
"""
LINE = re.compile(
    r"(\d+) of 12 rows \(\d+\.\d%\), \d+\.\d rows/s, \d+\.\d MB/s, (\d+:\d\d:\d\d|unknown time) left"
    r"(: \d+ (ok|dead)(, \d+ (ok|dead))?)?"
)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_pipe_gets_lines_while_the_download_goes_on(flags, environment, ca_file, web, tmp_path):
    addresses = [f"/slow/{number}.jpg?s=0.3" for number in range(10)] + ["/404", "/404?2"]
    rows = [ManifestRow(f"id{number}", web.https + address) for number, address in enumerate(addresses)]
    write_manifest(tmp_path / "list.jsonl", rows)
    options = ["--allow-private", "--ca-file", ca_file, "--decoders", "1", "--workers", "1"]
    command = [sys.executable, "-c", OFTEN, "download", tmp_path / "list.jsonl", "-o", tmp_path / "out", *options]
    ended = subprocess.run([*command, *flags], capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert ended.returncode == 3, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("try again")]
    assert len(lines) >= 3
    told = [int(LINE.fullmatch(line)[1]) for line in lines]
    assert told == sorted(told)
    assert any(0 < rows < 12 for rows in told)
    assert ("rows/s" in ended.stdout) is (not flags)


def test_a_line_counts_rows_that_were_there_and_rates_of_this_run(clock, capsys):
    lines = Lines(clock)
    lines.started(600, 1_000)
    for _ in range(20):
        lines.finished(Status.OK, 500_000)
    for _ in range(5):
        lines.finished(Status.DEAD, 0)
    clock.now += 10
    lines.write()
    assert capsys.readouterr() == (
        "",
        "425 of 1,000 rows (42.5%), 2.5 rows/s, 1.0 MB/s, 0:03:50 left: 20 ok, 5 dead\n",
    )


def test_the_time_left_has_as_many_hours_as_there_are(clock, capsys):
    lines = Lines(clock)
    lines.started(100_001, 100_001)
    lines.finished(Status.OK, 0)
    clock.now += 1.5  # 150,000 seconds for the other 100,000
    lines.write()
    assert "41:40:00 left" in capsys.readouterr().err


def test_a_download_in_which_nothing_arrives_is_told_of_all_the_same(clock, capsys):
    lines = Lines(clock)
    lines.write()  # not begun
    assert capsys.readouterr().err == ""
    lines.started(7, 7)
    clock.now += 60
    lines.write()
    assert capsys.readouterr().err == "0 of 7 rows (0.0%), 0.0 rows/s, 0.0 MB/s, unknown time left\n"


def test_a_stderr_that_takes_nothing_ends_nothing(clock, monkeypatch):
    lines = Lines(clock)
    lines.started(7, 7)
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(full, write_through=True))
        lines.write()
        with pytest.raises(OSError, match="No space left"):
            sys.stderr.write("x")


def test_no_line_comes_after_the_end(monkeypatch, capsys):
    monkeypatch.setattr(module, "INTERVAL", 1e-3)
    with download_progress() as watcher:
        watcher.started(1, 1)
        watcher.finished(Status.OK, 1)
    capsys.readouterr()
    time.sleep(0.02)
    assert capsys.readouterr().err == ""
