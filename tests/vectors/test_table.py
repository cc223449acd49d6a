import json
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relsim.data.records import ImageRecord
from relsim.errors import FingerprintMismatchError, SearchError, TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable
from relsim.vectors.parts import write_failures


def contents(table):
    return [(row.image_id, row.source, dict(row.fields), row.vector.tobytes()) for row in table.rows()]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_rows_come_back_as_they_went_in(tmp_path, facts, unit):
    records = [
        ImageRecord("a", "/a.png", {"caption": "Growth of {Subject}", "width": 640, "source": "web"}),
        ImageRecord("b", "/b.png", {"tags": ["x", {"y": None}], "caption": "ключ 鍵"}),
        ImageRecord("c", "/c.png"),
    ]
    vectors = unit(3, 5)
    with VectorTable.create(tmp_path / "t", facts, 5) as table:
        table.append("0", records, vectors)
    opened = VectorTable.open(tmp_path / "t", facts)
    assert [ImageRecord(r.image_id, r.source, r.fields) for r in opened.rows()] == records
    assert np.array_equal(opened.vectors, vectors)
    assert opened.records([2, 0]) == [records[2], records[0]]
    assert (list(opened.ids), len(opened), opened.dimension) == (["a", "b", "c"], 3, 5)
    assert opened.fingerprint == facts
    assert "b" in opened
    assert "z" not in opened


def test_rows_keep_the_order_of_their_parts(new_table, unit):
    ids = ["d", "a", "c", "b", "e"]
    table = VectorTable.open(new_table(ids, unit(5, 4), pieces=3).path)
    assert list(table.ids) == ids
    assert table.part_names == ("000000", "000001", "000002")
    assert np.array_equal(table.vectors, unit(5, 4))
    assert np.array_equal(table.vector("b"), unit(5, 4)[3])


def test_vectors_are_used_where_they_lie(new_table, unit):
    table = VectorTable.open(new_table([f"{i:03}" for i in range(100)], unit(100, 24)).path)
    (block,) = table.blocks
    assert not block.flags.writeable
    assert not block.flags.owndata
    assert block.ctypes.data % 64 == 0
    (file,) = table.path.glob("part-*.parquet")
    assert file.read_bytes().count(unit(100, 24).tobytes()) == 1
    assert np.shares_memory(table.vectors, block)


@pytest.mark.parametrize(("rows", "numbers"), [(1, 1), (1, 384), (2, 7), (257, 3), (30_000, 8)])
def test_every_shape_can_be_mapped(tmp_path, facts, unit, named, rows, numbers):
    vectors = unit(rows, numbers)
    with VectorTable.create(tmp_path / "t", facts, numbers) as table:
        table.append("0", named(map(str, range(rows))), vectors)
    (block,) = VectorTable.open(tmp_path / "t").blocks
    assert not block.flags.owndata
    assert np.array_equal(block, vectors)


def test_large_parts_have_several_row_groups(tmp_path, facts, unit, named, monkeypatch):
    monkeypatch.setattr("relsim.vectors.parts.ROW_GROUP_BYTES", 40 * 16)
    vectors = unit(100, 4)
    with VectorTable.create(tmp_path / "t", facts, 4) as table:
        table.append("0", named(map(str, range(100))), vectors)
    opened = VectorTable.open(tmp_path / "t")
    assert [len(block) for block in opened.blocks] == [40, 40, 20]
    assert all(block.ctypes.data % 64 == 0 for block in opened.blocks)
    assert np.array_equal(opened.vectors, vectors)
    assert np.array_equal(opened.vector("77"), vectors[77])
    opened.verify()


