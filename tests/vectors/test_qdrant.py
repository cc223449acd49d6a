"""Exports to a Qdrant server that stumbles, and exports that end early and are gone on with."""

import functools
import logging

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.errors import MissingExtraError, TableError
from relsim.vectors import VectorTable
from relsim.vectors.qdrant import NUMBERS, Patience, point_id, to_qdrant

qdrant = pytest.importorskip("qdrant_client", reason="the extra `qdrant` is not installed")

ROWS, WIDTH = 1_100, 6  # three batches
EAGER = Patience(timeout=1, pauses=(0.01, 0.02, 0.03))


@pytest.fixture(scope="module")
def made(tmp_path_factory, facts, unit):
    """`made(rows, width)` gives a table."""

    @functools.cache
    def make(rows=ROWS, width=WIDTH, seed=0):
        records = [ImageRecord(f"{row}.png", f"/{row}.png", {"caption": f"é {row}"}) for row in range(rows)]
        with VectorTable.create(tmp_path_factory.mktemp("qdrant") / "table", facts, width) as table:
            table.append("a", records, unit(rows, width, seed=seed))
        return table

    return make


@pytest.fixture
def table(made):
    return made()


@pytest.fixture
def server(qdrant_server):
    with qdrant_server.QdrantServer() as running:
        yield running


def holds(server, table, name="mine"):
    """Whether the collection has exactly the rows of the table, and says that it is complete."""
    collection = server.collections[name]
    expected = {
        point_id(row.image_id): {"image_id": row.image_id, "source": row.source, "fields": row.fields}
        for row in table.rows()
    }
    vectors = {point_id(row.image_id): row.vector for row in table.rows()}
    assert {at: payload for at, (_, payload) in collection.points.items()} == expected
    assert all(np.array_equal(np.float32(vector), vectors[at]) for at, (vector, _) in collection.points.items())
    return collection.metadata["relsim.complete"]


def test_a_server_gets_every_row_once_and_the_fingerprint(server, table, facts):
    seen = []
    assert to_qdrant(table, server.url, "mine", patience=EAGER, on_row=seen.append) == ROWS
    assert holds(server, table)
    assert server.collections["mine"].metadata["relsim.fingerprint"] == facts.to_dict()
    assert server.collections["mine"].vectors == {"size": WIDTH, "distance": "Cosine"}
    assert server.batches == [512, 512, 76]
    assert [row.image_id for row in seen] == list(table.ids)
    assert server.asked == ["exists", "create", "get", "upsert", "upsert", "upsert", "count", "update"]


