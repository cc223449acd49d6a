"""Listing: what each kind of source gives, in which order, under which id, and what is refused."""

import glob
import io
import itertools
import json
import os
import sys
from pathlib import Path

import pytest

from relsim.data.images import load_image, read_bytes
from relsim.data.records import Failure, Status
from relsim.data.sources import IMAGE_SUFFIXES, list_images
from relsim.errors import SourceError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """`make("a/b.png", …)` creates files below a fresh current folder and returns that folder."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(root)

    def make(*names, content=b"x"):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return make


def ids(*sources, **options) -> list[str]:
    return [record.image_id for record in list_images(sources, **options)]


class TestFolders:
    def test_ids_are_paths_below_the_folder_in_natural_order(self, tree):
        tree("p/img10.png", "p/img2.jpg", "p/IMG1.JPG", "p/b/1.webp", "p/a10/x.gif", "p/a9/x.gif", "p/img02.png")
        assert ids("p") == ["IMG1.JPG", "a9/x.gif", "a10/x.gif", "b/1.webp", "img2.jpg", "img02.png", "img10.png"]

    def test_sources_are_absolute(self, tree):
        root = tree("p/q/1.png")
        assert [record.source for record in list_images(["p"])] == [str(root / "p/q/1.png")]

    def test_every_documented_suffix_counts_in_any_case(self, tree):
        tree(*(f"p/{n}{suffix.upper()}" for n, suffix in enumerate(IMAGE_SUFFIXES)))
        assert len(ids("p")) == len(IMAGE_SUFFIXES)

    def test_other_files_and_hidden_ones_are_passed_over(self, tree):
        tree("p/1.png", "p/notes.txt", "p/Thumbs.db", "p/png", "p/.2.png", "p/.cache/3.png", "p/._1.png")
        assert ids("p") == ["1.png"]

    def test_a_hidden_folder_that_is_named_is_listed(self, tree):
        tree(".cache/1.png")
        assert ids(".cache") == ["1.png"]

    def test_one_level_only_if_asked(self, tree):
        tree("p/1.png", "p/q/2.png")
        assert ids("p", recursive=False) == ["1.png"]

    def test_a_folder_named_like_an_image_is_a_folder(self, tree):
        tree("p/album.png/1.png")
        assert ids("p") == ["album.png/1.png"]

    def test_loops_of_links_end(self, tree):
        root = tree("p/a/1.png", "p/b/2.png")
        for folder in ("a", "b"):
            for target in ("a", "b"):
                (root / "p" / folder / f"to_{target}").symlink_to(root / "p" / target)
            (root / "p" / folder / "up").symlink_to("..")
        assert ids("p") == ["a/1.png", "b/2.png"]
        assert ids("p/**/*.png") == ["a/1.png", "b/2.png"]

    def test_a_real_folder_goes_before_a_link_to_it(self, tree):
        root = tree("p/real/1.png")
        (root / "p" / "alias").symlink_to("real")
        assert ids("p") == ["real/1.png"]

    def test_a_link_to_a_folder_elsewhere_is_followed(self, tree):
        root = tree("p/1.png", "elsewhere/2.png")
        (root / "p" / "link").symlink_to(root / "elsewhere")
        assert ids("p") == ["1.png", "link/2.png"]

    def test_broken_and_looping_links_are_records_that_fail(self, tree):
        root = tree("p/1.png")
        (root / "p" / "2.png").symlink_to("gone.png")
        (root / "p" / "3.png").symlink_to("3.png")
        records = list_images(["p"])
        assert [record.image_id for record in records] == ["1.png", "2.png", "3.png"]
        assert [load_image(record).status for record in records[1:]] == [Status.MISSING, Status.MISSING]

    def test_two_links_to_one_file_are_two_images(self, tree):
        root = tree("blob.png")
        (root / "snapshot").mkdir()
        for name in ("a.png", "b.png"):
            (root / "snapshot" / name).symlink_to(root / "blob.png")
        assert ids("snapshot") == ["a.png", "b.png"]

    def test_an_empty_folder_is_refused(self, tree):
        tree("p/notes.txt")
        with pytest.raises(SourceError, match=r"no images in or below p; looked for \.png, "):
            ids("p")

    def test_a_folder_below_that_may_not_be_read_is_logged(self, public_folder, as_nobody, caplog):
        (public_folder / "1.png").write_bytes(b"x")
        (public_folder / "closed").mkdir(mode=0o700)
        if os.geteuid() != 0:
            (public_folder / "closed").chmod(0)
        with as_nobody():
            assert ids(public_folder) == ["1.png"]
            assert "closed': permission denied" in caplog.text
            with pytest.raises(SourceError, match="cannot be read: permission denied"):
                ids(public_folder / "closed")


class TestFiles:
    def test_a_named_file_is_listed_whatever_its_suffix(self, tree):
        tree("a/photo", "a/list.txt")
        assert ids("a/photo", "a/list.txt") == ["photo", "list.txt"]

    def test_the_order_is_that_of_the_sources(self, tree):
        tree("b.png", "a.png", "c/1.png")
        assert ids("b.png", "c", "a.png") == ["b.png", "1.png", "a.png"]

    def test_one_file_by_several_ways_is_listed_once(self, tree):
        root = tree("p/1.png", "p/2.png")
        (root / "link").symlink_to("p")
        assert ids("p/1.png", "./p/../p/1.png", str(root / "p/1.png"), "link/1.png", "p", "p/*.png") == [
            "1.png",
            "2.png",
        ]

    def test_two_dots_behind_a_link_lead_where_the_system_says(self, tree):
        root = tree("deep/er/x.png", "deep/y.png", "y.png")
        (root / "link").symlink_to("deep/er")
        assert list_images(["link/../y.png"])[0].source == str(root / "deep/y.png")

    def test_a_missing_path_is_refused_by_name(self, tree):
        tree("a.png")
        with pytest.raises(SourceError, match=r"^gone\.png: no such file or folder; name an image file, a folder"):
            ids("a.png", "gone.png")

    @pytest.mark.parametrize("source", ["", "a\0b", "a.png/b.png"])
    def test_impossible_paths_are_refused(self, tree, source):
        tree("a.png")
        with pytest.raises(SourceError, match="no such file or folder"):
            ids(source)

    def test_a_broken_link_is_a_record_that_fails(self, tree):
        (tree() / "link.png").symlink_to("gone.png")
        assert load_image(list_images(["link.png"])[0]).status is Status.MISSING

    @pytest.mark.parametrize("url", ["https://x.org/a.jpg", "HTTP://x.org/", "ftp://x.org/a.jpg"])
    def test_a_url_is_refused_with_the_next_step(self, url):
        with pytest.raises(SourceError, match=r"is a URL.*download the images first and name their folder"):
            ids(url)

    def test_no_source_is_refused(self):
        with pytest.raises(SourceError, match="no source of images is named"):
            list_images([])

    def test_a_single_path_is_not_taken_for_a_list_of_letters(self, tree):
        root = tree("ab.png")
        assert [record.image_id for record in list_images("ab.png")] == ["ab.png"]
        assert [record.image_id for record in list_images(root / "ab.png")] == ["ab.png"]


class TestPatterns:
    def test_ids_are_paths_below_the_part_without_wildcards(self, tree):
        tree("p/a/1.png", "p/a/b/2.png", "p/3.jpg", "p/3.txt")
        assert ids("p/**") == ids("p") == ["3.jpg", "a/1.png", "a/b/2.png"]
        assert ids("p/**/*.png") == ["a/1.png", "a/b/2.png"]
        assert ids("p/*/*.png") == ["a/1.png"]
        assert ids("p/a/**/?.png") == ["1.png", "b/2.png"]
        assert ids("**/b/*") == ["p/a/b/2.png"]
        assert ids("p/**/**/2.png") == ["a/b/2.png"]
        assert ids("p/[ab]/[0-9].png") == ["a/1.png"]

    def test_patterns_agree_with_the_standard_glob(self, tree):
        """Python's glob is the oracle, on every pattern of up to three pieces over a small tree."""
        root = tree(*(f"{a}/{b}/{c}.png" for a in "xy" for b in "xy" for c in "xy"), "x/x.png", "y.png", "x.d/x.png")
        for count in (1, 2, 3):
            for pieces in itertools.product(("**", "*", "x*", "?.png", "x"), repeat=count):
                pattern = "/".join(pieces)
                if not any(sign in pattern for sign in "*?"):
                    continue
                matched = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the oracle knows `**` as users do
                expected = {str(root / name) for name in matched if Path(name).is_file()}
                try:
                    found = {record.source for record in list_images([pattern])}
                except SourceError:
                    found = set()
                assert found == expected, pattern

    def test_an_absolute_pattern(self, tree):
        root = tree("p/1.png")
        assert ids(f"{root}/*/1.png") == ["p/1.png"]

    def test_a_suffix_that_the_pattern_names_is_enough(self, tree):
        tree("p/1.dat", "p/1.png")
        assert ids("p/*.dat") == ["1.dat"]
        assert ids("p/*") == ["1.png"]

    def test_a_file_whose_name_looks_like_a_pattern(self, tree):
        tree("img[1].png", "img1.png")
        assert ids("img[1].png") == ["img[1].png"]

    @pytest.mark.parametrize("pattern", ["p/*.gif", "none/*.png", "p/[z].png"])
    def test_a_pattern_that_matches_nothing_is_refused(self, tree, pattern):
        tree("p/1.png")
        with pytest.raises(SourceError, match=r"no images match|not a folder"):
            ids(pattern)


