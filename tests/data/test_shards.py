"""Shard folders: what is written is what is read, by row, by id and by address, and what does not fit is refused."""

import hashlib
import json
import os
import pickle
from collections import deque
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relsim.data.images import load_image, read_bytes
from relsim.data.manifest import ManifestRow
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shard_address import file_of, is_shard_folder, split_address
from relsim.data.shard_rows import COLUMNS, ShardRow
from relsim.data.shard_writing import ShardWriter, write_contents, write_part
from relsim.data.shards import ShardFolder, part_rows
from relsim.data.sources import list_images
from relsim.errors import ShardError, SourceError

OTHER_WRITERS = [{"compression": "ZSTD"}, {"use_dictionary": True}, {"data_page_version": "2.0"}]
ORIGIN = {"name": "list.jsonl", "sha256": "0" * 64}


@pytest.fixture(scope="module")
def pictures(golden_images):
    """The bytes of the golden images by name."""
    return {path.name: path.read_bytes() for path in golden_images}


@pytest.fixture
def shards(make_shards, pictures, tmp_path):
    """The golden images and four rows without one, in parts of seven rows."""
    states = {"gone": Status.DEAD, "late": Status.TIMEOUT, "no": Status.BLOCKED, "own": Status.REFUSED}
    images = {**dict(list(pictures.items())[:5]), **states, **dict(list(pictures.items())[5:])}
    return make_shards(tmp_path / "shards", images, part_rows=7, origin=ORIGIN)


def contents(folder):
    return json.loads((folder / "shards.json").read_text())


def plain(number, **columns):
    return ShardRow(number, f"id{number}", Status.DEAD, **columns)


class TestRows:
    def test_every_column_comes_back(self, shard_row, pictures, tmp_path):
        data = next(iter(pictures.values()))
        when = datetime(2026, 11, 27, 6, 5, 4, 123456, tzinfo=timezone(timedelta(hours=2)))
        columns = {"url_link": "https://x/ä", "caption": "", "http_code": 200, "seconds": 0.25, "fetched_at": when}
        row = shard_row(3, "Ü/1", data, **columns, extra={"votes": [1, None], "Ä": {"b": "c"}})
        with ShardWriter(tmp_path / "s") as writer:
            writer.append(row)
        folder = ShardFolder.open(tmp_path / "s")
        assert list(folder.rows(COLUMNS)) == [row]
        assert folder.read("Ü/1") == row

    def test_nulls_come_back(self, tmp_path):
        write_part(tmp_path / "part-00000.parquet", [plain(0)])
        assert list(part_rows(tmp_path / "part-00000.parquet", COLUMNS)) == [plain(0)]

    def test_the_image_is_read_only_if_it_is_named(self, shards):
        assert {row.image for row in ShardFolder.open(shards).rows()} == {None}
        read = [row.image for row in ShardFolder.open(shards).rows(["image"])]
        assert sum(data is not None for data in read) == 17

    def test_what_utf8_cannot_hold_is_escaped(self, tmp_path):
        row = ShardRow(0, "a\udc80", Status.DEAD, "https://\ud83d", extra={"x": "\udcff"})
        write_part(tmp_path / "part-00000.parquet", [row])
        (read,) = part_rows(tmp_path / "part-00000.parquet")
        assert (read.image_hash, read.url_link, read.extra) == ("a\\x80", "https://\\ud83d", {"x": "\udcff"})

    def test_a_row_of_a_list_and_back(self):
        row = ManifestRow("h", "u", None, {"group": 3})
        assert ShardRow.of(7, row, Status.DEAD, http_code=404).manifest_row == row

    @pytest.mark.parametrize(
        ("image_hash", "name"),
        [
            ("ab", "ab.png"),
            ("../x", "_._x.png"),
            ("a/b\\c\0", "a_b_c_x00.png"),
            (".hidden", "_hidden.png"),
            ("C:x", "C_x.png"),
        ],
    )
    def test_the_path_is_a_plain_name(self, image_hash, name):
        assert ShardRow(0, image_hash, Status.OK, format="PNG").path == name

    @pytest.mark.parametrize(
        ("columns", "reason"),
        [
            ({"status": Status.OK}, "row 0 (a) is ok and lacks image, width"),
            ({"status": Status.DEAD, "image": b"x"}, "row 0 (a) is dead and yet has image"),
            ({"status": Status.DEAD, "fetched_at": datetime(2026, 1, 1)}, "fetched_at has no time zone"),  # noqa: DTZ001
            ({"status": Status.DEAD, "http_code": 70_000}, "do not fit the columns"),
            ({"status": Status.DEAD, "extra": {"x": float("nan")}}, "do not fit the columns"),
        ],
    )
    def test_rows_that_do_not_fit_are_refused(self, tmp_path, columns, reason):
        with pytest.raises(ShardError) as caught:
            write_part(tmp_path / "part-00000.parquet", [ShardRow(0, "a", **columns)])
        assert reason in str(caught.value)
        assert list(tmp_path.iterdir()) == []


