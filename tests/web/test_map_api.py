"""The map of a collection: pictures that work alike lie together, and what was made once is not made again."""

import json
import shutil

import numpy as np
import pytest

from relsim.web import mapping
from relsim.web.mapping import MapMaker, digest, make_map


@pytest.fixture(scope="session")
def maps(tmp_path_factory):
    """A folder in which maps are kept."""
    return tmp_path_factory.mktemp("maps")


@pytest.fixture(scope="session")
def document(library, maps):
    """The map of the drawn collection."""
    return json.loads(MapMaker(library, maps).wait())


def blobs(count, each, *, spread=0.05, seed=0):
    """Unit vectors around far directions, and which each is around."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(count), each)
    rows = np.eye(count, 16)[kinds] + rng.normal(0, spread, (count * each, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), kinds


def shares_of_own_kind(places, kinds, nearest=5):
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1)[:, :nearest]
    return (kinds[order] == kinds[:, None]).mean()


def test_the_document_is_as_the_page_of_formats_shows_it(document, documented):
    documented(document)


def test_far_kinds_are_apart_on_the_map_and_are_its_groups():
    rows, kinds = blobs(5, 10)
    texts = (
        "{Objects} form a ring",
        "A row of {Items}",
        "Layers of {Material}",
        "{Parts} fall apart",
        "A {Whole} grows",
    )
    made = make_map([f"p{row}" for row in range(50)], rows, [texts[kind] for kind in kinds])
    places = np.column_stack([made.x, made.y])
    assert shares_of_own_kind(places, kinds) == 1
    assert {len({kinds[row] for row in range(50) if made.group[row] == group}) for group in range(5)} == {1}
    assert [group.size for group in made.groups] == [10] * 5
    assert sorted(str(group.label) for group in made.groups) == sorted(texts)
    assert places.min() >= 0
    assert places.max() <= 1


def test_a_group_is_called_by_a_caption_that_names_nothing():
    rows, kinds = blobs(3, 10)
    texts = ("{Objects} form a ring", "A dog named Rex in Paris", None)
    made = make_map([str(row) for row in range(30)], rows, [texts[kind] for kind in kinds])
    for number, group in enumerate(made.groups):
        (kind,) = {kinds[row] for row in range(30) if made.group[row] == number}
        assert group.label == (texts[0] if kind == 0 else None)


def test_of_a_large_collection_the_rest_lies_among_its_likes():
    rows, kinds = blobs(5, 60)
    made = make_map([str(row) for row in range(300)], rows, [None] * 300, laid_out=120)
    assert shares_of_own_kind(np.column_stack([made.x, made.y]), kinds) > 0.99
    assert [group.label for group in made.groups] == [None] * len(made.groups)


def test_the_map_of_a_seed_is_the_same_again():
    rows, _ = blobs(3, 20)
    ids = [str(row) for row in range(60)]
    assert make_map(ids, rows, [None] * 60, seed=4) == make_map(ids, rows, [None] * 60, seed=4)


@pytest.mark.parametrize("rows", [np.eye(1, 8), np.eye(2, 8), np.eye(3, 8), np.repeat(np.eye(1, 8), 9, 0)])
def test_very_small_collections_have_maps(rows):
    made = make_map([str(row) for row in range(len(rows))], rows.astype(np.float32), [None] * len(rows))
    assert sum(group.size for group in made.groups) == len(rows) == len(made.x)
    assert np.isfinite([made.x, made.y]).all()


def test_a_group_bears_the_caption_nearest_to_its_middle(document, library):
    rows = library.relation.vectors[[library.relation.positions[name] for name in library.ids]].astype(np.float64)
    group = np.array(document["group"])
    sizes = [int((group == number).sum()) for number in range(len(document["groups"]))]
    assert [told["size"] for told in document["groups"]] == sizes == sorted(sizes, reverse=True)
    for number, told in enumerate(document["groups"]):
        members = np.flatnonzero(group == number)
        alike = rows[members] @ rows[members].mean(0)
        best = members[np.argmax(alike)]
        assert told["nearest"][0] == library.ids[best]
        assert (told["x"], told["y"]) == (document["x"][best], document["y"][best])
    labels = [told["label"] for told in document["groups"]]
    assert len(set(labels)) == len(labels)
    assert labels[0] == library.caption(document["groups"][0]["nearest"][0])


def test_pictures_of_one_relation_lie_together(document, library):
    # Captions state the relation, so they tell pictures that work alike.
    captions = np.array([library.caption(name) for name in library.ids])
    places = np.column_stack([document["x"], document["y"]])
    shuffled = np.random.default_rng(0).permutation(captions)
    assert shares_of_own_kind(places, captions) > 5 * shares_of_own_kind(places, shuffled)


def test_it_is_told_how_far_it_is_and_then_given(library, models, maps, document, tmp_path):
    from starlette.testclient import TestClient

    from relsim.web.app import create_app

    app = create_app(library, models)
    with TestClient(app, base_url="http://localhost") as client:
        app.state.relsim.map = maker = MapMaker(library, tmp_path / "new")
        first = client.get("/api/map")
        assert (first.status_code, first.json()["steps"]) == (202, len(mapping.STEPS))
        assert first.json()["doing"] in mapping.STEPS
        maker.wait()
        told = client.get("/api/map")
    assert (told.status_code, told.json()["ids"]) == (200, list(library.ids))
    assert told.json()["groups"] == document["groups"]


def test_what_was_made_is_kept_and_used_again(library, maps, document, monkeypatch):
    def never(*_, **__):
        raise AssertionError("made again")

    monkeypatch.setattr(mapping, "make_map", never)
    assert json.loads(MapMaker(library, maps).wait()) == document


def test_a_damaged_file_is_made_again(library, document, maps, tmp_path):
    copied = shutil.copytree(maps, tmp_path / "maps")
    (kept,) = copied.glob("*.json")
    kept.write_bytes(kept.read_bytes()[:1_000])
    assert json.loads(MapMaker(library, copied).wait()) == document
    assert json.loads(kept.read_bytes()) == document
    assert [path.name for path in copied.iterdir()] == [kept.name]


def test_without_a_place_to_keep_it_there_is_a_map_all_the_same(library, document, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert json.loads(MapMaker(library, tmp_path / "file" / "maps").wait()) == document


def test_another_collection_or_recipe_has_another_map(monkeypatch):
    rows, _ = blobs(2, 3)
    ids, captions = list("abcdef"), [None] * 6
    known = digest(ids, rows, captions)
    assert digest(ids, rows.copy(), captions) == known
    assert digest(ids[::-1], rows, captions) != known
    assert digest(ids, rows[::-1], captions) != known
    assert digest(ids, rows, ["a caption", *captions[1:]]) != known
    monkeypatch.setattr(mapping, "_PER_GROUP", 3)
    assert digest(ids, rows, captions) != known


def test_what_went_wrong_is_told(library, models, tmp_path, monkeypatch):
    from starlette.testclient import TestClient

    from relsim.web.app import create_app

    def broken(*_, **__):
        raise MemoryError("no room for the map")

    monkeypatch.setattr(mapping, "make_map", broken)
    app = create_app(library, models)
    with TestClient(app, base_url="http://localhost") as client:
        app.state.relsim.map = maker = MapMaker(library, tmp_path)
        maker.wait()
        answer = client.get("/api/map")
    assert (answer.status_code, "no room for the map" in answer.json()["detail"]) == (500, True)
