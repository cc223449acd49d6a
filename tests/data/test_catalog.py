"""The catalog: names, local copies, the Hub and the web (both as local servers), and checksums that are kept."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from relsim.data import catalog
from relsim.data.catalog import CATALOG, NAMES, find, load, load_named, locate
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.errors import SourceError

TEST = [ManifestRow("t0", "https://x.org/t0?a&amp;b", '"A {Thing}"'), ManifestRow("t1", "https://x.org/t1", "B")]
RANDOM = [ManifestRow("r0", "https://x.org/r0")]
TRAIN = [ManifestRow("n0", "https://x.org/n0", "C")]
GROUPS = [{"anonymous_caption": "D", "image_urls": ["https://x.org/s0"]}]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own, and no folder of lists in the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RELSIM_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def copies(tmp_path):
    """A folder with a small copy of every published list."""
    folder = tmp_path / "copies"
    folder.mkdir()
    write_manifest(folder / "anonymous_captions_train.jsonl", TRAIN)
    write_manifest(folder / "anonymous_captions_test.jsonl", TEST)
    write_manifest(folder / "random_images_14k.jsonl", RANDOM)
    (folder / "seed_group.json").write_text(json.dumps(GROUPS))
    return folder


def ids(rows):
    return [row.image_hash for row in rows]


def test_names_are_those_of_the_collections_and_their_parts():
    parts = ("anonymous-captions-114k/train", "anonymous-captions-114k/test")
    assert ("seed-groups", "anonymous-captions-114k", *parts, "random-14k", "retrieval-28k") == NAMES
    assert [find(name).name for name in NAMES] == list(NAMES)
    assert [entry.images for entry in CATALOG] == [1_529, 114_881, 14_881, 29_762]
    assert (find(parts[0]).images, find(parts[1]).images) == (100_000, 14_881)


@pytest.mark.parametrize("name", ["random", "anonymous-captions-114k/tests", "random-14k/train", "", "/"])
def test_an_unknown_name_is_told_with_those_there_are(name):
    with pytest.raises(SourceError, match="the catalog has seed-groups, "):
        find(name)


def test_a_near_miss_is_guessed():
    with pytest.raises(SourceError, match="did you mean random-14k"):
        find("random-14")


def test_every_collection_loads_from_a_folder(copies):
    assert ids(load("anonymous-captions-114k", local=copies)) == ["n0", "t0", "t1"]
    assert ids(load("anonymous-captions-114k/test", local=copies)) == ["t0", "t1"]
    assert ids(load("random-14k", local=copies)) == ["r0"]
    assert ids(load("retrieval-28k", local=copies)) == ["t0", "t1", "r0"]
    seed = hashlib.md5(b"https://x.org/s0", usedforsecurity=False).hexdigest()
    assert ids(load("seed-groups", local=copies)) == [seed]


def test_rows_are_raw_with_the_cleaned_text_beside_it(copies):
    row = load("anonymous-captions-114k/test", local=copies)[0]
    assert (row.url_link, row.caption) == (TEST[0].url_link, TEST[0].caption)
    assert row.extra == {"caption_clean": "A {Thing}", "url_clean": "https://x.org/t0?a&b"}


def test_a_file_is_the_whole_list_whatever_its_name(copies, tmp_path):
    other = (copies / "random_images_14k.jsonl").rename(tmp_path / "mine.jsonl")
    assert ids(load("random-14k", local=other)) == ["r0"]
    write_manifest(tmp_path / "combined.jsonl", [*TEST, *RANDOM])
    assert ids(load("retrieval-28k", local=tmp_path / "combined.jsonl")) == ["t0", "t1", "r0"]


def test_the_folder_may_be_named_in_the_environment(copies, monkeypatch):
    monkeypatch.setenv("RELSIM_DATA", str(copies))
    (item,) = locate(find("random-14k"))
    assert (item.path, item.checksum.origin) == (copies / "random_images_14k.jsonl", "$RELSIM_DATA")


def test_lists_in_a_folder_named_data_are_found(copies):
    (copies / "data").mkdir()
    (copies / "random_images_14k.jsonl").rename(copies / "data" / "random_images_14k.jsonl")
    assert ids(load("random-14k", local=copies)) == ["r0"]


def test_a_bad_line_is_reported_and_the_rest_is_read(copies):
    with (copies / "random_images_14k.jsonl").open("a") as file:
        file.write('oops\n{"image_hash": "r1"}\n')
    bad = []
    assert ids(load("random-14k", local=copies, on_bad_line=bad.append)) == ["r0", "r1"]
    assert [line.number for line in bad] == [2]


def test_a_name_goes_before_a_file_and_a_file_is_read_as_it_is(copies, monkeypatch):
    monkeypatch.setenv("RELSIM_DATA", str(copies))
    monkeypatch.chdir(copies)
    assert ids(load_named("random-14k")) == ["r0"]
    assert ids(load_named("anonymous_captions_test.jsonl")) == ["t0", "t1"]
    with pytest.raises(SourceError, match="there is no collection"):
        load_named("nothing")
    with pytest.raises(SourceError, match=r"cannot read nothing\.jsonl"):
        load_named("nothing.jsonl")


@pytest.mark.parametrize("missing", ["none", "empty"])
def test_a_copy_that_is_not_there_is_one_clear_line(copies, missing):
    (copies / "empty").mkdir()
    with pytest.raises(SourceError, match=r"random_images_14k\.jsonl"):
        load("random-14k", local=copies / missing)


class TestChecksums:
    def test_first_use_is_recorded_and_the_second_compared(self, copies):
        (first,), (second,) = (locate(find("random-14k"), local=copies) for _ in range(2))
        assert (first.first_use, second.first_use) == (True, False)
        assert first.checksum == second.checksum

    def test_a_changed_file_is_refused_with_both_digests_until_it_is_accepted(self, copies):
        (before,) = locate(find("random-14k"), local=copies)
        write_manifest(copies / "random_images_14k.jsonl", [*RANDOM, ManifestRow("r1")])
        with pytest.raises(SourceError, match="has changed since it was first used") as caught:
            load("random-14k", local=copies)
        digest = subprocess.run(
            ["sha256sum", copies / "random_images_14k.jsonl"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        assert before.checksum.sha256 in str(caught.value)
        assert digest in str(caught.value)
        assert "relsim data show NAME --accept" in str(caught.value)
        (after,) = locate(find("random-14k"), local=copies, accept=True)
        assert after.checksum.sha256 == digest
        assert ids(load("random-14k", local=copies)) == ["r0", "r1"]

    def test_a_file_shared_by_two_collections_has_one_record(self, copies):
        locate(find("retrieval-28k"), local=copies)
        assert not any(item.first_use for item in locate(find("anonymous-captions-114k/test"), local=copies))

    @pytest.mark.parametrize(
        "content", ["", "[]", '{"schema": "relsim.checksum/1"}', '{"schema": "relsim.checksum/9"}']
    )
    def test_a_damaged_record_is_one_clear_line(self, copies, cache, content):
        locate(find("random-14k"), local=copies)
        (record,) = (cache / "relsim" / "checksums").iterdir()
        record.write_text(content)
        with pytest.raises(SourceError, match="remove it to make it again"):
            locate(find("random-14k"), local=copies)

    def test_a_copy_that_differs_from_the_tested_one_is_logged(self, copies, caplog):
        locate(find("random-14k"), local=copies)
        assert "is not the copy that relsim was tested with" in caplog.text


class _Web(BaseHTTPRequestHandler):
    """Answers with what the path asks for."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        content = b'{"image_hash": "w0"}\n'
        if self.path == "/404":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) * (2 if self.path == "/cut" else 1)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def from_web(web, monkeypatch):
    """`random-14k` at a path of the local server."""

    def at(path):
        entry = find("random-14k")
        file = replace(entry.files[0], address=f"http://127.0.0.1:{web.server_port}{path}")
        monkeypatch.setattr(catalog, "CATALOG", (replace(entry, files=(file,)),))

    return at


