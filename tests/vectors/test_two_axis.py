import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relsim.errors import SearchError
from relsim.vectors import Searcher, TwoAxisSearcher, VectorTable


def brute_force(relational, attribute, query, k, weight, ceiling):
    """Ids by falling relational minus weight times attribute, then by id; both are mappings of vectors."""
    ranked = []
    for image_id in relational.keys() & attribute.keys() - {query}:
        first = float(relational[image_id].astype(np.float64) @ relational[query].astype(np.float64))
        second = float(attribute[image_id].astype(np.float64) @ attribute[query].astype(np.float64))
        if ceiling is None or second <= ceiling:
            ranked.append((-(first - weight * second), image_id, first, second))
    return [(image_id, -score, first, second) for score, image_id, first, second in sorted(ranked)][:k]


def check(hits, expected):
    assert [hit.image_id for hit in hits] == [row[0] for row in expected]
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    ours = np.array([(hit.score, hit.relational, hit.attribute) for hit in hits]).reshape(-1, 3)
    assert np.allclose(ours, np.array([row[1:] for row in expected]).reshape(-1, 3), rtol=0, atol=1e-12)


@pytest.fixture
def axes(new_table, unit):
    """400 images on the relational axis, 390 of them and 15 others on the attribute axis, in another order."""
    first = [f"{i:03}" for i in range(400)]
    second = list(np.random.default_rng(1).permutation([*first[10:], *(f"other{i}" for i in range(15))]))
    relational, attribute = unit(400, 24), unit(405, 10, seed=2)
    tables = new_table(first, relational, 5, "relational"), new_table(second, attribute, 2, "attribute")
    return (
        TwoAxisSearcher(*tables),
        dict(zip(first, relational, strict=True)),
        dict(zip(second, attribute, strict=True)),
    )


@pytest.mark.parametrize("k", [1, 10, 389, 1000])
@pytest.mark.parametrize(
    ("weight", "ceiling"), [(0.0, None), (0.5, None), (-2.0, None), (10.0, None), (0.0, 0.1), (0.7, -0.2), (0.0, -1.1)]
)
def test_equals_brute_force(axes, k, weight, ceiling):
    searcher, relational, attribute = axes
    hits = searcher.by_id("123", k, weight=weight, ceiling=ceiling)
    check(hits, brute_force(relational, attribute, "123", k, weight, ceiling))


@pytest.mark.parametrize("ceiling", [None, 0.2])
def test_each_query_may_have_a_weight_of_its_own(axes, ceiling):
    searcher, relational, attribute = axes
    names, weights = ["011", "123", "200", "201", "399"], [0.0, 0.5, 0.0, -1e4, 0.0]
    queries = (np.stack([table[name] for name in names]) for table in (relational, attribute))
    found = searcher.by_vectors(*queries, 20, weight=weights, ceiling=ceiling, exclude=names)
    for name, weight, hits in zip(names, weights, found, strict=True):
        check(hits, brute_force(relational, attribute, name, 20, weight, ceiling))
    with pytest.raises(SearchError, match="2 weights for 5 queries"):
        searcher.by_vectors(np.eye(5, 24), np.eye(5, 10), weight=[1, 2])
    for wrong in (np.nan, np.inf, 1e39, -1.1e6):
        with pytest.raises(SearchError, match=r"must be numbers, the weight between plus and minus 1,000,000"):
            searcher.by_vectors(np.eye(2, 24), np.eye(2, 10), weight=[1, wrong])


def test_the_largest_weight_ranks_by_look_alone(axes):
    searcher, relational, attribute = axes
    for weight in (1e6, -1e6):
        hits = searcher.by_id("123", 30, weight=weight)
        assert [hit.image_id for hit in hits] == [
            row[0] for row in brute_force(relational, attribute, "123", 30, weight, None)
        ]


def test_images_of_one_table_only_are_reported(axes):
    searcher, relational, attribute = axes
    assert set(searcher.missing_attribute) == relational.keys() - attribute.keys()
    assert set(searcher.missing_relational) == attribute.keys() - relational.keys()
    assert list(searcher.ids) == [f"{i:03}" for i in range(10, 400)]
    with pytest.raises(SearchError, match="attribute has no vector for 003"):
        searcher.by_id("003")
    with pytest.raises(SearchError, match="relational has no vector for other1"):
        searcher.by_id("other1")


