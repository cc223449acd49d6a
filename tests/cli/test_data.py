"""`relsim data`: what each verb prints, writes and refuses. What it computes is tested in tests/data/curation."""

import csv
import io
import json
import subprocess
import sys

import pytest

from relsim.data.facts import image_facts
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.records import Status
from relsim.data.shard_writing import ShardWriter

ROWS = [
    ManifestRow("one", "https://x.org/1", '"A {Thing}"', {"caption_clean": "A {Thing}"}),
    ManifestRow("twin", "https://x.org/2", "A {Thing} again"),
    ManifestRow("gone", "https://y.org/3"),
    ManifestRow("other", "https://y.org/4", "B {Thing}", {"group": 1}),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RELSIM_DATA", raising=False)


@pytest.fixture
def pictures(noise):
    """Bytes by id: the twin is the same file, the other another picture."""

    def encoded(seed):
        stream = io.BytesIO()
        noise(60, 40, seed).rotate(90 * (seed % 4)).save(stream, "PNG")
        return stream.getvalue()

    return {"one": encoded(1), "twin": encoded(1), "other": encoded(2)}


@pytest.fixture
def make(tmp_path, pictures, shard_row):
    """`make(name, changed={id: bytes}, origin=…)` writes a shard folder of the four rows."""

    def write(name="shards", changed=None, origin=None):
        images = {**pictures, **(changed or {})}
        with ShardWriter(tmp_path / name, origin=origin) as writer:
            for number, row in enumerate(ROWS):
                listed = {"url_link": row.url_link, "caption": row.caption, "extra": row.extra}
                data = images.get(row.image_hash)
                code = 404 if data is None else 200
                writer.append(shard_row(number, row.image_hash, data or Status.DEAD, http_code=code, **listed))
        return tmp_path / name

    return write


@pytest.fixture
def copies(tmp_path):
    """A folder with a small copy of a published list."""
    write_manifest(tmp_path / "random_images_14k.jsonl", ROWS)
    return tmp_path


def test_list_names_every_collection_with_licence_and_citation(verb, document):
    from relsim.data.catalog import NAMES

    shown = verb("data", "list").stdout
    assert [name for name in NAMES if f"{name} " not in shown] == []
    assert "CC BY-NC-SA 4.0" in shown
    assert "arXiv 2512.07833" in shown
    found = document("data", "list")
    names = [(entry["name"], *(f"{entry['name']}/{part}" for part in entry["parts"])) for entry in found["collections"]]
    assert tuple(name for some in names for name in some) == NAMES


def test_show_needs_no_copy_and_fetches_nothing(verb, document):
    shown = verb("data", "show", "seed-groups").stdout
    for part in ("1,529 images", "Hub data set thaoshibe/seed-groups", "CC BY-NC-SA", "Cite: ", "relsim download seed"):
        assert part in shown
    assert document("data", "show", "seed-groups")["files"] == []


def test_show_of_a_copy_compares_it_with_its_first_use(verb, document, refused, copies):
    (first,) = document("data", "show", "random-14k", "--from", copies)["files"]
    assert (first["rows"], first["first_use"], first["origin"]) == (4, True, "local copy")
    assert "as on 20" in verb("data", "show", "random-14k", "--from", copies).stdout
    write_manifest(copies / "random_images_14k.jsonl", ROWS[:2])
    message = refused("data", "show", "random-14k", "--from", copies)
    assert "has changed since it was first used" in message
    assert first["sha256"] in message
    (accepted,) = document("data", "show", "random-14k", "--from", copies, "--accept")["files"]
    assert accepted["rows"] == 2
    assert "as on 20" in verb("data", "show", "random-14k", "--from", copies).stdout


def test_stats_of_shards_a_list_and_a_name(verb, document, make, copies, monkeypatch):
    shown = verb("data", "stats", make()).stdout
    for part in ("4 rows", "dead", "PNG", "y.org", "{Thing}", "1 have the bytes of another"):
        assert part in shown
    assert document("data", "stats", copies / "random_images_14k.jsonl")["statuses"] == {}
    monkeypatch.setenv("RELSIM_DATA", str(copies))
    assert document("data", "stats", "random-14k")["rows"] == 4


def test_bars_are_as_long_as_their_counts(verb, make):
    lines = verb("data", "stats", make()).stdout.splitlines()
    bars = {line.split()[-1]: line.count("\u2588") for line in lines if "\u2588" in line}
    assert (bars["ok"], bars["dead"]) == (30, 10)


def test_bars_are_plain_where_the_terminal_has_no_blocks(run, make, environment):
    shown = run("data", "stats", make(), env={**environment, "PYTHONIOENCODING": "ascii"})
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "#" * 30 in shown.stdout


def test_bad_lines_are_told_with_their_numbers_and_the_rest_is_read(verb, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"image_hash": "a"}\n' + "oops\n" * 7)
    result = verb("data", "stats", tmp_path / "m.jsonl")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, f"{tmp_path}/m.jsonl: 1 rows")
    lines = result.stderr.splitlines()
    assert len(lines) == 6
    assert "line 2: not JSON" in lines[0]
    assert "and more" in lines[5]