class TestLists:
    @pytest.mark.parametrize("content", [b"a/1.png\nb/1.png\n", b"a/1.png\r\n\nb/1.png", b"a/1.png\0b/1.png\0"])
    def test_one_path_a_line_or_separated_by_nul(self, tree, content):
        root = tree("a/1.png", "b/1.png")
        records = list_images(["-"], stdin=io.BytesIO(content))
        assert [record.image_id for record in records] == ["a/1.png", "b/1.png"]
        assert [record.source for record in records] == [str(root / "a/1.png"), str(root / "b/1.png")]

    def test_text_works_like_bytes(self, tree):
        tree("ä b.png")
        assert ids("-", stdin=io.StringIO("ä b.png\n")) == ["ä b.png"]

    def test_standard_input_is_the_default(self, tree, monkeypatch):
        tree("1.png")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1.png\n")))
        assert ids("-") == ["1.png"]

    def test_what_cannot_be_read_is_a_record_that_fails(self, tree):
        tree("a/1.png", "note.txt")
        records = list_images(["-"], stdin=io.StringIO("gone.png\na\nnote.txt\n"))
        results = [load_image(record) for record in records]
        assert all(isinstance(result, Failure) for result in results)
        assert [result.status for result in results] == [Status.MISSING, Status.DIRECTORY, Status.NOT_IMAGE]

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\0"])
    def test_an_empty_list_is_refused(self, content):
        with pytest.raises(SourceError, match="the list on stdin is empty"):
            ids("-", stdin=io.BytesIO(content))

    def test_a_url_is_refused_with_its_place(self):
        with pytest.raises(SourceError, match="entry 2 of the list on stdin is a URL"):
            ids("-", stdin=io.StringIO("a.png\nhttps://x.org/a.png\n"))