def test_pyarrow_reads_the_parts(new_table, unit):
    table = new_table(["a", "b", "c"], unit(3, 6))
    read = pa.concat_tables([pq.read_table(path) for path in sorted(table.path.glob("part-*.parquet"))])
    assert read.schema.names == ["image_id", "vector", "source"]
    assert read.schema.field("vector").type.list_size == 6
    assert read["image_id"].to_pylist() == ["a", "b", "c"]
    assert np.array_equal(np.array(read["vector"].to_pylist(), np.float32), unit(3, 6))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"use_dictionary": True},
        {"data_page_size": 256},
        {"data_page_version": "2.0"},
        {"column_encoding": {"vector.list.element": "BYTE_STREAM_SPLIT"}, "use_dictionary": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_another_layout_is_decoded(new_table, unit, options):
    """A part rewritten by another tool has the same rows, even if its vectors cannot be mapped."""
    table = new_table([f"{i:04}" for i in range(3000)], unit(3000, 6))
    (path,) = table.path.glob("part-*.parquet")
    pq.write_table(pq.read_table(path), path, **options)
    accept(table.path)
    opened = VectorTable.open(table.path)
    assert np.array_equal(opened.vectors, unit(3000, 6))
    opened.verify()


def accept(folder):
    """Let table.json agree with changed files."""
    document = json.loads((folder / "table.json").read_text())
    for entry in document["parts"]:
        data = (folder / entry["file"]).read_bytes()
        digest = sha256(data).hexdigest()
        entry.update(bytes=len(data), sha256=digest)
    (folder / "table.json").write_text(json.dumps(document))


def test_a_repeated_part_replaces_its_rows(new_table, unit, named):
    table = new_table(["a", "b", "c", "d"], unit(4, 3), pieces=2)
    with table:
        table.append("000000", named(["b", "x", "y"]), unit(3, 3, seed=1))
    assert list(VectorTable.open(table.path).ids) == list(table.ids) == ["b", "x", "y", "c", "d"]
    assert table.positions == {"b": 0, "x": 1, "y": 2, "c": 3, "d": 4}
    assert len(list(table.path.glob("part-*"))) == 2


def test_the_same_appends_make_the_same_files(new_table, unit, named):
    """What makes an interrupted and repeated run equal to an uninterrupted one, byte for byte."""
    ids, vectors = [f"{i}" for i in range(40)], unit(40, 8)
    plain, repeated = new_table(ids, vectors, 4, "one"), new_table(ids, vectors, 4, "two")
    with repeated:
        for number, rows in enumerate(np.array_split(np.arange(40), 4)):
            repeated.append(f"{number:06d}", named([ids[row] for row in rows]), vectors[rows])
    assert files(plain.path) == files(repeated.path)


def test_parts_are_known_by_name(new_table, unit, failed):
    table = new_table(["a", "b"], unit(2, 3))
    with table:
        table.record_failures("later", failed(["c"]))
    opened = VectorTable.open(table.path)
    assert [opened.has_part(name) for name in ("000000", "later", "never")] == [True, True, False]


def test_a_failure_is_a_row_with_a_reason(new_table, unit, named, failed):
    table = new_table(["a"], unit(1, 3))
    with table:
        table.append("1", named(["b"]), unit(1, 3), failed(["x", "y"]))
    opened = VectorTable.open(table.path)
    assert opened.failures() == failed(["x", "y"])
    assert list(opened.ids) == ["a", "b"]
    with pytest.raises(SearchError, match="no vector for x: it failed: empty, zero bytes"):
        opened.vector("x")


def test_a_later_success_hides_a_failure(new_table, unit, named, failed):
    table = new_table(["a"], unit(1, 3))
    with table:
        table.record_failures("f", failed(["x", "y"]))
        table.record_failures("g", failed(["y"], reason="still zero bytes"))
        table.append("1", named(["x"]), unit(1, 3))
        assert table.failures() == failed(["y"], reason="still zero bytes")
        table.compact()
    assert VectorTable.open(table.path).failures() == failed(["y"], reason="still zero bytes")


def test_deleted_rows_leave_the_disk(new_table, unit, failed):
    ids, vectors = list("abcdef"), unit(6, 16)
    table = new_table(ids, vectors, pieces=3)
    with table:
        table.record_failures("f", failed(["x", "y"]))
        assert table.delete(["b", "e", "x", "unknown"]) == 3
    opened = VectorTable.open(table.path)
    assert list(opened.ids) == ["a", "c", "d", "f"]
    assert np.array_equal(opened.vectors, vectors[[0, 2, 3, 5]])
    assert opened.failures() == failed(["y"])
    assert not any(vectors[1].tobytes() in data for data in files(table.path).values())
    opened.verify()


def test_a_table_can_be_emptied_and_filled_again(new_table, unit, named):
    table = new_table(["a", "b"], unit(2, 3))
    with table:
        table.delete(["a", "b"])
        assert (len(table), table.vectors.shape, table.blocks) == (0, (0, 3), [])
        table.append("new", named(["a"]), unit(1, 3))
        table.compact()
    assert list(VectorTable.open(table.path).ids) == ["a"]


def test_compaction_changes_no_row(new_table, unit):
    table = new_table([f"{i}" for i in range(50)], unit(50, 8), pieces=7)
    before = contents(table)
    with table:
        table.delete(["7", "30"])
        table.compact()
        files_after = files(table.path)
        table.compact()
    opened = VectorTable.open(table.path)
    assert contents(opened) == [row for row in before if row[0] not in ("7", "30")]
    assert len(opened.blocks) == 1
    assert files(table.path) == files_after
    assert sorted(files_after) == sorted(["table.json", *(path.name for path in table.path.glob("part-*"))])
    opened.verify()


def test_compaction_fills_row_groups(new_table, unit, monkeypatch):
    monkeypatch.setattr("relsim.vectors.parts.ROW_GROUP_BYTES", 20 * 32)
    table = new_table([f"{i}" for i in range(50)], unit(50, 8), pieces=10)
    with table:
        table.compact()
    assert [len(block) for block in VectorTable.open(table.path).blocks] == [20, 20, 10]
    assert np.array_equal(table.vectors, unit(50, 8))


@pytest.fixture
def ten_per_file(monkeypatch):
    """Files of failures are full with ten."""
    monkeypatch.setattr("relsim.vectors.compaction.FAILURES_PER_FILE", 10)


def failure_files(folder):
    return {name: data for name, data in files(folder).items() if name.startswith("failures-")}


def test_many_failures_are_not_written_again_at_each_merge(new_table, unit, failed, ten_per_file, monkeypatch):
    table = new_table(["a"], unit(1, 3))
    written = []
    monkeypatch.setattr(
        "relsim.vectors.table.write_failures",
        lambda path, some: written.append(len(some)) or write_failures(path, some),
    )
    with table:
        for merge in range(20):
            for number in range(5):
                table.record_failures(f"{merge}-{number}", failed([f"{merge:02}-{number}"]))
            table.compact()
    assert len(table.failures()) == 100
    assert [len(part.ids) for part in table._failures] == [10] * 10
    # Each is written when it is recorded, and in merges to 5 and to 10: not 5 + 10 + ... + 100 of them.
    assert sum(written) == 100 + 10 * (5 + 10)
    full = failure_files(table.path)
    with table:
        table.record_failures("more", failed(["x"]))
        table.record_failures("most", failed(["y"]))
        table.compact()
    assert full.items() <= failure_files(table.path).items()
    assert VectorTable.open(table.path).failures() == table.failures()


def test_the_last_failure_counts_across_merged_files(new_table, unit, failed, ten_per_file):
    table = new_table(["a"], unit(1, 3))
    early, late = [f"{n}" for n in range(10)], ["3", "x", "7"]
    with table:
        table.record_failures("0", failed(early))
        for number, image_id in enumerate(late):
            table.record_failures(f"later-{number}", failed([image_id], reason=f"again {image_id}"))
        table.compact()
    found = VectorTable.open(table.path).failures()
    assert [failure.record.image_id for failure in found] == [*(n for n in early if n not in late), *late]
    assert [failure.reason for failure in found[-3:]] == ["again 3", "again x", "again 7"]
    assert table.failure("7").reason == "again 7"
    assert table.failure("4") == failed(["4"])[0]
    assert table.failure("a") is table.failure("unheard of") is None


def test_failures_of_images_that_have_a_vector_leave_full_files(new_table, unit, named, failed, ten_per_file):
    table = new_table(["a"], unit(1, 3))
    with table:
        table.record_failures("0", failed([f"{n}" for n in range(10)]))
        table.record_failures("1", failed([f"1{n}" for n in range(10)]))
        table.append("half", named(["0", "1", "2", "3", "4"]), unit(5, 3))
        table.compact()
        assert [len(part.ids) for part in table._failures] == [10, 10]
        table.append("more", named(["5"]), unit(1, 3))
        table.compact()
    assert [len(part.ids) for part in table._failures] == [4, 10]
    assert table.failures() == failed([*"6789", *(f"1{n}" for n in range(10))])
    assert table.failure("5") is None


def test_another_fingerprint_is_refused(new_table, unit):
    table = new_table(["a"], unit(1, 3))
    other = Fingerprint.of({"encoder": "relational", "recipe": "crop448", "weights": "9a"})
    with pytest.raises(FingerprintMismatchError) as error:
        VectorTable.open(table.path, other)
    for text in ("recipe: 'native' there, 'crop448' here", "weights: None there, '9a' here", "precision: 'float32'"):
        assert text in str(error.value)
    assert "encoder" not in str(error.value)
    with pytest.raises(FingerprintMismatchError):
        VectorTable.open_or_create(table.path, other, 3)


def test_open_or_create(tmp_path, facts, unit, named):
    with VectorTable.open_or_create(tmp_path / "deep" / "t", facts, 3) as table:
        table.append("0", named(["a"]), unit(1, 3))
    with VectorTable.open_or_create(tmp_path / "deep" / "t", facts, 3) as table:
        assert list(table.ids) == ["a"]
    with pytest.raises(TableError, match="vectors of 3 numbers, not of 4"):
        VectorTable.open_or_create(tmp_path / "deep" / "t", facts, 4)


def test_what_is_no_table_is_refused(tmp_path, facts):
    with pytest.raises(TableError, match="does not exist"):
        VectorTable.open(tmp_path / "none")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    with pytest.raises(TableError, match=r"holds no table\.json"):
        VectorTable.open(tmp_path / "pictures")
    with pytest.raises(TableError, match=r"holds other files \(a.png\)"):
        VectorTable.create(tmp_path / "pictures", facts, 3)
    with pytest.raises(TableError, match=r"Not a directory|File exists"):
        VectorTable.create(tmp_path / "pictures" / "a.png", facts, 3)
    VectorTable.create(tmp_path / "t", facts, 3).close()
    with pytest.raises(TableError, match="already is a vector table"):
        VectorTable.create(tmp_path / "t", facts, 3)


def test_bad_rows_are_refused_and_change_nothing(new_table, unit, named):
    table = new_table(["a", "b"], unit(2, 3))
    before = files(table.path)
    good = unit(1, 3)
    for records, vectors, message in [
        (named(["c"]), unit(1, 4), r"shape \(1, 4\); 1 rows of this table need \(1, 3\)"),
        (named(["c", "d"]), good, r"shape \(1, 3\); 2 rows"),
        (named(["c"]), good * np.float32(np.nan), "NaN or infinity: c"),
        (named(["c"]), good * np.float32(np.inf), "NaN or infinity: c"),
        (named(["c"]), good * np.float32(1.002), "length 1.002"),
        (named(["c"]), np.zeros((1, 3), np.float32), "length 0"),
        (named(["c"]), np.array([[1, 0, 0]]), "type int64"),
        (named(["c", "c"]), unit(2, 3), "given twice: c"),
        (named(["b"]), good, "already has a vector for b"),
        (named([""]), good, "image_id is empty"),
        (named(["caf\udce9"]), good, "not text that UTF-8 can hold"),
        ([ImageRecord("c", "c", {"when": object()})], good, "field when cannot be stored as JSON"),
    ]:
        with table, pytest.raises(TableError, match=message):
            table.append("1", records, vectors)
    for name in ("", "a/b", "../up", ".hidden", "compacted-000000", "x" * 101):
        with pytest.raises(TableError, match="cannot name a part"):
            table.append(name, named(["c"]), good)
    assert files(table.path) == before


def test_rows_of_almost_unit_length_are_kept_as_they_are(new_table, unit, named):
    table = new_table(["a"], unit(1, 3))
    with table:
        table.append("1", named(["b"]), unit(1, 3) * np.float32(1.0009))
    assert np.array_equal(VectorTable.open(table.path).vector("b"), (unit(1, 3) * np.float32(1.0009))[0])


def test_changes_by_another_writer_are_read_before_writing(new_table, unit, named):
    first = new_table(["a"], unit(1, 3))
    with VectorTable.open(first.path) as second:
        second.append("1", named(["b"]), unit(1, 3))
    with first, pytest.raises(TableError, match="already has a vector for b"):
        first.append("2", named(["b"]), unit(1, 3))
    with first:
        first.append("2", named(["c"]), unit(1, 3))
    assert list(VectorTable.open(first.path).ids) == ["a", "b", "c"]


def test_a_reader_is_not_disturbed(new_table, unit):
    ids, vectors = [f"{i}" for i in range(30)], unit(30, 8)
    reader = VectorTable.open(new_table(ids, vectors, pieces=5).path)
    with VectorTable.open(reader.path) as writer:
        writer.delete(ids[:10])
        writer.compact()
    assert list(reader.ids) == ids
    assert np.array_equal(reader.vectors, vectors)


FIELD = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.lists(st.text(max_size=3), max_size=2))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(
        st.dictionaries(st.sampled_from(["source", "vector", "", "a.b", "field:source", "x"]), FIELD, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_any_fields_round_trip(tmp_path_factory, facts, unit, data):
    folder = tmp_path_factory.mktemp("fields") / "t"
    records = [ImageRecord(str(number), "", fields) for number, fields in enumerate(data)]
    with VectorTable.create(folder, facts, 3) as table:
        table.append("0", records, unit(len(records), 3))
    assert [dict(row.fields) for row in VectorTable.open(folder).rows()] == data


def test_a_field_of_all_rows_is_read_by_itself(new_table, unit, named, tmp_path, facts):
    table = VectorTable.create(tmp_path / "mixed", facts, 4)
    table.append("0", named(["a", "b"], caption="a ring", image_id="twin"), unit(2, 4))
    table.append("1", [*named(["c"]), *named(["d"], caption={"en": "a row"})], unit(2, 4, seed=1))
    table.close()
    assert table.field("caption") == ["a ring", "a ring", None, {"en": "a row"}]
    assert table.field("image_id") == ["twin", "twin", None, None]
    assert table.field("nothing") == [None] * 4
    assert table.field("caption") == [record.fields.get("caption") for record in table.records(range(4))]