def test_long_vectors_go_in_smaller_batches(server, made):
    """A server takes 32 MB at once; a number is some twenty bytes of JSON."""
    wide = made(rows=25, width=NUMBERS // 10)
    assert to_qdrant(wide, server.url, "mine", patience=EAGER) == 25
    assert server.batches == [10, 10, 5]


@pytest.mark.parametrize("kind", ["upsert", "count", "update"])
def test_faults_that_pass_are_waited_out(server, qdrant_server, table, kind, caplog):
    q = qdrant_server
    for faults in ((q.status(500), q.status(503), q.status(429)), (q.reset, q.done_then_reset), (q.hang(3),)):
        caplog.clear()
        name = f"mine-{len(server.collections)}"
        server.at(kind, 2 if kind == "upsert" else 0, *faults)
        assert to_qdrant(table, server.url, name, patience=EAGER) == ROWS
        assert holds(server, table, name)
        assert sum("trying again" in record.message for record in caplog.records) == len(faults)


def test_a_pause_that_the_server_asks_for_is_kept(server, qdrant_server, table, monkeypatch):
    waited = []
    monkeypatch.setattr("relsim.vectors.qdrant.time.sleep", waited.append)
    asked = [qdrant_server.status(429, {"Retry-After": seconds}) for seconds in ("7", "100000")]
    server.at("upsert", 0, *asked, qdrant_server.status(500))
    assert to_qdrant(table, server.url, "mine", patience=EAGER) == ROWS
    assert waited == [7, 120, 0.03]


@pytest.mark.parametrize(("kind", "there"), [("upsert", 512), ("count", ROWS), ("update", ROWS)])
def test_what_was_written_stays_and_the_next_run_does_the_rest(server, qdrant_server, table, kind, there):
    server.at(kind, 1 if kind == "upsert" else 0, *[qdrant_server.status(502)] * 4)
    with pytest.raises(TableError, match=rf"stopped: status 502: not now; {there:,} of 1,100 rows are in mine; run it"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    assert len(server.collections["mine"].points) == there
    assert server.collections["mine"].metadata["relsim.complete"] is False
    server.batches.clear()
    seen = []
    assert to_qdrant(table, server.url, "mine", patience=EAGER, on_row=seen.append) == ROWS
    assert sum(server.batches) == ROWS - there
    assert len(seen) == ROWS
    assert holds(server, table)
    with pytest.raises(TableError, match="already has a collection mine"):
        to_qdrant(table, server.url, "mine", patience=EAGER)


def test_half_a_batch_is_completed(server, qdrant_server, table):
    server.at("upsert", 1, qdrant_server.status(400))
    with pytest.raises(TableError, match="status 400"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    points = server.collections["mine"].points
    for row in range(0, 512, 2):
        del points[point_id(f"{row}.png")]
    server.batches.clear()
    assert to_qdrant(table, server.url, "mine", patience=EAGER) == ROWS
    assert server.batches == [256, 512, 76]
    assert holds(server, table)


def test_what_the_server_says_no_to_is_asked_once(server, qdrant_server, table):
    server.at("upsert", 0, qdrant_server.status(400, error="Wrong input: bad vector"))
    with pytest.raises(TableError, match="status 400: Wrong input: bad vector; 0 of 1,100 rows"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    assert server.asked.count("upsert") == 1


def test_a_lost_answer_to_the_making_is_made_up_for(server, qdrant_server, table):
    server.at("create", 0, qdrant_server.done_then_reset)
    with pytest.raises(TableError, match=rf"Qdrant at {server.url} cannot be written"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    assert to_qdrant(table, server.url, "mine", patience=EAGER) == ROWS
    assert holds(server, table)


def test_another_table_does_not_go_on_with_it(server, qdrant_server, table, made):
    server.at("upsert", 1, qdrant_server.status(400))
    with pytest.raises(TableError, match="512 of 1,100"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    with pytest.raises(TableError, match="that an export of another table, or of another state of this one, left"):
        to_qdrant(made(seed=1), server.url, "mine", patience=EAGER)
    assert len(server.collections["mine"].points) == 512


def test_a_collection_of_somebody_else_is_left_alone(server, table):
    client = qdrant.QdrantClient(url=server.url, check_compatibility=False)
    client.create_collection("mine", vectors_config=qdrant.models.VectorParams(size=3, distance="Dot"), metadata={})
    client.close()
    with pytest.raises(TableError, match="already has a collection mine; choose another --name"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    assert server.collections["mine"].vectors["size"] == 3


def test_a_stranger_in_the_collection_is_told(server, qdrant_server, table):
    server.at("upsert", 2, qdrant_server.status(400))
    with pytest.raises(TableError, match="stopped"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    server.collections["mine"].points["stranger"] = ([0.0] * WIDTH, {})
    with pytest.raises(TableError, match="has 1,101 points where the table has 1,100 rows"):
        to_qdrant(table, server.url, "mine", patience=EAGER)


def test_a_key_opens_the_server_and_is_never_shown(qdrant_server, table, caplog):
    with qdrant_server.QdrantServer(key="s3cret") as server:
        with pytest.raises(TableError, match=r"asks for a key .*--api-key-env NAME") as refusal:
            to_qdrant(table, server.url, "mine", patience=EAGER)
        with pytest.raises(TableError, match=r"refuses the key \(status 403: Invalid API key \*\*\*\)") as wrong:
            to_qdrant(table, server.url, "mine", key="wr0ng", patience=EAGER)
        faults = (qdrant_server.status(500, error="s3cret broke"), qdrant_server.status(400, error="s3cret"))
        server.at("upsert", 0, *faults)
        with pytest.raises(TableError, match=r"status 400: \*\*\*;") as broken:
            to_qdrant(table, server.url, "mine", key="s3cret", patience=EAGER)
        assert server.asked[:2] == ["refused", "refused"]
        assert to_qdrant(table, server.url, "mine", key="s3cret", patience=EAGER) == ROWS
    told = "".join([*(str(error.value) for error in (refusal, wrong, broken)), caplog.text])
    assert "*** broke" in told
    assert "s3cret" not in told
    assert "wr0ng" not in told
    assert "\n" not in str(refusal.value)


def test_a_key_that_goes_out_in_the_clear_is_told(table, caplog):
    """No name ends in .invalid, so nothing is sent."""
    with caplog.at_level(logging.WARNING), pytest.raises(TableError, match="cannot be written"):
        to_qdrant(table, "http://qdrant.invalid:1", "mine", key="s3cret", patience=EAGER)
    assert "the key goes to qdrant.invalid without encryption" in caplog.text


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", "http://[127.0.0.1", "http://127.0.0.1:99999", "http://a b"])
def test_an_address_that_leads_nowhere_is_told_at_once(table, place, caplog):
    with pytest.raises(TableError, match=r"^Qdrant at http://.* cannot be written: [^\n]+$"):
        to_qdrant(table, place, "mine")
    assert "trying again" not in caplog.text


def test_a_server_of_another_kind_is_told(server, qdrant_server, table):
    server.at("exists", 0, qdrant_server.nonsense)
    with pytest.raises(TableError, match=r"cannot be written: Collection exists returned None\.$"):
        to_qdrant(table, server.url, "mine", patience=EAGER)
    server.at("upsert", 0, qdrant_server.nonsense)
    with pytest.raises(TableError, match="stopped: Upsert returned None result; 0 of 1,100 rows"):
        to_qdrant(table, server.url, "mine", patience=EAGER)


def test_a_server_that_keeps_no_metadata_is_refused_and_left_as_it_was(qdrant_server, table):
    with qdrant_server.QdrantServer(keeps_metadata=False) as server:
        with pytest.raises(TableError, match=r"keeps no metadata of a collection: version 1\.16 or newer is needed"):
            to_qdrant(table, server.url, "mine", patience=EAGER)
        assert server.collections == {}


def test_a_client_that_knows_no_metadata_is_refused(table, tmp_path, monkeypatch):
    monkeypatch.setattr(qdrant.QdrantClient, "create_collection", lambda self, name, vectors_config: None)
    with pytest.raises(MissingExtraError, match=r'qdrant-client in version 1\.16 or newer: pip install "relsim\[q'):
        to_qdrant(table, str(tmp_path), "mine")


# The client leaves its lock's file open where it cannot have it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_folder_that_is_in_use_or_a_file_is_told(table, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TableError, match=r"Qdrant at .*file cannot be written"):
        to_qdrant(table, str(tmp_path / "file"), "mine")
    client = qdrant.QdrantClient(path=str(tmp_path / "base"))
    with pytest.raises(TableError, match="already accessed by another instance"):
        to_qdrant(table, str(tmp_path / "base"), "mine")
    client.close()


def test_a_folder_is_gone_on_with(made, tmp_path, facts):
    """The export ends as if it had been interrupted, after its first batch."""
    table = made(rows=600)

    class Enough(Exception):  # noqa: N818 - no error
        pass

    rows = iter(range(512))

    def count(_):
        if next(rows, None) is None:
            raise Enough

    with pytest.raises(Enough):
        to_qdrant(table, str(tmp_path / "base"), "mine", on_row=count)
    assert to_qdrant(table, str(tmp_path / "base"), "mine") == 600
    client = qdrant.QdrantClient(path=str(tmp_path / "base"))
    metadata = client.get_collection("mine").config.metadata
    points, _ = client.scroll("mine", limit=601)
    client.close()
    assert (metadata["relsim.complete"], metadata["relsim.fingerprint"]) == (True, facts.to_dict())
    assert {point.payload["image_id"] for point in points} == set(table.ids)
