"""Everything is compared with brute force in float64: all scores, sorted as a whole."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relsim.errors import SearchError
from relsim.vectors import Searcher, VectorTable, top_k


def brute_force(queries, vectors, ids, k, exclude=None):
    """Ids and scores of the best k, by falling score, then by id."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    # Equal vectors must tie, whatever the order of additions in this product.
    groups = {vector.tobytes(): row for row, vector in reversed(list(enumerate(vectors)))}
    scores = scores[:, [groups[vector.tobytes()] for vector in vectors]]
    found = []
    for number, row in enumerate(scores):
        ranked = sorted((-score, image_id) for score, image_id in zip(row, ids, strict=True))
        kept = [(image_id, -score) for score, image_id in ranked if exclude is None or image_id != exclude[number]]
        found.append(kept[:k])
    return found


def found(matches, ids):
    return [
        [(ids[index], score) for index, score in zip(indices, scores, strict=True) if index >= 0]
        for indices, scores in zip(matches.indices, matches.scores, strict=True)
    ]


def check_equal(ours, expected, tolerance=1e-12):
    assert [[image_id for image_id, _ in row] for row in ours] == [
        [image_id for image_id, _ in row] for row in expected
    ]
    for mine, theirs in zip(ours, expected, strict=True):
        assert np.allclose([s for _, s in mine], [s for _, s in theirs], rtol=0, atol=tolerance)


