"""Parts on workers of Ray: how much is taken at a time, what deaths cost, and what is said of errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason='the extra "ray" is not installed')

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def found(environment, tmp_path_factory):
    """What on_engine.py found."""
    path = tmp_path_factory.mktemp("engine") / "found.json"
    script = Path(__file__).with_name("on_engine.py")
    done = subprocess.run(
        [sys.executable, script, path], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


def test_parts_are_taken_as_they_are_needed_and_given_back_in_order(found):
    assert found["stream"]["names"] == list(map(str, range(500)))
    assert 0 < found["stream"]["taken"] <= 4 * found["stream"]["places"] < 500
    assert found["none"] == []


def test_a_worker_reads_for_itself_what_was_not_read_in_time(found):
    """One task that reads would need six seconds; the model takes no time."""
    assert len(found["own"]) == 60
    assert {True, False} == set(found["own"])
    assert sum(found["own"]) > 20


def test_pictures_that_kill_a_process_are_failures_and_all_others_are_done(found):
    died = {
        "die": "encoder: the process that worked on it, and no other image, died 2 times",
        "unreadable": "damaged: the process that read it, and no other image, died 2 times",
    }
    names = [*"abc", "die", *"def", "unreadable", *"ghijkl"]
    assert [row for part in found["deaths"] for row in part] == [[name, died.get(name, "")] for name in names]
    assert [len(part) for part in found["deaths"]] == [5, 5, 4]


def test_an_exception_of_a_worker_is_told_in_one_clean_line(found):
    assert found["fail"] == "ClusterError: a worker failed: ValueError: it. Finished parts are kept"
    assert found["hide"].startswith("ClusterError: a worker failed: ")
    assert found["hide"].endswith("UnsendableError: it is secret. Finished parts are kept")
    assert found["load refuse"] == "EncoderError: no weights"


def test_workers_that_die_of_the_model_end_the_run(found):
    assert found["load die"] == (
        "ClusterError: 5 workers died one after another while they loaded the model. Finished parts are kept; look at "
        "the memory of the machines, then run it again to go on"
    )
