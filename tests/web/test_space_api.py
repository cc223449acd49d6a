"""The similarity space over the API: the data of `relsim space`, with ids and captions and never a path."""

import json

import pytest

from relsim.figures.similarity_space import QUADRANTS, Query, SpaceSettings, axis_name, make_space, null_scores
from relsim.vectors.two_axis import TwoAxisSearcher


@pytest.mark.parametrize("scale", ["published", "raw", "percentile"])
def test_it_is_the_space_of_the_figure(client, library, scale):
    name, sample = library.ids[4], 60
    told = client.get("/api/space", params={"id": name, "scale": scale, "sample": sample, "seed": 3}).json()
    tables = library.look, library.relation
    hits = TwoAxisSearcher(library.relation, library.look).by_id(name, len(library))
    expected = make_space(
        Query(name, ""),
        hits,
        settings=SpaceSettings(scale, sample, seed=3),
        names=tuple(map(axis_name, tables)),
        nulls=tuple(map(null_scores, tables)),
    )
    assert (told["kind"], told["query"], told["scale"], told["collection"]) == ("image", name, scale, len(library) - 1)
    assert told["caption"] == library.caption(name)
    for axis, known in (("x", expected.x), ("y", expected.y)):
        assert (told[axis]["name"], told[axis]["percentile_of"]) == (known.name, "unrelated pairs")
        assert (told[axis]["low"], told[axis]["high"]) == pytest.approx((known.low, known.high), abs=1e-6)
    by_id = {point.image_id: point for point in expected.points}
    assert {point["id"] for point in told["points"]} == set(by_id)
    for point in told["points"]:
        known = by_id[point["id"]]
        assert (point["relation"], point["look"]) == pytest.approx((known.relational, known.attribute), abs=1e-6)
        assert (point["x"], point["y"]) == pytest.approx((known.x, known.y), abs=2e-5)
        assert point["relation_percentile"] == pytest.approx(known.relational_percentile, abs=2e-3)
        assert point["look_percentile"] == pytest.approx(known.attribute_percentile, abs=2e-3)
        assert point["caption"] == library.caption(point["id"])


def test_a_quadrant_is_where_the_picture_stands(client, library):
    points = client.get("/api/space", params={"id": library.ids[9], "scale": "percentile"}).json()["points"]
    assert len(points) == len(library) - 1
    assert library.ids[9] not in {point["id"] for point in points}
    for point in points:
        assert point["x"] == pytest.approx(point["look_percentile"] / 100)
        assert point["quadrant"] == QUADRANTS[(point["x"] >= 0.5, point["y"] >= 0.5)]
    assert {point["quadrant"] for point in points} == set(QUADRANTS.values())


def test_a_picture_that_is_brought_has_the_space_of_its_twin(client, library, picture):
    token = client.post("/api/uploads", content=picture).json()["upload"]
    told = client.get("/api/space", params={"upload": token, "scale": "raw"}).json()
    twin = client.get("/api/space", params={"id": library.ids[0], "scale": "raw"}).json()
    assert (told["kind"], told["query"], told["caption"]) == ("upload", token, None)
    assert told["points"][0]["id"] == library.ids[0]  # the picture itself is in the collection
    assert (told["points"][0]["x"], told["points"][0]["y"]) == (1, 1)
    scores = {point["id"]: point["relation"] for point in told["points"]}
    assert all(scores[point["id"]] == pytest.approx(point["relation"], abs=1e-4) for point in twin["points"])


def test_a_smaller_sample_is_part_of_a_larger_one(client, library):
    def drawn(sample):
        points = client.get("/api/space", params={"id": library.ids[0], "sample": sample}).json()["points"]
        return {point["id"] for point in points}

    few, more = drawn(20), drawn(40)
    assert (len(few), len(more)) == (20, 40)
    assert few < more


def test_where_a_picture_lies_is_told_to_nobody(client, library):
    text = client.get("/api/space", params={"id": library.ids[0]}).text
    sources = [record.source for record in library.records.values()]
    assert [source for source in sources if json.dumps(source)[1:-1] in text] == []


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 422),
        ({"id": "unknown"}, 404),
        ({"upload": "unknown"}, 404),
        ({"id": "a", "upload": "b"}, 422),
        ({"scale": "log"}, 422),
        ({"sample": 0}, 422),
        ({"sample": 3001}, 422),
        ({"seed": -1}, 422),
    ],
)
def test_a_space_that_makes_no_sense_is_told(client, library, values, status):
    if not {"id", "upload"} & set(values) and values:
        values = {**values, "id": library.ids[0]}
    answer = client.get("/api/space", params=values)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_one_axis_makes_no_space(collection, models):
    from starlette.testclient import TestClient

    from relsim.web.app import create_app
    from relsim.web.library import Library

    library = Library.open(collection.relation)
    with TestClient(create_app(library, models), base_url="http://localhost") as client:
        answer = client.get("/api/space", params={"id": library.ids[0]})
    assert (answer.status_code, "one axis" in answer.json()["detail"]) == (422, True)
