"""A retrieval run against a brute-force reference on the same vectors and queries, duplicates included."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import Failure, ImageRecord, Status
from relsim.errors import SearchError
from relsim.evaluation.exclusions import picture_hashes
from relsim.evaluation.retrieval import run_retrieval
from relsim.evaluation.retrieval_choice import RetrievalSettings
from relsim.evaluation.retrieval_files import published_form, read_query_ids, summary_form, whole_form, write_run
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

LABELS = ("ring", "row", "pair", None)
TOP_K = 4


@pytest.fixture(scope="module")
def collection(tmp_path_factory, blocks):
    """40 pictures with labels on most: copies of one file, paler copies and JPEGs of others, and plain ones."""
    folder = tmp_path_factory.mktemp("collection")
    for number in range(24):
        blocks(number).save(folder / f"{number:02}.png")
    for number in range(24, 28):
        shutil.copy(folder / "03.png", folder / f"{number}.png")
    for number in range(28, 34):
        Image.open(folder / f"{number - 28:02}.png").point(lambda value: value * 0.9).save(folder / f"{number}.png")
    for number in range(34, 37):
        Image.new("RGB", (32, 32), (number * 5, 0, 0)).save(folder / f"{number}.png")
    for number in range(37, 40):
        Image.open(folder / f"{number - 30:02}.png").save(folder / f"{number}.png", format="JPEG", quality=90)
    rng = np.random.default_rng(0)
    labels = [LABELS[number] for number in rng.integers(0, len(LABELS), 40)]
    return [
        ImageRecord(path.stem, str(path), {} if label is None else {"relation": label})
        for path, label in zip(sorted(folder.iterdir()), labels, strict=True)
    ]


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors(collection):
    """Two encoders' vectors by id, among them equal ones, so that scores tie."""
    rng = np.random.default_rng(1)
    found = {}
    for name in ("first", "second"):
        rows = unit(rng.normal(size=(len(collection), 6)))
        rows[[5, 12, 31]] = rows[20]
        rows[24:28] = rows[3]
        found[name] = {record.image_id: row for record, row in zip(collection, rows, strict=True)}
    return found


def make_table(path, name, records, vectors, failures=()):
    with VectorTable.create(path, Fingerprint.of({"encoder": name}), 6, origin={"encoder": name}) as table:
        table.append("all", records, np.stack([vectors[record.image_id] for record in records]), failures)
    return VectorTable.open(path)


@pytest.fixture(scope="module")
def tables(tmp_path_factory, collection, vectors):
    folder = tmp_path_factory.mktemp("tables")
    # In another order than the collection: nothing may hang on it.
    shuffled = [collection[place] for place in np.random.default_rng(2).permutation(len(collection))]
    return {name: make_table(folder / name, name, shuffled, rows) for name, rows in vectors.items()}


def brute_force(collection, vectors, queries, barred, k):
    """For each query the k best of what it may find: every score by a plain sum, sorted by score and then by id."""
    found = []
    for query in queries:
        scores = {
            record.image_id: sum(
                float(a) * float(b) for a, b in zip(vectors[query], vectors[record.image_id], strict=True)
            )
            for record in collection
            if record.image_id not in barred[query]
        }
        # Equal vectors have equal scores; a plain sum gives them the very same one.
        found.append(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k])
    return found


def plain_metrics(ranking, relevant, k):
    """Metrics of one query from the whole ranking (booleans), by their definitions."""
    first = ranking[:k]
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, k) + 1))
    return {
        f"precision@{k}": sum(first) / k,
        f"recall@{k}": sum(first) / relevant,
        f"ndcg@{k}": sum(1 / math.log2(rank + 1) for rank, hit in enumerate(first, 1) if hit) / best,
        "map": sum(sum(ranking[:rank]) / rank for rank, hit in enumerate(ranking, 1) if hit) / relevant,
    }


@pytest.fixture(scope="module")
def run(collection, tables):
    settings = RetrievalSettings(top_k=TOP_K, resamples=50)
    return run_retrieval(collection, tables, hashes=picture_hashes(collection), settings=settings)


@pytest.fixture(scope="module")
def barred(collection, plain_duplicate):
    """Query to {id: reason}, every pair of files compared by itself."""
    found = {}
    for query in collection:
        found[query.image_id] = {query.image_id: "self"}
        for other in collection:
            reason = plain_duplicate(Path(query.source), Path(other.source), 4)
            if other is not query and reason is not None:
                found[query.image_id][other.image_id] = reason
    return found


