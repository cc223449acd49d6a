"""Search by an index against brute force; an index that is damaged, half built or absent."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from relsim.errors import MissingExtraError, TableError
from relsim.vectors import Searcher, VectorIndex, VectorTable, build_index, find_index
from relsim.vectors.binary_codes import BinaryCodes
from relsim.vectors.index_build import WANTED_RECALL
from relsim.vectors.index_kinds import KINDS

ROWS, NUMBERS = 1_200, 100
IDS = [f"{row:05}" for row in range(ROWS)]


@pytest.fixture(scope="module")
def vectors(unit):
    return unit(ROWS, NUMBERS)


@pytest.fixture(scope="module")
def original(tmp_path_factory, vectors, facts, named):
    """A table of four parts, written once: the disk is flushed at every part."""
    folder = tmp_path_factory.mktemp("original") / "table"
    with VectorTable.create(folder, facts, NUMBERS) as table:
        for number in range(4):
            rows = slice(300 * number, 300 * number + 300)
            table.append(f"{number:06d}", named(IDS[rows]), vectors[rows])
    return folder


@pytest.fixture
def table(original, tmp_path):
    return VectorTable.open(shutil.copytree(original, tmp_path / "table"))


def brute_force(queries, vectors, k, without=None):
    """Rows and cosines by a full sort in double precision."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    if without is not None:
        scores[np.arange(len(queries)), without] = -np.inf
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1)


def ids_of(hits):
    return [hit.image_id for hit in hits]


def exactly(table, queries, k=10):
    return [ids_of(hits) for hits in Searcher(VectorTable.open(table.path)).by_vectors(queries, k)]


def by_index(table, queries, k=10, kind=None):
    opened = VectorTable.open(table.path)
    return [ids_of(hits) for hits in Searcher(opened, VectorIndex.open(opened, kind)).by_vectors(queries, k)]


