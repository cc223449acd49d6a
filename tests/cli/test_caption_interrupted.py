"""Kills and interrupts of a real `relsim caption`: the file ends up as if nothing had happened, byte for byte."""

import random
import signal
import subprocess
import time

import pytest

from relsim.captions.caption_file import caption_to_file
from relsim.captions.captioner import Captioner
from relsim.captions.stream import Plan
from relsim.data.sources import list_images
from relsim.models.generation import Sampling


@pytest.fixture(scope="module")
def images(many):
    """Sixty pictures and a file that is none."""
    return [*(many / f"{number}.png" for number in range(60)), many / "50-text.png"]


@pytest.fixture(scope="module")
def arguments(golden, images):
    """In windows of four; as pictures of 56 x 56 they take seconds."""
    model = ("-c", golden / "captioner", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32")
    plan = ("--recipe", "squash56", "--max-new-tokens", "6", "--temperature", "1.5", "--until-anonymous", "1")
    return [*images, *model, *plan, "--batch-size", "1"]


@pytest.fixture(scope="module")
def whole(golden, images, tmp_path_factory):
    """The bytes of a run that is left alone, by the call that the command makes."""
    path = tmp_path_factory.mktemp("whole") / "captions.jsonl"
    captioner = Captioner.load(
        golden / "captioner", base_model=golden / "base", recipe="squash56", device="cpu", dtype="float32"
    )
    plan = Plan(Sampling(max_new_tokens=6, temperature=1.5), until_anonymous=1)
    caption_to_file(list_images(images), captioner, plan, path)
    return path.read_bytes()


def wait_for_rows(process, path, more_than=0):
    while not (path.exists() and path.stat().st_size > more_than):
        assert process.poll() is None
        time.sleep(0.001)


def test_kills_leave_no_trace(start, verb, arguments, whole, tmp_path):
    """Two kills, each at a random moment after the run went on."""
    path = tmp_path / "captions.jsonl"
    size = 0
    for _ in range(2):
        with start("caption", *arguments, "--out", path) as process:
            wait_for_rows(process, path, size)
            time.sleep(random.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert whole.startswith(path.read_bytes())
        assert size < path.stat().st_size < len(whole)
        size = path.stat().st_size
    there = path.read_bytes().count(b"\n")
    result = verb("caption", *arguments, "--out", path)
    assert result.exit_code == 3
    assert f"; {there} were there" in result.stdout
    assert path.read_bytes() == whole
    assert sorted(item.name for item in tmp_path.iterdir()) == ["captions.jsonl", "captions.jsonl.head.json"]


def test_an_interrupt_is_one_line_and_loses_nothing(start, verb, arguments, whole, tmp_path):
    """It goes on in batches of another size, to the same bytes."""
    path = tmp_path / "captions.jsonl"
    first = sum(map(len, whole.splitlines(keepends=True)[:4]))
    with start("caption", *arguments, "--out", path) as process:
        wait_for_rows(process, path, first)  # an interrupt takes back the window that is being written
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err == "relsim: interrupted; what was written is kept, run it again to go on\n"
    assert first <= path.stat().st_size < len(whole)
    verb("caption", *arguments[:-1], "16", "--out", path)
    assert path.read_bytes() == whole


def test_a_second_writer_is_refused(start, refused, arguments, tmp_path):
    path = tmp_path / "captions.jsonl"
    with start("caption", *arguments, "--out", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_rows(process, path)
        line = refused("caption", *arguments, "--out", path)
        assert process.poll() is None
        process.kill()
    assert "is being written by another process" in line