def test_what_is_excluded_is_what_a_plain_comparison_of_files_finds(run, barred, collection):
    told = {
        query["image_id"]: {one["image_id"]: one["reason"] for one in query["excluded"]}
        for query in whole_form(run)["queries"]
    }
    assert told == barred
    reasons = [reason for some in barred.values() for reason in some.values()]
    assert reasons.count("exact") == 5 * 4  # five equal files, each with four others
    assert reasons.count("near") >= 2 * 6  # and the paler copies
    assert [len(barred[f"{number}"]) for number in (34, 35, 36)] == [1, 1, 1]  # plain pictures have no copies


def test_matches_equal_brute_force_with_and_without_duplicates(run, collection, vectors, barred):
    document, published = whole_form(run), published_form(run)
    queries = [record.image_id for record in collection]
    for name in vectors:
        distinct = brute_force(collection, vectors[name], queries, barred, TOP_K)
        kept = brute_force(collection, vectors[name], queries, {query: {query} for query in queries}, TOP_K)
        for place, query in enumerate(queries):
            result, old = document["results"][name][place], published[name][place]
            assert result["query_image_id"] == old["query_image_id"] == query
            assert [match["image_id"] for match in result["matches"]] == [image_id for image_id, _ in distinct[place]]
            assert old["top_k_image_ids"] == [image_id for image_id, _ in distinct[place]]
            assert old["top_k_scores"] == pytest.approx([score for _, score in distinct[place]], abs=1e-12)
            with_copies = result.get("matches_with_duplicates", result["matches"])
            assert [match["image_id"] for match in with_copies] == [image_id for image_id, _ in kept[place]]
            assert [match["rank"] for match in with_copies] == list(range(1, TOP_K + 1))


@pytest.mark.parametrize("variant", ["without_duplicates", "with_duplicates"])
def test_metrics_equal_brute_force(run, collection, vectors, barred, variant):
    label = {record.image_id: record.fields.get("relation") for record in collection}
    without = barred if variant == "without_duplicates" else {query: {query} for query in label}
    for name in vectors:
        expected = []
        for query, wanted in label.items():
            (ranking,) = brute_force(collection, vectors[name], [query], without, len(collection))
            hits = [wanted is not None and label[image_id] == wanted for image_id, _ in ranking]
            if any(hits):
                expected.append(
                    {name: value for k in (1, 4, 5, 10) for name, value in plain_metrics(hits, sum(hits), k).items()}
                )
        told = summary_form(run)["methods"][name][variant]
        assert told["left_out"] == len(label) - len(expected)
        for metric in expected[0]:
            mean = sum(query[metric] for query in expected) / len(expected)
            assert told["metrics"][metric]["value"] == pytest.approx(mean, abs=1e-12), metric
            assert told["metrics"][metric]["count"] == len(expected)


def test_each_query_has_its_own_metrics(run):
    document = whole_form(run)
    values = [result["metrics"]["map"] for result in document["results"]["first"] if result["metrics"] is not None]
    told = document["methods"]["first"]["without_duplicates"]
    assert sum(values) / len(values) == pytest.approx(told["metrics"]["map"]["value"])
    assert len(document["results"]["first"]) - len(values) == told["left_out"]


def test_encoders_are_compared_on_the_same_queries(run):
    document = summary_form(run)
    methods = document["methods"]
    for one in document["comparisons"]:
        means = [methods[name]["without_duplicates"]["metrics"][one["metric"]]["value"] for name in ("first", "second")]
        assert one["value"] == pytest.approx(means[0] - means[1], abs=1e-12)
        assert one["low"] <= one["value"] <= one["high"]
        assert one["p_holm"] == one["p"]  # two encoders make one comparison a metric
    assert {one["metric"] for one in document["comparisons"]} == methods["first"]["without_duplicates"][
        "metrics"
    ].keys()


def test_the_published_file_has_its_keys_in_order(run, tmp_path, collection):
    write_run(tmp_path, run)
    published = json.loads((tmp_path / "retrieved_images.json").read_text())
    assert list(published) == ["first", "second"]
    keys = ["query_image_id", "query_image_path", "top_k_image_ids", "top_k_image_paths", "top_k_scores"]
    assert all(list(entry) == keys for entries in published.values() for entry in entries)
    sources = {record.image_id: record.source for record in collection}
    entry = published["first"][7]
    assert entry["query_image_path"] == sources[entry["query_image_id"]]
    assert entry["top_k_image_paths"] == [sources[image_id] for image_id in entry["top_k_image_ids"]]
    assert json.loads((tmp_path / "retrieval.json").read_text())["schema"] == "relsim.retrieval/1"


