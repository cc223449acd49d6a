"""Encoders and labelled pictures in MTEB itself, offline, and its figures against ours on the same vectors."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from relsim.data.dataset import ImageDataset
from relsim.data.images import read_image
from relsim.data.records import ImageRecord, Status
from relsim.encoders.descriptors import DescriptorEncoder
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.relational import RelationalEncoder
from relsim.encoders.stream import encode_images
from relsim.errors import EncoderError, SourceError
from relsim.evaluation.retrieval_metrics import Settings, images_to_images, sentences_to_images
from relsim.models.text_encoder import CaptionEncoder
from relsim.world.benchmark import world_tasks

mteb = pytest.importorskip("mteb")

from relsim.evaluation.mteb_encoder import MtebEncoder  # noqa: E402 - which need it
from relsim.evaluation.mteb_tasks import collection_tasks  # noqa: E402 - see above

SETTINGS = Settings(ks=(1, 10), resamples=5)


def evaluate(encoder, tasks):
    result = mteb.evaluate(MtebEncoder(encoder), tasks, cache=None, show_progress_bar=False, co2_tracker=False)
    return {one.task_name: one.scores["test"][0] for one in result.task_results}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """60 scenes of the drawn world, and their two tasks."""
    folder = tmp_path_factory.mktemp("mteb") / "world"
    tasks = world_tasks(folder, count=60, seed=4, workers=1)
    return ImageDataset.open([folder / "manifest.jsonl"]).records, tasks


@pytest.fixture(scope="module")
def relational(load_golden):
    return RelationalEncoder(load_golden())


def test_the_drawn_worlds_figures_are_ours(world, relational):
    records, tasks = world
    assert [task.metadata.name for task in tasks] == [
        "DrawnWorldValidationI2IRetrieval",
        "DrawnWorldValidationT2IRetrieval",
    ]
    vectors = encode_images(relational, [read_image(record).image for record in records])
    labels = [record.fields["relation"] for record in records]
    ids = [record.image_id for record in records]
    ours = images_to_images(vectors, labels, ids=ids, settings=SETTINGS)
    captions = {record.fields["caption"]: record.fields["relation"] for record in records}
    words = CaptionEncoder().encode_text(list(captions))
    by_words = sentences_to_images(words, list(captions.values()), vectors, labels, ids=ids, settings=SETTINGS)
    found = evaluate(relational, tasks)
    for name, report in zip(found, (ours, by_words), strict=True):
        assert found[name]["ndcg_at_10"] == pytest.approx(report.metrics["ndcg@10"].value, abs=1e-5)
        assert found[name]["recall_at_10"] == pytest.approx(report.metrics["recall@10"].value, abs=1e-5)
        assert found[name]["precision_at_1"] == pytest.approx(report.metrics["precision@1"].value, abs=1e-5)
        assert found[name]["main_score"] == found[name]["ndcg_at_10"]
    assert 0 < ours.metrics["ndcg@10"].value < 1


def test_seed_groups_from_shards_are_tasks(make_shards, tmp_path, shard_row, blocks):
    """Groups as a download keeps them: a number, a caption with stray quotes and its cleaned form."""
    from relsim.data.shard_writing import ShardWriter

    with ShardWriter(tmp_path / "shards") as writer:
        for number in range(9):
            buffer = io.BytesIO()
            blocks(number).save(buffer, "PNG")
            extra = {"group": number // 3, "caption_clean": f"Group {number // 3} of {{Thing}}"}
            row = shard_row(number, f"p{number}", buffer.getvalue(), caption=f'"Group {number // 3}"', extra=extra)
            writer.append(row)
        writer.append(shard_row(9, "dead", Status.DEAD, caption="x", extra={"group": 0}))
    records = ImageDataset.open([tmp_path / "shards"]).records
    found = evaluate(FakeEncoder(), collection_tasks(records, "SeedGroups"))
    alive = [record for record in records if record.image_id != "dead"]
    vectors = encode_images(FakeEncoder(), [read_image(record).image for record in alive])
    ours = images_to_images(vectors, [record.fields["group"] for record in alive], settings=SETTINGS)
    assert found["SeedGroupsI2IRetrieval"]["ndcg_at_10"] == pytest.approx(ours.metrics["ndcg@10"].value, abs=1e-5)
    assert found["SeedGroupsT2IRetrieval"]["recall_at_10"] == 1  # nine pictures, ten places


def test_tasks_hold_the_pixels_that_this_package_sees(golden_paths, tmp_path):
    """Grey, RGBA, palette, CMYK, 16-bit, and a photograph that lies on its side."""
    turned = Image.effect_noise((40, 20), 80).convert("RGB")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    deep = np.arange(0, 65_536, 64, dtype=np.uint16).reshape(32, 32)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    paths = [*golden_paths, tmp_path / "turned.jpg", tmp_path / "deep.png"]
    records = [ImageRecord(path.name, str(path), {"relation": "one"}) for path in paths]
    (task,) = collection_tasks(records, "Pixels")
    task.load_data()
    corpus = task.dataset["default"]["test"]["corpus"]
    assert list(corpus["id"]) == [record.image_id for record in records]
    for record, row in zip(records, corpus, strict=True):
        assert row["image"].convert("RGB").tobytes() == read_image(record).image.tobytes(), record.image_id


def test_captions_shared_by_two_labels_find_both(tmp_path, blocks):
    rows = [("a", "x", "shared"), ("b", "x", "own"), ("c", "y", "shared"), ("d", None, "own"), ("e", "z", None)]
    for name, _, _ in rows:
        blocks(ord(name)).save(tmp_path / f"{name}.png")
    records = [
        ImageRecord(name, str(tmp_path / f"{name}.png"), {"relation": label, "caption": caption})
        for name, label, caption in rows
    ]
    pictures, captions = collection_tasks(records, "Few")
    for task in (pictures, captions):
        task.load_data()
    split = pictures.dataset["default"]["test"]
    assert split["relevant_docs"] == {"a": {"b": 1}, "b": {"a": 1}}
    assert list(split["corpus"]["id"]) == ["a", "b", "c", "d", "e"]
    split = captions.dataset["default"]["test"]
    assert list(split["queries"]["text"]) == ["shared", "own"]
    assert split["relevant_docs"] == {"caption-0": {"a": 1, "b": 1, "c": 1}, "caption-1": {"a": 1, "b": 1}}


def test_the_model_is_told_apart_by_its_fingerprint():
    model = MtebEncoder(DescriptorEncoder(), "descriptors:side=64")
    meta = model.mteb_model_meta
    assert meta.name == "relsim/descriptors:side=64"
    assert meta.revision == DescriptorEncoder().fingerprint.digest
    assert meta.revision != MtebEncoder(DescriptorEncoder(side=32)).mteb_model_meta.revision
    assert (meta.embed_dim, list(meta.modalities)) == (2107, ["image"])
    assert isinstance(model, mteb.models.EncoderProtocol)


def test_batches_of_pictures_and_of_sentences(golden_pictures):
    model = MtebEncoder(FakeEncoder())
    batches = [{"image": golden_pictures[:3], "id": ["a", "b", "c"]}, {"image": golden_pictures[3:5]}]
    expected = encode_images(FakeEncoder(), golden_pictures[:5])
    np.testing.assert_array_equal(model.encode(batches), expected)
    np.testing.assert_array_equal(model.encode([{"text": ["red", "blue"]}]), FakeEncoder().encode_text(["red", "blue"]))
    assert model.encode([]).shape == (0, 4)
    np.testing.assert_allclose(model.similarity(expected, expected[:2]), expected @ expected[:2].T)
    np.testing.assert_allclose(model.similarity_pairwise(expected, expected), np.ones(5), atol=1e-6)


def test_what_an_encoder_has_no_side_for_is_refused(golden_pictures):
    model = MtebEncoder(DescriptorEncoder())
    with pytest.raises(EncoderError, match="has no sentences"):
        model.encode([{"text": ["red"]}])
    with pytest.raises(EncoderError, match="pictures or sentences"):
        model.encode([{"text": ["red"], "image": golden_pictures[:1]}])
    with pytest.raises(EncoderError, match="has audio"):
        model.encode([{"audio": [1]}])


def test_a_collection_without_labels_makes_no_task(tmp_path):
    with pytest.raises(SourceError, match="no task can be made of 2 pictures"):
        collection_tasks([ImageRecord("a", "a", {"caption": "x"}), ImageRecord("b", "b", {"relation": "r"})], "None")


def test_results_are_plain_json(world):
    found = evaluate(FakeEncoder(), world[1][:1])
    assert json.loads(json.dumps(found))
