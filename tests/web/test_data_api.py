"""Lists of images in the API: filters by brute force, pictures, corrections and who may make them."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from relsim.captions.anonymity import check
from relsim.data.lists import read_list
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Status
from relsim.errors import SourceError
from relsim.web.datasets import Dataset, open_datasets

SEEDS = Path(__file__).parents[3] / "shared" / "data" / "seed_group.json"
CAPTIONS = (
    *("A ring of {Objects}", "A dog beside {Object}", None, "\U0001f600 A dog in 1999", "{Objects} in a row of dogs"),
    *('"Growth of {Subject} in many small steps over time"', "<img src=x onerror=alert(1)> {Object}"),
)


def rows():
    """Rows of all kinds: captions with and without findings, groups of 1 to 6 rows, links that are none."""
    groups = [0, 1, 1, 2, 2, 2, *[3] * 6, None, None]
    links = ["https://a.example/x.png", "javascript:alert(1)", None, "https://[bad"]
    for number in range(28):
        extra = {"group": group} if (group := groups[number % len(groups)]) is not None else {}
        yield ManifestRow(f"h{number}", links[number % 4], CAPTIONS[number % len(CAPTIONS)], extra)


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "my list.jsonl"
    write_manifest(path, rows())
    return path


@pytest.fixture
def shards(tmp_path, shard_row, noise):
    """A shard folder of three pictures and two rows without one."""
    from relsim.data.shard_writing import ShardWriter

    with ShardWriter(tmp_path / "shards") as writer:
        for number in range(5):
            data = Status.DEAD if number in (1, 3) else _png(noise(40 + number, 30, number))
            writer.append(shard_row(number, f"s{number}", data, caption=f"{number} {{Objects}}"))
    return tmp_path / "shards"


def _png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def served(library, models):
    """`served(path, …)` gives a client of a server of its own that shows these lists."""
    from starlette.testclient import TestClient

    from relsim.web.app import create_app
    from relsim.web.extras import Extras

    with contextlib.ExitStack() as stack:

        def start(*paths):
            app = create_app(library, models, extras=Extras(data=open_datasets(paths)))
            client = TestClient(app, base_url="http://localhost", headers={"x-relsim": "1"})
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(served, listed):
    return served(listed)


def found(client, name="my_list", **filters):
    told = client.get(f"/api/data/{name}/rows", params={"count": 500, **filters})
    assert told.status_code == 200, told.text
    assert told.json()["total"] == len(told.json()["rows"])
    return [row["row"] for row in told.json()["rows"]]


def correct(client, row, caption, was, who="Ada", name="my_list"):
    return client.post(f"/api/data/{name}/changes", json={"row": row, "caption": caption, "was": was, "who": who})


def test_what_is_offered_is_told(client, web):
    assert "data" in client.get("/api/collection").json()["offers"]
    assert client.get("/api/data").json() == [{"name": "my_list", "rows": 28, "kind": "list"}]
    bare = web()
    assert "data" not in bare.get("/api/collection").json()["offers"]
    assert bare.get("/api/data").json() == []
    assert "--data" in bare.get("/api/data/my_list").json()["detail"]


def test_a_list_is_summed_up(client):
    told = client.get("/api/data/my_list").json()
    captions = [row.caption for row in rows() if row.caption]
    named = [caption for caption in captions if not check(caption).ok]
    assert (told["rows"], told["captions"], told["named"]) == (28, len(captions), len(named))
    assert (told["groups"], told["largest_group"], told["pictures"]) == (4, 12, 0)
    assert told["statuses"] == {"listed": 28}
    dogs = sum(any(item.kind == "animal" for item in check(caption).findings) for caption in captions)
    assert told["findings"]["animal"] == dogs > 0


WORDS = [0 if row.caption is None else len(row.caption.strip('"').split()) for row in rows()]


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({"text": "DOG a"}, lambda row, _: row.caption and "dog" in row.caption.lower() and "a" in row.caption.lower()),
        ({"anonymous": True}, lambda row, _: row.caption and check(row.caption).ok),
        ({"anonymous": False}, lambda row, _: row.caption and not check(row.caption).ok),
        ({"finding": "number"}, lambda row, _: row.caption and "1999" in row.caption),
        ({"captioned": False}, lambda row, _: row.caption is None),
        ({"status": "listed"}, lambda *_: True),
        ({"status": "dead"}, lambda *_: False),
        ({"group": "2"}, lambda row, _: row.extra.get("group") == 2),
        ({"smallest": 5}, lambda row, _: row.extra.get("group") in (2, 3)),
        ({"largest": 4}, lambda row, _: row.extra.get("group") in (0, 1)),
        ({"smallest": 4, "largest": 6}, lambda row, _: row.extra.get("group") in (1, 2)),
        ({"shortest": 5, "longest": 7}, lambda row, words: row.caption and 5 <= words <= 7),
        ({"anonymous": False, "group": "3"}, lambda row, _: row.extra.get("group") == 3 and _named(row)),
        ({"corrected": True}, lambda *_: False),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_filters_leave_what_passes_them_all(client, filters, passes):
    wanted = [number for number, row in enumerate(rows()) if passes(row, WORDS[number])]
    assert found(client, **filters) == wanted


def _named(row):
    return row.caption is not None and not check(row.caption).ok


def test_pages_are_parts_of_the_whole(client):
    whole = found(client, anonymous=True)
    parts = []
    for start in range(0, len(whole) + 5, 5):
        told = client.get("/api/data/my_list/rows", params={"anonymous": True, "start": start, "count": 5}).json()
        assert (told["total"], told["start"]) == (len(whole), start)
        parts += [row["row"] for row in told["rows"]]
    assert parts == whole


def test_places_of_findings_are_counted_in_signs(client):
    row = client.get("/api/data/my_list/row", params={"row": 3}).json()
    cut = {item["word"]: row["caption"][item["start"] : item["end"]] for item in row["findings"] if item["word"]}
    assert cut == {"dog": "dog", "1999": "1999"}


def test_only_addresses_that_a_browser_may_open_are_told(client):
    links = [client.get("/api/data/my_list/row", params={"row": number}).json()["link"] for number in range(4)]
    assert links == ["https://a.example/x.png", None, None, None]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/data/other", 404),
        ("/api/data/my%20list", 404),
        ("/api/data/..%2f..%2fetc", 404),
        ("/api/data/my_list/row?row=28", 404),
        ("/api/data/my_list/row?row=-1", 422),
        ("/api/data/my_list/picture?row=0", 404),
        ("/api/data/my_list/picture?row=0&side=7", 404),
        ("/api/data/my_list/rows?count=501", 422),
        ("/api/data/my_list/rows?unknown=1", 422),
        ("/api/data/lint", 422),
    ],
)
def test_questions_that_make_no_sense_are_told(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_pictures_of_shards_are_shown_and_dead_ones_told(served, shards, noise):
    client = served(shards)
    told = client.get("/api/data/shards").json()
    assert (told["pictures"], told["statuses"]) == (3, {"ok": 3, "dead": 2})
    assert found(client, "shards", status="dead") == [1, 3]
    answer = client.get("/api/data/shards/picture", params={"row": 2})
    assert Image.open(io.BytesIO(answer.content)).size == (42, 30)
    row = client.get("/api/data/shards/row", params={"row": 3}).json()
    assert (row["status"], row["reason"], row["picture"]) == ("dead", "it is dead", False)
    assert client.get("/api/data/shards/picture", params={"row": 3}).status_code == 404


def test_pictures_beside_a_list_and_of_the_collection_are_shown(served, library, tmp_path, noise):
    known = library.ids[0]
    write_manifest(tmp_path / "l.jsonl", [ManifestRow("beside"), ManifestRow(known), ManifestRow("nowhere")])
    (tmp_path / "images").mkdir()
    noise(31, 21).save(tmp_path / "images" / "beside.png")
    client = served(tmp_path / "l.jsonl")
    assert [row["picture"] for row in client.get("/api/data/l/rows").json()["rows"]] == [True, True, False]
    beside, own = (client.get("/api/data/l/picture", params={"row": row}) for row in (0, 1))
    assert Image.open(io.BytesIO(beside.content)).size == (31, 21)
    assert own.content == client.get("/api/thumbnail", params={"id": known}).content


def test_seed_groups_of_both_forms_are_shown(served, tmp_path, noise):
    for group in (0, 1):
        (tmp_path / "images" / str(group)).mkdir(parents=True)
        for number in range(2 + group):
            noise(20 + group, 20, number).save(tmp_path / "images" / str(group) / f"{number}.png")
    older = [{"anonymous_caption": f'"{{Object}} {group}"', "index_group": group} for group in (0, 1)]
    (tmp_path / "older.json").write_text(json.dumps(older))
    newer = [{"anonymous_caption": "A dog", "image_urls": ["https://a/1.png", "https://a/2.png"]}]
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    client = served(tmp_path / "older.json", tmp_path / "newer.json")
    told = client.get("/api/data/older/rows").json()["rows"]
    assert [(row["caption"], row["group"], row["group_size"], row["picture"]) for row in told] == [
        *[("{Object} 0", "0", 2, True)] * 2,
        *[("{Object} 1", "1", 3, True)] * 3,
    ]
    answer = client.get("/api/data/older/picture", params={"row": 4})
    assert Image.open(io.BytesIO(answer.content)).size == (21, 20)
    assert [row["picture"] for row in client.get("/api/data/newer/rows").json()["rows"]] == [False, False]


@pytest.mark.skipif(not SEEDS.is_file(), reason="the published lists are not beside this checkout")
def test_the_published_seed_groups(tmp_path):
    published = json.loads(SEEDS.read_text())
    (tmp_path / "seeds.json").write_bytes(SEEDS.read_bytes())
    facets = Dataset.open(tmp_path / "seeds.json").facets()
    sizes = [len(group["image_urls"]) for group in published]
    assert (facets.rows, facets.groups, facets.largest_group) == (sum(sizes), len(sizes), max(sizes))
    named = [size for size, group in zip(sizes, published, strict=True) if not check(group["anonymous_caption"]).ok]
    assert facets.named == sum(named)


def test_a_correction_is_kept_in_a_name_and_exported(client, listed):
    before = listed.read_bytes()
    told = correct(client, 1, "An {Animal} beside {Object}", "A dog beside {Object}")
    assert (told.status_code, told.json()["caption"], told.json()["changes"]) == (201, "An {Animal} beside {Object}", 1)
    assert (told.json()["anonymous"], told.json()["listed"]) == (True, "A dog beside {Object}")
    assert found(client, corrected=True) == [1]
    summary = client.get("/api/data/my_list").json()
    assert (summary["corrected"], summary["people"]) == (1, ["Ada"])
    (line,) = [json.loads(text) for text in (listed.parent / "my list.jsonl.changes.jsonl").read_text().splitlines()]
    assert (line["id"], line["field"], line["old"], line["new"], line["who"]) == (
        *("h1", "caption", "A dog beside {Object}", "An {Animal} beside {Object}", "Ada"),
    )
    (change,) = client.get("/api/data/my_list/changes", params={"row": 1}).json()
    assert (change["who"], change["when"]) == (line["who"], line["when"])
    exported = client.get("/api/data/my_list/corrected.jsonl")
    assert exported.headers["content-disposition"] == 'attachment; filename="my_list.jsonl"'
    (listed.parent / "new.jsonl").write_bytes(exported.content)
    wanted = [row.caption for row in rows()]
    wanted[1] = "An {Animal} beside {Object}"
    assert [row.caption for row in read_list(listed.parent / "new.jsonl")] == wanted
    assert listed.read_bytes() == before
    undone = client.post("/api/data/my_list/undo", json={"row": 1, "who": "Grace"})
    assert (undone.json()["caption"], undone.json()["changes"]) == ("A dog beside {Object}", 2)
    assert client.post("/api/data/my_list/undo", json={"row": 1, "who": "Grace"}).status_code == 409


def test_corrections_are_there_after_a_start(served, listed):
    correct(served(listed), 0, "Rings of {Objects}", "A ring of {Objects}")
    assert served(listed).get("/api/data/my_list/row", params={"row": 0}).json()["caption"] == "Rings of {Objects}"


def test_two_people_at_once_do_not_write_over_each_other(client):
    assert correct(client, 0, "Rings of {Objects}", "A ring of {Objects}", "Ada").status_code == 201
    late = correct(client, 0, "A circle of {Objects}", "A ring of {Objects}", "Grace")
    assert late.status_code == 409
    assert client.get("/api/data/my_list/row", params={"row": 0}).json()["caption"] == "Rings of {Objects}"


def test_a_second_server_is_refused_a_write_and_shows_what_the_first_wrote(served, listed):
    first, second = served(listed), served(listed)
    assert correct(first, 0, "Rings of {Objects}", "A ring of {Objects}").status_code == 201
    refused = correct(second, 1, "An {Animal} beside {Object}", "A dog beside {Object}")
    assert (refused.status_code, "another process" in refused.json()["detail"]) == (423, True)
    assert str(listed.parent) not in refused.text
    assert found(second, corrected=True) == [0]
    first.__exit__(None, None, None)
    assert correct(second, 1, "An {Animal} beside {Object}", "A dog beside {Object}").status_code == 201


@pytest.mark.parametrize(
    "content",
    [
        {"row": 0, "caption": " ", "was": "A ring of {Objects}", "who": "Ada"},
        {"row": 0, "caption": "x" * 4_001, "was": "A ring of {Objects}", "who": "Ada"},
        {"row": 0, "caption": "x", "was": "A ring of {Objects}", "who": " "},
        {"row": 0, "caption": "x", "was": "A ring of {Objects}"},
        {"row": -1, "caption": "x", "was": None, "who": "Ada"},
    ],
    ids=str,
)
def test_corrections_that_make_no_sense_are_told(client, listed, content):
    assert client.post("/api/data/my_list/changes", json=content).status_code == 422
    assert found(client, corrected=True) == []


def test_a_correction_needs_the_header_of_a_change(client):
    client.headers.pop("x-relsim")
    assert correct(client, 0, "x", "A ring of {Objects}").status_code == 403
    assert found(client, corrected=True) == []


def test_a_full_disk_is_told(served, small_disk):
    folder, _ = small_disk
    write_manifest(folder / "my list.jsonl", rows())
    client = served(folder / "my list.jsonl")
    with (folder / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))
    answer = correct(client, 0, "Rings of {Objects}", "A ring of {Objects}")
    assert (answer.status_code, "no space left" in answer.json()["detail"]) == (507, True)
    assert found(client, corrected=True) == []


def test_lists_that_share_a_name_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_manifest(tmp_path / folder / "list.jsonl", [ManifestRow(folder)])
    found = open_datasets([tmp_path / "a" / "list.jsonl", tmp_path / "b" / "list.jsonl"])
    assert {name: one.items[0].image_id for name, one in found.items()} == {"list": "a", "list-2": "b"}


def test_what_is_no_list_is_refused(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        Dataset.open(tmp_path / "none.jsonl")


def test_a_summary_reads_no_record_of_the_collection(served, library, tmp_path, monkeypatch):
    rows = [{"image_hash": name, "url_link": "", "caption": "A ring of {Objects}"} for name in (*library.ids[:5], "x")]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    client = served(tmp_path / "some.jsonl")
    monkeypatch.setattr(library, "record", None)  # whoever calls it fails
    assert client.get("/api/data/some").json()["pictures"] == 5
    assert [row["picture"] for row in client.get("/api/data/some/rows").json()["rows"]] == [True] * 5 + [False]