class TestWriting:
    def test_parts_roll_by_rows(self, shards):
        assert contents(shards) == {
            "schema": "relsim.shards/1",
            "rows": 21,
            "parts": [
                {"name": f"part-0000{n}.parquet", "rows": 7, "bytes": (shards / f"part-0000{n}.parquet").stat().st_size}
                for n in range(3)
            ],
            "statuses": {"ok": 17, "blocked": 1, "dead": 1, "refused": 1, "timeout": 1},
            "about": "images",
            "origin": ORIGIN,
        }
        assert {path.name for path in shards.iterdir()} == {
            "part-00000.parquet", "part-00001.parquet", "part-00002.parquet", "shards.json", ".shards.lock",
        }  # fmt: skip

    def test_parts_roll_by_bytes(self, make_shards, pictures, tmp_path):
        folder = make_shards(tmp_path / "s", pictures, part_bytes=1)
        assert [part["rows"] for part in contents(folder)["parts"]] == [1] * 17

    def test_row_groups_end_by_rows_and_by_bytes(self, shard_row, pictures, tmp_path, monkeypatch):
        write_part(tmp_path / "part-00000.parquet", [plain(n) for n in range(250)])
        footer = pq.read_metadata(tmp_path / "part-00000.parquet")
        assert [footer.row_group(n).num_rows for n in range(3)] == [100, 100, 50]
        name, data = next(iter(pictures.items()))
        monkeypatch.setattr("relsim.data.shard_writing.GROUP_BYTES", 3 * len(data))
        write_part(tmp_path / "part-00000.parquet", [shard_row(n, name, data) for n in range(7)])
        footer = pq.read_metadata(tmp_path / "part-00000.parquet")
        assert [footer.row_group(n).num_rows for n in range(3)] == [3, 3, 1]

    def test_images_are_stored_as_they_are_and_text_is_compressed(self, shards):
        group = pq.read_metadata(shards / "part-00000.parquet").row_group(0)
        chunks = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
        assert chunks.pop("image.bytes").compression == "UNCOMPRESSED"
        assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
        assert chunks["image_hash"].bloom_filter_offset is not None
        assert chunks["image_hash"].statistics.has_min_max

    def test_a_folder_is_continued_with_the_next_part(self, make_shards, shards, pictures):
        before = {path.name: path.read_bytes() for path in shards.glob("part-*")}
        make_shards(shards, {"new": next(iter(pictures.values()))}, origin=ORIGIN)
        assert contents(shards)["rows"] == 22
        assert [part["rows"] for part in contents(shards)["parts"]] == [7, 7, 7, 1]
        assert {name: (shards / name).read_bytes() for name in before} == before

    def test_rows_of_another_list_are_refused(self, make_shards, shards):
        with pytest.raises(ShardError, match=r"holds images of list.jsonl \(sha256 0{12}…\), not of other.jsonl"):
            make_shards(shards, {"x": Status.DEAD}, origin={"name": "other.jsonl", "sha256": "1" * 64})
        assert contents(shards)["rows"] == 21

    def test_a_second_writer_is_refused(self, tmp_path):
        with ShardWriter(tmp_path / "s"), pytest.raises(ShardError, match="written by another process"):
            ShardWriter(tmp_path / "s").__enter__()
        with ShardWriter(tmp_path / "s"):
            pass

    def test_an_error_drops_the_unfinished_part_and_no_other(self, tmp_path):
        def rows():
            yield from map(plain, range(3))
            raise KeyError

        with pytest.raises(KeyError), ShardWriter(tmp_path / "s", part_rows=2) as writer:
            deque(map(writer.append, rows()))
        assert {path.name for path in (tmp_path / "s").iterdir()} == {"part-00000.parquet", ".shards.lock"}

    def test_a_part_is_replaced_as_a_whole(self, shards):
        path = shards / "part-00001.parquet"
        rows = list(part_rows(path, COLUMNS))
        before = path.read_bytes()

        def broken():
            yield from rows[:3]
            raise KeyError

        with pytest.raises(KeyError):
            write_part(path, broken())
        assert path.read_bytes() == before
        write_part(path, rows[:3])
        write_contents(shards, origin=ORIGIN)
        assert len(ShardFolder.open(shards)) == 17
        assert list(part_rows(path, COLUMNS)) == rows[:3]

    def test_equal_rows_make_equal_files(self, make_shards, pictures, tmp_path):
        first, second = (make_shards(tmp_path / name, pictures) / "part-00000.parquet" for name in "ab")
        assert first.read_bytes() == second.read_bytes()


