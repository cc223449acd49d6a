"""An index whose table has changed since: what it still holds for, and which index is taken where there are several."""

import json
import shutil

import numpy as np
import pytest

from relsim.errors import TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors import Searcher, VectorIndex, VectorTable, build_index, find_index, index_runs
from relsim.vectors.index_build import current_index, settings_there
from relsim.vectors.index_file import IndexFacts
from relsim.vectors.index_kinds import KINDS
from relsim.vectors.index_runs import Run, Runs

ROWS, NUMBERS = 1_200, 100
IDS = [f"{row:05}" for row in range(ROWS)]


@pytest.fixture(scope="module")
def vectors(unit):
    return unit(ROWS, NUMBERS)


@pytest.fixture
def table(new_table, vectors):
    """Four parts of 300 rows."""
    return new_table(IDS, vectors, pieces=4)


def ids_of(hits):
    return [hit.image_id for hit in hits]


def opened(table, kind=None):
    """A searcher of the table as it is now."""
    now = VectorTable.open(table.path)
    return Searcher(now, VectorIndex.open(now, kind))


def exactly(table, queries, k=10):
    return [ids_of(hits) for hits in Searcher(VectorTable.open(table.path)).by_vectors(queries, k)]


def add(table, records, vectors, part="newer"):
    with VectorTable.open(table.path) as changed:
        changed.append(part, records, vectors)


def delete(table, ids):
    with VectorTable.open(table.path) as changed:
        assert changed.delete(ids) == len(ids)


def merge(table):
    """Merges parts into one, so that no file is as it was."""
    with VectorTable.open(table.path) as changed:
        before = set(changed.part_digests)
        changed.compact()
        assert len(changed.part_names) == 1
        assert not before & set(changed.part_digests)


class TestRows:
    def test_those_that_were_added_are_found(self, table, unit, named, kind):
        build_index(table, kind, shortlist=100)
        newer = unit(30, NUMBERS, seed=9)
        add(table, named([f"new-{row}" for row in range(30)]), newer)
        searcher = opened(table)
        assert [ids_of(hits) for hits in searcher.by_vectors(newer, 1)] == [[f"new-{row}"] for row in range(30)]
        path = searcher.path(10)
        assert (path.kind, path.by_index, path.exactly) == (kind, ROWS, 30)
        assert "changed since the index was built: 30 of 1,230" in path.why

    @pytest.mark.parametrize("part", [0, 2, 3])
    def test_those_that_were_deleted_are_not_found_and_others_are(self, table, vectors, kind, part):
        """The part is written anew, so its rows are searched exactly; the index holds for the parts on either side."""
        build_index(table, kind, shortlist=100)
        gone = IDS[300 * part + 40 : 300 * part + 60]
        delete(table, gone)
        searcher = opened(table)
        assert (searcher.path(10).by_index, searcher.path(10).exactly) == (900, 280)
        matches = searcher.by_vectors(vectors, 10)
        assert not {image_id for hits in matches for image_id in ids_of(hits)} & set(gone)
        kept = [row for row, image_id in enumerate(IDS) if image_id not in gone]
        assert [matches[row][0].image_id for row in kept] == [IDS[row] for row in kept]
        # What is found has the name and the score of its own vector.
        places = {image_id: row for row, image_id in enumerate(IDS)}
        for query, hits in zip(vectors[::50], matches[::50], strict=True):
            true = vectors[[places[hit.image_id] for hit in hits]].astype(np.float64) @ query.astype(np.float64)
            assert np.allclose([hit.score for hit in hits], true, rtol=0, atol=1e-12)

    def test_a_part_that_was_replaced_counts_as_new(self, table, unit, named, kind):
        build_index(table, kind, shortlist=100)
        other = unit(300, NUMBERS, seed=8)
        add(table, named(IDS[300:600]), other, part="000001")
        searcher = opened(table)
        assert (searcher.path(10).by_index, searcher.path(10).exactly) == (900, 300)
        assert [hits[0].image_id for hits in searcher.by_vectors(other, 1)] == IDS[300:600]

    def test_equal_vectors_come_by_id_on_either_side(self, table, vectors, named, kind):
        build_index(table, kind, shortlist=100)
        add(table, named([f"{image_id}-copy" for image_id in IDS[:20]]), vectors[:20])
        delete(table, IDS[310:320])  # the copies and the second part are looked at one by one
        found = opened(table).by_vectors(vectors[[*range(20), 300]], 2)
        assert [ids_of(hits) for hits in found[:20]] == [[image_id, f"{image_id}-copy"] for image_id in IDS[:20]]
        assert found[20][0].image_id == IDS[300]

    def test_what_stood_among_rows_that_are_gone_is_searched_exactly(self, new_table, unit, kind):
        """A crowd of 300 rows, of which three stay: the shortlist of a row of the crowd names none that is left.

        There are enough newer rows to fill its matches: the last part has lost a row as well.
        """
        crowd = unit(1, NUMBERS, seed=3) + 0.05 * unit(300, NUMBERS, seed=4)
        crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
        table = new_table(IDS, np.concatenate([crowd, unit(900, NUMBERS)]), pieces=4)
        build_index(table, kind, shortlist=100)
        delete(table, [*IDS[3:300], IDS[-1]])
        searcher = opened(table)
        assert (searcher.path(10).by_index, searcher.path(10).exactly) == (600, 302)
        assert [ids_of(hits) for hits in searcher.by_vectors(crowd[:5], 10)] == exactly(table, crowd[:5])

    def test_an_index_that_is_mostly_out_of_date_is_not_used(self, table, unit, kind):
        build_index(table, kind)
        delete(table, [IDS[0], IDS[300], IDS[900]])
        searcher = opened(table)
        assert (searcher.path(10).kind, searcher.path(10).exactly) == ("exact", ROWS - 3)
        assert "out of date" in searcher.path(10).why
        queries = unit(5, NUMBERS, seed=7)
        assert [ids_of(hits) for hits in searcher.by_vectors(queries, 10)] == exactly(table, queries)

    def test_vectors_of_another_encoder_make_it_out_of_date(self, table, tmp_path, named, unit, kind):
        build_index(table, kind)
        other = VectorTable.create(tmp_path / "other", Fingerprint.of({"encoder": "another"}), NUMBERS)
        with other:
            other.append("a", named(IDS), unit(ROWS, NUMBERS, seed=3))
        shutil.copytree(table.path / "index", tmp_path / "other" / "index")
        assert VectorIndex.open(other).covered == 0


