"""Ids that are read when they are asked for: the same answers as from a list of all."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relsim.errors import SearchError
from relsim.vectors import Searcher, VectorTable, build_index
from relsim.vectors.names import Names
from relsim.vectors.part import Part
from relsim.vectors.texts import KeptTexts, position

IDS = ["d", "a", "folder/caf\u00e9 1.png", "c", "b", "e1", "e", "\u937511"]


@pytest.fixture
def large(monkeypatch):
    """Tables of any size are looked through as large ones are."""
    monkeypatch.setattr("relsim.vectors.view._SMALL", 0)


@pytest.fixture
def opened(new_table, unit, large):
    return VectorTable.open(new_table(IDS, unit(8, 4), pieces=3).path)


def test_names_are_the_list_of_ids(opened):
    names = opened.ids
    assert isinstance(names, Names)
    assert (list(names), len(names)) == (IDS, 8)
    assert [names[row] for row in range(-8, 8)] == IDS + IDS
    assert names[np.int64(3)] == "c"
    for start in (None, 0, 2, 3, 5, -2, 8):
        for stop in (None, 0, 2, 3, 6, -1, 20):
            assert names[start:stop] == IDS[start:stop]
    assert names[::-3] == IDS[::-3]
    for row in (8, -9):
        with pytest.raises(IndexError):
            _ = names[row]


def test_an_id_is_found_by_itself_and_by_hash(opened):
    for _ in range(3):  # the first ones in the files, the others by hash
        assert [opened.row(image_id) for image_id in IDS] == list(range(8))
        for absent in ("", "f", "e2", "folder/cafe 1.png", "caf\udce9", "ab"):
            assert opened.row(absent) is None


def test_ids_of_one_hash_are_told_apart(opened, monkeypatch):
    monkeypatch.setattr("relsim.vectors.names._SEARCHES", 0)
    monkeypatch.setattr("relsim.vectors.names.hash", lambda _: 7, raising=False)
    assert [opened.row(image_id) for image_id in (*IDS, "z")] == [*range(8), None]


def test_membership_ends_in_a_dictionary(opened):
    assert ["a" in opened, "z" in opened, 3 in opened, None in opened] == [True, False, False, False]
    assert opened._positions is None
    assert [image_id in opened for image_id in (*IDS, "z")] == [True] * 8 + [False]
    assert opened._positions == {image_id: row for row, image_id in enumerate(IDS)}


def test_parts_that_cannot_hold_an_id_are_not_read(new_table, unit, large, monkeypatch):
    table = VectorTable.open(new_table([f"{row:04d}" for row in range(100)], unit(100, 4), pieces=10).path)
    looked = []
    monkeypatch.setattr("relsim.vectors.part_reader.position", lambda *given: looked.append(given) or position(*given))
    assert table.row("0057") == 57
    assert table.row("9") is None
    assert len(looked) == 1


@given(
    st.lists(st.one_of(st.text(min_size=1, max_size=6), st.sampled_from(["aba", "ab", "ba", "a"])), max_size=20),
    st.one_of(st.text(min_size=1, max_size=6), st.sampled_from(["aba", "ab", "ba", "a", "bab"])),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_text_is_found_where_a_list_has_it(texts, wanted, skipped, large):
    column = pa.array(texts, pa.large_string() if large else pa.string())[skipped:]
    left = texts[skipped:]
    assert position(column, wanted) == (left.index(wanted) if wanted in left else None)


def test_searching_by_an_index_makes_no_list_of_ids(new_table, unit, large, monkeypatch):
    table = new_table([f"{row:05d}" for row in range(3000)], unit(3000, 64), pieces=3)
    index = build_index(table, "binary", queries=5, shortlist=20)
    asked = []
    monkeypatch.setattr(
        Part, "ids", property(lambda part: asked.append(part) or [name for some in part.reader.ids() for name in some])
    )
    searcher = Searcher(VectorTable.open(table.path), index)
    assert searcher.path(3).kind == "binary"
    (hits,) = searcher.by_vectors(unit(3000, 64)[[1234]], 3)
    assert hits[0].image_id == "01234"
    assert "01234" not in [hit.image_id for hit in searcher.by_id("01234", 3)]
    with pytest.raises(SearchError, match="no such image_id"):
        searcher.by_id("absent")
    assert asked == []
    assert searcher.table._positions is None


def test_texts_are_kept_up_to_their_bound():
    kept, read = KeptTexts(0), []

    def take(group):
        def fresh(names):
            read.append(group)
            return {name: pa.array(["x" * 2**20] * 4) for name in names}

        return kept.take("file", group, ["caption"], fresh)["caption"]

    first = take(0)
    assert take(0) is first
    for group in (1, 2, 0, 3, 0, 1):
        take(group)
    # 16 MiB hold three columns of a little more than 4 MiB; of those, the one that was not asked for longest went.
    assert read == [0, 1, 2, 3, 1]
    assert 12 * 2**20 < kept.bytes <= kept.most == 16 * 2**20
    kept.fit(10**6)
    assert kept.most == 200 * 10**6


def test_reading_all_rows_keeps_none_of_their_texts(new_table, unit, named, facts, tmp_path):
    with VectorTable.create(tmp_path / "t", facts, 4) as table:
        for part in range(10):
            ids = [f"{part}-{row}" for row in range(2000)]
            table.append(str(part), named(ids, caption="Growth of {Subject} over time" * 20), unit(2000, 4))
    opened = VectorTable.open(tmp_path / "t")
    sizes = []
    tracemalloc.start()
    try:
        for number, _ in enumerate(opened.rows()):
            if number % 2000 == 1999:
                sizes.append(tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
    finally:
        tracemalloc.stop()
    assert opened._texts.bytes == 0
    # A part's texts are 1.2 MB: over ten parts they would add up to 12.
    assert max(sizes) - sizes[0] < 2 * 2**20
    assert len(opened.records([3, 5000])) == 2
    assert opened._texts.bytes > 2_000 * 580
