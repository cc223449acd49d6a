"""Baselines on the command line: `--encoder NAME:option=value` in embed, score, search and evaluations."""

import json
import sys

import numpy as np
import pytest

from relsim.data.dataset import ImageDataset
from relsim.encoders.base import query_side
from relsim.encoders.registry import available, load_encoder
from relsim.encoders.stream import encode_all
from relsim.evaluation.triplet_runs import find_triplets
from relsim.vectors.table import VectorTable

CPU = ["--device", "cpu", "--dtype", "float32"]
CAPTIONS = ["{Objects} in a ring", "Layers of {Material}", "{Animal} made of {Fruit}", "Growth of {Subject}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, noise):
    """Eight pictures with a manifest: captions and two groups."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number in range(8):
        noise(40 + 9 * number, 90 - 7 * number, number).save(folder / f"p{number}.png")
        rows.append({"image_hash": f"p{number}", "caption": CAPTIONS[number % 4], "relation": f"r{number % 2}"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def clip(clip_base):
    return load_encoder("clip", model=str(clip_base), device="cpu", dtype="float32")


def test_embed_and_search_know_the_encoder_of_a_table(document, folder, clip_base, dino_base, clip, tmp_path):
    for name, base in (("clip", clip_base), ("dino", dino_base)):
        table = tmp_path / name
        told = document("embed", folder / "manifest.jsonl", "-o", table, "--encoder", f"{name}:model={base}", *CPU)
        assert told["embedded"] == 8
        opened = VectorTable.open(table)
        assert opened.origin == {"encoder": name, "model": str(base), "dtype": "float32"}
        found = document("search", table, folder / "p3.png", "-k", "1")
        assert found["hits"][0]["image_id"] == "p3"
    records = ImageDataset.open([folder / "manifest.jsonl"]).records
    table = VectorTable.open(tmp_path / "clip")
    np.testing.assert_allclose(
        [table.vector(record.image_id) for record in records], encode_all(records, clip), atol=1e-6
    )
    sentence = clip.encode_text(["a ring of keys"])[0]
    best = max(table.ids, key=lambda image_id: float(table.vector(image_id) @ sentence))
    assert document("search", tmp_path / "clip", "a ring of keys", "-k", "1")["hits"][0]["image_id"] == best


def test_a_model_that_has_moved_is_named_again(document, refused, folder, clip_base, tmp_path):
    moved = tmp_path / "models" / "clip"
    moved.parent.mkdir()
    moved.symlink_to(clip_base)
    document("embed", folder / "manifest.jsonl", "-o", tmp_path / "t", "--encoder", f"clip:model={clip_base}", *CPU)
    path = tmp_path / "t" / "table.json"
    path.write_text(path.read_text().replace(str(clip_base), str(tmp_path / "gone")))
    assert "gone" in refused("search", tmp_path / "t", folder / "p3.png")
    again = ("--encoder", f"clip:model={moved}", *CPU)
    assert document("search", tmp_path / "t", folder / "p3.png", "-k", "1", *again)["hits"][0]["image_id"] == "p3"


def test_numbers_among_options_come_back_as_numbers(document, folder, tmp_path):
    document("embed", folder, "-o", tmp_path / "t", "--encoder", "descriptors:side=32,grid=2")
    assert VectorTable.open(tmp_path / "t").origin == {"encoder": "descriptors", "side": 32, "grid": 2}
    assert document("search", tmp_path / "t", folder / "p2.png", "-k", "1")["hits"][0]["image_id"] == "p2.png"


def test_score_takes_any_encoder(document, verb, folder, clip_base, clip):
    files = [folder / f"p{number}.png" for number in range(3)]
    vectors = encode_all(ImageDataset.open(files).records, clip)
    told = document("score", *files, "--encoder", f"clip:model={clip_base}", *CPU)
    np.testing.assert_allclose(told["scores"], vectors @ vectors.T, atol=1e-5)
    assert told["percentiles"] is None
    assert told["fingerprint"] == clip.fingerprint.to_dict()
    plain = verb("score", *files[:2], "--encoder", f"clip:model={clip_base}", *CPU)
    assert plain.stdout == f"{vectors[0] @ vectors[1]:.4f}\n"


def test_score_with_clip_t_asks_rows_by_their_captions(document, folder, clip_base):
    encoder = load_encoder("clip-t", model=str(clip_base), device="cpu", dtype="float32")
    files = [folder / f"p{number}.png" for number in range(2)]
    records = ImageDataset.open(files).records
    told = document("score", *files, "--encoder", f"clip-t:model={clip_base}", *CPU)
    expected = encode_all(records, query_side(encoder)) @ encode_all(records, encoder).T
    np.testing.assert_allclose(told["scores"], expected, atol=1e-5)


def test_score_with_lpips_gives_distances(document, folder, tmp_path, monkeypatch):
    (tmp_path / "lpips.py").write_text(
        "import torch\n"
        "class LPIPS(torch.nn.Module):\n"
        "    def __init__(self, net='alex', verbose=True):\n"
        "        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.ones(1))\n"
        "    def forward(self, a, b):\n"
        "        return self.weight * (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    told = document("score", folder / "p0.png", folder / "p5.png", "--encoder", "lpips:side=64", "--device", "cpu")
    sys.modules.pop("lpips")
    scores = np.array(told["scores"])
    assert scores[0, 0] == scores[1, 1] == 0
    assert scores[0, 1] == pytest.approx(scores[1, 0])
    assert scores[0, 1] > 0.01
    assert told["fingerprint"]["encoder"] == "lpips"


def test_absent_packages_are_named_with_the_command(refused, folder, monkeypatch, tmp_path):
    for name in ("dreamsim", "lpips"):
        monkeypatch.setitem(sys.modules, name, None)
    line = refused("embed", folder, "-o", tmp_path / "t", "--encoder", "dreamsim")
    assert line == 'the encoder dreamsim needs the package dreamsim: pip install "relsim[baselines]"'
    assert "relsim[baselines]" in refused("score", folder / "p0.png", folder / "p1.png", "--encoder", "lpips")


def test_an_option_that_an_encoder_does_not_take_is_refused(refused, folder, clip_base, tmp_path):
    clip = f"clip:model={clip_base}"
    line = refused("embed", folder, "-o", tmp_path / "t", "--encoder", clip, "--recipe", "native")
    assert line == "the encoder clip takes no --recipe; its options are cache_dir, device, dtype, model, revision"
    assert "its options are" in refused("score", folder / "p0.png", folder / "p1.png", "--encoder", f"{clip},size=3")
    for name, needs in (("prompted", "model"), ("tuned-clip", "checkpoint_dir"), ("tuned-dino", "checkpoint_dir")):
        told = refused("score", folder / "p0.png", folder / "p1.png", "--encoder", name)
        assert f"the encoder {name} needs {needs}, as in {name}:{needs}=...; its options are" in told


class TestRetrieval:
    def test_clip_t_asks_by_captions_and_clip_by_pictures(self, document, folder, clip_base, clip, tmp_path):
        names = [f"clip:model={clip_base},dtype=float32", f"clip-t:model={clip_base},captioner=none,dtype=float32"]
        encoders = [part for name in names for part in ("--encoder", name)]
        told = document(
            "evaluate", "retrieval", folder / "manifest.jsonl", "-o", tmp_path / "out", *encoders, "-k", "3"
        )
        assert told
        images = encode_all(ImageDataset.open([folder / "manifest.jsonl"]).records, clip)
        asked = {names[0]: images, names[1]: clip.encode_text([CAPTIONS[number % 4] for number in range(8)])}
        stored = json.loads((tmp_path / "out" / "retrieved_images.json").read_text())
        assert list(stored) == names
        for name, rows in stored.items():
            for row in rows:
                query = int(row["query_image_id"][1:])
                scores = images @ asked[name][query]
                order = [f"p{found}" for found in np.argsort(-scores, kind="stable") if found != query][:3]
                assert row["top_k_image_ids"] == order

    def test_a_query_without_a_caption_is_left_out_for_all(self, document, folder, clip_base, tmp_path):
        lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
        lines[5].pop("caption")
        (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        name = f"clip-t:model={clip_base},captioner=none"
        place = ("-o", tmp_path / "out", "--image-folder", folder)
        document("evaluate", "retrieval", tmp_path / "m.jsonl", *place, "--encoder", name, exits=3)
        whole = json.loads((tmp_path / "out" / "retrieval.json").read_text())
        assert [one["image_id"] for one in whole["left_out"]] == ["p5"]
        assert "has no caption" in whole["left_out"][0]["reason"]

    def test_triplets_ask_anchors_by_their_captions(self, document, folder, clip_base, clip):
        records = ImageDataset.open([folder / "manifest.jsonl"]).records
        triplets = find_triplets(folder / "manifest.jsonl", records, count=20)
        images = dict(zip([record.image_id for record in records], encode_all(records, clip), strict=True))
        right: dict[str, list[float]] = {}
        for triplet in triplets:
            anchor, positive, negative = triplet.ids
            asked = clip.encode_text([CAPTIONS[int(anchor[1:]) % 4]])[0]
            right.setdefault(triplet.kind, []).append(float(asked @ images[positive] > asked @ images[negative]))
        name = f"clip-t:model={clip_base},captioner=none"
        told = document("evaluate", "triplets", folder, "--encoder", name, "--count", "20", *CPU)
        whole = [one for one in told["accuracy"] if one["family"] is None and one["relation"] is None]
        found = {one["kind"]: one["value"] for one in whole}
        assert found == pytest.approx({kind: np.mean(points) for kind, points in right.items()})


def test_every_encoder_has_its_place_on_the_page_of_encoders(request):
    text = (request.config.rootpath / "docs" / "encoders.md").read_text()
    for info in available():
        assert f"`{info.name}`" in text
