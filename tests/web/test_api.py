"""The JSON API: what is searched for is found, and what is wrong is told."""

import asyncio
import io
import json

import numpy as np
import pytest
from PIL import Image

from relsim.vectors.search import Searcher
from relsim.web.library import Question


def test_what_is_served_is_told(client, library):
    told = client.get("/api/collection").json()
    assert (told["name"], told["images"], told["captions"]) == ("drawn", len(library), len(library))
    assert told["axes"]["relation"] == {"encoder": "relational", "checkpoint": "relsim-mini", "dimension": 384}
    assert told["axes"]["look"]["checkpoint"] == "relsim-mini-attributes"
    assert told["sentences"] is True


def test_images_come_in_the_order_of_the_table(client, library):
    seen = []
    while page := client.get("/api/images", params={"start": len(seen), "count": 50}).json()["images"]:
        seen += page
    assert [image["id"] for image in seen] == list(library.ids)
    assert seen[0]["caption"] == library.caption(library.ids[0])
    assert client.get("/api/images", params={"start": 10**6}).json() == {
        "total": len(library),
        "start": 10**6,
        "images": [],
    }


@pytest.mark.parametrize("blend", [0, 0.5, 1])
def test_search_by_id_is_that_of_the_library(client, library, models, blend):
    name = library.ids[7]
    told = client.get("/api/search", params={"id": name, "blend": blend, "count": 9}).json()
    relation, look = library.vectors(name)
    expected = library.search([Question(relation, look, 9, blend, without=name)])[0]
    assert (told["kind"], told["query"], told["blend"]) == ("image", name, blend)
    assert [(hit["id"], hit["rank"]) for hit in told["matches"]] == [(hit.image_id, hit.rank) for hit in expected]
    for hit, neighbour in zip(told["matches"], expected, strict=True):
        assert hit["relation"] == pytest.approx(neighbour.relation)
        assert hit["relation_percentile"] == pytest.approx(models.percentile("relation", neighbour.relation))
        assert hit["look_percentile"] == pytest.approx(models.percentile("look", neighbour.look))
        assert hit["caption"] == library.caption(hit["id"])


def test_a_sentence_finds_what_the_text_encoder_finds(client, library):
    from relsim.models.text_encoder import CaptionEncoder

    sentence = "{Objects} arranged in a ring"
    told = client.get("/api/search", params={"text": sentence, "count": 5}).json()
    expected = Searcher(library.relation).by_vector(CaptionEncoder().encode_text([sentence])[0], 5)
    assert [hit["id"] for hit in told["matches"]] == [hit.image_id for hit in expected]
    assert told["blend"] is None
    assert [hit["look"] for hit in told["matches"]] == [None] * 5


def test_a_picture_that_is_brought_finds_itself(client, library, picture):
    received = client.post("/api/uploads", content=picture, headers={"content-type": "image/png"})
    assert received.status_code == 201
    told = received.json()
    assert (told["width"], told["height"]) == Image.open(io.BytesIO(picture)).size
    for blend in (0, 0.5):
        first = client.get("/api/search", params={"upload": told["upload"], "blend": blend}).json()["matches"][0]
        assert first["id"] == library.ids[0]
        assert (first["relation"], first["look"]) == (pytest.approx(1, abs=1e-5), pytest.approx(1, abs=1e-5))
    shown = client.get("/api/thumbnail", params={"upload": told["upload"]})
    assert Image.open(io.BytesIO(shown.content)).format == "WEBP"
    pair = client.get("/api/pair", params={"first": library.ids[0], "upload": told["upload"]}).json()
    assert pair["relation"] == pytest.approx(1, abs=1e-5)
    assert pair["captions"] == [library.caption(library.ids[0]), None]


def test_only_the_last_uploads_are_kept(web, picture):
    client = web(uploads_kept=2)
    tokens = [client.post("/api/uploads", content=picture).json()["upload"] for _ in range(3)]
    assert len(set(tokens)) == 3
    statuses = [client.get("/api/search", params={"upload": token}).status_code for token in tokens]
    assert statuses == [404, 200, 200]


def test_a_pair_has_the_scores_of_both_tables(client, library):
    one, other = library.ids[2], library.ids[5]
    told = client.get("/api/pair", params={"first": one, "id": other}).json()
    assert told["relation"] == pytest.approx(
        float(library.relation.vector(one) @ library.relation.vector(other)), abs=1e-6
    )
    assert told["look"] == pytest.approx(float(library.look.vector(one) @ library.look.vector(other)), abs=1e-6)