def test_a_sample_is_the_beginning_of_a_larger_one_and_needs_no_order(collection, tables):
    def asked(records, **settings):
        found = run_retrieval(records, tables, settings=RetrievalSettings(resamples=5, **settings))
        return [found.records[row].image_id for row in found.queries]

    few, more = asked(collection, queries=5), asked(collection, queries=12)
    assert more[:5] == few
    assert len(set(more)) == 12
    assert asked(collection[::-1], queries=5) == few
    assert asked(collection, queries=5, seed=1) != few
    assert len(asked(collection, queries=99)) == len(collection)


def test_distractors_are_found_and_never_asked(collection, tables):
    pool, others = collection[:10], collection[10:]
    run = run_retrieval(pool, tables, distractors=others, settings=RetrievalSettings(resamples=5, top_k=39))
    document = whole_form(run)
    assert [query["image_id"] for query in document["queries"]] == [record.image_id for record in pool]
    assert (document["database"], document["distractors"]) == (40, 30)
    assert all(len(result["matches"]) == 39 for result in document["results"]["first"])


def test_named_queries_that_cannot_be_asked_are_told(collection, tables):
    settings = RetrievalSettings(query_ids=["07", "nobody", "30", "07"], resamples=5)
    run = run_retrieval(collection[:20], tables, distractors=collection[20:], settings=settings)
    assert [run.records[row].image_id for row in run.queries] == ["07"]
    assert [(one.image_id, one.reason.split(",")[0]) for one in run.left_out] == [
        ("nobody", "not there"),
        ("30", "a distractor"),
    ]
    with pytest.raises(SearchError, match="none of the queries can be used: nobody is not there"):
        run_retrieval(collection, tables, settings=RetrievalSettings(query_ids=["nobody"]))


def test_a_picture_that_one_encoder_lacks_is_in_nobodys_database(collection, tables, vectors, tmp_path):
    failed = Failure(collection[4], Status.DAMAGED, "its data ends early")
    rest = [record for record in collection if record is not collection[4]]
    lacking = make_table(tmp_path / "lacking", "third", rest[:-1], vectors["first"], [failed])
    run = run_retrieval(collection, {**tables, "third": lacking}, settings=RetrievalSettings(resamples=5))
    document = whole_form(run)
    assert document["database"] == 38
    assert [(one["image_id"], one["status"], one["methods"]) for one in document["failures"]] == [
        ("04", "damaged", ["third"]),
        ("39", "missing", ["third"]),
    ]
    assert "holds no such image_id" in document["failures"][1]["reason"]
    found = {match["image_id"] for result in document["results"]["first"] for match in result["matches"]}
    assert not found & {"04", "39"}


def test_k_beyond_the_collection_gives_all_there_are(collection, tables):
    run = run_retrieval(collection[:3], tables, settings=RetrievalSettings(top_k=50, resamples=5))
    assert [len(entry["top_k_image_ids"]) for entry in published_form(run)["first"]] == [2, 2, 2]


def test_without_labels_there_are_lists_and_no_metrics(collection, tables):
    bare = [ImageRecord(record.image_id, record.source) for record in collection]
    document = whole_form(run_retrieval(bare, tables, settings=RetrievalSettings(resamples=5)))
    assert (document["label"], document["labelled"], document["comparisons"]) == (None, 0, [])
    assert document["methods"]["first"]["without_duplicates"] is None
    assert document["results"]["first"][0]["metrics"] is None
    assert document["results"]["first"][0]["matches"][0]["relevant"] is None


def test_any_field_may_be_the_label(collection, tables):
    halves = [
        ImageRecord(record.image_id, record.source, {"half": number % 2}) for number, record in enumerate(collection)
    ]
    document = summary_form(run_retrieval(halves, tables, settings=RetrievalSettings(label="half", resamples=5)))
    assert (document["label"], document["labelled"]) == ("half", 40)
    assert document["methods"]["first"]["without_duplicates"]["left_out"] == 0


@pytest.mark.parametrize("records", [0, 1])
def test_fewer_than_two_pictures_are_refused(records, collection, tables):
    with pytest.raises(SearchError, match=f"{records} of {records} pictures can be used"):
        run_retrieval(collection[:records], tables)


def test_no_encoder_is_refused(collection):
    with pytest.raises(SearchError, match="no encoder"):
        run_retrieval(collection, {})


def test_lists_of_queries(tmp_path):
    (tmp_path / "ids.txt").write_text("b\n\n a \r\n")
    (tmp_path / "ids.jsonl").write_text('{"image_hash": "b", "caption": "x"}\n{"image_hash": "a"}\n')
    assert read_query_ids(tmp_path / "ids.txt") == read_query_ids(tmp_path / "ids.jsonl") == ["b", "a"]
