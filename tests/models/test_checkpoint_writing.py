"""Writing a checkpoint: all of it or nothing, whatever happens in between."""

import subprocess
import sys

import pytest

from relsim.errors import CheckpointError
from relsim.models.checkpoint import read_checkpoint
from relsim.models.checkpoint_writing import write_checkpoint


def test_writing_over_a_folder_is_refused(published, golden, tmp_path):
    for name in ("full", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    for name in ("full", "empty"):
        with pytest.raises(CheckpointError, match=r"exists already"):
            write_checkpoint(tmp_path / name, published, golden / "relsim")
    assert (tmp_path / "full" / "mine").read_text() == "keep"
    assert not list((tmp_path / "empty").iterdir())


def test_writing_a_checkpoint_without_adapter_is_refused(variant, tmp_path):
    with pytest.raises(CheckpointError, match=r"without an adapter"):
        variant(adapter={})
    assert not list(tmp_path.iterdir())


def test_writing_without_a_tokenizer_is_refused(published, tmp_path):
    """A checkpoint that could not be loaded is not written."""
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError, match=r"tokenizer"):
        write_checkpoint(tmp_path / "new", published, empty)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_writing_below_a_file_is_a_checkpoint_error(published, golden, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"could not be written"):
        write_checkpoint(tmp_path / "file" / "new", published, golden / "relsim")


@pytest.fixture
def small_disk(tmp_path):
    """`small_disk(kilobytes)` mounts a file system of that size and gives its folder."""
    mounted = []

    def mount(kilobytes):
        place = tmp_path / f"disk of {kilobytes}"
        place.mkdir()
        size = f"size={kilobytes}k"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("kilobytes", [20, 60, 120, 400, 480, 540, 600])
def test_a_full_disk_leaves_nothing(small_disk, published, golden, kilobytes):
    """The disk fills up at another file each time; the folder appears only where it is complete."""
    disk = small_disk(kilobytes)
    try:
        write_checkpoint(disk / "new", published, golden / "relsim")
    except CheckpointError as error:
        assert "could not be written" in str(error)  # noqa: PT017 - a large enough disk is no error
        assert list(disk.iterdir()) == []
    else:
        assert read_checkpoint(disk / "new").query_token_id == 1046


def test_sizes_of_the_full_disks_are_well_chosen(published, golden, tmp_path):
    """Each is smaller than what is written, so that every one of them does fill up."""
    write_checkpoint(tmp_path / "new", published, golden / "relsim")
    assert sum(path.stat().st_size for path in (tmp_path / "new").iterdir()) > 600 * 1024


KILLED = """
import os, signal, sys
from pathlib import Path
from relsim.models import checkpoint_writing
from relsim.models.checkpoint import read_checkpoint
golden, target = map(Path, sys.argv[1:])
real = checkpoint_writing._write_json
def stop(path, content):
    if path.name == "relsim.json":
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
checkpoint_writing._write_json = stop
checkpoint_writing.write_checkpoint(target, read_checkpoint(golden), golden)
"""


def test_kill_in_the_middle_leaves_no_folder_of_that_name(golden, tmp_path, published):
    """What it leaves is hidden, and writing again succeeds."""
    target = tmp_path / "new"
    done = subprocess.run([sys.executable, "-c", KILLED, golden / "relsim", target], check=False)
    assert done.returncode == -9
    assert not target.exists()
    assert all(path.name.startswith(".new-") for path in tmp_path.iterdir())
    write_checkpoint(target, published, golden / "relsim")
    assert read_checkpoint(target).query_token_id == 1046
