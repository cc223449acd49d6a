"""What the file of a row is called with --layout files, and what happens where names are in each other's way."""

import io
import json
from dataclasses import replace
from hashlib import md5

import pyarrow.parquet as pq
import pytest
from PIL import Image

from relsim.data.download import download
from relsim.data.download.names import name_of, refusal_of_id, refusals
from relsim.data.manifest import ManifestRow
from relsim.data.seed_groups import read_seed_groups
from relsim.errors import ShardError


def table(folder):
    return pq.read_table(folder / "status").to_pylist()


def of_ids(*ids):
    return [ManifestRow(image_id) for image_id in ids]


@pytest.fixture
def seed_rows(web, tmp_path):
    """Two groups of the server's pictures, the second with one of the first."""
    urls = [f"{web.https}/ok/{number}.{kind}" for number, kind in [(81, "jpg"), (82, "webp"), (83, "jpg")]]
    groups = [
        {"anonymous_caption": "Growth of {Subject}", "image_urls": urls[:2]},
        {"anonymous_caption": "A {Fruit}", "image_urls": [urls[2], urls[0], urls[2]]},
    ]
    (tmp_path / "seed_group.json").write_text(json.dumps(groups))
    read = read_seed_groups(tmp_path / "seed_group.json")
    return [row for group in read for row in group.rows()]


def test_seed_groups_become_the_published_folder(seed_rows, quick, made, tmp_path):
    """`group_<number>/<md5 of the URL>.png`, converted to RGB; of a URL that a group has twice there is one file."""
    folder = tmp_path / "out"
    download(seed_rows, folder, replace(quick, layout="files", reencode="png", part_rows=2))
    digests = [md5(row.url_link.encode(), usedforsecurity=False).hexdigest() for row in seed_rows[:4]]
    names = [f"group_{group}/{digest}.png" for group, digest in zip([0, 0, 1, 1], digests, strict=True)]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}
    assert sorted(found) == sorted(names)
    for name, number, kind in zip(names, [81, 82, 83, 81], ["JPEG", "WEBP", "JPEG", "JPEG"], strict=True):
        expected = io.BytesIO()
        Image.open(io.BytesIO(made.picture(number, format_name=kind))).convert("RGB").save(expected, "PNG")
        assert found[name] == expected.getvalue()
    rows = table(folder)
    assert [row["file"] for row in rows] == [*names, None]
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["refused"]
    assert rows[4]["reason"] == "row 2 has this file already"


def test_seed_groups_keep_the_suffix_of_their_bytes_without_reencode(seed_rows, quick, tmp_path):
    summary = download(seed_rows, tmp_path / "out", replace(quick, layout="files"))
    files = [row["file"] for row in table(tmp_path / "out")]
    stems = [row.extra["file"].removesuffix(".png") for row in seed_rows]
    kinds = ("jpg", "webp", "jpg", "jpg")
    assert files == [*(f"{stem}.{kind}" for stem, kind in zip(stems[:4], kinds, strict=True)), None]
    images = [tmp_path / "out" / file for file in files[:4]]
    assert summary.bytes >= sum(path.stat().st_size for path in images) > 0


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"group": 3, "file": "group_3/a.png"}, "group_3/a"),
        ({"group": 0, "file": "group_0/a.b.png"}, "group_0/a.b"),
        ({"group": 0, "file": "a.b/c"}, "a.b/c"),
        ({"file": "group_3/a.png"}, "id"),
        ({"group": 3}, "id"),
        ({"group": 3, "file": 7}, "id"),
        ({}, "id"),
    ],
)
def test_the_list_names_the_files_of_groups(extra, name):
    assert name_of(ManifestRow("id", extra=extra)) == name


@pytest.mark.parametrize("file", ["../a.png", "/etc/a.png", "g/../../a.png", "a\\b.png", "g/.png", "nul\0.png", ""])
def test_a_file_that_the_list_names_is_under_the_same_rules(file):
    rows = [ManifestRow("id", extra={"group": 1, "file": file})]
    assert refusals(rows, "files")[0].startswith("the field file cannot name a file")
    assert refusals(rows, "shards") == {}


