"""Clients that mean harm, against real servers: by sockets, so that nothing is made right on the way."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import quote, urlsplit

import pytest

SHORT = """
import sys
from relsim.web.app import create_app
from relsim.web.library import Library
from relsim.web.server import address, listen, serve
from relsim.web.settings import ServerSettings

settings = ServerSettings(
    port=0, head_seconds=1, body_seconds=1, upload_seconds=1, decode_seconds=1, uploads_at_once=2, reading_seconds=1,
    connections=200,
    max_body_bytes=2_000, max_upload_bytes=1_000_000,
)
listening = listen(settings)
with listening:
    print(address(settings, listening), flush=True)
    serve(create_app(Library.open(*sys.argv[1:]), settings=settings), listening)
"""
UPLOAD = ("POST /api/uploads HTTP/1.1", "Host: localhost", "X-Relsim: 1")
ANSWER = ("POST /api/study/answers HTTP/1.1", "Host: localhost", "X-Relsim: 1", "Content-Type: application/json")


@pytest.fixture(scope="module")
def short(collection, cache):
    """The address of a server whose limits are a second and few bytes."""
    command = [sys.executable, "-c", SHORT, collection.relation, collection.look]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RELSIM_CACHE": str(cache)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        try:
            line = running.stdout.readline()
            assert line.startswith("http"), line + running.stderr.read()
            address = line.strip()
            while not said(address, "GET /healthz HTTP/1.1", "Host: localhost").startswith("HTTP/1.1 200"):
                pass
            yield address
        finally:
            running.terminate()
            _, told = running.communicate(timeout=60)
    assert "Traceback" not in told, told


@contextlib.contextmanager
def connected(address):
    """A connection to a server."""
    there = urlsplit(address)
    with socket.create_connection((there.hostname, there.port), timeout=60) as connection:
        yield connection


def head(*lines):
    """The head of a request, its end included."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read(connection):
    """What comes until the server closes the connection, or tears it."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            told += piece
    return told.decode("latin-1")


def said(address, *lines, body=b""):
    """The answer to a request that ends its connection."""
    with connected(address) as connection:
        connection.sendall(head(*lines, "Connection: close") + body)
        return read(connection)


def status(answer):
    """The status of an answer, None where there is none."""
    found = re.match(r"HTTP/1.1 (\d+)", answer)
    return found and int(found.group(1))


def drip(connection, pieces, every=0.1):
    """Send pieces slowly until the server has had enough; what it said, and the seconds that it took."""
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(every)
    return read(connection), time.monotonic() - began


ANSWERS = 400


@contextlib.contextmanager
def reader(address, library):
    """A connection with a small window that has asked for much."""
    there = urlsplit(address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.settimeout(60)
        connection.connect((there.hostname, there.port))
        lines = [f"GET /api/search?count=500&id={quote(library.ids[0])} HTTP/1.1", "Host: localhost"]
        connection.sendall(head(*lines) * (ANSWERS - 1) + head(*lines, "Connection: close"))
        yield connection


class TestSlowClients:
    """The limit is a second; without one, each of these would go on for 30."""

    @pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"], ids=["line", "fields"])
    def test_a_head_that_drips_is_cut_off(self, short, begun):
        with connected(short) as connection:
            connection.sendall(begun)
            _, seconds = drip(connection, [b"X"] * 300)
        assert 0.9 < seconds < 15

    def test_a_connection_that_says_nothing_is_closed(self, short):
        with connected(short) as connection:
            assert read(connection) == ""

    def test_a_second_head_has_no_more_time_than_the_first(self, short):
        with connected(short) as connection:
            connection.sendall(head("GET /healthz HTTP/1.1", "Host: localhost"))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            _, seconds = drip(connection, [b"G", *[b"E"] * 300])
        assert 0.9 < seconds < 15

    @pytest.mark.parametrize("lines", [UPLOAD, ANSWER], ids=["upload", "json"])
    @pytest.mark.parametrize("way", ["declared", "chunked"])
    def test_a_body_that_drips_is_told_so_and_cut_off(self, short, lines, way):
        length = "Content-Length: 1000" if way == "declared" else "Transfer-Encoding: chunked"
        with connected(short) as connection:
            connection.sendall(head(*lines, length))
            told, seconds = drip(connection, [b"x" if way == "declared" else b"1\r\nx\r\n"] * 300)
        assert (status(told), "in time" in told) == (408, True)
        assert 0.9 < seconds < 15

    def test_the_others_are_served_meanwhile(self, short):
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(connected(short)).sendall(b"GET / HTTP/1.1\r\n")
            assert status(said(short, "GET /api/images HTTP/1.1", "Host: localhost")) == 200

    def test_who_reads_nothing_of_what_was_asked_for_is_cut_off(self, short, library):
        """12 MB that nobody takes: some go into the buffers of the system, and for the rest the server has waited."""
        with reader(short, library) as connection:
            before, now, still = 0, 0, 0
            while still < 2:  # looks at which no further answer has been taken off
                time.sleep(3)
                counted = said(short, "GET /metrics HTTP/1.1", "Host: localhost")
                now = int((re.findall(r'requests_total{route="/api/search",status="200"} (\d+)', counted) or [0])[0])
                before, still = now, still + 1 if now == before > 0 else 0
            assert now < ANSWERS
            assert read(connection).count("HTTP/1.1 200") < ANSWERS

    def test_who_reads_slowly_is_waited_for(self, short, library):
        with reader(short, library) as connection:
            told = b""
            while piece := connection.recv(2**19):
                told += piece
                time.sleep(0.1)
        assert told.count(b"HTTP/1.1 200") == ANSWERS

    def test_more_connections_than_there_may_be_are_told_to_come_back(self, short):
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(connected(short))
            told = said(short, "GET /api/images HTTP/1.1", "Host: localhost")
            assert (status(told), "retry-after: 2" in told.lower(), "come back" in told) == (503, True, True)
        while status(told) == 503:  # until the server has seen that they are gone
            told = said(short, "GET /metrics HTTP/1.1", "Host: localhost")
        assert int(float(re.search(r'relsim_busy_total{queue="connections"} (\S+)', told).group(1))) >= 1

    def test_too_many_uploads_at_once_are_told_to_come_back(self, short, picture):
        with connected(short) as one, connected(short) as other:
            for connection in (one, other):
                connection.sendall(head(*UPLOAD, "Content-Length: 1000") + b"x")
            time.sleep(0.3)
            told = said(short, *UPLOAD, f"Content-Length: {len(picture)}", body=picture)
            assert (status(told), "retry-after: 1" in told.lower()) == (429, True)
        while status(told) == 429:  # until the server has seen that both are gone
            told = said(short, *UPLOAD, f"Content-Length: {len(picture)}", body=picture)
        assert status(told) == 201


class TestLargeBodies:
    @pytest.mark.parametrize(("lines", "most"), [(UPLOAD, 1_000_000), (ANSWER, 2_000)], ids=["upload", "json"])
    def test_what_says_that_it_is_large_is_refused_before_it_comes(self, short, lines, most):
        with connected(short) as connection:
            connection.sendall(head(*lines, f"Content-Length: {most + 1}"))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 413")

    @pytest.mark.parametrize(("lines", "size"), [(UPLOAD, 2_000_000), (ANSWER, 3_000)])
    def test_what_does_not_say_so_is_refused_when_it_has_come(self, short, lines, size):
        """A body without an end: the answer comes long before."""
        with connected(short) as connection:
            connection.sendall(head(*lines, "Transfer-Encoding: chunked"))
            piece = b"1000\r\n" + bytes(4_096) + b"\r\n"
            for _ in range(size // 4_096 + 1):
                connection.sendall(piece)
            told = connection.recv(65_536).decode("latin-1")
        assert status(told) == 413

    def test_a_head_has_an_end(self, short):
        with connected(short) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            for number in range(1_000):
                connection.sendall(f"X-{number}: {'x' * 1_000}\r\n".encode())
            assert status(read(connection)) in (400, None)
        assert status(said(short, "GET /healthz HTTP/1.1", "Host: localhost")) == 200


ESCAPES = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "%252e%252e%252f", "..%c0%af", ".%00./", "....//")


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_encoding_of_a_path_leads_out(server, escape):
    out = escape * 12 + "etc/passwd"
    places = [f"/static/{out}", f"/{out}", f"/api/data/{out}", f"/static//{out}", "/static//etc/passwd"]
    places += [f"/api/thumbnail?id={out}", f"/api/search?id={out}", f"/api/study/picture?question={out}&place=left"]
    places += [f"/api/results/{out}", f"/api/jobs/{out}", f"http://localhost/{out}"]
    for place in places:
        told = said(server.address, f"GET {place} HTTP/1.1", "Host: localhost")
        assert status(told) in (400, 404, 405, 422), (place, told)
        assert "root:" not in told


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1",),
        ("GET / HTTP/1.1", "Host: localhost", "Host: evil.example"),
        ("GET / HTTP/1.1", "Host: evil.example", "Host: localhost"),
        ("GET http://evil.example/ HTTP/1.1", "Host: evil.example"),
        ("GET / HTTP/1.1", "Host: localhost@evil.example"),
        ("GET / HTTP/1.1", "Host: localhost, evil.example"),
        ("GET / HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: localhost"),
        ("GET / HTTP/1.0",),
    ],
    ids=" | ".join,
)
def test_no_foreign_name_is_answered(server, lines):
    told = said(server.address, *lines)
    assert status(told) in (400, 421)
    assert "<html" not in told


def test_what_is_asked_comes_back_in_no_head_of_an_answer(server):
    break_out = "%0d%0aX-Evil:%201"
    places = [f"/{break_out}", f"/api/search?id={break_out}", f"/?token={break_out}", f"/static/{break_out}"]
    for place in places:
        told = said(server.address, f"GET {place} HTTP/1.1", "Host: localhost")
        assert "x-evil" not in told.partition("\r\n\r\n")[0].lower()


def test_two_lengths_and_other_ways_to_hide_a_request_are_refused(server):
    hidden = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lines in (
        (*UPLOAD, "Content-Length: 0", f"Content-Length: {len(hidden)}"),
        (*UPLOAD, "Transfer-Encoding: chunked, identity"),
        (*UPLOAD, "Transfer-Encoding : chunked"),
    ):
        told = said(server.address, *lines, body=hidden)
        assert "relsim_requests" not in told
        assert status(told) in (400, 413, 422, 501)


def test_no_address_that_is_asked_for_is_fetched(server):
    """The page takes pictures from people, never from addresses; nobody can make it ask others."""
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(1)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/picture.png"
        for path, values in (
            ("/api/search", {"id": url}),
            ("/api/search", {"upload": url}),
            ("/api/search", {"text": url}),
            ("/api/thumbnail", {"id": url}),
            ("/api/thumbnail", {"upload": url}),
            ("/api/pair", {"first": url, "id": url}),
        ):
            server.ask(path, **values)
        body = json.dumps({"url": url}).encode()
        assert server.ask("/api/uploads", body, {"content-type": "application/json"})[0] == 422
        with contextlib.suppress(TimeoutError):
            listening.accept()
            called.set()
    assert not called.is_set()