class TestMergedParts:
    def test_the_index_still_holds_for_them(self, table, vectors, named, unit, kind):
        build_index(table, kind, shortlist=100)
        newer = unit(30, NUMBERS, seed=9)
        add(table, named([f"new-{row}" for row in range(30)]), newer)
        merge(table)
        searcher = opened(table)
        assert (searcher.path(10).by_index, searcher.path(10).exactly) == (ROWS, 30)
        assert [hits[0].image_id for hits in searcher.by_vectors(newer, 1)] == [f"new-{row}" for row in range(30)]
        assert [hits[0].image_id for hits in searcher.by_vectors(vectors, 1)] == IDS

    def test_only_for_vectors_that_are_the_same(self, table, named, unit):
        """The third part was replaced and the last one has lost its first row before they were merged."""
        build_index(table, "binary")
        add(table, named(IDS[600:900]), unit(300, NUMBERS, seed=8), part="000002")
        delete(table, [IDS[900]])
        merge(table)
        index = VectorIndex.open(VectorTable.open(table.path))
        assert index.covered == 600
        assert index.runs.gaps(ROWS - 1).ranges == [(600, ROWS - 1)]

    def test_no_more_is_hashed_than_could_be_merged(self, table, named, unit, monkeypatch):
        """Room for the vectors of two parts: the last two are noted, and to know them by their files needs no hash."""
        monkeypatch.setattr(index_runs, "HASHED_BYTES", 4 * NUMBERS * 600)
        document = build_index(table, "binary").facts.to_json()
        assert [part["vectors"] is not None for part in document["parts"]] == [False, False, True, True]
        monkeypatch.setattr(index_runs, "HASHED_BYTES", 0)
        assert VectorIndex.open(table).covered == ROWS
        add(table, named(["newer"]), unit(1, NUMBERS, seed=9))
        merge(table)
        assert VectorIndex.open(VectorTable.open(table.path)).covered == 0

    def test_a_document_without_their_hashes_is_read(self, table):
        build_index(table, "binary")
        path = table.path / "index" / "binary.json"
        document = json.loads(path.read_text())
        parts = [{"rows": part["rows"], "sha256": part["sha256"]} for part in document["parts"]]
        del document["given"]
        path.write_text(json.dumps({**document, "parts": parts}))
        index = VectorIndex.open(table)
        assert (index.covered, index.facts.given) == (ROWS, ())


def test_runs_translate_rows_as_a_list_of_them_does():
    runs = Runs([Run(0, 4, 3), Run(3, 7, 0), Run(3, 7, 2), Run(8, 9, 4)])
    rows = {0: 4, 1: 5, 2: 6, 3: 7, 4: 8, 8: 9, 9: 10, 10: 11, 11: 12}  # of the index: of the table
    asked = np.arange(-1, 15).reshape(2, 8)
    assert runs.in_table(asked).tolist() == [[rows.get(row, -1) for row in line] for line in asked.tolist()]
    assert (runs.rows, runs.stop) == (9, 12)
    gaps = runs.gaps(15)
    left = [row for row in range(15) if row not in rows.values()]
    assert gaps.in_table(np.arange(-1, 7)).tolist() == [-1, *left, -1]
    assert Runs([]).in_table(asked).tolist() == np.full((2, 8), -1).tolist()
    assert Runs([]).gaps(3).ranges == [(0, 3)]