@pytest.fixture
def pictures():
    """Processes that decode."""
    from relsim.web.pictures import Bounds, Pictures

    return Pictures(Bounds(2, 10**7, 10**7, 30.0))


class TestThumbnails:
    @pytest.mark.parametrize("side", [96, 192, 384, 1024])
    def test_they_fit_into_the_side_and_are_never_enlarged(self, client, library, side):
        with Image.open(library.records[library.ids[0]].source) as source:
            size = source.size
        answer = client.get("/api/thumbnail", params={"id": library.ids[0], "side": side})
        assert answer.headers["content-type"] == "image/webp"
        assert max(Image.open(io.BytesIO(answer.content)).size) == min(side, max(size))

    def test_a_browser_that_has_it_gets_nothing_again(self, client, library):
        answer = client.get("/api/thumbnail", params={"id": library.ids[1]})
        again = client.get(
            "/api/thumbnail", params={"id": library.ids[1]}, headers={"if-none-match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")

    def test_memory_has_a_limit(self, library, pictures):
        from relsim.web.thumbnails import Thumbnails

        records = list(library.records.values())[:12]

        async def twice():
            async with pictures:
                thumbnails = Thumbnails(pictures, 20_000, 9)
                made = [await thumbnails.of(record, 192) for record in records]
                assert sum(map(len, made)) > 20_000 >= thumbnails._size
                assert [await thumbnails.of(record, 192) for record in records] == made

        asyncio.run(twice())

    def test_many_who_ask_for_one_picture_have_it_made_once(self, library, pictures, monkeypatch):
        from relsim.web import pictures as module
        from relsim.web.thumbnails import Thumbnails

        read, record = [], library.records[library.ids[0]]
        given = module.read_bytes
        monkeypatch.setattr(module, "read_bytes", lambda *some, **named: read.append(some) or given(*some, **named))

        async def together():
            async with pictures:
                thumbnails = Thumbnails(pictures, 10**6, 1)
                return await asyncio.gather(*(thumbnails.of(record, 96) for _ in range(20)))

        assert len(set(asyncio.run(together()))) == 1
        assert len(read) == 1

    def test_a_file_that_has_gone_is_told(self, models, new_table, unit):
        from starlette.testclient import TestClient

        from relsim.web.app import create_app
        from relsim.web.library import Library

        library = Library(new_table(["gone"], unit(1, 8)))
        with TestClient(create_app(library, models), base_url="http://localhost") as client:
            answer = client.get("/api/thumbnail", params={"id": "gone"})
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "the picture cannot be shown: no such file (missing)",
        )
        assert "/pictures" not in answer.text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "\x00", "a" * 4_000, "\ud800"]
)
def test_only_ids_of_the_collection_are_served(client, name):
    name = name.encode("utf-8", "surrogatepass").decode("latin-1")
    for path in ("/api/thumbnail", "/api/search"):
        assert client.get(path, params={"id": name}).json() == {"detail": "this collection has no image of that id"}


@pytest.mark.parametrize("name", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "%2fetc%2fpasswd", "nothing.js", "%00"])
def test_only_files_of_the_page_are_served(client, name):
    assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 422),
        ({"id": "a", "text": "b"}, 422),
        ({"text": "   "}, 422),
        ({"text": "x" * 501}, 422),
        ({"upload": "unknown"}, 404),
        ({"id": "unknown"}, 404),
        ({"text": "a", "blend": "nan"}, 422),
        ({"text": "a", "blend": 1.01}, 422),
        ({"text": "a", "count": 0}, 422),
        ({"text": "a", "count": 501}, 422),
    ],
)
def test_questions_that_make_no_sense_are_told(client, values, status):
    answer = client.get("/api/search", params=values)
    assert answer.status_code == status
    assert answer.json()["detail"]


@pytest.mark.parametrize("kind", ["empty", "text", "html", "truncated", "damaged", "bomb", "zip"])
def test_what_is_no_picture_is_refused_and_harms_nothing(client, files, picture, kind):
    answer = client.post("/api/uploads", content=files[kind], headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["detail"][:28]) == (422, "this picture cannot be used:")
    assert client.post("/api/uploads", content=picture).status_code == 201


def test_too_many_pixels_are_refused(web):
    file = io.BytesIO()
    Image.new("RGB", (101, 100)).save(file, "PNG")
    answer = web(max_upload_pixels=10_000).post("/api/uploads", content=file.getvalue())
    assert "too_large" in answer.json()["detail"]


def test_a_rotated_photograph_is_turned_upright(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (60, 20), "red").save(file, "JPEG", exif=exif)
    told = client.post("/api/uploads", content=file.getvalue()).json()
    assert (told["width"], told["height"]) == (20, 60)