class TestManifests:
    @pytest.fixture
    def manifest(self, tree):
        def write(*rows, name="data/list.jsonl"):
            return tree(name, content=b"".join(json.dumps(row).encode() + b"\n" for row in rows))

        return write

    def test_images_are_found_by_stem_beside_the_manifest(self, manifest, tree):
        root = manifest({"image_hash": "b", "url_link": "u", "caption": "c", "width": 7}, {"image_hash": "a"})
        tree("data/images/a.webp", "data/images/b.png", "data/images/c.png", "data/a.png")
        first, second = list_images(["data/list.jsonl"])
        assert (first.image_id, first.source) == ("b", str(root / "data/images/b.png"))
        assert first.fields == {"url_link": "u", "caption": "c", "width": 7}
        assert (second.image_id, second.source, second.fields) == ("a", str(root / "data/images/a.webp"), {})

    def test_without_an_images_folder_its_own_is_taken(self, manifest, tree):
        root = manifest({"image_hash": "a"})
        tree("data/a.jpg")
        assert list_images(["data/list.jsonl"])[0].source == str(root / "data/a.jpg")

    def test_the_folder_can_be_named(self, manifest, tree):
        root = manifest({"image_hash": "a"})
        tree("pictures/a.jpg", "data/images/a.png")
        assert list_images(["data/list.jsonl"], image_folder="pictures")[0].source == str(root / "pictures/a.jpg")

    def test_the_published_suffix_goes_first(self, manifest, tree):
        root = manifest({"image_hash": "a"})
        tree("data/a.jpg", "data/a.png", "data/a.txt")
        assert list_images(["data/list.jsonl"])[0].source == str(root / "data/a.png")

    def test_a_missing_image_is_a_record_that_fails(self, manifest):
        root = manifest({"image_hash": "a"})
        (record,) = list_images(["data/list.jsonl"])
        assert record.source == str(root / "data/a.png")
        assert load_image(record).status is Status.MISSING

    def test_a_pattern_may_name_manifests(self, manifest):
        manifest({"image_hash": "a"}, name="data/1.jsonl")
        manifest({"image_hash": "b"}, name="data/2.jsonl")
        assert ids("data/*.jsonl") == ["a", "b"]

    def test_an_image_named_twice_is_listed_once(self, manifest):
        manifest({"image_hash": "a", "caption": "first"}, {"image_hash": "a", "caption": "second"})
        (record,) = list_images(["data/list.jsonl"])
        assert record.fields == {"caption": "first"}

    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b", "a\\b", "a\0b"])
    def test_a_hash_that_leaves_the_folder_is_refused(self, manifest, name):
        manifest({"image_hash": name})
        with pytest.raises(SourceError, match="is not a plain name"):
            ids("data/list.jsonl")

    def test_a_bad_line_is_refused_with_its_number(self, tree):
        tree("list.jsonl", content=b'{"image_hash": "a"}\noops\n')
        with pytest.raises(SourceError, match="line 2: not JSON"):
            ids("list.jsonl")

    def test_an_empty_manifest_is_refused(self, tree):
        tree("list.jsonl", content=b"")
        with pytest.raises(SourceError, match=r"the manifest list\.jsonl has no rows"):
            ids("list.jsonl")

    def test_an_image_folder_that_is_not_there_is_refused(self, manifest):
        manifest({"image_hash": "a"})
        with pytest.raises(SourceError, match="the image folder none is not a folder"):
            ids("data/list.jsonl", image_folder="none")