class TestReading:
    def test_ids_in_the_order_of_storage(self, shards, pictures):
        names = list(pictures)
        assert ShardFolder.open(shards).ids == [*names[:5], "gone", "late", "no", "own", *names[5:]]

    def test_read_by_id(self, shards, pictures):
        folder = ShardFolder.open(shards)
        assert {name: folder.read(name).image for name in pictures} == pictures
        assert (folder.read("late").status, folder.read("late").reason) == (Status.TIMEOUT, "it is timeout")
        with pytest.raises(ShardError, match="has no image other"):
            folder.read("other")

    def test_of_rows_that_share_an_id_the_first_that_is_ok_counts(self, shard_row, pictures, tmp_path):
        one, two = list(pictures.values())[:2]
        rows = [
            shard_row(2, "a", one),
            shard_row(3, "a", two),
            shard_row(0, "a", Status.DEAD),
            shard_row(4, "b", Status.TIMEOUT),
            shard_row(5, "b", Status.DEAD),
            shard_row(1, "c", two),
        ]
        with ShardWriter(tmp_path / "s") as writer:
            for row in rows:
                writer.append(row)
        folder = ShardFolder.open(tmp_path / "s")
        assert len(folder) == len(folder.ids) == 6
        assert (folder.read("a").row, folder.read("b").row) == (2, 4)
        part = tmp_path / "s" / "part-00000.parquet"
        assert [(record.image_id, record.source) for record in folder.records()] == [
            ("a", f"{part}#0"), ("c", f"{part}#5"), ("b", f"{part}#3"),
        ]  # fmt: skip

    def test_repeated_ids_are_told(self, shard_row, tmp_path, caplog):
        with ShardWriter(tmp_path / "s") as writer:
            for number in range(3):
                writer.append(shard_row(number, "a", Status.DEAD))
        ShardFolder.open(tmp_path / "s").records()
        assert "2 rows repeat an id" in caplog.text

    def test_pickling_takes_the_folder_along_and_no_rows(self, shards, pictures):
        folder = ShardFolder.open(shards)
        name, data = next(iter(pictures.items()))
        folder.read(name)
        sent = pickle.dumps(folder)
        assert len(sent) < 2_000
        assert pickle.loads(sent).read(name).image == data  # noqa: S301 - our own

    def test_unknown_columns_are_refused(self, shards):
        with pytest.raises(ShardError, match="has no column size; its columns are row, image_hash"):
            list(ShardFolder.open(shards).rows(["size"]))


