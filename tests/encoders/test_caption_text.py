"""Encoders that read captions: known ones are used, others are written, and CLIP-T asks with one and finds pictures."""

import json

import numpy as np
import pytest

from relsim.captions.captioner import Captioner
from relsim.data.dataset import ImageDataset
from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Encoder, QueryEncoder, RecordEncoder, TextEncoder, query_side
from relsim.encoders.registry import encoder_of, load_encoder, origin_of
from relsim.encoders.stream import encode_all, encode_images, encode_records
from relsim.models.text_encoder import CaptionEncoder
from relsim.vectors.build import fill_table
from relsim.vectors.query import Query, QueryKind, search_table
from relsim.vectors.table import VectorTable

CPU = {"device": "cpu", "dtype": "float32"}
CAPTIONS = ["{Objects} in a ring", "Layers of {Material}", "{Animal} made of {Fruit}"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory, pictures):
    """Six pictures; a manifest has captions of the first three."""
    folder = tmp_path_factory.mktemp("collection")
    rows = []
    for number, picture in enumerate(pictures[:6]):
        picture.save(folder / f"p{number}.png")
        rows.append({"image_hash": f"p{number}", **({"caption": CAPTIONS[number]} if number < 3 else {})})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ImageDataset.open([folder / "manifest.jsonl"], image_folder=folder).records


@pytest.fixture(scope="module")
def captioner_folder(golden):
    return {"captioner": str(golden / "captioner"), "captioner_base": str(golden / "base")}


@pytest.fixture(scope="module")
def written(golden, pictures):
    """What the golden captioner writes about each picture, greedily."""
    captioner = Captioner.load(golden / "captioner", base_model=golden / "base", **CPU)
    return [caption.text.strip() for caption in captioner.caption(pictures[:6], greedy=True)]


@pytest.fixture(scope="module")
def by_minilm(captioner_folder):
    return load_encoder("caption-minilm", **captioner_folder, **CPU)


@pytest.fixture(scope="module")
def by_clip(captioner_folder, clip_base):
    return load_encoder("caption-clip", model=str(clip_base), **captioner_folder, **CPU)


@pytest.fixture(scope="module")
def clip_t(captioner_folder, clip_base):
    return load_encoder("clip-t", model=str(clip_base), **captioner_folder, **CPU)


@pytest.fixture(scope="module")
def clip(clip_base):
    return load_encoder("clip", model=str(clip_base), **CPU)