class TestFinding:
    def test_it_finds_what_brute_force_finds(self, new_table, unit, kind):
        """Sixty clusters of twenty, as collections have them, and a shortlist of a tenth of the rows."""
        vectors = np.repeat(unit(60, NUMBERS), 20, axis=0) + 0.7 * unit(ROWS, NUMBERS, seed=1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table = new_table(IDS, vectors, pieces=4)
        build_index(table, kind, shortlist=120)
        queries = vectors[::30]
        searcher = Searcher(table, VectorIndex.open(table, kind))
        assert searcher.path(10).kind == kind
        matches = searcher.top_k(queries, 10)
        rows, scores = brute_force(queries, vectors, 10)
        hits = (matches.indices[:, :, None] == rows[:, None, :]).any(axis=2)
        assert hits.mean() > 0.98
        # Scores are exact wherever a row was found.
        true = np.einsum("qd,qkd->qk", queries.astype(np.float64), vectors[matches.indices].astype(np.float64))
        assert np.allclose(matches.scores, true, rtol=0, atol=1e-12)
        assert (np.diff(matches.scores, axis=1) <= 0).all()
        assert (matches.scores <= scores + 1e-12).all()

    def test_its_recall_is_that_of_brute_force(self, table, vectors, kind):
        """All rows as queries, and settings so poor that something is missed."""
        poor = {"shortlist": 11}
        if kind == "hnsw":
            poor |= {"connectivity": 3, "expansion_add": 4, "expansion_search": 4}
        built = build_index(table, kind, queries=ROWS, **poor)
        _, scores = brute_force(vectors, vectors, 10, without=np.arange(ROWS))
        found = Searcher(table, built).top_k(vectors, 10, exclude=IDS)
        shares = (found.scores >= scores[:, -1:] - 1e-12).mean(axis=1)
        recall = built.facts.recall
        assert (recall.k, recall.queries) == (10, ROWS)
        assert recall.value == pytest.approx(shares.mean(), abs=1e-6)
        assert recall.lowest == pytest.approx(shares.min(), abs=1e-6)
        assert recall.lowest < 1

    def test_what_finds_too_little_looks_at_more_unless_told_how_much(self, new_table, unit, kind, monkeypatch):
        """Four clusters of a thousand, whose rows are hard to tell apart, and a search that begins with very little."""
        rows = 4_000
        vectors = np.repeat(unit(4, NUMBERS), rows // 4, axis=0) + 0.4 * unit(rows, NUMBERS, seed=1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table = new_table([f"{row}" for row in range(rows)], vectors, pieces=2)
        poor = {"binary": {"shortlist": 60}, "hnsw": {"connectivity": 4, "expansion_add": 8, "expansion_search": 12}}
        maker = KINDS[kind]
        monkeypatch.setattr(type(maker), "defaults", {**maker.defaults, **poor[kind]})
        first = poor[kind][maker.searching]
        fixed = build_index(table, kind, **{maker.searching: first}).facts
        assert fixed.parameters[maker.searching] == first
        assert fixed.recall.value < WANTED_RECALL
        built = build_index(table, kind)
        assert built.facts.parameters[maker.searching] in (2 * first, 4 * first, 8 * first)
        assert built.facts.recall.value > fixed.recall.value
        document = json.loads((table.path / "index" / f"{kind}.json").read_text())
        assert document["parameters"] == built.facts.parameters
        assert VectorIndex.open(table, kind).facts.recall == built.facts.recall

    def test_a_query_does_not_find_itself(self, table, kind):
        built = build_index(table, kind)
        hits = Searcher(table, built).by_ids(IDS[:50], 5)
        assert all(image_id not in ids_of(found) for image_id, found in zip(IDS[:50], hits, strict=True))
        assert {len(found) for found in hits} == {5}

    def test_equal_vectors_come_by_id(self, new_table, vectors, kind):
        twice = np.repeat(vectors, 2, axis=0)
        names = [f"{name}-{copy}" for name in IDS for copy in "ba"]
        table = new_table(names, twice, pieces=3)
        built = build_index(table, kind)
        for hits in Searcher(table, built).by_vectors(vectors[:20], 2):
            name = hits[0].image_id[:-2]
            assert ids_of(hits) == [f"{name}-a", f"{name}-b"]

    def test_the_recall_is_that_of_as_long_a_shortlist_as_any_query_has(self, table, vectors, monkeypatch):
        """A row that does not find itself looks at no more than a picture that is no row."""
        counts, candidates = [], BinaryCodes.candidates
        monkeypatch.setattr(BinaryCodes, "candidates", lambda *given: counts.append(given[2]) or candidates(*given))
        searcher = Searcher(table, build_index(table, "binary", shortlist=50))
        searcher.by_vectors(vectors[:3], 10)
        searcher.by_ids(IDS[:3], 10)
        assert counts == [50, 50, 50]

    def test_many_matches_are_looked_for_exactly(self, table, unit, kind):
        built = build_index(table, kind)
        searcher = Searcher(table, built)
        assert searcher.path(900).kind == "exact"
        queries = unit(3, NUMBERS, seed=6)
        assert [ids_of(hits) for hits in searcher.by_vectors(queries, 900)] == exactly(table, queries, 900)

    @pytest.mark.parametrize("numbers", [1, 63, 64, 65])
    def test_any_dimension(self, new_table, unit, numbers, kind):
        vectors = unit(600, numbers)
        table = new_table([f"{row}" for row in range(600)], vectors, pieces=2)
        built = build_index(table, kind, shortlist=150)
        assert Searcher(table, built).path(10).kind == kind
        _, scores = brute_force(vectors, vectors, 1)
        found = Searcher(table, built).top_k(vectors, 1).scores
        # A graph may lead to a row from nowhere.
        assert (np.abs(found - scores) < 1e-6).mean() > 0.99


class TestFiles:
    def test_codes_lie_as_the_page_of_formats_says(self, table, vectors):
        """The file once more, bit by bit in plain Python."""
        built = build_index(table, "binary")
        data = (table.path / "index" / built.facts.file).read_bytes()
        mean = vectors.mean(axis=0, dtype=np.float64).astype("<f4")
        head = mean.tobytes().ljust(448, b"\0")  # 100 float32 are 400 bytes; the next multiple of 64 is 448
        assert data[:448] == head
        words = [[0] * ROWS for _ in range(2)]
        for row, vector in enumerate(vectors):
            for place in range(NUMBERS):
                if vector[place] > mean[place]:
                    words[place // 64][row] |= 1 << (place % 64)
        assert data[448:] == b"".join(word.to_bytes(8, "little") for column in words for word in column)

    def test_usearch_reads_the_graph(self, table, vectors):
        index = pytest.importorskip("usearch.index", reason="the extra `index` is not installed")
        built = build_index(table, "hnsw")
        graph = index.Index.restore(table.path / "index" / built.facts.file)
        assert (len(graph), graph.ndim) == (ROWS, NUMBERS)
        assert [int(graph.search(vectors[row], 1).keys[0]) for row in range(0, ROWS, 97)] == list(range(0, ROWS, 97))

    def test_the_document_tells_of_the_table_and_the_settings(self, table, facts, kind):
        built = build_index(table, kind, shortlist=123, seed=4, queries=7)
        document = json.loads((table.path / "index" / f"{kind}.json").read_text())
        contents = json.loads((table.path / "table.json").read_text())
        assert (document["format"], document["version"], document["rows"]) == ("relsim.vector_index", 1, ROWS)
        assert document["fingerprint"] == facts.to_dict()
        assert [{**part, "vectors": None} for part in document["parts"]] == [
            {"rows": part["rows"], "sha256": part["sha256"], "vectors": None} for part in contents["parts"]
        ]
        blocks = [hashlib.sha256(block.tobytes()).hexdigest() for block in table.blocks]
        assert [part["vectors"] for part in document["parts"]] == blocks
        assert (document["parameters"]["shortlist"], document["given"]) == (123, ["shortlist"])
        assert (document["recall"]["seed"], document["recall"]["queries"]) == (4, 7)
        assert document["bytes"] == (table.path / "index" / built.facts.file).stat().st_size
        assert document["memory"] == document["bytes"] + 16 * 2**20 + 56 * ROWS

    def test_the_table_is_left_as_it_was(self, table, kind):
        before = {path.name: path.read_bytes() for path in table.path.iterdir() if path.is_file()}
        build_index(table, kind)
        build_index(table, kind)
        assert {path.name: path.read_bytes() for path in table.path.iterdir() if path.is_file()} == before
        assert len(list((table.path / "index").glob(f"{kind}-*"))) == 1
        VectorTable.open(table.path).verify()


class TestFaults:
    @pytest.mark.parametrize("fault", ["truncated", "other", "gone", "json", "newer", "bad rows"])
    def test_a_damaged_index_is_told_and_not_used(self, table, kind, fault):
        built = build_index(table, kind)
        path, facts = table.path / "index" / built.facts.file, table.path / "index" / f"{kind}.json"
        document = json.loads(facts.read_text())
        if fault == "truncated":
            os.truncate(path, path.stat().st_size - 64)
        elif fault == "other":
            path.write_bytes(path.read_bytes()[:-1] + b"\x5a")
        elif fault == "gone":
            path.unlink()
        elif fault == "json":
            facts.write_text(facts.read_text()[:-30])
        else:
            facts.write_text(json.dumps(document | ({"version": 2} if fault == "newer" else {"rows": 7})))
        with pytest.raises(TableError):
            VectorIndex.open(table, kind)
        index, why = find_index(table)
        assert index is None
        assert "searched exactly" in why
        if fault != "newer":
            assert build_index(table, kind).covered == ROWS
            assert find_index(table)[1] is None

    def test_no_index_is_nothing_to_tell(self, table):
        assert find_index(table) == (None, None)
        with pytest.raises(TableError, match=r"has no index.*relsim index"):
            VectorIndex.open(table)

    def test_a_build_that_is_killed_leaves_the_index_that_was_there(self, table, kind):
        before = build_index(table, kind).facts
        code = f"""if True:
            import os, signal
            from relsim.vectors import VectorTable, build_index
            def dies(*_):
                os.kill(os.getpid(), signal.SIGKILL)
            build_index(VectorTable.open({str(table.path)!r}), {kind!r}, on_rows=dies)
        """
        killed = subprocess.run([sys.executable, "-c", code], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert VectorIndex.open(table, kind).facts == before
        again = build_index(table, kind).facts
        names = {path.name for path in (table.path / "index").iterdir()}
        assert names == {".lock", f"{kind}.json", again.file}

    def test_two_builds_at_once_are_refused(self, table, kind):
        with pytest.raises(TableError, match="another process"):
            build_index(table, kind, on_rows=lambda _: build_index(table, kind))

    def test_a_full_disk_leaves_the_index_that_was_there(self, table, kind):
        before = build_index(table, kind).facts
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            with pytest.raises(TableError, match="cannot write"):
                build_index(table, kind)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert VectorIndex.open(table, kind).facts == before
        assert not list((table.path / "index").glob(".tmp-*"))

    def test_without_usearch_the_command_to_get_it_is_named(self, table, monkeypatch):
        monkeypatch.setitem(sys.modules, "usearch.index", None)
        with pytest.raises(MissingExtraError, match=r'pip install "relsim\[index\]"'):
            build_index(table)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"kind": "tree"}, "no kind of index; known are hnsw, binary"),
            ({"kind": "binary", "connectivity": 3}, "has no connectivity, but shortlist"),
            ({"kind": "binary", "shortlist": 0}, "shortlist of an index must be at least 1"),
            ({"kind": "binary", "queries": 0}, "needs 2 rows and 1 query"),
        ],
    )
    def test_settings_that_make_no_index_are_refused(self, table, settings, message):
        with pytest.raises(TableError, match=message):
            build_index(table, **settings)
        assert not (table.path / "index").exists()


def test_readers_are_served_while_an_index_is_built_again(table, unit, kind):
    """A search in the middle of a build finds by the index that was there."""
    build_index(table, kind, shortlist=250)
    queries = unit(5, NUMBERS, seed=2)
    seen = []
    build_index(table, kind, shortlist=250, on_rows=lambda _: seen.append(by_index(table, queries)))
    assert seen
    assert seen[0] == by_index(table, queries)
