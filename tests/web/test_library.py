"""The collection as the page sees it: every blend of the axes against brute force."""

import json
import subprocess
import sys

import numpy as np
import pytest

from relsim.errors import SearchError
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES
from relsim.vectors import VectorIndex, build_index
from relsim.vectors.calibration import percentile_of
from relsim.vectors.index_search import SearchPath
from relsim.vectors.search import TWO_AXES
from relsim.vectors.table import VectorTable
from relsim.web.library import Library, Question
from relsim.web.models import Models

CHECKPOINTS = (DEFAULT, DEFAULT_ATTRIBUTES)


def brute_force(library, image_id, blend):
    """Ids by the blend of both similarities, in float64, ties by id."""
    ids = np.array(library.ids)
    rows = {
        name: np.stack([table.vector(i) for i in ids]).astype(np.float64)
        for name, table in (("relation", library.relation), ("look", library.look))
    }
    query = list(ids).index(image_id)
    relation, look = (rows[name] @ rows[name][query] for name in ("relation", "look"))
    if blend == 0:
        score = look + relation / 1e4
    elif blend < 0.5:
        score = 2 * blend * relation + (1 - 2 * blend) * look
    else:
        score = relation - (2 * blend - 1) * look
    order = sorted(range(len(ids)), key=lambda row: (-score[row], ids[row]))
    return [ids[row] for row in order if row != query], relation, look, score


@pytest.mark.parametrize("blend", [0.0, 0.1, 0.35, 0.5, 0.8, 1.0])
def test_the_order_is_that_of_brute_force(library, blend):
    for image_id in library.ids[:5]:
        relation, look = library.vectors(image_id)
        found = library.search([Question(relation, look, 40, blend, without=image_id)])[0]
        expected, all_relation, all_look, score = brute_force(library, image_id, blend)
        place = {name: row for row, name in enumerate(library.ids)}
        assert [hit.rank for hit in found] == list(range(1, 41))
        # Scores that are equal up to rounding may change places.
        ours = [score[place[hit.image_id]] for hit in found]
        theirs = [score[place[name]] for name in expected[:40]]
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
        np.testing.assert_allclose(
            [hit.relation for hit in found], [all_relation[place[h.image_id]] for h in found], atol=1e-6
        )
        np.testing.assert_allclose([hit.look for hit in found], [all_look[place[h.image_id]] for h in found], atol=1e-6)


def test_questions_of_every_kind_may_come_together(library):
    questions = []
    for number, image_id in enumerate(library.ids[:12]):
        relation, look = library.vectors(image_id)
        questions.append(
            Question(relation, look if number % 3 else None, 3 + number % 2, (0.0, 0.5, 1.0)[number % 3], image_id)
        )
    together = library.search(questions)
    assert together == [library.search([question])[0] for question in questions]
    assert [hits[0].look is None for hits in together] == [number % 3 == 0 for number in range(12)]


def test_all_scores_are_those_of_the_tables(library):
    relation, look = library.vectors(library.ids[3])
    both = library.scores(Question(relation, look, 1))
    for scores, table in zip(both, (library.relation, library.look), strict=True):
        expected = [float(table.vector(name) @ table.vector(library.ids[3])) for name in library.ids]
        np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert library.scores(Question(relation, None, 1))[1] is None


def test_captions_are_those_of_the_manifest(library):
    from relsim.data.manifest import read_manifest

    rows = {
        row.image_hash: row.caption for row in read_manifest(library.relation.path.parent / "world" / "manifest.jsonl")
    }
    assert {name: library.caption(name) for name in library.ids} == rows
    assert library.about()["captions"] == len(rows)


def test_one_axis_is_enough(collection):
    library = Library.open(collection.relation)
    relation, look = library.vectors(library.ids[0])
    assert look is None
    assert library.about()["axes"]["look"] is None
    assert library.search([Question(relation, None, 2, 1.0)])[0][0].image_id == library.ids[0]