class TestCaptions:
    def test_known_captions_are_embedded_and_others_written(self, by_minilm, collection, written):
        expected = CaptionEncoder().encode_text([*CAPTIONS, *written[3:]])
        np.testing.assert_allclose(encode_all(collection, by_minilm), expected, atol=1e-5)

    def test_clip_embeds_them_in_its_own_space(self, by_clip, clip, collection, written):
        expected = clip.encode_text([*CAPTIONS, *written[3:]])
        np.testing.assert_allclose(encode_all(collection, by_clip), expected, atol=1e-5)

    def test_a_cleaned_caption_counts_for_more(self, by_minilm, collection):
        cleaned = {"caption": '"{Objects} in a ring"', "caption_clean": "{Objects} in a ring"}
        record = ImageRecord("x", collection[0].source, cleaned)
        np.testing.assert_allclose(
            encode_all([record], by_minilm), CaptionEncoder().encode_text(CAPTIONS[:1]), atol=1e-6
        )

    @pytest.mark.parametrize("caption", ["", "  ", None, 7])
    def test_what_is_no_caption_is_written_anew(self, by_minilm, collection, written, caption):
        record = ImageRecord("x", collection[0].source, {"caption": caption})
        np.testing.assert_allclose(
            encode_all([record], by_minilm), CaptionEncoder().encode_text(written[:1]), atol=1e-5
        )

    def test_a_picture_alone_gets_a_caption(self, by_minilm, pictures, written):
        expected = CaptionEncoder().encode_text(written[:2])
        np.testing.assert_allclose(encode_images(by_minilm, pictures[:2]), expected, atol=1e-5)

    def test_a_row_does_not_depend_on_its_batch(self, by_minilm, collection):
        together = encode_all(collection, by_minilm)
        alone = np.concatenate([encode_all([record], by_minilm) for record in collection])
        np.testing.assert_allclose(alone, together, atol=1e-5)

    def test_without_a_captioner_only_known_captions_are_taken(self, collection):
        encoder = load_encoder("caption-minilm", captioner="none", **CPU)
        outcomes = {outcome.record.image_id: outcome for outcome in encode_records(collection, encoder)}
        failed = sorted(image_id for image_id, outcome in outcomes.items() if isinstance(outcome, Failure))
        assert failed == ["p3", "p4", "p5"]
        assert "has no caption" in outcomes["p4"].reason

    def test_the_embedded_captioner_is_the_default(self):
        facts = load_encoder("caption-minilm", **CPU).fingerprint.to_dict()
        embedded = Captioner.load("relsim-mini-captioner", **CPU).fingerprint.to_dict()
        assert {name: facts[f"captioner_{name}"] for name in embedded} == embedded
        assert facts["captioner_greedy"] is True

    def test_they_are_encoders_that_read_records(self, by_minilm, by_clip):
        for encoder, name, dimension in ((by_minilm, "caption-minilm", 384), (by_clip, "caption-clip", 24)):
            assert isinstance(encoder, Encoder)
            assert isinstance(encoder, TextEncoder)
            assert isinstance(encoder, RecordEncoder)
            assert query_side(encoder) is encoder
            assert (encoder.name, encoder.dimension) == (name, dimension)

    def test_a_table_can_make_its_encoder_again(self, by_clip, captioner_folder, clip_base):
        origin = origin_of("caption-clip", by_clip, {"model": str(clip_base), **captioner_folder})
        assert encoder_of(json.loads(json.dumps(origin))).fingerprint == by_clip.fingerprint


class TestClipT:
    def test_a_collection_is_clips_and_queries_are_captions(self, clip_t, clip, collection, pictures, written):
        assert isinstance(clip_t, QueryEncoder)
        np.testing.assert_allclose(encode_all(collection, clip_t), encode_images(clip, pictures[:6]), atol=1e-6)
        expected = clip.encode_text([*CAPTIONS, *written[3:]])
        np.testing.assert_allclose(encode_all(collection, query_side(clip_t)), expected, atol=1e-5)

    def test_a_search_by_id_or_picture_asks_with_the_caption(
        self, clip_t, clip, collection, pictures, written, tmp_path
    ):
        with VectorTable.create(tmp_path / "t", clip_t.fingerprint, clip_t.dimension) as table:
            fill_table(table, collection, clip_t)
        images = encode_images(clip, pictures[:6])

        def nearest(caption, without=None):
            scores = images @ clip.encode_text([caption])[0]
            order = [f"p{row}" for row in np.argsort(-scores, kind="stable")]
            return [image_id for image_id in order if image_id != without]

        table = VectorTable.open(tmp_path / "t")
        by_id = search_table(table, Query(QueryKind.ID, "p1"), 9, lambda _origin: clip_t)
        assert [hit.image_id for hit in by_id.hits] == nearest(CAPTIONS[1], "p1")
        by_file = search_table(table, Query(QueryKind.IMAGE, collection[4].source), 9, lambda _origin: clip_t)
        assert [hit.image_id for hit in by_file.hits] == nearest(written[4])
        by_text = search_table(table, Query(QueryKind.TEXT, CAPTIONS[2]), 9, lambda _origin: clip_t)
        assert [hit.image_id for hit in by_text.hits] == nearest(CAPTIONS[2])

    def test_its_vectors_are_not_taken_for_clips(self, clip_t, clip):
        assert set(clip_t.fingerprint.differences(clip.fingerprint)) >= {"encoder", "queries", "captioner_prompt"}
