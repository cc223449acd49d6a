"""A second look by a measure of pairs, against brute force over the candidates of the first."""

import json

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import ImageRecord, Status
from relsim.errors import ImageError, SearchError
from relsim.evaluation.exclusions import picture_hashes
from relsim.evaluation.reranking import SecondLook
from relsim.evaluation.retrieval import run_retrieval
from relsim.evaluation.retrieval_choice import RetrievalSettings
from relsim.evaluation.retrieval_files import published_form, summary_form
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

DEPTH, TOP_K = 8, 5
SPOILT = 77


class Brightness:
    """The difference of mean grey values."""

    name = "brightness"
    fingerprint = Fingerprint.of({"encoder": "brightness"})

    def prepare(self, image):
        if image.width == SPOILT:
            raise ImageError(Status.BAD_SHAPE.value, "too odd to be measured")
        return float(np.asarray(image.convert("L")).mean())

    def distance(self, batch_a, batch_b):
        return np.abs(np.subtract(batch_a, batch_b)).astype(np.float32)


@pytest.fixture
def pictures(tmp_path, blocks):
    """24 pictures of three labels: noise of 22 kinds, one that is a copy of another, one that cannot be measured."""
    (tmp_path / "pictures").mkdir()
    rows = []
    for number in range(24):
        image = blocks(5 if number == 22 else number)
        if number == 23:
            image = image.resize((SPOILT, 40))
        image.save(tmp_path / "pictures" / f"{number:02}.png")
        relation = ("ring", "row", "pair")[number % 3]
        rows.append(
            ImageRecord(f"{number:02}", str(tmp_path / "pictures" / f"{number:02}.png"), {"relation": relation})
        )
    return rows


@pytest.fixture
def table(tmp_path, pictures):
    vectors = np.random.default_rng(3).standard_normal((len(pictures), 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with VectorTable.create(tmp_path / "table", Fingerprint.of({"encoder": "drawn"}), 6) as made:
        made.append("all", pictures, vectors)
    return VectorTable.open(tmp_path / "table")


def grey(record):
    return float(np.asarray(Image.open(record.source).convert("L")).mean())


def run(pictures, table, depth=DEPTH, **settings):
    second = SecondLook("bright", Brightness(), depth)
    chosen = RetrievalSettings(top_k=TOP_K, resamples=20, **settings)
    return run_retrieval(pictures, {"drawn": table}, hashes=picture_hashes(pictures), settings=chosen, second=second)


def expected(run, pictures, table, query, barred, depth):
    """Ids and distances: the first `depth` by dot product that may be found, then by distance and id."""
    place = {record.image_id: record for record in pictures}
    rows = {name: table.vector(name).astype(np.float64) for name in place if name not in barred}
    own = table.vector(query).astype(np.float64)
    first = sorted(rows, key=lambda name: (-round(float(rows[name] @ own), 9), name))[:depth]
    return sorted((abs(grey(place[name]) - grey(place[query])), name) for name in first if name != "23")


@pytest.mark.parametrize("depth", [DEPTH, 2, 100])
def test_candidates_are_ordered_by_their_distance(pictures, table, depth):
    found = run(pictures, table, depth)
    assert [method.name for method in found.methods] == ["drawn", "drawn+bright"]
    for place, query in enumerate(found.queries):
        name = found.records[query].image_id
        if name == "23":
            continue
        barred = {found.records[one.row].image_id for one in found.exclusions[place]}
        wanted = expected(found, pictures, table, name, barred, max(depth, TOP_K))
        rows = found.methods[1].distinct.indices[place]
        scores = found.methods[1].distinct.scores[place]
        assert [found.records[row].image_id for row in rows if row >= 0] == [one for _, one in wanted][:TOP_K]
        assert [-score for score, row in zip(scores, rows, strict=True) if row >= 0] == pytest.approx(
            [distance for distance, _ in wanted][:TOP_K], abs=1e-4
        )
        kept = expected(found, pictures, table, name, {name}, max(depth, TOP_K))
        rows = found.methods[1].kept.indices[place]
        assert [found.records[row].image_id for row in rows if row >= 0] == [one for _, one in kept][:TOP_K]


def test_metrics_are_those_of_the_new_order_and_end_where_it_ends(pictures, table):
    found = run(pictures, table)
    labels = {record.image_id: record.fields["relation"] for record in pictures}
    report = found.methods[1].distinct_report
    for at, place in enumerate(report.asked):
        name = found.records[found.queries[place]].image_id
        barred = {found.records[one.row].image_id for one in found.exclusions[place]}
        order = [] if name == "23" else [one for _, one in expected(found, pictures, table, name, barred, DEPTH)]
        hits = [labels[one] == labels[name] for one in order]
        relevant = sum(labels[one] == labels[name] for one in labels if one not in barred)
        precision = sum(sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit) / relevant
        assert report.per_query["map"][at] == pytest.approx(precision)
        assert report.per_query["precision@5"][at] == pytest.approx(sum(hits[:5]) / 5)
        assert report.per_query["recall@10"][at] == pytest.approx(sum(hits[:10]) / relevant)
    compared = [(one.first, one.second) for one in found.comparisons if one.metric == "map"]
    assert compared == [("drawn", "drawn+bright")]


def test_what_cannot_be_measured_is_told_once_and_found_by_nothing(pictures, table):
    found = run(pictures, table, 100)
    assert [(one.record.image_id, one.status) for one in found.methods[1].unmeasured] == [("23", Status.ENCODER)]
    lists = published_form(found)["drawn+bright"]
    assert all("23" not in one["top_k_image_ids"] for one in lists)
    assert [one["top_k_image_ids"] for one in lists if one["query_image_id"] == "23"] == [[]]
    told = json.loads(json.dumps(summary_form(found)))["methods"]
    assert told["drawn+bright"]["origin"] == {"rerank": "bright", "rerank_depth": 100}
    assert told["drawn+bright"]["unmeasured"] == [
        {"image_id": "23", "status": "encoder", "reason": "too odd to be measured"}
    ]
    assert "unmeasured" not in told["drawn"]


def test_what_makes_no_sense_is_refused(pictures, table):
    with pytest.raises(SearchError, match="at least 1"):
        SecondLook("bright", Brightness(), 0)
    with pytest.raises(SearchError, match="no method nobody"):
        run(pictures, table, reference="nobody")
    assert {one.first for one in run(pictures, table, reference="drawn+bright").comparisons} == {"drawn+bright"}