@pytest.mark.parametrize("ids", [("x", "x.jpg/y", "z"), ("x.jpg/y", "x", "z"), ("z", "X.JPG/y", "x")])
def test_a_folder_in_the_place_of_a_file_is_refused_in_any_order(ids, fetch, tmp_path):
    addresses = [f"/ok/{number}.jpg" for number in range(3)]
    _, summary = fetch(*addresses, ids=ids, layout="files", workers=1)
    assert summary.statuses == {"ok": 2, "refused": 1}
    rows = {row["image_hash"].casefold(): row for row in table(tmp_path / "out")}
    assert rows["x.jpg/y"]["status"] == "refused"
    assert f"the file of row {ids.index('x')}" in rows["x.jpg/y"]["reason"]
    assert (tmp_path / "out" / "x.jpg").is_file()


def test_only_folders_that_may_be_files_of_the_list_are_refused():
    ids = ["a", "b/c.png/d/e", "b/c", "a.jpg", "a.jpg.jpg/f", "a.txt/g", "h.jpg/i", "a/j", "A.Png/k"]
    assert set(refusals(of_ids(*ids), "files")) == {1, 4, 8}
    assert refusals(of_ids(*ids), "shards") == {}


@pytest.mark.parametrize("name", ["status", "Status/x", "summary.json", "outcomes.svg", "shards.json"])
def test_no_folder_takes_the_place_of_what_the_download_writes(name, fetch, tmp_path):
    _, summary = fetch("/ok/1.jpg", "/ok/2.jpg", ids=[f"{name}/a", "b"], layout="files")
    assert summary.statuses == {"ok": 1, "refused": 1}
    assert (tmp_path / "out" / "outcomes.svg").is_file()


def test_what_is_in_the_way_costs_its_row_alone(fetch, tmp_path):
    folder = tmp_path / "out"
    (folder / "a.jpg").mkdir(parents=True)
    (folder / "group").write_text("a file")
    _, summary = fetch(*["/ok/1.jpg"] * 4, ids=["a", "group/b", "group/c/d", "e"], layout="files")
    assert summary.statuses == {"refused": 3, "ok": 1}
    rows = table(folder)
    assert rows[0]["reason"] == "something else is in the place of the file a.jpg or of its folder"
    assert [row["http_code"] for row in rows] == [200] * 4
    assert (folder / "group").read_text() == "a file"
    assert not list((folder / ".download").glob(".tmp-*"))


def test_a_full_disk_is_no_affair_of_a_row(web, quick, small_disk):
    folder, remount = small_disk
    rows = [ManifestRow(f"a{number}", f"{web.https}/ok/{number}.png") for number in range(60)]
    options = replace(quick, part_rows=10, layout="files")
    with pytest.raises(ShardError, match="space"):
        download(rows, folder / "out", options)
    remount("size=20m")
    assert download(rows, folder / "out", options).ok == 60


SHARDS_TAKE = ["flickr:123", "f.", ".x", "a\\b", "a//b", "a/", ".", "x" * 300, "status/a", "a", "a..b", "a/..b"]
SHARDS_REFUSE = ["", "../a", "a/../b", "..", "a\\..\\b", "/etc/a", "nul\0", "a\nb", "\udcff", "x" * 1_001]


@pytest.mark.parametrize("image_id", SHARDS_TAKE, ids=ascii)
def test_in_shards_an_id_need_not_name_a_file(image_id):
    assert refusal_of_id(image_id) is None


@pytest.mark.parametrize("image_id", SHARDS_REFUSE, ids=ascii)
def test_in_shards_an_id_must_not_lead_elsewhere(image_id):
    assert refusal_of_id(image_id)


def test_shards_keep_such_ids_and_are_found_by_them(fetch, made, tmp_path):
    from relsim.data.shards import ShardFolder

    rows, summary = fetch(*(f"/ok/{number}.jpg" for number in range(len(SHARDS_TAKE))), ids=SHARDS_TAKE)
    assert summary.statuses == {"ok": len(SHARDS_TAKE)}
    assert [row.image_hash for row in rows] == SHARDS_TAKE
    shards = ShardFolder.open(tmp_path / "out")
    assert [shards.read(image_id).image for image_id in SHARDS_TAKE] == [
        made.picture(number) for number in range(len(SHARDS_TAKE))
    ]