def test_an_empty_table_is_refused(collection, tmp_path):
    full = VectorTable.open(collection.relation)
    VectorTable.create(tmp_path / "empty", full.fingerprint, full.dimension).close()
    with pytest.raises(SearchError, match="holds no images"):
        Library.open(tmp_path / "empty")


def test_images_that_lack_one_axis_are_found_by_nothing(new_table, unit):
    names = [f"{row:02}" for row in range(30)]
    vectors = unit(30, 12)
    relation, look = new_table(names, vectors, 1, "relation"), new_table(names[10:], unit(20, 6), 1, "look")
    library = Library(relation, look)
    questions = [Question(vectors[3], None, 50), Question(vectors[15], library.vectors("15")[1], 50, without="15")]
    found = [{hit.image_id for hit in hits} for hits in library.search(questions)]
    assert found == [set(names[10:]), set(names[10:]) - {"15"}]
    assert ("03" in library, "15" in library) == (False, True)
    with pytest.raises(SearchError, match="no such image_id"):
        library.vectors("03")


def test_what_is_found_when_the_library_is_warm_is_the_same(new_table, unit):
    names = [f"{row:03}" for row in range(300)]
    vectors = unit(300, 32)
    tables = new_table(names, vectors, 2, "relation"), new_table(names, unit(300, 16), 1, "look")
    for library in (Library(tables[0]), Library(*tables)):
        blends = dict(zip(names[:4], (0, 0.4, 0.5, 1), strict=True))
        questions = [Question(*library.vectors(name), 20, blend, name) for name, blend in blends.items()]
        cold = library.search(questions)
        library.warm_up()
        assert library.search(questions) == cold


class TestIndex:
    @pytest.fixture
    def tables(self, new_table, unit):
        """Relation, and look of all images."""
        names = [f"{row:05}" for row in range(4000)]
        return new_table(names, unit(4000, 64), 4, "relation"), new_table(names, unit(4000, 8), 1, "look")

    @pytest.fixture
    def built(self, tables):
        return build_index(VectorTable.open(tables[0].path), "binary", queries=20, shortlist=100, seed=0)

    def test_one_axis_is_answered_by_it_and_told(self, tables, built):
        library = Library.open(tables[0].path)
        vector = library.vectors("00007")[0]
        near, many = Question(vector, None, 5, without="00007"), Question(vector, None, 500, without="00007")
        exact = library.search([near])[0]
        assert library.path(near) == SearchPath("exact", 0, 4000)
        assert library.take_index() is None
        library.warm_up()
        assert library.path(near) == SearchPath("binary", 4000, 0, built.facts.recall)
        assert library.path(many).kind == "exact"
        found = library.search([near, many])
        assert [hit.rank for hit in found[0]] == [1, 2, 3, 4, 5]
        assert found[1][:5] == exact
        scores = {hit.image_id: hit.relation for hit in found[1]}
        assert all(hit.relation == scores[hit.image_id] for hit in found[0])

    def test_the_index_is_what_finds(self, tables, built, monkeypatch):
        """An index that names nothing of use finds nothing of use: the answers are its own."""
        library = Library.open(tables[0].path)
        library.take_index()
        few = np.arange(100, 110)
        monkeypatch.setattr(VectorIndex, "candidates", lambda self, queries, k: np.tile(few, (len(queries), 1)))
        (hits,) = library.search([Question(library.vectors("00007")[0], None, 10)])
        assert {hit.image_id for hit in hits} == {f"{row:05}" for row in few}

    def test_two_axes_stay_exact_and_sentences_need_not(self, tables, built):
        library = Library.open(tables[0].path, tables[1].path)
        relation, look = library.vectors("00007")
        both, sentence = Question(relation, look, 5, 0.7), Question(relation, None, 5)
        exact = library.search([both])
        assert library.take_index() is None
        assert library.path(both) == SearchPath("exact", 0, 4000, why=TWO_AXES)
        assert library.path(sentence).kind == "binary"
        assert library.search([both]) == exact
        assert library.search([sentence])[0][0].image_id == "00007"

    def test_one_that_lacks_rows_is_not_taken(self, tables, built, named, unit):
        with VectorTable.open(tables[0].path) as table:
            table.append("new", named(["new"]), unit(1, 64, seed=3))
        library = Library.open(tables[0].path)
        assert library.take_index() == (
            "searched exactly, for the index holds for 4,000 of 4,001 rows; relsim index builds it again"
        )
        path = library.path(Question(library.vectors("new")[0], None, 5))
        assert (path.kind, path.exactly, path.why) == ("exact", 4001, library.take_index())

    def test_one_of_images_that_are_not_shown_is_not_taken(self, tables, built):
        with VectorTable.open(tables[1].path) as look:
            look.delete(["00009"])
        library = Library.open(tables[0].path, tables[1].path)
        assert "without a look" in library.take_index()
        found = library.search([Question(tables[0].vector("00009"), None, 3999)])[0]
        assert "00009" not in {hit.image_id for hit in found}

    def test_a_table_without_one_says_nothing(self, tables):
        library = Library(tables[0])
        assert library.take_index() is None
        assert library.path(Question(library.vectors("00001")[0], None, 5)) == SearchPath("exact", 0, 4000)

    def test_the_api_tells_the_path(self, tables, built):
        from starlette.testclient import TestClient

        from relsim.web.app import create_app

        library = Library.open(tables[0].path)
        library.take_index()
        with TestClient(create_app(library), base_url="http://localhost") as client:
            told = client.get("/api/search", params={"id": "00003", "count": 5}).json()
        assert told["path"] == json.loads(json.dumps(library.path(Question(*library.vectors("00003"), 5)).to_json()))
        assert told["path"]["recall"]["value"] == built.facts.recall.value
        assert "00003" not in [hit["id"] for hit in told["matches"]]