def test_verify_exits_with_1_and_names_the_rows_that_fail(verb, document, make, tmp_path):
    good = make()
    result = verb("data", "verify", good)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "3 images of 4 rows read" in result.stderr
    assert "without an image: 1 dead" in result.stderr
    assert document("data", "verify", good)["faults"] == []
    (good / "part-00000.parquet").write_bytes(b"torn")
    result = verb("data", "verify", good)
    assert result.exit_code == 1
    assert result.stdout.startswith("part-00000.parquet\t")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "bad.png").write_text("no picture")
    (fault,) = document("data", "verify", folder, exits=1)["faults"]
    assert (fault["image_id"], fault["row"]) == ("bad.png", 0)


def test_diff_prints_a_line_for_each_difference(verb, document, make, pictures):
    first, second = make("a"), make("b", {"one": pictures["other"], "gone": pictures["one"], "other": None})
    result = verb("data", "diff", first, second)
    rows = list(csv.reader(io.StringIO(result.stdout), delimiter="\t"))
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("one", "bytes", image_facts(pictures["other"]).sha256),
        ("gone", "status", "ok (200)"),
        ("other", "status", "dead (404)"),
    ]
    assert [len(row) for row in rows] == [5, 5, 5]
    assert rows[0][4].startswith("first: PNG, ")
    assert "picture (" in rows[0][4]
    assert rows[1][4].startswith("first: ")
    assert "4 images on both sides, 1 equal; 2 status, 1 bytes" in result.stderr
    found = document("data", "diff", first, second)
    assert [difference["image_id"] for difference in found["differences"]] == ["one", "gone", "other"]
    assert verb("data", "diff", first, first).stdout == ""


def test_dedup_lists_and_deletes_nothing(verb, document, make, tmp_path):
    shards = make()
    before = {path: path.read_bytes() for path in shards.iterdir()}
    shown = verb("data", "dedup", shards, "--kept", tmp_path / "kept.jsonl")
    assert shown.stdout.splitlines() == ["1\tkeep\tbest\tone", "1\tdrop\texact\ttwin", str(tmp_path / "kept.jsonl")]
    assert [row.image_hash for row in read_manifest(tmp_path / "kept.jsonl")] == ["one", "other"]
    verb("data", "dedup", shards, "-o", tmp_path / "d.tsv")
    assert (tmp_path / "d.tsv").read_text().count("\n") == 3
    assert document("data", "dedup", shards, "--distance", 0)["exact"] == 1
    assert {path: path.read_bytes() for path in shards.iterdir()} == before