def test_a_list_on_the_web_is_fetched_once(from_web, web):
    from_web("/list")
    assert [ids(load("random-14k")) for _ in range(2)] == [["w0"], ["w0"]]
    assert web.asked == ["/list"]


@pytest.mark.parametrize(
    ("path", "fault"), [("/404", "answers with status 404"), ("/cut", "was cut off after 21 of 42")]
)
def test_a_list_that_cannot_be_fetched_says_what_to_do(from_web, cache, path, fault):
    from_web(path)
    with pytest.raises(SourceError, match=fault) as caught:
        load("random-14k")
    assert "--from PATH, or set RELSIM_DATA" in str(caught.value)
    assert list((cache / "relsim" / "lists").iterdir()) == []


def test_nothing_is_fetched_offline(from_web, web, monkeypatch):
    from_web("/list")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE is set"):
        load("random-14k")
    assert web.asked == []


LOAD = """
import json, sys
from relsim.data.catalog import find, load, locate
from relsim.errors import RelsimError
for name in sys.argv[1:]:
    try:
        items = locate(find(name))
        print(json.dumps([[row.image_hash for row in load(name)], sorted({item.checksum.origin for item in items})]))
    except RelsimError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def from_hub(hub_server, cache, tmp_path):
    """Loads collections from a Hub that serves `folders`, each in a process of its own."""

    def run(folders, *names, **changes):
        with hub_server.LocalHub({f"datasets/{name}": folder for name, folder in folders.items()}) as server:
            variables = {**os.environ, **server.variables(tmp_path / "home"), "XDG_CACHE_HOME": str(cache), **changes}
            # No address of the catalog may be reached from a test.
            variables |= {"https_proxy": server.url, "PYTHONPATH": os.pathsep.join(sys.path)}
            done = subprocess.run(
                [sys.executable, "-c", LOAD, *names], env=variables, capture_output=True, text=True, check=True
            )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_lists_come_from_the_hub_and_then_from_its_cache(from_hub, copies):
    folders = {"thaoshibe/anonymous-captions-114k": copies, "thaoshibe/seed-groups": copies}
    captions, seeds = from_hub(folders, "anonymous-captions-114k", "seed-groups")
    assert captions == [["n0", "t0", "t1"], ["Hub data set thaoshibe/anonymous-captions-114k"]]
    assert seeds[1] == ["Hub data set thaoshibe/seed-groups"]
    assert from_hub(folders, "anonymous-captions-114k", HF_HUB_OFFLINE="1") == [captions]


def test_lists_that_the_hub_keeps_as_tables_are_read(from_hub, copies, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "tables" / "data").mkdir(parents=True)
    for part, rows in (("train", [TRAIN, TRAIN]), ("test", [TEST])):
        for number, some in enumerate(rows):
            path = tmp_path / "tables" / "data" / f"{part}-{number:05d}-of-{len(rows):05d}.parquet"
            pq.write_table(pa.Table.from_pylist([row.to_dict() for row in some]), path)
    (loaded,) = from_hub({"thaoshibe/anonymous-captions-114k": tmp_path / "tables"}, "anonymous-captions-114k")
    assert loaded[0] == ["n0", "n0", "t0", "t1"]


def test_what_neither_hub_nor_web_has_is_one_clear_line(from_hub, tmp_path):
    (tmp_path / "bare").mkdir()
    (message,) = from_hub({"thaoshibe/seed-groups": tmp_path / "bare"}, "seed-groups")
    assert "has none of seed_group.json, data/seed_group.json" in message
    assert "raw.githubusercontent.com" in message
    assert "--from PATH" in message
