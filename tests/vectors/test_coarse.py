import numpy as np
import pytest

from relsim.vectors import Searcher, TwoAxisSearcher
from relsim.vectors.blocks import Rows
from relsim.vectors.coarse import CoarseRows
from relsim.vectors.topk import exact_dots


def adverse(count, dimension, seed):
    """Unit vectors whose numbers lie where bfloat16 rounds most: half-way between two of its numbers."""
    rng = np.random.default_rng(seed)
    vectors = rng.choice([-1, 1], (count, dimension)) * (
        1 + 2.0**-8 + rng.choice([-1, 1], (count, dimension)) * 2.0**-20
    )
    vectors = vectors * 2.0 ** rng.integers(-3, 1, (count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dimension", [1, 8, 384])
@pytest.mark.parametrize("kind", ["random", "adverse", "parallel"])
def test_no_rough_score_is_further_off_than_is_told(unit, dimension, kind):
    rows = adverse(3_000, dimension, 1) if kind == "adverse" else unit(3_000, dimension, seed=1)
    queries = rows[::100] if kind == "parallel" else adverse(30, dimension, 2)
    queries = (queries * np.geomspace(1e-3, 1e3, len(queries))[:, None]).astype(np.float32)
    coarse = CoarseRows(Rows([rows[:7], rows[7:2_000], rows[2_000:]], dimension))
    rough = np.concatenate([coarse.scores(queries, 0, 1_234), coarse.scores(queries, 1_234, 3_000)], axis=1)
    pairs = np.repeat(np.arange(len(queries)), len(rows)), np.tile(np.arange(len(rows)), len(queries))
    exact = exact_dots(queries[pairs[0]], rows[pairs[1]]).reshape(rough.shape)
    worst = np.abs(rough - exact).max(axis=1)
    assert rough.dtype == np.float32
    assert (worst <= coarse.error(queries)).all()
    if dimension == 384:  # a bound so loose that it keeps every row would be of no use
        assert (coarse.error(queries) < 0.02 * np.linalg.norm(queries, axis=1)).all()


@pytest.mark.parametrize("k", [1, 7, 60, 2_000])
def test_the_same_is_found_with_a_coarse_copy(new_table, unit, k):
    names = [f"{row:04}" for row in range(1_500)]
    vectors = unit(1_500, 48)
    vectors[700:900] = vectors[3]  # many of one score, which only their names tell apart
    searcher = Searcher(new_table(names, vectors, 4))
    asked = [names[3], names[1_000], None]
    queries = np.stack([vectors[3], vectors[1_000], -vectors[5]])
    plain = searcher.top_k(queries, k, exclude=asked)
    searcher.keep_coarse()
    coarse = searcher.top_k(queries, k, exclude=asked)
    assert np.array_equal(coarse.indices, plain.indices)
    assert np.array_equal(coarse.scores, plain.scores)


@pytest.mark.parametrize("ceiling", [None, 0.1])
def test_the_same_is_found_on_two_axes(new_table, unit, ceiling):
    names = [f"{row:04}" for row in range(1_200)]
    first, second = unit(1_200, 32), unit(1_000, 16, seed=5)
    others = list(reversed(names[200:]))
    searcher = TwoAxisSearcher(new_table(names, first, 3, "first"), new_table(others, second, 2, "second"))
    queries, weights = (first[:6], second[:6]), [0, 0.5, -1e4, 1, -1, 0]
    given = {"weight": weights, "ceiling": ceiling, "exclude": [names[300], *[None] * 5]}
    plain, alone = searcher.top_k(*queries, 25, **given), searcher.top_k_by_relation(queries[0], 25)
    searcher.keep_coarse()
    coarse, coarsely = searcher.top_k(*queries, 25, **given), searcher.top_k_by_relation(queries[0], 25)
    for field in ("rows", "scores", "relational", "attribute"):
        assert np.array_equal(getattr(coarse, field), getattr(plain, field), equal_nan=True)
    assert np.array_equal(coarsely.indices, alone.indices)


def test_relation_alone_is_searched_among_the_images_of_both_tables(new_table, unit):
    names = [f"{row:02}" for row in range(40)]
    vectors = unit(40, 12)
    searcher = TwoAxisSearcher(new_table(names, vectors, 2, "first"), new_table(names[5:], unit(35, 6), 1, "second"))
    found = searcher.top_k_by_relation(vectors[[2, 20]], 100, exclude=[None, names[20]])
    for query, rows in zip((2, 20), found.indices, strict=True):
        allowed = [row for row in range(5, 40) if (query, row) != (20, 20)]
        expected = sorted(allowed, key=lambda row: -float(vectors[row].astype(float) @ vectors[query].astype(float)))
        assert [names.index(searcher.ids[row]) for row in rows if row >= 0] == expected
    assert np.array_equal(searcher.vectors("07")[0], vectors[7])
    assert ("07" in searcher, "02" in searcher) == (True, False)
