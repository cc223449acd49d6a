"""Captioning and filtering by workers of Ray: the rows of one process, also where the command is killed."""

import json
import shutil
import signal

import pytest

from relsim.data.manifest import read_manifest

pytest.importorskip("ray", reason='the extra "ray" is not installed')

pytestmark = pytest.mark.timeout(900)  # each run starts some processes, each of which imports Ray


@pytest.fixture(scope="session")
def captioning(golden, images):
    """Captions in windows of four, which are drawn, and drawn again where they name things."""
    model = ("-c", golden / "captioner", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32")
    plan = ("--recipe", "squash56", "--max-new-tokens", "12", "--temperature", "1.5", "--until-anonymous", "2")
    return ["caption", images, *model, *plan, "--batch-size", "1"]


@pytest.fixture(scope="session")
def captions(captioning, run_verb, tmp_path_factory):
    """The bytes that one process writes."""
    path = tmp_path_factory.mktemp("one") / "captions.jsonl"
    assert run_verb(*captioning, "--out", path)["failed"] == {"empty": 1, "not_image": 1}
    return path.read_bytes()


@pytest.fixture(scope="session")
def filtering(golden, images, tmp_path_factory):
    """The golden captioner as a filter, in windows of eight."""
    folder = shutil.copytree(golden / "captioner", tmp_path_factory.mktemp("filter") / "filter")
    (folder / "relsim.json").write_text(json.dumps({"kind": "filter", "recipe": "squash56", "threshold": 0.81}))
    model = ("-c", folder, "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32")
    return ["filter", images, *model, "--batch-size", "2"]


def test_captions_are_those_of_one_process_also_where_the_command_was_killed(
    captioning, captions, cluster, start_verb, run_verb, wait_until, tmp_path
):
    path = tmp_path / "captions.jsonl"
    with start_verb(*captioning, *cluster, "--ray-workers", 2, "--out", path) as process:
        wait_until(lambda: (path.exists() and path.stat().st_size) or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    before = path.read_bytes()
    kept = before.count(b"\n")
    assert 0 < kept < 202

    again = run_verb(*captioning, *cluster, "--ray-workers", 2, "--out", path)
    assert again["there"] == kept - kept % 4  # a torn window of four is captioned again
    assert path.read_bytes().startswith(before)
    assert path.read_bytes() == captions


def test_another_worker_count_and_engine_go_on_with_the_rows(captioning, captions, cluster, run_verb, tmp_path):
    path = tmp_path / "captions.jsonl"
    path.write_bytes(b"".join(captions.splitlines(keepends=True)[:100]))
    run_verb(*captioning, *cluster, "--out", path.with_name("all.jsonl"))
    shutil.copy(path.with_name("all.jsonl.head.json"), path.with_name("captions.jsonl.head.json"))
    assert run_verb(*captioning, "--out", path)["there"] == 100
    assert path.read_bytes() == captions == path.with_name("all.jsonl").read_bytes()


def test_a_filter_judges_as_in_one_process(filtering, cluster, run_verb, tmp_path):
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    here = run_verb(*filtering, "--out", one)
    there = run_verb(*filtering, *cluster, "--ray-workers", 2, "--out", many)
    assert (here["fingerprint"], here["kept"], here["failed"]) == (
        there["fingerprint"], there["kept"], {"empty": 1, "not_image": 1},
    )  # fmt: skip
    assert 0 < here["kept"] < 200
    rows = [[row.to_dict() for row in read_manifest(path)] for path in (one, many)]
    # Six digits are written, of which the last may depend on the batch.
    scores = [[row.pop("score") for row in listed] for listed in rows]
    assert rows[0] == rows[1]
    assert scores[0] == pytest.approx(scores[1], abs=2e-6, nan_ok=True)


def test_what_ray_cannot_do_is_said_before_anything_is_started(verb_error, captioning, filtering):
    assert "name it: --out captions.jsonl" in verb_error(*captioning, "--engine", "ray")
    assert "name it: --out kept.jsonl" in verb_error(*filtering, "--engine", "ray")
    asked = (*captioning[:2], "--endpoint", "http://127.0.0.1:1/v1", "--model", "m", "--out", "x.jsonl")
    assert "leave --engine ray away" in verb_error(*asked, "--engine", "ray")
    assert "it is for --engine ray" in verb_error(*captioning, "--ray-workers", 2)