class TestRefusals:
    def test_a_folder_that_is_none(self, tmp_path):
        with pytest.raises(
            ShardError, match=r"not a shard folder \(shards.json is missing\); relsim download makes one"
        ):
            ShardFolder.open(tmp_path)

    def test_an_unfinished_folder(self, shards):
        (shards / "shards.json").unlink()
        with pytest.raises(ShardError, match=r"is an unfinished shard folder .* run the download again"):
            ShardFolder.open(shards)

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "{}", '{"schema": "relsim.shards/2"}', '{"schema": "relsim.shards/1", "parts": 3}',
         '{"schema": "relsim.shards/1", "rows": 1, "parts": [{"name": "../a", "rows": 1, "bytes": 1}]}',
         '{"schema": "relsim.shards/1", "rows": 2, "parts": [{"name": "part-00000.parquet", "rows": 1, "bytes": 1}]}'],
    )  # fmt: skip
    def test_contents_that_are_none(self, shards, text):
        (shards / "shards.json").write_text(text)
        with pytest.raises(ShardError, match=r"shards.json is not that of a shard folder"):
            ShardFolder.open(shards)

    def test_a_part_cut_short_is_named(self, shards):
        os.truncate(shards / "part-00001.parquet", 1_000)
        with pytest.raises(ShardError, match=r"part-00001.parquet is damaged: it has 1,000 bytes, and shards"):
            ShardFolder.open(shards)

    def test_a_missing_part_is_named(self, shards):
        (shards / "part-00002.parquet").unlink()
        with pytest.raises(ShardError, match=r"part-00002.parquet is damaged: No such file"):
            ShardFolder.open(shards)

    def test_a_damaged_footer_is_named(self, shards):
        damage(shards / "part-00000.parquet", -400, 300)
        with pytest.raises(ShardError, match=r"part-00000.parquet is damaged"):
            ShardFolder.open(shards)

    def test_another_kind_of_parquet_is_refused(self, shards):
        path = shards / "part-00000.parquet"
        size = path.stat().st_size
        pq.write_table(pa.table({"a": np.arange(7)}), path)
        with path.open("ab") as file:  # as long as the part was: what is in it must tell
            footer = path.read_bytes()[4:]
            file.write(b"\0" * (size - path.stat().st_size - len(footer)) + footer)
        with pytest.raises(ShardError, match=r"part-00000.parquet is damaged: its columns are not those of a shard"):
            ShardFolder.open(shards)

    def test_damaged_text_is_noticed(self, shards):
        path = shards / "part-00000.parquet"
        chunk = pq.read_metadata(path).row_group(0).column(1)
        damage(path, chunk.data_page_offset + chunk.total_compressed_size - 4, 2)
        with pytest.raises(ShardError, match=r"part-00000.parquet is damaged"):
            ShardFolder.open(shards).ids  # noqa: B018


def damage(path, place, count):
    """Change bytes in the middle of a file, its size stays."""
    data = bytearray(path.read_bytes())
    start = place % len(data)
    data[start : start + count] = bytes(byte ^ 0x5A for byte in data[start : start + count])
    path.write_bytes(data)


