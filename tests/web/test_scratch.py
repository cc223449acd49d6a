"""Temporary folders: what killed processes have left is removed, what others use and what is no such folder stays."""

import os
import signal
import subprocess
import sys
import time

import pytest

from relsim.files import exclusive_lock
from relsim.web.scratch import scratch_folder

PREFIX = "relsim-test-"
HOLD = f"""
import sys
from relsim.web.scratch import scratch_folder

with scratch_folder({PREFIX!r}) as folder:
    (folder / "body").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of temporary folders."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def aged(folder):
    """A folder whose lock was made an hour ago."""
    os.utime(folder / "lock", (time.time() - 3_600,) * 2)
    return folder


def test_a_killed_process_leaves_its_folder_to_the_next(place):
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        left = place / process.stdout.readline().strip()
        assert left.parent == place
        aged(left)
        with scratch_folder(PREFIX):
            assert (left / "body").exists()  # its process lives
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert left.exists()
        with scratch_folder(PREFIX) as own:
            assert list(place.iterdir()) == [own]
    assert list(place.iterdir()) == []


def test_what_may_be_somebody_s_stays(place):
    (place / f"{PREFIX}without-lock").mkdir()
    (place / f"{PREFIX}file").touch()
    young, elsewhere, held = (place / name for name in (f"{PREFIX}young", "other", f"{PREFIX}held"))
    for folder in (young, elsewhere, held):
        folder.mkdir()
        (folder / "lock").touch()
    aged(elsewhere)
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    before = set(place.iterdir())
    with exclusive_lock(aged(held) / "lock"), scratch_folder(PREFIX):
        pass
    assert set(place.iterdir()) == before
    assert (elsewhere / "lock").exists()
    with scratch_folder(PREFIX):
        assert not held.exists()


def test_a_folder_of_another_user_stays(place, monkeypatch):
    foreign = place / f"{PREFIX}foreign"
    foreign.mkdir()
    (foreign / "lock").touch()
    aged(foreign)
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    with scratch_folder(PREFIX):
        assert foreign.exists()
