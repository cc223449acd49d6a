"""Retrieval metrics against closed forms and against definitions spelled out in plain Python."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, ndcg_score

from relsim.errors import SearchError
from relsim.evaluation.retrieval_metrics import (
    Settings,
    average_precision,
    images_to_images,
    metrics_at,
    sentences_to_images,
)
from relsim.evaluation.statistics import bootstrap_mean

FEW = Settings(ks=(1, 3, 10), resamples=50)


@pytest.fixture(scope="module")
def collection():
    """60 unit vectors of 8 numbers that lean towards one of five labels, one of which only a single picture has."""
    rng = np.random.default_rng(0)
    labels = [f"label {number}" for number in rng.integers(0, 4, 59)] + ["alone"]
    centres = {label: rng.normal(size=8) for label in sorted(set(labels))}
    rows = np.stack([centres[label] + rng.normal(size=8) for label in labels])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def plain(ranking, k):
    """Metrics of one query from its ranking, a list of booleans, word by word from their definitions."""
    relevant = sum(ranking)
    first = ranking[:k]
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(first, 1) if hit)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, k, len(ranking)) + 1))
    precisions = [sum(ranking[:rank]) / rank for rank, hit in enumerate(ranking, 1) if hit]
    return {
        f"precision@{k}": sum(first) / k,
        f"recall@{k}": sum(first) / relevant,
        f"hit@{k}": float(any(first)),
        f"ndcg@{k}": gain / best,
        "map": sum(precisions) / relevant,
    }


def brute_force(queries, query_labels, vectors, labels, *, own, ks):
    """Metrics (per query) by sorting everything."""
    found = []
    for number, (query, wanted) in enumerate(zip(queries, query_labels, strict=True)):
        others = [row for row in range(len(labels)) if not (own and row == number)]
        scores = {row: float(query.astype(np.float64) @ vectors[row].astype(np.float64)) for row in others}
        ranking = [labels[row] == wanted for row in sorted(others, key=lambda row: -scores[row])]
        if any(ranking):
            found.append({name: value for k in ks for name, value in plain(ranking, k).items()})
    return found


def same(report, expected):
    assert report.metrics.keys() == expected[0].keys()
    for name, values in report.per_query.items():
        np.testing.assert_allclose(values, [query[name] for query in expected], rtol=1e-12, err_msg=name)
        assert report.metrics[name].value == pytest.approx(np.mean([query[name] for query in expected]))
        assert report.metrics[name].low <= report.metrics[name].value <= report.metrics[name].high


def test_images_to_images_equals_brute_force(collection):
    vectors, labels = collection
    report = images_to_images(vectors, labels, settings=FEW)
    same(report, brute_force(vectors, labels, vectors, labels, own=True, ks=FEW.ks))
    assert report.left_out == 1  # the picture whose label no other has


def test_shares_of_queries_have_the_interval_of_scipy_and_means_that_of_a_bootstrap(collection):
    report = images_to_images(*collection, settings=FEW)
    for name, values in report.per_query.items():
        estimate = report.metrics[name]
        if name == "precision@1" or name.startswith("hit@"):
            theirs = binomtest(int(values.sum()), len(values)).proportion_ci(0.95, method="wilson")
            assert (estimate.low, estimate.high) == pytest.approx(tuple(theirs), abs=1e-12), name
        else:
            assert estimate == bootstrap_mean(values, seed=FEW.seed, resamples=FEW.resamples), name
    assert report.metrics["hit@10"].low < 1.0  # also where every query has found something


def test_ranks_are_scored_as_by_scikit_learn():
    rng = np.random.default_rng(5)
    hits = rng.random((40, 30)) < 0.2
    hits[:, -1] |= ~hits.any(axis=1)
    falling = -np.arange(30.0)
    relevant = hits.sum(axis=1)
    theirs = [average_precision_score(row, falling) for row in hits]
    np.testing.assert_allclose(average_precision(hits, relevant), theirs, rtol=1e-12)
    for k in (1, 5, 30):
        theirs = [ndcg_score(row[None].astype(float), falling[None], k=k) for row in hits]
        np.testing.assert_allclose(metrics_at(hits, relevant, k)[f"ndcg@{k}"], theirs, rtol=1e-12)


def test_sentences_to_images_equals_brute_force(collection):
    vectors, labels = collection
    sentences, wanted = vectors[::7] * np.float32(-1), [*labels[::7][:-1], "unheard of"]
    report = sentences_to_images(sentences, wanted, vectors, labels, settings=FEW)
    same(report, brute_force(sentences, wanted, vectors, labels, own=False, ks=FEW.ks))
    assert report.left_out == 1


def test_a_label_may_be_the_pictures_own_id(collection):
    """One relevant picture each: recall is hit, and average precision is 1 / rank."""
    vectors, _ = collection
    names = [str(row) for row in range(len(vectors))]
    report = sentences_to_images(vectors, names, vectors, names, settings=FEW)
    assert {name: estimate.value for name, estimate in report.metrics.items() if "precision" not in name} == {
        name: 1.0 for name in report.metrics if "precision" not in name
    }
    assert report.metrics["precision@10"].value == pytest.approx(0.1)


def test_the_query_does_not_find_itself_but_does_find_its_copies():
    """Two pairs of equal pictures, each pair of one label: all that is nearest is right."""
    vectors = np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)
    report = images_to_images(vectors, ["x", "x", "y", "y"], settings=Settings(ks=(1,), resamples=10))
    assert {estimate.value for estimate in report.metrics.values()} == {1.0}


def test_closed_forms():
    """Hits at ranks 2 and 4 of five, two relevant."""
    hits, relevant = np.array([[False, True, False, True, False]]), np.array([2])
    found = metrics_at(hits, relevant, 4)
    assert found["precision@4"] == 0.5
    assert found["recall@4"] == 1
    assert found["ndcg@4"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3)))
    assert metrics_at(hits, relevant, 1) == {"precision@1": 0, "recall@1": 0, "hit@1": 0, "ndcg@1": 0}
    assert average_precision(hits, relevant) == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_the_ideal_ranking_scores_1():
    hits = np.array([[True] * 3 + [False] * 7])
    assert metrics_at(hits, np.array([3]), 5)["ndcg@5"] == 1
    assert average_precision(hits, np.array([3])) == 1


def test_random_vectors_have_the_precision_of_chance():
    """Ten labels: a tenth, less the query itself, (m - 1) / (n - 1), to three standard errors."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(1_000, 16))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    report = images_to_images(
        vectors, [row % 10 for row in range(1_000)], settings=Settings(ks=(10,), with_map=False, resamples=100)
    )
    assert "map" not in report.metrics
    assert report.metrics["precision@10"].value == pytest.approx(99 / 999, abs=3 * math.sqrt(0.09 / 10_000))


def test_the_document_holds_plain_values(collection):
    import json

    document = json.loads(json.dumps(images_to_images(*collection, settings=FEW).to_json()))
    assert set(document) == {"metrics", "left_out"}
    assert set(document["metrics"]["map"]) == {"value", "low", "high", "count"}


@pytest.mark.parametrize(
    ("vectors", "labels", "told"),
    [
        (np.eye(3), ["a", "b"], "give one for each"),
        (np.eye(3), ["a", "b", "c"], "no query has a relevant picture"),
        (np.ones(3), ["a", "b", "c"], "give one for each"),
    ],
)
def test_what_cannot_be_measured_is_told(vectors, labels, told):
    with pytest.raises(SearchError, match=told):
        images_to_images(vectors.astype(np.float32), labels)


def test_depths_start_at_1():
    with pytest.raises(SearchError, match="from 1 up"):
        Settings(ks=(0, 5))