def cut(vectors, sizes):
    return np.split(vectors, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("k", [1, 2, 10, 299, 300, 301, 5000])
@pytest.mark.parametrize("sizes", [[300], [1, 298, 1], [100, 100, 100]])
def test_equals_brute_force(unit, k, sizes):
    vectors, ids = unit(300, 24), [f"{i:03}" for i in np.random.default_rng(3).permutation(300)]
    queries = unit(7, 24, seed=1)
    matches = top_k(queries, cut(vectors, sizes), k, ids=ids)
    assert matches.indices.shape == (7, min(k, 300))
    check_equal(found(matches, ids), brute_force(queries, vectors, ids, k))


@pytest.mark.parametrize("k", [1, 10, 299, 300, 301])
def test_a_query_does_not_find_itself(unit, k):
    vectors, ids = unit(300, 24), [f"{i:03}" for i in range(300)]
    exclude = [ids[5], None, ids[7], "unknown"]
    matches = top_k(vectors[[5, 6, 7, 8]], [vectors], k, ids=ids, exclude=exclude)
    check_equal(found(matches, ids), brute_force(vectors[[5, 6, 7, 8]], vectors, ids, k, exclude))


def test_many_rows_and_queries_equal_brute_force(unit):
    """Several chunks of queries and of rows; scores in float64 to their last digits."""
    vectors, ids = unit(20_000, 16), [f"{i:05}" for i in range(20_000)]
    queries = vectors[:1500]
    matches = top_k(queries, cut(vectors, [9000, 10, 10_990]), 5, ids=ids, exclude=ids[:1500])
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    scores[np.arange(1500), np.arange(1500)] = -2
    assert np.array_equal(matches.indices, np.argsort(-scores, axis=1)[:, :5])
    assert np.allclose(matches.scores, -np.sort(-scores, axis=1)[:, :5], rtol=0, atol=1e-12)


def test_rows_in_rising_order_are_found(unit):
    """The worst order: every row is better than all before it."""
    query = unit(1, 8)
    vectors = unit(30_000, 8, seed=2)
    vectors = vectors[np.argsort(vectors @ query[0])]
    ids = [f"{i:05}" for i in range(30_000)]
    queries = np.repeat(query, 64, axis=0)
    matches = top_k(queries, [vectors], 20, ids=ids)
    expected = np.argsort(-(vectors.astype(np.float64) @ query[0].astype(np.float64)))[:20]
    assert (matches.indices == expected).all()


@pytest.mark.parametrize("numbers", [3, 16, 50, 384])
def test_equal_vectors_tie_wherever_they_lie(unit, numbers):
    """A product of matrices rounds equal rows differently at different places; the result must not show it."""
    rng = np.random.default_rng(5)
    vectors = unit(40, numbers)[rng.integers(0, 40, 2000)]
    ids = [f"{i:04}" for i in rng.permutation(2000)]
    queries = unit(9, numbers, seed=8)
    expected = brute_force(queries, vectors, ids, 75)
    for sizes in ([2000], [1, 999, 500, 500], [7] * 285 + [5]):
        matches = top_k(queries, cut(vectors, sizes), 75, ids=ids)
        check_equal(found(matches, ids), expected)
        for index, score in zip(matches.indices, matches.scores, strict=True):
            assert len(set(score)) == len({vectors[row].tobytes() for row in index})


def test_one_query_scores_as_many_do(unit):
    vectors, ids = unit(500, 384), [f"{i:03}" for i in range(500)]
    queries = unit(33, 384, seed=1)
    together = top_k(queries, [vectors], 9, ids=ids)
    for number in range(33):
        alone = top_k(queries[number : number + 1], cut(vectors, [123, 377]), 9, ids=ids)
        assert np.array_equal(alone.indices[0], together.indices[number])
        assert np.array_equal(alone.scores[0], together.scores[number])


def test_a_table_of_one_vector_is_ordered_by_id(unit):
    """More ties than candidates can be held at once."""
    vectors = np.repeat(unit(1, 4), 20_000, axis=0)
    ids = [f"{i:05}" for i in np.random.default_rng(0).permutation(20_000)]
    matches = top_k(vectors[:60], [vectors], 3, ids=ids, exclude=["00001"] * 60)
    assert {tuple(ids[index] for index in row) for row in matches.indices} == {("00000", "00002", "00003")}


def test_nearly_equal_vectors_are_told_apart(unit):
    """Scores that differ by less than float32 can hold are ordered as float64 orders them."""
    rng = np.random.default_rng(4)
    vectors = unit(1, 384) + 1e-6 * rng.standard_normal((3000, 384)).astype(np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{i:04}" for i in range(3000)]
    queries = unit(2, 384)
    matches = top_k(queries, [vectors], 30, ids=ids)
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    assert np.allclose(matches.scores, -np.sort(-scores, axis=1)[:, :30], rtol=0, atol=1e-15)
    # Where sums in another order agree to 1e-15 is a matter of luck, a difference of 1e-14 is not.
    clear = np.diff(-matches.scores, axis=1) > 1e-14
    best = np.argsort(-scores, axis=1)[:, :30]
    assert (matches.indices[:, :-1] == best[:, :-1])[clear & np.roll(clear, 1, axis=1)].all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_small_tables_of_any_kind_equal_brute_force(data):
    """Few distinct vectors, many ties, any cut into blocks, any k, anything excluded."""
    count = data.draw(st.integers(1, 40))
    axes = np.eye(3, dtype=np.float32)
    vectors = axes[data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))]
    ids = data.draw(st.lists(st.text(max_size=2), min_size=count, max_size=count, unique=True))
    edges = sorted(data.draw(st.lists(st.integers(0, count), max_size=4)))
    queries = axes[data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))]
    exclude = [data.draw(st.sampled_from([None, *ids])) for _ in queries]
    k = data.draw(st.integers(1, 45))
    matches = top_k(queries, np.split(vectors, edges), k, ids=ids, exclude=exclude)
    check_equal(found(matches, ids), brute_force(queries, vectors, ids, k, exclude))


def test_queries_need_not_be_of_unit_length(unit):
    vectors, ids = unit(200, 8), [f"{i:03}" for i in range(200)]
    queries = unit(3, 8, seed=1) * np.float32(1000)
    check_equal(found(top_k(queries, [vectors], 4, ids=ids), ids), brute_force(queries, vectors, ids, 4), 1e-9)


