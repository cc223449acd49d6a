"""How a server ends while something is at work: by signals to real servers, and in the application."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

LONG = 300  # seconds; what nobody waits for
PATIENT = 60  # seconds, for a busy machine; the server's own limits are shorter
SERVE = f"""
import sys, time
from pathlib import Path
from relsim.web import server
from relsim.web.app import create_app
from relsim.web.explaining import Explainer
from relsim.web.extras import Extras
from relsim.web.jobs import Jobs
from relsim.web.library import Library
from relsim.web.models import Models
from relsim.web.settings import ServerSettings

def explain(self, pairs):
    print("explaining", flush=True)
    time.sleep({LONG})

Explainer.explain = explain
Models.warm_up = lambda self: None
server._END_SECONDS = int(sys.argv[3])
settings = ServerSettings(port=0, upload_seconds={LONG}, body_seconds={LONG})
listening = server.listen(settings)
jobs = Jobs(Path(sys.argv[4]), encoders={{}})
with listening:
    print(server.address(settings, listening), flush=True)
    app = create_app(Library.open(*sys.argv[1:3]), settings=settings, extras=Extras(jobs=jobs))
    server.serve(app, listening)
"""


class Running:
    """A server that can be told to end."""

    def __init__(self, process, address):
        self.process = process
        there = urlsplit(address)
        self.place = there.hostname, there.port

    @contextlib.contextmanager
    def asked(self, *lines, body=b""):
        """A connection on which a request has been sent."""
        with socket.create_connection(self.place, timeout=PATIENT) as connection:
            connection.sendall("\r\n".join([*lines, "Host: localhost", "X-Relsim: 1", "", ""]).encode() + body)
            yield connection

    def end(self, signum):
        """The exit status, and what was said on stderr."""
        self.process.send_signal(signum)
        _, told = self.process.communicate(timeout=PATIENT)
        return self.process.returncode, told


@pytest.fixture
def running(collection, cache, tmp_path):
    """`running(seconds)`: a server that gives requests under way so long, and explains for minutes."""
    with contextlib.ExitStack() as stack:

        def start(seconds):
            command = [sys.executable, "-c", SERVE, collection.relation, collection.look, str(seconds), tmp_path]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "RELSIM_CACHE": str(cache)}
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            )
            stack.callback(process.kill)
            line = process.stdout.readline()
            assert line.startswith("http"), line + process.stderr.read()
            return Running(process, line.strip())

        yield start


def read(connection):
    """What comes until the server closes."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            told += piece
    return told.decode()


def told_to_leave(answer):
    """Whether an answer is 503, with the headers of all answers, and the last one of its connection."""
    head = answer.lower().partition("\r\n\r\n")[0].split("\r\n")
    return head[0].startswith("http/1.1 503 ") and {"connection: close", "x-frame-options: deny"} <= set(head)


def test_an_unfinished_upload_and_an_open_stream_do_not_hold_up_the_end(running):
    server = running(LONG)
    upload = "POST /api/uploads HTTP/1.1", "Content-Length: 1000"
    words = "POST /api/study/answers HTTP/1.1", "Content-Type: application/json", "Content-Length: 1000"
    with (
        server.asked("GET /api/jobs/events HTTP/1.1") as stream,
        server.asked(*upload, body=b"abc") as first,
        server.asked(*words, body=b"{") as second,
    ):
        assert b" 200 " in stream.recv(65_536)
        time.sleep(0.5)  # so that the bodies are waited for
        status, told = server.end(signal.SIGTERM)  # which would take minutes
        answers = [read(first), read(second)]
        assert read(stream).endswith("0\r\n\r\n")  # whole
    assert (status, told) == (-signal.SIGTERM, "")
    for answer in answers:
        assert told_to_leave(answer)
        assert "this server ends" in answer


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_what_works_on_is_left_behind_and_whoever_waits_for_it_is_told(running, library, signum):
    server = running(1)
    with server.asked(f"GET /api/explain?id={library.ids[0]}&other={library.ids[1]} HTTP/1.1") as connection:
        assert server.process.stdout.readline() == "explaining\n"
        status, told = server.end(signum)
        answer = read(connection)
    assert status == -signum
    assert "Traceback" not in told
    assert told_to_leave(answer)


def test_new_questions_are_refused_once_the_end_has_begun(client):
    assert client.get("/healthz").status_code == 200
    client.portal.call(client.app.state.relsim.ending.begin)
    for path in ("/healthz", "/api/collection"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")


def test_work_that_is_cancelled_before_the_end_stays_cancelled():
    from relsim.web.ending import EndedError, Ending

    async def cancelled(*, begin):
        ending = Ending()
        waiting = asyncio.create_task(ending.unless_begun(asyncio.sleep(LONG)))
        await asyncio.sleep(0)
        ending.begin() if begin else waiting.cancel()
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        return type(outcome)

    assert asyncio.run(cancelled(begin=True)) is EndedError
    assert asyncio.run(cancelled(begin=False)) is asyncio.CancelledError


def test_threads_are_waited_for_as_long_as_they_are_given():
    from relsim.web.ending import Workers

    async def ended(patience, work):
        workers = Workers(1, "test")
        workers.patience = patience
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(workers, time.sleep, work) for _ in range(2)]
        await asyncio.sleep(0.1)
        await workers.end()
        at_work = workers.at_work
        return at_work, [type(one).__name__ for one in await asyncio.gather(*asked, return_exceptions=True)]

    assert asyncio.run(ended(None, 0.5)) == (False, ["NoneType", "CancelledError"])
    assert asyncio.run(ended(0.05, 2)) == (True, ["NoneType", "CancelledError"])