def test_split_writes_a_manifest_for_each_part(verb, document, make, tmp_path):
    shards = make()
    result = verb("data", "split", shards, "-o", tmp_path / "s", "--parts", "train=0.5,test=0.5", "--seed", 3)
    assert result.exit_code == 0
    parts = {
        name: [row.image_hash for row in read_manifest(tmp_path / "s" / f"{name}.jsonl")] for name in ("train", "test")
    }
    assert sorted(parts["train"] + parts["test"]) == ["one", "other", "twin"]
    assert {"one", "twin"} <= set(parts["train"]) or {"one", "twin"} <= set(parts["test"])
    assert "1 rows without an image left out" in result.stderr
    words = ["--parts", "train=0.5,test=0.5", "--seed", 3]
    again = document("data", "split", shards, "-o", tmp_path / "again", *words)
    assert again["parts"] == {name: {"share": 0.5, "rows": len(ids)} for name, ids in parts.items()}
    alone = document("data", "split", shards, "-o", tmp_path / "alone", "--together", "none")
    assert alone["sets"] == 2  # equal bytes always stay together


def test_export_of_one_part_of_a_split(verb, document, make, tmp_path):
    write_manifest(tmp_path / "only.jsonl", ROWS[:1])
    result = verb("data", "export", make(), "--to", "folder", "-o", tmp_path / "x", "--only", tmp_path / "only.jsonl")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/x\n")
    assert [path.name for path in (tmp_path / "x" / "images").iterdir()] == ["one.png"]
    done = document("data", "export", tmp_path / "x", "--to", "webdataset", "-o", tmp_path / "y")
    assert (done["images"], done["files"], done["licence"]) == (1, 2, "unknown")


def test_push_says_that_the_licence_is_kept(make, hub_server, environment, tmp_path):
    shards = make(origin={"name": "random-14k"})
    with hub_server.LocalHub() as server:
        command = [sys.executable, "-m", "relsim", "data", "push", shards, "someone/pictures"]
        variables = {**environment, **server.variables(tmp_path / "home")}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{server.url}/datasets/someone/pictures/commit/{'c' * 40}\n")
    assert "licence cc-by-nc-sa-4.0; the data comes of the catalog, whose licence is kept" in done.stderr
    assert ("datasets/someone/pictures", "part-00000.parquet") in server.files


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["show", "random"], "there is no collection 'random'; did you mean random-14k?"),
        (["stats", "none"], "none is not a collection"),
        (["verify", "none.jsonl"], "none.jsonl"),
        (["diff", "none.jsonl", "none.jsonl"], "none.jsonl"),
        (["dedup", "list.jsonl"], "has no images to compare"),
        (["split", "list.jsonl", "-o", "out", "--parts", "train=2"], "is not a part"),
        (["split", "list.jsonl", "-o", "out", "--together", "looks"], "nothing is kept together by looks"),
        (["export", "list.jsonl", "--to", "folder", "-o", "out"], "has no images to export"),
        (["export", "list.jsonl", "--to", "zip", "-o", "out"], "'zip' is no form"),
        (["push", ".", "someone/x"], "is not a shard folder"),
        (["push", "shards", "someone/x"], "--licence mit"),
        (["push", "shards", "someone/x", "--licence", "no good"], "is not a licence"),
    ],
)
def test_what_cannot_be_is_one_line(refused, make, tmp_path, monkeypatch, words, fault):
    make()
    write_manifest(tmp_path / "list.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    assert fault in refused("data", *words)
    assert not (tmp_path / "out").exists()


def test_ids_with_signs_that_a_terminal_obeys_are_shown_as_text(verb, make, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a\x1b[31m.png").write_text("no picture")
    shown = verb("data", "verify", tmp_path / "folder").stdout
    assert "\x1b" not in shown
    assert "\\x1b[31m.png" in shown


def test_json_is_what_is_printed_and_nothing_else(document, make):
    for words in (["stats"], ["verify"], ["dedup"]):
        json.dumps(document("data", *words, make("x" + words[0])))