def test_no_rows_and_no_queries(unit):
    assert top_k(unit(2, 3), [], 5, ids=[]).indices.shape == (2, 0)
    assert top_k(unit(0, 3), [unit(4, 3)], 5, ids=list("abcd")).indices.shape == (0, 4)


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.ones((2, 4), np.float32), 1, r"shape \(2, 4\); this table needs \(number of queries, 3\)"),
        (np.ones(3, np.float32), 1, "shape"),
        (np.full((1, 3), np.nan, np.float32), 1, "NaN"),
        (np.array([["a", "b", "c"]]), 1, "not a number"),
        (np.ones((1, 3), np.float32), 0, "k is 0"),
    ],
)
def test_bad_queries_are_refused(unit, queries, k, message):
    with pytest.raises(SearchError, match=message):
        top_k(queries, [unit(5, 3)], k, ids=list("abcde"))


def test_search_by_id_gives_hits(tmp_path, facts, named):
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0]], np.float32)
    with VectorTable.create(tmp_path / "t", facts, 2) as table:
        table.append("0", named(["b", "c"], caption="one"), vectors[:2])
        table.append("1", named(["d", "a"], caption="two"), vectors[2:])
    hits = Searcher(VectorTable.open(tmp_path / "t")).by_id("b", 2)
    assert [(hit.image_id, hit.rank, hit.source, hit.fields) for hit in hits] == [
        ("a", 1, "/pictures/a.png", {"caption": "two"}),
        ("c", 2, "/pictures/c.png", {"caption": "one"}),
    ]
    assert [hit.score for hit in hits] == pytest.approx([1, 0.6], abs=1e-7)


def test_an_id_scores_as_its_vector_does(new_table, unit):
    ids = [f"{i:03}" for i in range(100)]
    searcher = Searcher(new_table(ids, unit(100, 12), pieces=7))
    by_id = searcher.by_ids(ids[:5], 4)
    assert by_id == searcher.by_vectors(unit(100, 12)[:5], 4, exclude=ids[:5])
    (first, *rest) = searcher.by_vector(unit(100, 12)[0], 5)
    assert first.image_id == "000"
    assert [(hit.image_id, hit.score) for hit in rest] == [(hit.image_id, hit.score) for hit in by_id[0]]


def test_a_vector_of_any_length_is_a_direction(new_table, unit):
    searcher = Searcher(new_table([f"{i}" for i in range(50)], unit(50, 12)))
    one, other = searcher.by_vector(unit(1, 12, 3)[0]), searcher.by_vector(7 * unit(1, 12, 3)[0])
    assert [hit.image_id for hit in one] == [hit.image_id for hit in other]
    assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-7)
    with pytest.raises(SearchError, match="zero"):
        searcher.by_vector(np.zeros(12, np.float32))


def test_an_unknown_id_is_named(new_table, unit, failed):
    table = new_table(["a"], unit(1, 3))
    with table:
        table.record_failures("f", failed(["x"]))
    searcher = Searcher(table)
    with pytest.raises(SearchError, match="no vector for nobody: it holds no such image_id"):
        searcher.by_id("nobody")
    with pytest.raises(SearchError, match="no vector for x: it failed: empty"):
        searcher.by_ids(["a", "x"])
    assert searcher.by_id("a") == []


def test_an_empty_table_finds_nothing(tmp_path, facts, unit):
    table = VectorTable.create(tmp_path / "t", facts, 3)
    assert Searcher(table).by_vector(unit(1, 3)[0]) == []


MEMORY = """
import sys
import numpy as np
from relsim.vectors import Searcher, VectorTable

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

np.ones((64, 64), np.float32) @ np.ones((64, 64), np.float32)
before = status("VmRSS")
searcher = Searcher(VectorTable.open(sys.argv[1]))
ids = list(searcher.table.ids)
searcher.top_k(searcher.table.blocks[0][:1000], 10, exclude=ids[:1000])
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_stays_under_one_and_a_half_times_the_table(tmp_path, facts, unit, named):
    """200 MB of vectors, mapped; what is held beyond them is a fixed amount, not a share of them."""
    vectors = unit(32_768, 1536)
    with VectorTable.create(tmp_path / "t", facts, 1536) as table:
        table.append("0", named(f"{i:05}" for i in range(32_768)), vectors)
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "t")], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 1.5 * vectors.nbytes
