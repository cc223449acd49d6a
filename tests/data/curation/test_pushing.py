"""Cards, licences that must be kept, and a push to a local server that speaks the Hub's protocol."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from relsim.data.catalog import CITATION
from relsim.data.curation.card import data_card, terms_of
from relsim.data.curation.exporting import export
from relsim.data.curation.inventory import take_inventory
from relsim.data.curation.pushing import push_shards
from relsim.data.curation.statistics import statistics_of
from relsim.errors import SourceError

CATALOG_ORIGINS = [
    {"name": "random-14k", "sha256": "0" * 64},
    {"name": "anonymous-captions-114k/test"},
    {"name": "/data/random_images_14k.jsonl", "sha256": "0" * 64},
]


@pytest.mark.parametrize("origin", CATALOG_ORIGINS)
def test_data_of_the_catalog_keeps_its_licence(origin):
    assert terms_of(origin).licence == terms_of(origin, "cc-by-nc-sa-4.0").licence == "cc-by-nc-sa-4.0"
    with pytest.raises(SourceError, match=r"must be kept: .*; leave mit out"):
        terms_of(origin, "mit")


@pytest.mark.parametrize("origin", [None, {}, {"name": "mine.jsonl", "sha256": "0" * 64}, {"name": None}])
def test_other_data_has_the_licence_that_is_stated(origin):
    assert (terms_of(origin).licence, terms_of(origin, "mit").licence) == ("unknown", "mit")


def test_a_copy_of_a_published_list_is_known_by_its_digest():
    from relsim.data.catalog import find

    digest = find("random-14k").files[0].sha256
    assert terms_of({"name": "renamed.jsonl", "sha256": digest}).from_catalog


def header(card):
    return yaml.safe_load(card.split("---")[1])


@pytest.mark.parametrize("origin", [CATALOG_ORIGINS[0], None])
def test_a_card_says_what_is_in_it_and_under_which_licence(shards, origin):
    facts = statistics_of(take_inventory(shards))
    card = data_card("Title", facts, terms_of(origin), origin=origin, data_files=[("train", "part-*.parquet")])
    about = header(card)
    assert about["license"] == ("unknown" if origin is None else "cc-by-nc-sa-4.0")
    assert about["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "part-*.parquet"}]}
    ]
    assert about["size_categories"] == ["n<1K"]
    for line in ("| status `ok` | 6 |", "| status `dead` | 1 |", "| format PNG | 3 |", "9 rows, 6 of them"):
        assert line in card
    assert (CITATION in card) == (origin is not None)
    assert ("keeps that licence" in card) == (origin is not None)


PUSH = """
import json, sys
from relsim.data.curation.pushing import push_shards
from relsim.errors import RelsimError
for words in json.loads(sys.argv[1]):
    try:
        print(json.dumps(push_shards(*words[:2], licence=words[2], private=words[3]).to_dict()))
    except RelsimError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def push(hub_server, tmp_path):
    """Pushes to a local Hub, in one process; gives what was printed, and the Hub with what arrived."""

    def run(*calls):
        with hub_server.LocalHub() as server:
            variables = {**os.environ, **server.variables(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, "-c", PUSH, json.dumps(calls)]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()], server

    return run


def test_a_push_uploads_parts_and_card_and_nothing_else(push, tmp_path, shard_rows, write_shards):
    shards = write_shards(tmp_path / "s", shard_rows, origin=CATALOG_ORIGINS[0])
    (shards / ".tmp-part").write_bytes(b"unfinished")
    (shards / "summary.json").write_text("{}")
    before = {path.name for path in shards.iterdir()}
    ((pushed,), hub) = push((str(shards), "someone/pictures", None, True))
    assert hub.created == {"datasets/someone/pictures": True}
    sent = {path: data for (repository, path), data in hub.files.items() if repository == "datasets/someone/pictures"}
    kept = ["shards.json", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert {name: sent.pop(name) for name in kept} == {name: (shards / name).read_bytes() for name in kept}
    assert list(sent) == ["README.md"]
    assert header(sent["README.md"].decode())["license"] == "cc-by-nc-sa-4.0"
    assert (pushed["licence"], pushed["from_catalog"], pushed["rows"]) == ("cc-by-nc-sa-4.0", True, 9)
    assert pushed["commit"].endswith("c" * 40)
    assert {path.name for path in shards.iterdir()} == before


def test_data_of_nobody_knows_where_needs_a_stated_licence(push, shards):
    (silent, stated), hub = push(
        (str(shards), "someone/x", None, False), (str(shards), "someone/x", "cc-by-4.0", False)
    )
    assert "--licence" in silent
    assert stated["licence"] == "cc-by-4.0"
    assert header(hub.files["datasets/someone/x", "README.md"].decode())["license"] == "cc-by-4.0"


def test_what_the_hub_refuses_is_one_clear_line(push, shards):
    (locked, unnamed), _ = push((str(shards), "locked/x", "mit", False), (str(shards), "no name", "mit", False))
    assert "the Hub refuses locked/x (status 403)" in locked
    assert "no Hub id of the form owner/name" in unnamed


def test_a_folder_that_is_not_of_shards_is_refused(folder):
    with pytest.raises(SourceError, match="is not a shard folder"):
        push_shards(folder, "someone/x", licence="mit")


def test_what_was_pushed_is_a_data_set(push, tmp_path, shard_rows, write_shards, images):
    """Card and parts, as they arrived, opened as the Hub's library opens them."""
    import datasets

    shards = write_shards(tmp_path / "s", shard_rows, origin=CATALOG_ORIGINS[0])
    _, hub = push((str(shards), "someone/pictures", None, False))
    for (_, name), data in hub.files.items():
        (tmp_path / "arrived").mkdir(exist_ok=True)
        (tmp_path / "arrived" / name).write_bytes(data)
    loaded = datasets.load_dataset(str(tmp_path / "arrived"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["image_hash"] == [row.image_hash for row in shard_rows]
    assert [image is not None for image in loaded["image"]] == [row.sha256 is not None for row in shard_rows]


def test_an_export_of_the_catalogs_data_keeps_its_licence(tmp_path, shard_rows, write_shards):
    inventory = take_inventory(write_shards(tmp_path / "s", shard_rows, origin=CATALOG_ORIGINS[0]))
    assert export(inventory, "folder", tmp_path / "x").licence == "cc-by-nc-sa-4.0"
    assert "keeps that licence" in (tmp_path / "x" / "README.md").read_text()
    with pytest.raises(SourceError, match="must be kept"):
        export(inventory, "folder", tmp_path / "y", licence="mit")