def test_the_ceiling_itself_is_allowed(new_table):
    """A similarity equal to the ceiling passes, the next float64 above does not; rounding decides nothing."""
    ids = [f"{i:02}" for i in range(50)]
    relational = np.repeat(np.array([[1, 0]], np.float32), 50, axis=0)
    attribute = np.repeat(np.array([[0.6, 0.8]], np.float32), 50, axis=0)
    attribute[0] = [1, 0]
    searcher = TwoAxisSearcher(new_table(ids, relational, name="r"), new_table(ids, attribute, name="a"))
    exact = float(np.float32(0.6))
    assert len(searcher.by_id("00", 100, ceiling=exact)) == 49
    assert searcher.by_id("00", 100, ceiling=np.nextafter(exact, 0)) == []


def test_without_rules_it_is_the_relational_ranking(new_table, unit):
    ids = [f"{i:03}" for i in range(200)]
    table = new_table(ids, unit(200, 12), 3, "r")
    searcher = TwoAxisSearcher(table, new_table(ids, unit(200, 5, 1), 2, "a"))
    expected = [(hit.image_id, hit.score, hit.source) for hit in Searcher(table).by_id("007", 20)]
    assert [(hit.image_id, hit.score, hit.source) for hit in searcher.by_id("007", 20)] == expected


def test_same_logic_different_look_beats_the_copy(new_table):
    """A near copy has the same logic and the same look; the analogy has the logic only."""
    relational = np.array([[1, 0], [1, 0], [0.96, 0.28], [0, 1]], np.float32)
    attribute = np.array([[1, 0], [0.96, 0.28], [0, 1], [0, 1]], np.float32)
    ids = ["query", "copy", "analogy", "unrelated"]
    searcher = TwoAxisSearcher(new_table(ids, relational, name="r"), new_table(ids, attribute, name="a"))
    assert [hit.image_id for hit in searcher.by_id("query", 1)] == ["copy"]
    assert [hit.image_id for hit in searcher.by_id("query", 1, weight=0.5)] == ["analogy"]
    assert [hit.image_id for hit in searcher.by_id("query", 3, ceiling=0.5)] == ["analogy", "unrelated"]


def test_queries_by_vectors(axes, unit):
    searcher, relational, attribute = axes
    queries = np.stack([relational["050"], relational["060"]]), np.stack([attribute["050"], attribute["060"]])
    rows = searcher.by_vectors(*queries, 6, weight=0.3, exclude=["050", "060"])
    for query, hits in zip(["050", "060"], rows, strict=True):
        check(hits, brute_force(relational, attribute, query, 6, 0.3, None))
    with pytest.raises(SearchError, match="each needs both vectors"):
        searcher.by_vectors(unit(2, 24), unit(1, 10))
    with pytest.raises(SearchError, match="must be numbers"):
        searcher.by_vectors(unit(1, 24), unit(1, 10), weight=float("nan"))


def test_tables_of_other_images_are_refused(new_table, unit):
    with pytest.raises(SearchError, match="no image_id in common"):
        TwoAxisSearcher(new_table(["a"], unit(1, 3), name="r"), new_table(["b"], unit(1, 3), name="a"))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_ties_are_broken_by_id(tmp_path_factory, facts, named, data):
    count = data.draw(st.integers(2, 20))
    ids = [f"{i:02}" for i in range(count)]
    axes = []
    for name in ("r", "a"):
        chosen = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
        vectors = np.eye(3, dtype=np.float32)[chosen]
        order = data.draw(st.permutations(range(count)))
        with VectorTable.create(tmp_path_factory.mktemp("axes") / name, facts, 3) as table:
            table.append("0", named([ids[row] for row in order]), vectors[order])
        axes.append((table, dict(zip(ids, vectors, strict=True))))
    (first, relational), (second, attribute) = axes
    k = data.draw(st.integers(1, count))
    weight, ceiling = data.draw(st.sampled_from([0.0, 0.5, 1.0])), data.draw(st.sampled_from([None, 0.0, 1.0]))
    hits = TwoAxisSearcher(first, second).by_id("00", k, weight=weight, ceiling=ceiling)
    check(hits, brute_force(relational, attribute, "00", k, weight, ceiling))
