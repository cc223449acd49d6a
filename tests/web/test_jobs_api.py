"""Jobs of a real server: what is embedded and told, what is cancelled, killed and gone on with, what is refused."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from relsim.vectors.table import VectorTable

JSON = {"content-type": "application/json"}
MANY = 400  # so many that a quick machine is seen in the middle of them


@pytest.fixture(scope="module")
def pictures(library):
    """Files of the collection's pictures, in its order."""
    return [record.source for record in library.records.values()]


def fill(folder, pictures, count):
    folder.mkdir(parents=True)
    for number in range(count):
        os.link(pictures[number % len(pictures)], folder / f"{number:03d}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    """A folder of jobs: twelve pictures and a broken one in `few`, two folders of many, and lists of bad addresses."""
    jobs = tmp_path_factory.mktemp("served") / "jobs"
    fill(jobs / "few", pictures, 12)
    (jobs / "few" / "broken.png").write_bytes(b"no picture")
    fill(jobs / "many", pictures, MANY)
    fill(jobs / "more", pictures, MANY)
    rows = [{"image_hash": f"id{number}", "url_link": f"http://127.0.0.1:9/{number}.png"} for number in range(4)]
    for name in ("list.jsonl", "taken.jsonl"):
        (jobs / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return jobs


@pytest.fixture(scope="module")
def server(start_server, folder):
    with start_server("--jobs", str(folder)) as running:
        yield running


def post(server, path, **content):
    return server.ask(path, json.dumps(content).encode(), JSON)


def jobs(server):
    return {job["name"]: job for job in server.ask("/api/jobs")[1]["jobs"]}


def until(server, name, good, seconds=200):
    """The job once `good(job)`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = jobs(server).get(name)
        if job is not None and good(job):
            return job
        time.sleep(0.02)
    raise AssertionError(f"{name} is {job}")


def ended(job):
    return job["state"] not in ("running", "elsewhere")


def begun(job):
    """Some are done, and not all."""
    return 0 < job["done"] < job["total"]


def children(folder):
    """Processes that fill folders of jobs, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            found += (
                [words] if {"embed", "download"} & set(words) and any(str(folder) in word for word in words) else []
            )
    return found


def test_what_can_be_started_is_told(server):
    told = server.ask("/api/jobs")[1]
    assert told["sources"] == [
        {"name": "few", "verbs": ["embed"]},
        {"name": "list.jsonl", "verbs": ["embed", "download"]},
        {"name": "many", "verbs": ["embed"]},
        {"name": "more", "verbs": ["embed"]},
        {"name": "taken.jsonl", "verbs": ["embed", "download"]},
    ]
    assert (told["jobs"], told["axes"]) == ([], ["relation", "look"])
    assert "jobs" in server.ask("/api/collection")[1]["offers"]


@pytest.mark.parametrize("axis", ["relation", "look"])
def test_pictures_are_embedded_as_those_of_the_collection(server, folder, library, axis, documented):
    status, job = post(server, "/api/jobs", verb="embed", source="few", axis=axis)
    assert (status, job["name"], job["total"], job["source"], job["axis"]) == (201, f"few.{axis}", 13, "few", axis)
    job = until(server, f"few.{axis}", ended)
    assert (job["state"], job["done"], job["failed"], job["message"]) == ("finished", 13, 1, None)
    assert [(one["status"], one["count"]) for one in job["failures"]] == [("not_image", 1)]
    table = VectorTable.open(folder / f"few.{axis}")
    for number in range(12):
        own = library.vectors(library.ids[number])[axis == "look"]
        np.testing.assert_allclose(table.vectors[table.positions[f"{number:03d}.png"]], own, atol=2e-3)
    # The same again is to go on: nothing is left but the one that failed.
    assert post(server, "/api/jobs", verb="embed", source="few", axis=axis)[0] == 201
    assert until(server, f"few.{axis}", ended)["state"] == "finished"
    documented(json.loads(next((folder / ".jobs").glob("*.json")).read_text()))


def test_a_download_tells_reasons_and_may_not_reach_this_machine(server):
    status, job = post(server, "/api/jobs", verb="download", source="list.jsonl")
    assert (status, job["name"]) == (201, "list.jsonl.images")
    job = until(server, "list.jsonl.images", ended)
    assert (job["state"], job["done"], job["total"], job["failed"]) == ("finished", 4, 4, 4)
    assert {one["status"] for one in job["failures"]} == {"refused"}
    assert sum(one["count"] for one in job["failures"]) == 4


def test_a_cancelled_job_is_gone_on_with(server, folder):
    post(server, "/api/jobs", verb="embed", source="many", axis="relation")
    until(server, "many.relation", begun)
    assert post(server, "/api/jobs", verb="embed", source="many", axis="relation")[0] == 409
    status, job = post(server, "/api/jobs/many.relation/cancel")
    assert (status, job["state"], job["resumable"]) == (200, "cancelled", True)
    assert begun(job)
    assert len(VectorTable.open(folder / "many.relation")) == job["done"]
    assert post(server, "/api/jobs/many.relation/cancel")[0] == 409
    status, job = post(server, "/api/jobs/many.relation/resume")
    assert (status, job["state"]) == (200, "running")
    job = until(server, "many.relation", ended)
    assert (job["state"], job["done"], job["resumable"]) == ("finished", MANY, False)
    assert sorted(VectorTable.open(folder / "many.relation").ids) == [f"{number:03d}.png" for number in range(MANY)]


def events(answer):
    """Lists of jobs as a stream tells them."""
    for line in answer:
        if line.startswith(b"data: "):
            yield {job["name"]: job for job in json.loads(line[6:])}


def test_events_tell_how_far_it_is(server):
    with urllib.request.urlopen(f"{server.address}/api/jobs/events", timeout=60) as answer:  # noqa: S310 - our own
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer)
        assert "many.look" not in next(stream)
        post(server, "/api/jobs", verb="embed", source="many", axis="look")
        seen = []
        for told in stream:
            seen += [told["many.look"]] if "many.look" in told else []
            if seen and ended(seen[-1]):
                break
    done = [job["done"] for job in seen]
    assert (done, done[-1], seen[-1]["state"]) == (sorted(done), MANY, "finished")
    going = [job for job in seen if job["rate"] is not None]
    assert going
    assert all(
        job["seconds_left"] == pytest.approx((MANY - job["done"]) / job["rate"]) and job["rate"] > 0 for job in going
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_job_ends_with_its_server_and_the_next_one_goes_on(start_server, pictures, tmp_path, how):
    folder = tmp_path / "jobs"
    fill(folder / "many", pictures, MANY)
    with start_server("--jobs", str(folder)) as server:
        post(server, "/api/jobs", verb="embed", source="many", axis="relation")
        until(server, "many.relation", begun)
        assert len(children(folder)) == 1
        stream = urllib.request.urlopen(f"{server.address}/api/jobs/events", timeout=60)  # noqa: S310 - our own
        with contextlib.closing(stream):
            server.process.send_signal(how)
            if how == signal.SIGINT:
                stream.read()  # to its end, which raises where it was cut off
            server.process.wait(60)
    end = time.monotonic() + 30
    while children(folder) and time.monotonic() < end:
        time.sleep(0.1)
    assert children(folder) == []
    with start_server("--jobs", str(folder)) as server:
        job = jobs(server)["many.relation"]
        assert (job["state"], job["resumable"]) == ("ended", True)
        assert 0 < job["done"] <= MANY  # what was under way may have been stored before the end
        assert post(server, "/api/jobs/many.relation/resume")[0] == 200
        job = until(server, "many.relation", ended)
        assert (job["state"], job["done"]) == ("finished", MANY)


def test_what_another_process_writes_is_seen_and_left_alone(server, folder, cache):
    command = [sys.executable, "-m", "relsim", "embed", folder / "many", "-o", folder / "other", "--part-rows", "8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RELSIM_CACHE": str(cache)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        job = until(server, "other", lambda job: job["state"] == "elsewhere" and job["rate"])
        assert (job["verb"], job["total"], job["seconds_left"], job["resumable"]) == ("embed", None, None, False)
        status, told = post(server, "/api/jobs/other/cancel")
        assert (status, "another process" in told["detail"]) == (409, True)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert until(server, "other", ended)["state"] == "idle"
    assert post(server, "/api/jobs/other/resume")[0] == 404


def test_a_job_that_fails_says_why_and_tells_no_path(server, folder):
    (folder / "taken.jsonl.images").mkdir()
    (folder / "taken.jsonl.images" / "part-00000.parquet").write_bytes(b"of something else")
    assert post(server, "/api/jobs", verb="download", source="taken.jsonl")[0] == 201
    job = until(server, "taken.jsonl.images", ended)
    assert (job["state"], job["resumable"]) == ("failed", True)
    assert "holds shards that no download made" in job["message"]
    assert str(folder) not in json.dumps(job)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"verb": "embed", "source": "../few", "axis": "relation"}, 404),
        ({"verb": "embed", "source": "/etc", "axis": "relation"}, 404),
        ({"verb": "embed", "source": ".jobs", "axis": "relation"}, 404),
        ({"verb": "embed", "source": "few"}, 404),
        ({"verb": "download", "source": "few"}, 409),
        ({"verb": "download", "source": "--help"}, 404),
        ({"verb": "train", "source": "few"}, 422),
        ({"verb": "embed", "source": "few", "axis": "weights=x"}, 422),
    ],
    ids=str,
)
def test_what_cannot_be_started_is_refused(server, content, status):
    before = jobs(server).keys()
    answer = post(server, "/api/jobs", **content)
    assert (answer[0], bool(answer[1]["detail"])) == (status, True)
    assert jobs(server).keys() == before


def test_a_job_needs_the_header_of_a_change_and_a_server_with_jobs(server, web):
    body = json.dumps({"verb": "embed", "source": "few", "axis": "relation"}).encode()
    request = urllib.request.Request(f"{server.address}/api/jobs", body, JSON)  # noqa: S310 - our own server
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)  # noqa: S310 - our own server
    assert "--jobs" in web().get("/api/jobs").json()["detail"]


def test_more_than_two_at_once_are_refused(server):
    assert post(server, "/api/jobs", verb="embed", source="more", axis="relation")[0] == 201
    assert post(server, "/api/jobs", verb="embed", source="more", axis="look")[0] == 201
    status, told = post(server, "/api/jobs", verb="embed", source="few", axis="look")
    assert (status, "2 jobs run already" in told["detail"]) == (409, True)
    for name in ("more.relation", "more.look"):  # others may come after this one
        post(server, f"/api/jobs/{name}/cancel")
        until(server, name, ended)