class TestPercentiles:
    def test_they_are_told_before_a_model_is_loaded(self, library, models):
        loaded = {axis: models._encoder(axis, getattr(library, axis)) for axis in ("relation", "look")}
        fresh = Models(library)
        for axis, encoder in loaded.items():
            null = encoder.vlm.checkpoint.null_distribution
            for score in (-0.5, 0.1, 0.4, 0.9):
                assert fresh.percentile(axis, score) == percentile_of(score, null)
        assert fresh._made == {}

    def test_they_are_those_of_the_checkpoint_that_is_named(self, library):
        scores = [Models(library, {"checkpoint_dir": name}).percentile("relation", 0.3) for name in CHECKPOINTS]
        assert len({*scores, None}) == 3
        assert Models(library, {"checkpoint_dir": "/nowhere/at/all"}).percentile("relation", 0.3) is None

    def test_an_encoder_without_scores_of_unrelated_pairs_has_none(self, new_table, unit):
        from starlette.testclient import TestClient

        from relsim.web.app import create_app

        plain = Library(new_table([f"image-{row}" for row in range(4)], unit(4, 8)))
        with TestClient(create_app(plain), base_url="http://localhost") as client:
            told = client.get("/api/search", params={"id": "image-0"}).json()["matches"]
            pair = client.get("/api/pair", params={"first": "image-1", "id": "image-0"}).json()
        assert {(hit["relation_percentile"], hit["look_percentile"]) for hit in told} == {(None, None)}
        assert (pair["relation_percentile"], pair["look_percentile"]) == (None, None)

    def test_torch_is_not_loaded_for_them(self, collection):
        code = (
            "import sys; from relsim.web.library import Library; from relsim.web.models import Models; "
            "assert Models(Library.open(sys.argv[1])).percentile('relation', 0.3) is not None; "
            "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
        )
        command = [sys.executable, "-c", code, collection.relation]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
