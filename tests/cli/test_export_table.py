"""`relsim export table --to qdrant`: keys, refusals in one line, and processes that are stopped in the middle."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

ROWS = 1_500


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "table"
    vectors = np.random.default_rng(0).standard_normal((ROWS, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with VectorTable.create(folder, Fingerprint.of({"encoder": "random"}), 16) as made:
        made.append("a", [ImageRecord(f"{row:04}", f"/{row:04}.png") for row in range(ROWS)], vectors)
    return folder


@pytest.fixture
def server(qdrant_server, monkeypatch):
    pytest.importorskip("qdrant_client", reason="the extra `qdrant` is not installed")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with qdrant_server.QdrantServer(key="s3cret") as running:
        yield running


@pytest.fixture
def arguments(table, server):
    return ("export", "table", table, "--to", "qdrant", "--out", server.url)


def test_the_key_comes_from_the_variable_that_is_named(arguments, server, document, monkeypatch):
    monkeypatch.setenv("QDRANT_KEY", "s3cret")
    made = document(*arguments, "--api-key-env", "QDRANT_KEY")
    assert (made["rows"], made["out"], made["name"]) == (ROWS, server.url, "relsim")
    assert "s3cret" not in str(made)
    assert len(server.collections["relsim"].points) == ROWS


def test_a_server_that_wants_another_key_is_told_in_a_line(arguments, refused, monkeypatch):
    assert "asks for a key (status 401" in refused(*arguments)
    monkeypatch.setenv("QDRANT_KEY", "wr0ng")
    line = refused(*arguments, "--api-key-env", "QDRANT_KEY")
    assert "refuses the key (status 403: Invalid API key ***); --api-key-env NAME names" in line


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_variable_without_a_key_is_wrong_usage_and_not_repeated(table, verb, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("s3cret", value)
    out = ("--out", "http://127.0.0.1:9")
    result = verb("export", "table", table, "--to", "qdrant", *out, "--api-key-env", "s3cret")
    assert result.exit_code == 2
    assert "no environment variable of that name holds a key" in result.stderr
    assert "s3cret" not in result.stderr


@pytest.mark.parametrize(("to", "out"), [("lancedb", "folder"), ("qdrant", "folder")])
def test_a_folder_takes_no_key(table, verb, monkeypatch, to, out):
    monkeypatch.setenv("QDRANT_KEY", "s3cret")
    result = verb("export", "table", table, "--to", to, "--out", out, "--api-key-env", "QDRANT_KEY")
    assert result.exit_code == 2
    assert "only a Qdrant server takes a key" in result.stderr


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_interrupt_says_how_to_go_on(arguments, server, qdrant_server, start, run, environment):
    keyed = {**environment, "QDRANT_KEY": "s3cret", "NO_PROXY": "127.0.0.1"}
    server.at("upsert", 2, qdrant_server.hang(30))
    with start(*arguments, "--api-key-env", "QDRANT_KEY", env=keyed) as process:
        until(lambda: server.asked.count("upsert") == 3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was copied is kept, run it again to go on" in err
    assert "Traceback" not in err
    # What hung was done all the same, so nothing is left to send.
    server.asked.clear()
    done = run(*arguments, "--api-key-env", "QDRANT_KEY", env=keyed)
    assert (done.returncode, done.stdout) == (0, f"{server.url}: 1,500 rows in relsim\n")
    assert "upsert" not in server.asked
    assert len(server.collections["relsim"].points) == ROWS


# The command, killed with SIGKILL when its client has stored 700 points.
KILLED = """
import itertools, os, signal
from qdrant_client.local.persistence import CollectionPersistence
from relsim.cli.main import main

persist, stored = CollectionPersistence.persist, itertools.count(1)

def store(self, point):
    persist(self, point)
    if next(stored) == 700:
        os.kill(os.getpid(), signal.SIGKILL)

CollectionPersistence.persist = store
main()
"""


def test_a_killed_export_into_a_folder_is_gone_on_with(table, environment, document, refused, tmp_path):
    qdrant = pytest.importorskip("qdrant_client", reason="the extra `qdrant` is not installed")
    arguments = ("export", "table", table, "--to", "qdrant", "--out", tmp_path / "base")
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    with contextlib.closing(sqlite3.connect(tmp_path / "base" / "collection" / "relsim" / "storage.sqlite")) as stored:
        assert stored.execute("SELECT count(*) FROM points").fetchone() == (700,)
    assert document(*arguments)["rows"] == ROWS
    assert "already has a collection relsim" in refused(*arguments)
    client = qdrant.QdrantClient(path=str(tmp_path / "base"))
    points, _ = client.scroll("relsim", limit=ROWS + 1, with_vectors=True)
    client.close()
    got = {point.payload["image_id"]: point.vector for point in points}
    opened = VectorTable.open(table)
    assert set(got) == set(opened.ids)
    assert all(np.allclose(got[row.image_id], row.vector, atol=1e-6) for row in opened.rows())