class TestAddresses:
    def test_an_address_has_a_part_and_a_row(self):
        assert split_address("/a/part-00003.parquet#17") == ("/a/part-00003.parquet", 17)
        assert file_of("/a/part-00003.parquet#17") == "/a/part-00003.parquet"

    @pytest.mark.parametrize(
        "path", ["a.png", "part-00000.parquet", "x#3", "a.parquet#", "a.parquet#-1", "a.parquet#b", ""]
    )
    def test_other_paths_are_none(self, path):
        assert split_address(path) is None
        assert file_of(path) == path

    def test_bytes_are_the_original_ones(self, shards, pictures):
        read = {record.image_id: record.source for record in list_images([shards])}
        assert {name: read_bytes(read[name]) for name in pictures} == pictures

    def test_a_row_without_an_image_is_a_failure_with_its_status(self, shards):
        records = {record.image_id: record for record in list_images([shards])}
        failures = [load_image(records[name]) for name in ("gone", "late", "no", "own")]
        assert [(failure.status, failure.reason) for failure in failures] == [
            (status, f"it is {status.value}")
            for status in (Status.DEAD, Status.TIMEOUT, Status.BLOCKED, Status.REFUSED)
        ]

    def test_a_row_that_does_not_exist(self, shards):
        assert failure_of(f"{shards}/part-00000.parquet#7") == (
            Status.MISSING,
            "the part has 7 rows and none of number 7",
        )

    def test_a_part_that_does_not_exist(self, shards):
        assert failure_of(f"{shards}/part-00009.parquet#0")[0] is Status.MISSING

    def test_a_part_that_is_none(self, shards):
        (shards / "x.parquet").write_bytes(b"PAR1 or so")
        assert failure_of(f"{shards}/x.parquet#0") == (Status.DAMAGED, "the part that should hold it is damaged")

    def test_damaged_bytes_are_noticed_and_the_neighbours_are_well(self, shards, pictures):
        path = shards / "part-00000.parquet"
        first, second = list(pictures.values())[:2]
        damage(path, path.read_bytes().index(first) + 100, 1)
        status, reason = failure_of(f"{path}#0")
        assert (status, "SHA-256" in reason) == (Status.DAMAGED, True)
        assert read_bytes(f"{path}#1") == second

    def test_too_many_bytes_are_refused_before_they_are_read(self, shards, pictures):
        from relsim.data.images import Limits

        loaded = load_image(ImageRecord("a", f"{shards}/part-00000.parquet#0"), limits=Limits(max_bytes=1_000))
        assert (loaded.status, loaded.reason) == (
            Status.TOO_LARGE,
            f"an image of {len(next(iter(pictures.values()))):,} bytes, more than the limit of 1,000",
        )

    def test_a_replaced_part_is_read_anew(self, make_shards, shard_row, pictures, tmp_path):
        one, two = list(pictures.values())[:2]
        folder = make_shards(tmp_path / "s", {"a": one})
        assert read_bytes(f"{folder}/part-00000.parquet#0") == one
        write_part(folder / "part-00000.parquet", [shard_row(0, "a", two)])
        assert read_bytes(f"{folder}/part-00000.parquet#0") == two

    @pytest.mark.parametrize(
        "options", [{"compression": "ZSTD"}, {"use_dictionary": True}, {"data_page_version": "2.0"}]
    )
    def test_parts_that_other_programs_wrote_are_read_too(self, shards, pictures, options):
        path = shards / "part-00000.parquet"
        pq.write_table(pq.read_table(path), path, row_group_size=3, **{"compression": "NONE", **options})
        assert [read_bytes(f"{path}#{row}") for row in range(5)] == list(pictures.values())[:5]
        assert failure_of(f"{path}#6") == (Status.TIMEOUT, "it is timeout")

    def test_images_of_several_pages_are_found(self, shards, pictures):
        path = shards / "part-00000.parquet"
        pq.write_table(
            pq.read_table(path), path, compression="NONE", use_dictionary=False, data_page_size=1, write_batch_size=1
        )
        assert [read_bytes(f"{path}#{row}") for row in range(5)] == list(pictures.values())[:5]


def failure_of(source):
    loaded = load_image(ImageRecord("a", source))
    assert isinstance(loaded, Failure)
    return loaded.status, loaded.reason


