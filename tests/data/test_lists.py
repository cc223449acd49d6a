"""Published lists in every form: seed groups with URLs or folders, JSON and JSONL, tables; bad entries by line."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from relsim.data.lists import read_list
from relsim.data.manifest import BadLine, ManifestRow, write_manifest
from relsim.data.seed_groups import read_seed_groups
from relsim.errors import SourceError

SHARED = Path(__file__).parents[3] / "shared" / "data"
URLS = ["https://x.org/0/1.png", "https://x.org/0/0.png?a=1&amp;b=2"]
GROUPS = [
    {"anonymous_caption": '"Growth of {Subject}"', "image_urls": URLS},
    {"anonymous_caption": "A {Thing} as a {Thing}", "image_urls": ["https://x.org/1/0.png"], "note": "kept"},
]


def md5(text):
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


@pytest.fixture(params=["list", "lines"])
def groups_file(request, write):
    if request.param == "list":
        return write("seed_group.json", json.dumps(GROUPS, indent=4))
    return write("seed_group.jsonl", "".join(json.dumps(group) + "\n" for group in GROUPS))


def test_groups_with_urls_are_read(groups_file):
    first, second = read_seed_groups(groups_file)
    assert (first.index, first.caption, first.caption_clean) == (0, '"Growth of {Subject}"', "Growth of {Subject}")
    assert [image.url for image in first.images] == URLS
    assert first.images[1].url_clean == "https://x.org/0/0.png?a=1&b=2"
    assert [first.file_of(image) for image in first.images] == [f"group_0/{md5(url)}.png" for url in URLS]
    assert (second.index, second.extra) == (1, {"note": "kept"})


def test_groups_become_rows_that_know_their_group(groups_file):
    assert read_list(groups_file) == [
        ManifestRow(
            md5(URLS[0]),
            URLS[0],
            GROUPS[0]["anonymous_caption"],
            {"caption_clean": "Growth of {Subject}", "group": 0, "file": f"group_0/{md5(URLS[0])}.png"},
        ),
        ManifestRow(
            md5(URLS[1]),
            URLS[1],
            GROUPS[0]["anonymous_caption"],
            {
                "caption_clean": "Growth of {Subject}",
                "url_clean": "https://x.org/0/0.png?a=1&b=2",
                "group": 0,
                "file": f"group_0/{md5(URLS[1])}.png",
            },
        ),
        ManifestRow(
            md5("https://x.org/1/0.png"),
            "https://x.org/1/0.png",
            "A {Thing} as a {Thing}",
            {"note": "kept", "group": 1, "file": f"group_1/{md5('https://x.org/1/0.png')}.png"},
        ),
    ]


@pytest.mark.parametrize("place", ["", "images"])
@pytest.mark.parametrize("name", ["{}", "group_{}"])
def test_groups_with_folders_are_read(write, tmp_path, place, name):
    for group, file in ((7, "2.png"), (7, "10.png"), (8, "0.png"), (7, "note.txt")):
        path = tmp_path / place / name.format(group) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path, "PNG")
    entries = [{"index_group": 7, "anonymous_caption": "A"}, {"index_group": "8", "anonymous_caption": "B"}]
    path = write("old.json", json.dumps(entries))
    first, second = read_seed_groups(path)
    assert (first.index, second.index) == (7, 8)
    assert [image.path.name for image in first.images] == ["2.png", "10.png"]
    assert [(row.image_hash, row.extra["file"]) for row in first.rows()] == [
        ("group_7_2", "group_7/group_7_2.png"),
        ("group_7_10", "group_7/group_7_10.png"),
    ]
    elsewhere = write("elsewhere.json", json.dumps(entries))
    elsewhere = elsewhere.rename(tmp_path.parent / f"{tmp_path.name}.json")
    assert [len(group.images) for group in read_seed_groups(elsewhere)] == [0, 0]
    assert [len(g.images) for g in read_seed_groups(elsewhere, image_folder=tmp_path / place)] == [2, 1]
    with pytest.raises(SourceError, match="is not a folder"):
        read_seed_groups(elsewhere, image_folder=tmp_path / "none")


BAD = [
    ('"text"', "a JSON object is needed, not a string"),
    ('{"anonymous_caption": "", "image_urls": ["u"]}', "anonymous_caption must be there"),
    ('{"anonymous_caption": 3, "image_urls": ["u"]}', "anonymous_caption must be there"),
    ('{"anonymous_caption": "A"}', "image_urls or index_group must be there"),
    ('{"anonymous_caption": "A", "image_urls": []}', "at least one URL"),
    ('{"anonymous_caption": "A", "image_urls": "u"}', "not a string"),
    ('{"anonymous_caption": "A", "image_urls": ["u", null]}', "not null"),
    ('{"anonymous_caption": "A", "index_group": -1}', "a whole number from 0"),
    ('{"anonymous_caption": "A", "index_group": true}', "not true or false"),
    ('{"anonymous_caption": "A", "index_group": "1.5"}', "not a string"),
    ('{"anonymous_caption": "A", "image_urls": ["u"], "anonymous_caption": "B"}', "occurs twice"),
    ('{"anonymous_caption": "A", "image_urls": ["u"], "x": NaN}', "NaN is not a JSON value"),
]
GOOD = '{"anonymous_caption": "good", "image_urls": ["u"]}'


@pytest.mark.parametrize(("entry", "reason"), BAD)
@pytest.mark.parametrize("form", ["list", "lines"])
def test_a_bad_group_is_named_with_its_line_and_the_rest_is_read(write, entry, reason, form):
    text = f"[{GOOD},\n{entry}\n,\n\n{GOOD}\n]" if form == "list" else f"{GOOD}\n{entry}\n{GOOD}\n"
    path = write("groups.json" if form == "list" else "groups.jsonl", text)
    bad: list[BadLine] = []
    assert [group.caption for group in read_seed_groups(path, on_bad_line=bad.append)] == ["good", "good"]
    assert [line.number for line in bad] == [2]
    assert reason in bad[0].reason
    with pytest.raises(SourceError, match="has 1 bad entry: line 2: ") as caught:
        read_list(path)
    assert "\n" not in str(caught.value)


def test_bad_entries_past_the_fifth_are_counted(write):
    path = write("groups.jsonl", GOOD + "\n" + "{}\n" * 9)
    with pytest.raises(SourceError, match=r"9 bad entries: line 2: .*; and 4 more"):
        read_seed_groups(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"[{GOOD},\n{{]", "line 2, column 2"),
        (f"[{GOOD}\n{GOOD}]", "line 2, column 1 on: a comma or the end of the list is missing"),
        (f"[{GOOD}", "a comma or the end of the list is missing"),
        (f"[{GOOD}] x", "something follows the end of the list"),
        ("[" * 100_000, "nested too deeply"),
        (b"[\xff]", "is not UTF-8"),
    ],
)
def test_a_list_whose_syntax_is_broken_is_one_clear_line(write, text, fault):
    with pytest.raises(SourceError, match=r"seed_group\.json") as caught:
        read_list(write("seed_group.json", text))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


ROWS = [ManifestRow("a", "https://x.org/a", '"A {B}"', {"k": [1]}), ManifestRow("b", "https://x.org/b?c&amp;d")]


def test_a_manifest_is_the_same_in_every_form(write, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_manifest(tmp_path / "m.jsonl", ROWS)
    write("m.json", json.dumps([row.to_dict() for row in ROWS]))
    pq.write_table(pa.Table.from_pylist([row.to_dict() for row in ROWS]), tmp_path / "m.parquet")
    lines, array = read_list(tmp_path / "m.jsonl"), read_list(tmp_path / "m.json")
    assert lines == array
    assert [row.extra for row in lines] == [
        {"caption_clean": "A {B}", "k": [1]},
        {"url_clean": "https://x.org/b?c&d"},
    ]
    table = read_list(tmp_path / "m.parquet")
    assert [(row.image_hash, row.url_link, row.caption) for row in table] == [
        (row.image_hash, row.url_link, row.caption) for row in lines
    ]


def test_a_bad_row_of_a_table_is_named_with_its_number(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image_hash": ["a", None, "c"], "url_link": ["u"] * 3}), tmp_path / "m.parquet")
    bad: list[BadLine] = []
    assert [row.image_hash for row in read_list(tmp_path / "m.parquet", on_bad_line=bad.append)] == ["a", "c"]
    assert [line.number for line in bad] == [2]
    pq.write_table(pa.table({"url": ["u"]}), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match="has no column image_hash"):
        read_list(tmp_path / "other.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "m.parquet").read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"cannot read .*torn\.parquet"):
        read_list(tmp_path / "torn.parquet")


@pytest.mark.parametrize("name", ["none.json", "none.jsonl", "none.parquet", "list.csv"])
def test_a_list_that_cannot_be_is_one_clear_line(tmp_path, name):
    with pytest.raises(SourceError):
        read_list(tmp_path / name)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published lists are not beside this checkout")
class TestPublished:
    def test_seed_groups(self):
        groups = read_seed_groups(SHARED / "seed_group.json")
        assert (len(groups), sum(len(group.images) for group in groups)) == (532, 1_529)
        assert all(len(group.images) >= 2 for group in groups)
        assert not [group.caption_clean for group in groups if '"' in (group.caption_clean[0], group.caption_clean[-1])]
        assert len({image.image_hash for group in groups for image in group.images}) == 1_529

    def test_random_images(self):
        """Ids are the MD5 of the URL as written; 1,001 and more URLs have references, and none is left."""
        rows = read_list(SHARED / "random_images_14k.jsonl")
        assert len(rows) == 14_881
        assert all(md5(row.url_link) == row.image_hash for row in rows)
        escaped = [row for row in rows if "&amp;" in row.url_link]
        assert len(escaped) == 155
        assert not [row for row in escaped if "&amp;" in row.extra["url_clean"]]
