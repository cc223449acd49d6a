"""Kills and interrupts of a real `relsim embed`: the table ends up as if nothing had happened."""

import json
import random
import signal
import time

import pytest

SLOW = ["--encoder", "slow_encoder:Slow", "--part-rows", "16"]


@pytest.fixture
def kill(start):
    """Starts a run and kills it up to that many seconds after it first touched the table; False if it was done."""

    def once(table, arguments, seconds):
        before = names_in(table)
        with start("embed", *arguments, "--out", table) as process:
            while names_in(table) == before and process.poll() is None:
                time.sleep(0.001)
            time.sleep(random.uniform(0, seconds))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        return process.returncode == -signal.SIGKILL

    return once


def names_in(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else None


@pytest.fixture(scope="module")
def whole(run, many, contents, tmp_path_factory):
    """An uninterrupted run, and what its table holds."""
    table = tmp_path_factory.mktemp("whole") / "t"
    result = run("embed", many, *SLOW, "--out", table)
    assert result.returncode == 3
    assert result.stderr.startswith("4 failed: ")
    return result, contents(table)


def test_kills_leave_no_trace(whole, run, kill, many, tmp_path, contents):
    """Ten kills at random moments, some of them before the first part and some while parts are merged."""

    kills = runs = 0
    while kills < 10:
        table = tmp_path / f"table{runs}"
        runs += 1
        while kill(table, [many, *SLOW], 0.2):
            kills += 1
            if (table / "table.json").exists():  # a kill may come before there is a table at all
                contents(table)  # readable and sound after every kill
            else:
                assert all(path.name.startswith(".") for path in table.iterdir())
        result = run("embed", many, *SLOW, "--out", table)
        assert (result.returncode, result.stderr) == (whole[0].returncode, whole[0].stderr)
        assert contents(table) == whole[1]


def test_kills_of_the_golden_model_leave_no_trace(verb, kill, many, tmp_path, contents, model_flags):
    images = [many / f"{number}.png" for number in range(60)]
    arguments = [*images, many / "3-empty.png", *model_flags, "--part-rows", "8"]
    verb("embed", *arguments, "--out", tmp_path / "whole")
    kill(tmp_path / "t", arguments, 0.3)
    kill(tmp_path / "t", arguments, 0.6)
    result = verb("embed", *arguments, "--out", tmp_path / "t")
    assert result.exit_code == 3
    assert contents(tmp_path / "t") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "t")[0]) == 60


def test_an_interrupt_is_one_line_and_loses_nothing(whole, start, run, many, tmp_path, contents):
    contents_file = tmp_path / "t" / "table.json"
    with start("embed", many, *SLOW, "--out", tmp_path / "t") as process:
        while not (contents_file.exists() and json.loads(contents_file.read_bytes())["rows"]):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err == "relsim: interrupted; finished parts are kept, run it again to go on\n"
    rows = contents(tmp_path / "t")[0]
    assert 0 < len(rows) < 196

    result = run("embed", many, *SLOW, "--out", tmp_path / "t")
    assert f"{196 - len(rows)} embedded" in result.stdout
    assert contents(tmp_path / "t") == whole[1]