class TestIds:
    def test_stems_follow_the_published_convention(self, tree):
        tree("p/abc.png", "p/q/def.v2.jpg")
        assert ids("p", ids="stem") == ["abc", "def.v2"]

    def test_a_shared_id_gets_more_of_the_path(self, tree):
        tree("a/x/1.png", "b/x/1.png", "b/x/2.png")
        assert ids("a/x", "b/x") == ["a/x/1.png", "b/x/1.png", "2.png"]
        assert ids("a/x/1.png", "b/x/1.png") == ["a/x/1.png", "b/x/1.png"]

    def test_the_order_of_the_sources_changes_no_id(self, tree):
        tree("a/x/1.png", "b/x/1.png", "x/1.png")
        names = {record.source: record.image_id for record in list_images(["a/x", "b/x", "x"])}
        assert len(set(names.values())) == 3
        assert names == {record.source: record.image_id for record in list_images(["x", "b/x", "a/x"])}

    def test_a_shared_stem_first_gets_the_suffix(self, tree):
        tree("p/1.png", "p/1.jpg", "p/q/1.jpg", "p/2.jpg")
        assert ids("p", ids="stem") == ["p/1.jpg", "1.png", "2", "q/1.jpg"]

    def test_a_longer_id_that_is_taken_already_grows_further(self, tree):
        tree("r/a/1.png", "r/b/1.png", "s/a/1.png")
        found = ids("r/a", "r/b", "s")
        assert found == ["r/a/1.png", "b/1.png", "s/a/1.png"]

    def test_a_shared_id_can_be_refused(self, tree):
        root = tree("a/1.png", "b/1.png")
        with pytest.raises(SourceError) as caught:
            ids("b", "a", same_id="refuse")
        assert str(caught.value).startswith(
            f"two files would have the id 1.png: {root}/a/1.png and {root}/b/1.png; name one folder that holds both"
        )
        assert ids(".", same_id="refuse") == ["a/1.png", "b/1.png"]

    def test_bytes_that_are_not_utf8_and_control_characters_are_shown(self, tree):
        root = os.fsencode(tree("p/ok.png"))
        for name in (b"caf\xe9.png", b"two\nlines.png", b"bell\x07.png"):
            Path(os.fsdecode(root + b"/p/" + name)).write_bytes(b"x")
        records = list_images(["p"])
        assert {record.image_id for record in records} == {r"caf\xe9.png", r"two\nlines.png", r"bell\x07.png", "ok.png"}
        for record in records:
            record.image_id.encode()
            assert Path(record.source).exists()

    def test_names_that_look_the_same_in_print_are_refused(self, tree):
        root = os.fsencode(tree(r"p/caf\xe9.png"))
        Path(os.fsdecode(root + b"/p/caf\xe9.png")).write_bytes(b"x")
        with pytest.raises(SourceError, match="look the same in print"):
            ids("p")

    def test_letters_of_all_scripts_stay(self, tree):
        tree("p/写真　一.png", "p/ñandú.png")
        assert set(ids("p")) == {"写真　一.png", "ñandú.png"}


def test_images_of_a_manifest_may_be_in_a_shard_folder(tmp_path, make_shards, golden_images):
    """A part of a split: rows by id, in the manifest's order; a row without an image keeps its status."""
    images = {path.stem: path.read_bytes() for path in golden_images[:3]}
    shards = make_shards(tmp_path / "shards", {**images, "gone": Status.DEAD})
    ids = [*list(images)[:0:-1], "gone", "never"]
    (tmp_path / "part.jsonl").write_text("".join(json.dumps({"image_hash": name}) + "\n" for name in ids))
    records = list_images([tmp_path / "part.jsonl"], image_folder=shards)
    assert [record.image_id for record in records] == ids
    assert [read_bytes(record.source) for record in records[:2]] == [images[name] for name in ids[:2]]
    assert [load_image(record).status for record in records[2:]] == [Status.DEAD, Status.MISSING]
