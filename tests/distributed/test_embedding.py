"""Embedding by workers of Ray: the table of one process, also where workers and drivers are killed."""

import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ray", reason='the extra "ray" is not installed')

pytestmark = pytest.mark.timeout(900)  # each run starts some processes, each of which imports Ray


@pytest.fixture
def whole(embed, images, contents, log, tmp_path):
    """What the table of one process holds."""
    result = embed(images, *log("whole.log").encoder, "--out", tmp_path / "whole")
    assert (result["embedded"], result["failed"]) == (200, {"empty": 1, "not_image": 1})
    return contents(tmp_path / "whole")


def rows_in(table):
    path = table / "table.json"
    return json.loads(path.read_bytes())["rows"] if path.exists() else 0


def test_a_killed_worker_costs_its_part_and_no_row(start, images, contents, log, tmp_path, whole, wait_until):
    table, seen = tmp_path / "t", log("t.log")
    with start(images, *seen.encoder, "--out", table, "--engine", "ray", "--workers", 2) as process:
        wait_until(lambda: rows_in(table) or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        victim = seen.lines()[-1][0]
        assert victim != process.pid
        os.kill(victim, signal.SIGKILL)
        out, err = process.communicate()
    assert process.returncode == 3, err
    assert json.loads(out)["embedded"] == 200
    assert contents(table) == whole
    assert len({worker for worker, _ in seen.lines()}) > 1
    assert 200 <= seen.pictures() <= 200 + 16


def test_a_killed_driver_leaves_its_parts_and_no_process(
    start, embed, images, contents, log, whole, marked, wait_until
):
    first, second = log("first.log"), log("second.log")
    table = first.path.parent / "t"
    ray, before = ("--engine", "ray", "--workers", 2), marked().keys()  # such as those of `cluster`
    with start(images, *first.encoder, "--out", table, *ray) as process:
        wait_until(lambda: rows_in(table) or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = rows_in(table)
    assert 0 < kept < 200
    wait_until(lambda: not marked().keys() - before, seconds=180)

    result = embed(images, *second.encoder, "--out", table, *ray)
    assert (result["skipped"], result["embedded"]) == (kept, 200 - kept)
    assert second.pictures() == 200 - kept
    assert contents(table) == whole
    wait_until(lambda: not marked().keys() - before, seconds=180)


def test_a_cluster_is_asked_by_its_address_and_goes_on_afterwards(
    embed, cluster, images, contents, log, tmp_path, whole
):
    seen = log("cluster.log")
    result = embed(images, *seen.encoder, "--out", tmp_path / "t", *cluster, "--workers", 2)
    assert (result["embedded"], seen.pictures()) == (200, 200)
    assert contents(tmp_path / "t") == whole
    assert embed(images, *seen.encoder, "--out", tmp_path / "t", *cluster)["skipped"] == 200
    assert seen.pictures() == 200


def test_workers_read_from_an_address(embed, cluster, images, contents, log, tmp_path, whole):
    seen = log("address.log")
    embed(f"file://{images}", *seen.encoder, "--out", tmp_path / "t", *cluster, "--workers", 2)
    rows, failures = contents(tmp_path / "t")
    assert [(name, source.removeprefix("file://"), *rest) for name, source, *rest in rows] == whole[0]
    assert [(name, status) for name, _, status, _ in failures] == [(name, status) for name, _, status, _ in whole[1]]


def test_a_picture_that_kills_its_worker_is_a_failure_and_costs_no_other_row(
    embed, cluster, images, contents, log, tmp_path, whole
):
    """It is found by trying the pictures of its part one by one."""
    white = tmp_path / "white.png"
    Image.new("RGB", (40, 32), "white").save(white)
    seen = log("deadly.log", "Deadly")
    result = embed(images, white, *seen.encoder, "--out", tmp_path / "t", *cluster, "--ray-workers", 2)
    assert (result["embedded"], result["failed"]) == (200, {"empty": 1, "not_image": 1, "encoder": 1})
    rows, failures = contents(tmp_path / "t")
    assert [(name, *rest) for name, _, *rest in rows] == [(name, *rest) for name, _, *rest in whole[0]]
    assert failures[-1] == (
        "white.png", str(white), "encoder", "the process that worked on it, and no other image, died 2 times",
    )  # fmt: skip
    assert failures[:-1] == whole[1]


def test_an_exception_in_a_worker_is_one_line_and_leaves_no_table(start, cluster, images, tmp_path):
    with start(images, "--encoder", "slow_encoder:Faulty", "--out", tmp_path / "t", *cluster) as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    told = "relsim: a worker failed: KeyError: ('version', 'of the weights'). Finished parts are kept"
    assert [line for line in err.splitlines() if "ray log level" not in line] == [told]
    assert not (tmp_path / "t").exists()


def test_smaller_pictures_and_files_decoded_in_part_give_the_vectors_of_one_process(
    start_verb, cluster, golden, contents, tmp_path
):
    """The golden encoder, with JPEG files that are larger than what its recipe keeps of them, and so travels."""
    (tmp_path / "jpeg").mkdir()
    for number in range(20):
        coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480)).save(tmp_path / "jpeg" / f"{number}.jpg")
    model = ("-c", golden / "relsim", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32")
    command = ("embed", tmp_path / "jpeg", *model, "--recipe", "crop112", "--part-rows", "8")
    found = []
    draft = ("--decode", "draft")
    for name, options in (("exact", ()), ("whole", cluster), ("one", draft), ("many", (*draft, *cluster))):
        with start_verb(*command, *options, "--out", tmp_path / name) as process:
            _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        found.append(contents(tmp_path / name))
    exact, whole, one, many = found
    assert exact == whole
    assert one == many
    assert one[0] != exact[0]
