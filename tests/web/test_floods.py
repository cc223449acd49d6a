"""Many who ask at once for what takes long: some are answered, others told to come back, and the server goes on."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest

from relsim.data.curation.corrections import Corrections
from relsim.web import pictures, results_api, space_api, study_api
from relsim.web.datasets import Dataset, open_datasets
from relsim.web.extras import Extras
from relsim.web.jobs import Jobs
from relsim.web.results import Results
from relsim.web.settings import ServerSettings
from relsim.web.sitting import Sitting

AT_ONCE, WAIT = 2, 2
ASKED = 10
WHO = {"row": 0, "caption": "A ring of {Objects}", "was": None, "who": "me"}


@pytest.fixture
def everything(library, models, retrieval_run, make_study, tmp_path):
    """A client of a server that has every view, in whose lines few may wait."""
    from starlette.testclient import TestClient

    from relsim.web.app import create_app

    (tmp_path / "some.jsonl").write_text('{"image_hash": "a", "url_link": "https://example.org/a.png"}\n')
    (tmp_path / "jobs").mkdir()
    extras = Extras(
        data=open_datasets([tmp_path / "some.jsonl"]),
        results=Results([retrieval_run]),
        study=Sitting.open(make_study(tmp_path), results=True),
        jobs=Jobs(tmp_path / "jobs", encoders={"relation": "relational"}),
    )
    app = create_app(library, models, ServerSettings(readings=WAIT, waiting=WAIT), extras)
    with TestClient(app, base_url="http://localhost", headers={"x-relsim": "1"}) as client:
        yield client


LINES = {
    "spaces": (space_api, "space_of", "/api/space?id={id}"),
    "lists": (Dataset, "find", "/api/data/some/rows"),
    "corrections": (Corrections, "change", "/api/data/some/changes"),
    "study": (study_api, "_turn", "/api/study/next?person={number}"),
    "results": (results_api, "overview_of", "/api/results/0"),
    "study results": (study_api, "study_results", "/api/study/results"),
    "jobs": (Jobs, "sources", "/api/jobs"),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_has_an_end(everything, library, monkeypatch, kind):
    held, (place, name, path) = threading.Event(), LINES[kind]
    given = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *some, **named: held.wait(20) and given(*some, **named))

    def ask(number):
        filled = path.format(id=quote(library.ids[number]), number=number)
        return everything.post(filled, json=WHO) if kind == "corrections" else everything.get(filled)

    answers = together(ask, held, ASKED - AT_ONCE - WAIT)
    busy = [answer for answer in answers if answer.status_code == 429]
    assert len(busy) == ASKED - AT_ONCE - WAIT
    assert {answer.headers["retry-after"] for answer in busy} == {"1"}
    # Of ten corrections of one caption the first counts, and the others are told.
    good = {201, 409} if kind == "corrections" else {200}
    assert {answer.status_code for answer in answers if answer not in busy} == good
    queue = "results" if kind == "study results" else kind
    assert f'relsim_busy_total{{queue="{queue}"}} {float(len(busy))}' in everything.get("/metrics").text


def test_thumbnails_that_are_made_have_an_end_and_those_that_are_kept_none(everything, library, monkeypatch):
    held, given = threading.Event(), pictures.read_bytes
    kept = {"id": library.ids[20]}
    assert everything.get("/api/thumbnail", params=kept).status_code == 200
    monkeypatch.setattr(pictures, "read_bytes", lambda *some, **named: held.wait(20) and given(*some, **named))
    seen = []

    def ask(number):
        answer = everything.get("/api/thumbnail", params={"id": library.ids[number]})
        if answer.status_code == 429:
            seen.append(everything.get("/api/thumbnail", params=kept).status_code)
        return answer

    answers = together(ask, held, ASKED - WAIT)
    assert sorted(answer.status_code for answer in answers) == [200] * WAIT + [429] * (ASKED - WAIT)
    assert set(seen) == {200}


def together(ask, held, refused):
    """Answers to questions that are asked at once; those that wait go on when so many have been refused."""
    with ThreadPoolExecutor(ASKED) as pool:
        asked = [pool.submit(ask, number) for number in range(ASKED)]
        while sum(future.done() for future in asked) < refused:
            pass
        held.set()
        return [future.result() for future in asked]


def test_few_lists_are_downloaded_at_a_time(everything):
    everything.app.state.relsim.downloads = 8
    assert everything.get("/api/data/some/corrected.jsonl").status_code == 429
    everything.app.state.relsim.downloads = 0
    assert json.loads(everything.get("/api/data/some/corrected.jsonl").content)["image_hash"] == "a"
    assert everything.app.state.relsim.downloads == 0


SERVER = """
import sys
from relsim.web.app import create_app
from relsim.web.library import Library
from relsim.web.server import address, listen, serve
from relsim.web.settings import ServerSettings

settings = ServerSettings(port=0, readings=2, waiting=4)
listening = listen(settings)
with listening:
    print(address(settings, listening), flush=True)
    serve(create_app(Library.open(*sys.argv[1:]), settings=settings), listening)
"""


def test_a_flood_of_connections_is_answered_in_part_and_honestly(collection, library, cache):
    """A hundred connections that ask all at once, of a real server."""
    command = [sys.executable, "-c", SERVER, collection.relation, collection.look]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RELSIM_CACHE": str(cache)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        try:
            there = urlsplit(running.stdout.readline().strip())
            for path in ("/api/space?sample=3000&id=", "/api/thumbnail?side=1024&id="):
                answers = flood(there, [path + quote(library.ids[number]) for number in range(100)])
                statuses = [int(re.match(r"HTTP/1.1 (\d+)", answer).group(1)) for answer in answers]
                assert set(statuses) == {200, 429}, path
                refused = [answer for answer in answers if answer.startswith("HTTP/1.1 429")]
                assert all("retry-after: 1" in answer.lower() for answer in refused)
            # It goes on.
            assert flood(there, ["/api/space?id=" + quote(library.ids[0])])[0].startswith("HTTP/1.1 200")
        finally:
            running.terminate()
            _, told = running.communicate(timeout=60)
    assert "Traceback" not in told, told


def flood(there, paths):
    """The answers to requests on a connection each, all of which are sent before one is read."""
    connections = [socket.create_connection((there.hostname, there.port), timeout=60) for _ in paths]
    for connection, path in zip(connections, paths, strict=True):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return [whole(connection) for connection in connections]


def whole(connection):
    """What comes until the server closes the connection."""
    told = b""
    with connection:
        while piece := connection.recv(65_536):
            told += piece
    return told.decode("latin-1")
