"""Why two pictures are alike, in the API: the same as model.explain says, and what is refused."""

import numpy as np
import pytest

from relsim.captions.anonymity import check
from relsim.data.images import read_image
from relsim.explain.occlusion import means_in
from relsim.explain.pair import Settings, explain_pair
from relsim.web.library import Library
from relsim.web.models import Models


def test_the_reasons_are_those_of_python(client, library, models):
    first, second = library.ids[3], library.ids[9]
    told = client.get("/api/explain", params={"id": first, "other": second}).json()
    with models.alone() as (relation, look, sentences, captioner):
        images = read_image(library.records[first]).image, read_image(library.records[second]).image
        settings = Settings(curves=False, captions=["{Objects} arranged in a ring"])
        own = explain_pair(
            relation.vlm, sentences, images, attributes=look, writer=captioner, check=check, settings=settings
        )
    assert told["relation"] == pytest.approx(own.relational.score, abs=1e-5)
    assert told["look"] == pytest.approx(own.attribute.score, abs=1e-5)
    assert told["relation_percentile"] == pytest.approx(own.relational.percentile, abs=0.1)
    assert told["look_percentile"] == pytest.approx(own.attribute.percentile, abs=0.1)
    for shown, picture, image_id in zip(told["pictures"], own.pictures, (first, second), strict=True):
        cells = picture.attention.cells()
        np.testing.assert_allclose(shown["attention"], cells * cells.size, atol=1e-3)
        assert np.mean(shown["attention"]) == pytest.approx(1, abs=1e-3)  # multiples of an even spread
        falls = np.array(shown["occlusion"])
        np.testing.assert_allclose(falls, means_in(picture.occlusion_map, picture.seen, falls.shape), atol=1e-3)
        assert shown["sentence"] == picture.said.caption
        assert shown["caption"] == library.caption(image_id)
        left, top, right, bottom = shown["seen"]
        assert picture.seen == (
            *(round(left * shown["width"]), round(top * shown["height"])),
            *(round(right * shown["width"]), round(bottom * shown["height"])),
        )


def test_captions_of_the_neighbourhood_are_among_those_compared(client, library):
    image_id = library.ids[3]
    told = client.get("/api/explain", params={"id": image_id, "other": image_id}).json()
    near = client.get("/api/search", params={"id": image_id, "blend": 0.5, "count": 24}).json()["matches"]
    assert told["captions"] >= len({hit["caption"] for hit in near})
    assert len(told["shared"]) == len(told["first"]) == len(told["second"]) == 5
    assert told["first"] == told["second"] == told["shared"]  # one picture twice
    assert told["relation"] == pytest.approx(1, abs=1e-5)


def test_a_received_picture_is_explained(client, library, picture):
    token = client.post("/api/uploads", content=picture, headers={"content-type": "image/png"}).json()["upload"]
    told = client.get("/api/explain", params={"upload": token, "other": library.ids[0]}).json()
    assert told["pictures"][0]["caption"] is None
    assert told["pictures"][1]["caption"] == library.caption(library.ids[0])
    assert told["relation"] > 0.95  # the same picture, but for the compression of what is kept


@pytest.mark.parametrize(
    ("values", "status"),
    [({"id": "unknown"}, 404), ({"upload": "unknown"}, 404), ({}, 422), ({"id": "a", "upload": "b"}, 422)],
    ids=str,
)
def test_what_is_not_here_is_told(client, library, values, status):
    told = client.get("/api/explain", params={"other": library.ids[0], **values})
    assert (told.status_code, bool(told.json()["detail"])) == (status, True)
    assert client.get("/api/explain", params={"id": library.ids[0], "other": "unknown"}).status_code == 404


def test_an_encoder_without_a_query_token_has_no_reasons(library, collection):
    from starlette.testclient import TestClient

    from relsim.encoders.registry import load_encoder
    from relsim.vectors.build import fill_table
    from relsim.vectors.table import VectorTable
    from relsim.web.app import create_app

    encoder = load_encoder("descriptors")
    folder = library.relation.path.with_name("described")
    origin = {"encoder": "descriptors"}
    with VectorTable.open_or_create(folder, encoder.fingerprint, encoder.dimension, origin=origin) as table:
        fill_table(table, list(library.records.values())[:3], encoder)
    described = Library.open(folder)
    with TestClient(create_app(described, Models(described)), base_url="http://localhost") as client:
        told = client.get("/api/explain", params={"id": described.ids[0], "other": described.ids[1]})
    assert (told.status_code, "no query token" in told.json()["detail"]) == (422, True)