def test_when_too_many_wait_the_next_is_told_to_come_back(web, library, monkeypatch):
    import threading
    from concurrent.futures import ThreadPoolExecutor

    held, found = threading.Event(), library.search

    def slow(questions):
        held.wait(20)
        return found(questions)

    monkeypatch.setattr(library, "search", slow)
    client = web(batch=1, waiting=2)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.get, "/api/search", params={"id": library.ids[number]}) for number in range(8)]
        while sum(future.done() for future in asked) < 5:  # one is worked on, two wait
            pass
        held.set()
        answers = [future.result() for future in asked]
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 5
    busy = next(answer for answer in answers if answer.status_code == 429)
    assert (busy.headers["retry-after"], "too many" in busy.json()["detail"]) == ("1", True)
    counted = client.get("/metrics").text
    assert 'relsim_busy_total{queue="search"} 5.0' in counted


def test_requests_are_counted_by_route_and_never_by_path(client, library):
    for path in ("/api/collection", "/nothing/a", "/nothing/b", f"/api/search?id={library.ids[0]}"):
        client.get(path)
    counted = client.get("/metrics").text
    assert 'relsim_requests_total{route="/api/collection",status="200"} 1.0' in counted
    assert 'relsim_requests_total{route="none",status="404"} 2.0' in counted
    assert "/nothing" not in counted
    assert f"relsim_images {float(len(library))}" in counted


def test_each_request_is_a_line_of_json(client, caplog):
    with caplog.at_level("INFO", "relsim.web.requests"):
        client.get("/api/images", params={"count": 1})
    line = json.loads(caplog.messages[-1])
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/images", 200)
    assert line["bytes"] > 0
    assert line["milliseconds"] >= 0


def test_the_document_describes_every_route(client):
    document = client.get("/api/openapi.json").json()
    assert set(document["paths"]) >= {
        "/api/search",
        "/api/uploads",
        "/api/images",
        "/api/thumbnail",
        "/api/collection",
        "/api/pair",
    }
    described = [operation for path in document["paths"].values() for operation in path.values()]
    assert [operation for operation in described if not operation.get("description")] == []


def test_scores_are_numbers_that_json_knows(client, library):
    text = client.get("/api/search", params={"id": library.ids[0], "count": 200}).text
    assert "NaN" not in text
    scores = [hit["relation"] for hit in json.loads(text)["matches"]]
    assert scores == sorted(scores, reverse=True)
    assert np.abs(scores).max() <= 1 + 1e-6


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', "1e999", "[[[[]]]]"])
@pytest.mark.parametrize("path", ["/api/jobs", "/api/study/answers", "/api/data/none/changes", "/api/data/none/undo"])
def test_what_json_cannot_send_back_is_refused_without_being_sent_back(client, path, value):
    fields = ("verb", "source", "axis", "question", "person", "choice", "row", "caption", "was", "who", "seconds")
    for body in (value, "{" + ", ".join(f'"{name}": {value}' for name in fields) + "}"):
        answer = client.post(path, content=body.encode(), headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json")
        assert all(set(one) == {"type", "loc", "msg"} for one in answer.json()["detail"])


def test_a_model_that_cannot_be_loaded_is_told_and_the_rest_goes_on(library, picture):
    from starlette.testclient import TestClient

    from relsim.web.app import create_app
    from relsim.web.models import Models

    models = Models(library, {"checkpoint_dir": "/nowhere/at/all"})
    with TestClient(create_app(library, models), base_url="http://localhost", headers={"x-relsim": "1"}) as client:
        brought = client.post("/api/uploads", content=picture)
        written = client.get("/api/search", params={"text": "A ring of {Objects}"})
        found = client.get("/api/search", params={"id": library.ids[0]})
    assert (brought.status_code, written.status_code, found.status_code) == (503, 200, 200)
    assert "nowhere" not in brought.text


def test_few_pictures_are_held_in_memory_at_a_time(picture):
    from relsim.web.settings import ServerSettings
    from relsim.web.uploads import PICTURES_IN_MEMORY, Uploads

    async def held():
        async def body():
            yield picture

        now, most = 0, 0

        async def bring(uploads):
            nonlocal now, most
            async with uploads.receive(body()):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.05)
                now -= 1

        async with Uploads(ServerSettings()) as uploads:
            await asyncio.gather(*(bring(uploads) for _ in range(3 * PICTURES_IN_MEMORY)))
        return most

    assert asyncio.run(held()) == PICTURES_IN_MEMORY