class TestBuildingAgain:
    def test_an_index_is_current_while_it_holds_for_nine_rows_of_ten(self, table, named, unit, kind):
        assert current_index(table, kind) is None
        build_index(table, kind)
        newer = unit(134, NUMBERS, seed=9)
        add(table, named([f"new-{row}" for row in range(133)]), newer[:133])
        assert current_index(VectorTable.open(table.path), kind).covered == ROWS
        add(table, named(["one-more"]), newer[133:], part="last")
        assert current_index(VectorTable.open(table.path), kind) is None

    def test_an_index_of_rows_that_are_mostly_gone_is_not_current(self, table):
        build_index(table, "binary")
        delete(table, IDS[:700])
        now = VectorTable.open(table.path)
        assert VectorIndex.open(now).covered == 300
        assert current_index(now, "binary") is None

    def test_what_was_chosen_is_known(self, table):
        assert settings_there(table, "binary") == {}
        build_index(table, "binary", shortlist=70, queries=20, seed=3)
        assert settings_there(table, "binary") == {"shortlist": 70, "queries": 20, "seed": 3}
        # Neither a shortlist that was doubled nor as many queries as there are rows is a choice.
        build_index(table, "binary", queries=5_000)
        assert settings_there(table, "binary") == {"seed": 0}
        (table.path / "index" / "binary.json").write_text("{")
        assert settings_there(table, "binary") == {}


class TestChoice:
    @pytest.fixture
    def both(self, table, kind, named, unit):
        """An index of the kind, out of date by 30 rows, beside one of the other kind that is not."""
        pytest.importorskip("usearch.index", reason="the extra `index` is not installed")
        (other,) = KINDS.keys() - {kind}
        build_index(table, kind)
        add(table, named([f"new-{row}" for row in range(30)]), unit(30, NUMBERS, seed=9))
        now = VectorTable.open(table.path)
        build_index(now, other)
        return now, kind, other

    def test_the_index_that_holds_for_most_rows_is_taken(self, both):
        table, older, newer = both
        assert VectorIndex.open(table).facts.kind == newer
        assert find_index(table)[0].facts.kind == newer
        build_index(table, older)
        assert find_index(table)[0].facts.kind == "hnsw"  # the first of equals

    def test_one_may_be_named(self, both):
        table, older, newer = both
        assert [find_index(table, kind)[0].facts.kind for kind in (older, newer)] == [older, newer]
        shutil.rmtree(table.path / "index")
        assert find_index(table) == (None, None)
        assert f"no index of the kind {older}. Build one: relsim index" in find_index(table, older)[1]

    def test_one_that_cannot_be_used_is_passed_over(self, both):
        table, older, newer = both
        (table.path / "index" / VectorIndex.open(table, newer).facts.file).unlink()
        assert find_index(table)[0].facts.kind == older
        assert find_index(table, newer)[0] is None


class TestReadingWhileOneIsBuilt:
    def test_a_build_that_ends_meanwhile_is_read_again(self, table, named, unit, kind, monkeypatch):
        build_index(table, kind)
        add(table, named(["newer"]), unit(1, NUMBERS, seed=9))
        check = IndexFacts.check_file

        def late(facts, folder):
            if facts.rows == ROWS:
                build_index(VectorTable.open(table.path), kind)  # removes the file that the document told of
            return check(facts, folder)

        monkeypatch.setattr(IndexFacts, "check_file", late)
        index = VectorIndex.open(table, kind)
        assert (index.facts.rows, index.covered) == (ROWS + 1, ROWS)

    def test_a_file_that_vanishes_is_told(self, table, kind, monkeypatch):
        build_index(table, kind)
        check = IndexFacts.check_file

        def vanishes(facts, folder):
            check(facts, folder).unlink()
            return folder / facts.file

        monkeypatch.setattr(IndexFacts, "check_file", vanishes)
        with pytest.raises(TableError):
            VectorIndex.open(table, kind)

    def test_the_index_of_a_newer_relsim_stays(self, table):
        """Until another is built in its place."""
        file = table.path / "index" / build_index(table, "binary").facts.file
        path = file.parent / "binary.json"
        newer = json.dumps(json.loads(path.read_text()) | {"version": 2})
        path.write_text(newer)
        other = file.with_name("binary-of-another-name.bits")
        shutil.copy(file, other)

        def stop(_):
            raise RuntimeError

        with pytest.raises(RuntimeError):
            build_index(table, "binary", on_rows=stop)
        assert (path.read_text(), file.exists(), other.exists()) == (newer, True, True)
        build_index(table, "binary")
        assert not other.exists()
