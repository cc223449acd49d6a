"""Tables in LanceDB and Qdrant, read back by those libraries and held against exact search."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.errors import MissingExtraError, TableError
from relsim.vectors import Searcher, VectorTable
from relsim.vectors.export import to_lancedb
from relsim.vectors.qdrant import point_id, to_qdrant

ROWS, NUMBERS = 700, 24


@pytest.fixture(scope="module")
def table(tmp_path_factory, facts, unit):
    """More rows than a batch, in two parts, with text, numbers and nothing in their fields."""
    vectors = unit(ROWS, NUMBERS)
    records = [
        ImageRecord(f"a/{row}.png", f"/pictures/a/{row}.png", {"caption": f"é {row}", "n": row} if row % 2 else {})
        for row in range(ROWS)
    ]
    with VectorTable.create(tmp_path_factory.mktemp("export") / "table", facts, NUMBERS) as made:
        made.append("a", records[:300], vectors[:300])
        made.append("b", records[300:], vectors[300:])
    return made


def neighbours(table, queries):
    return [[hit.image_id for hit in hits] for hits in Searcher(table).by_vectors(queries, 10)]


@pytest.fixture(scope="module")
def queries(unit):
    return unit(15, NUMBERS, seed=4)


def test_lancedb_has_the_rows_and_finds_the_same(table, queries, facts, tmp_path):
    lancedb = pytest.importorskip("lancedb", reason="the extra `lancedb` is not installed")
    assert to_lancedb(table, tmp_path / "base", "mine") == ROWS
    opened = lancedb.connect(str(tmp_path / "base")).open_table("mine")
    assert json.loads(opened.schema.metadata[b"relsim.fingerprint"]) == facts.to_dict()
    stored = opened.to_arrow().to_pylist()
    for row, found in zip(table.rows(), stored, strict=True):
        assert (found["image_id"], found["source"]) == (row.image_id, row.source)
        assert json.loads(found["fields"]) == row.fields
        assert np.array_equal(np.array(found["vector"], np.float32), row.vector)
    got = [[hit["image_id"] for hit in opened.search(q).distance_type("cosine").limit(10).to_list()] for q in queries]
    assert got == neighbours(table, queries)
    with pytest.raises(TableError, match="already has a table mine"):
        to_lancedb(table, tmp_path / "base", "mine")


class Stopped(Exception):  # noqa: N818 - no error
    pass


@pytest.mark.parametrize("stop", [Stopped, KeyboardInterrupt, TableError])
def test_an_export_to_lancedb_that_ends_early_says_why_and_leaves_nothing(table, tmp_path, stop):
    pytest.importorskip("lancedb", reason="the extra `lancedb` is not installed")
    rows = iter(range(600))

    def count(_):
        if next(rows, None) is None:
            raise stop("enough")

    with pytest.raises(stop, match=r"^enough$"):
        to_lancedb(table, tmp_path / "base", "mine", on_row=count)
    assert not (tmp_path / "base" / "mine.lance").exists()
    assert to_lancedb(table, tmp_path / "base", "mine") == ROWS


def test_the_rest_of_a_killed_export_to_lancedb_is_no_table(table, tmp_path):
    lancedb = pytest.importorskip("lancedb", reason="the extra `lancedb` is not installed")
    base = tmp_path / "base"
    code = f"""
import os, signal, time
from pathlib import Path
from relsim.vectors import VectorTable
from relsim.vectors.export import to_lancedb
rows = iter(range(600))
def kill(_):
    if next(rows, None) is None:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
to_lancedb(VectorTable.open({str(table.path)!r}), Path({str(base)!r}), "mine", on_row=kill)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    # It is up to LanceDB whether a file was begun by then.
    (base / "mine.lance" / "data").mkdir(parents=True, exist_ok=True)
    (base / "mine.lance" / "data" / "rest.lance").write_bytes(b"half")
    assert to_lancedb(table, base, "mine") == ROWS
    assert not (base / "mine.lance" / "data" / "rest.lance").exists()
    assert lancedb.connect(str(base)).open_table("mine").count_rows() == ROWS


def test_a_folder_that_is_no_rest_is_left_alone(table, tmp_path):
    pytest.importorskip("lancedb", reason="the extra `lancedb` is not installed")
    note = tmp_path / "mine.lance" / "note.txt"
    note.parent.mkdir()
    note.write_text("mine")
    with pytest.raises(TableError, match="already has a table mine"):
        to_lancedb(table, tmp_path, "mine")
    assert note.read_text() == "mine"


def test_a_full_disk_is_told_in_a_line_and_leaves_no_table(facts, unit, tmp_path, small_disk):
    """Twice as many bytes as the disk has."""
    pytest.importorskip("lancedb", reason="the extra `lancedb` is not installed")
    with VectorTable.create(tmp_path / "wide", facts, 384) as wide:
        wide.append("a", [ImageRecord(str(row), f"/{row}") for row in range(ROWS)], unit(ROWS, 384))
    folder, _ = small_disk
    with pytest.raises(TableError, match=r"^LanceDB in [^\n]*disk cannot be written: [^\n]*No space left") as full:
        to_lancedb(wide, folder, "mine")
    assert "\n" not in str(full.value)
    assert not (folder / "mine.lance").exists()


def test_qdrant_has_the_rows_and_finds_the_same(table, queries, facts, tmp_path):
    qdrant = pytest.importorskip("qdrant_client", reason="the extra `qdrant` is not installed")
    assert to_qdrant(table, str(tmp_path / "base"), "mine") == ROWS
    with pytest.raises(TableError, match="already has a collection mine"):
        to_qdrant(table, str(tmp_path / "base"), "mine")
    client = qdrant.QdrantClient(path=str(tmp_path / "base"))
    metadata = client.get_collection("mine").config.metadata
    assert (metadata["relsim.fingerprint"], metadata["relsim.complete"]) == (facts.to_dict(), True)
    row = next(row for row in table.rows() if row.image_id == "a/301.png")
    (point,) = client.retrieve("mine", [point_id("a/301.png")], with_vectors=True)
    assert point.payload == {"image_id": row.image_id, "source": row.source, "fields": {"caption": "é 301", "n": 301}}
    assert np.allclose(point.vector, row.vector, atol=1e-6)
    got = [
        [hit.payload["image_id"] for hit in client.query_points("mine", query=q.tolist(), limit=10).points]
        for q in queries
    ]
    client.close()
    assert got == neighbours(table, queries)


@pytest.mark.parametrize(
    ("write", "package", "extra"),
    [(to_lancedb, "lancedb", "lancedb"), (to_qdrant, "qdrant_client", "qdrant")],
)
def test_without_the_package_the_command_to_get_it_is_named(table, tmp_path, monkeypatch, write, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "relsim\[{extra}\]"'):
        write(table, tmp_path, "mine")