class TestSources:
    def test_a_shard_folder_lists_like_the_manifest_that_it_came_of(self, tmp_path):
        from relsim.data.manifest import write_manifest

        rows = [
            ManifestRow(f"h{n}", f"https://x/{n}" if n else None, "{A}" if n != 1 else None, {"n": n}) for n in range(3)
        ]
        write_manifest(tmp_path / "list.jsonl", rows)
        with ShardWriter(tmp_path / "s") as writer:
            for place in (2, 0, 1):  # downloads end out of order
                writer.append(ShardRow.of(place, rows[place], Status.DEAD))
        listed = list_images([tmp_path / "s"])
        assert [(record.image_id, record.fields) for record in listed] == [
            (record.image_id, record.fields) for record in list_images([tmp_path / "list.jsonl"])
        ]

    def test_a_folder_named_twice_is_listed_once(self, shards):
        assert len(list_images([shards, f"{shards}/", shards])) == 21

    def test_folders_that_share_ids(self, make_shards, tmp_path):
        for name in ("a", "b"):
            make_shards(tmp_path / name, {"x": Status.DEAD, f"{name}1": Status.DEAD})
        assert [record.image_id for record in list_images([tmp_path / "a", tmp_path / "b"])] == [
            "a/x",
            "a1",
            "b/x",
            "b1",
        ]

    def test_an_address_is_a_source(self, shards, pictures):
        (record,) = list_images([f"{shards}/part-00000.parquet#1"])
        assert (record.image_id, read_bytes(record.source)) == ("part-00000.parquet#1", list(pictures.values())[1])

    def test_an_empty_shard_folder_is_refused(self, make_shards, tmp_path):
        with pytest.raises(SourceError, match="has no rows"):
            list_images([make_shards(tmp_path / "s", {})])

    def test_a_shard_folder_goes_by_its_contents_file(self, shards, tmp_path):
        assert is_shard_folder(shards)
        assert not is_shard_folder(tmp_path)
        assert not is_shard_folder(tmp_path / "nothing")


@given(
    st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=3_000)), min_size=1, max_size=250),
    st.sampled_from([2**31 - 1, 4_000, 1]),
)
@settings(max_examples=60, deadline=None)
def test_the_places_of_byte_arrays_are_those_where_their_bytes_are(values, page):
    """Against pyarrow's own writer, for nulls anywhere and pages of any size."""
    from relsim.data.parquet_pages import byte_array_spans

    sink = pa.BufferOutputStream()
    table = pa.table({"v": pa.StructArray.from_arrays([pa.array(values, pa.binary())], ["bytes"])})
    options = {"compression": "NONE", "use_dictionary": False, "data_page_size": page, "write_batch_size": 16}
    pq.write_table(table, sink, row_group_size=1_000, write_statistics=False, write_page_checksum=True, **options)
    data = sink.getvalue().to_pybytes()
    chunk = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(0)
    start = chunk.data_page_offset
    spans = byte_array_spans(lambda at, size: data[at : at + size], start, start + chunk.total_compressed_size)
    assert [data[at : at + size] for at, size in spans] == [value for value in values if value is not None]


@given(st.binary(max_size=400))
def test_what_is_no_page_has_no_places(data):
    """Whatever comes out of arbitrary bytes lies within them."""
    from relsim.data.parquet_pages import byte_array_spans

    spans = byte_array_spans(lambda at, size: data[at : at + size], 0, len(data))
    assert spans is None or all(at + size <= len(data) for at, size in spans)


def test_the_digest_of_a_stored_image_is_that_of_its_file(shards, pictures):
    rows = {row.image_hash: row.sha256 for row in ShardFolder.open(shards).rows(["sha256"])}
    assert {name: rows[name] for name in pictures} == {
        name: hashlib.sha256(data).hexdigest() for name, data in pictures.items()
    }
