"""`relsim calibrate`: a checkpoint learns what its scores mean, and nothing else of it changes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import relsim.models.embedded
from relsim import relsim as load_metric
from relsim.cli import options
from relsim.vectors.calibration import percentile_of
from relsim.world.gallery import write_gallery

OURS = Path(relsim.models.embedded.__file__).parent / "relsim-mini"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("world") / "w", count=43, seed=8, size=112, workers=1).folder


@pytest.fixture
def fresh(tmp_path):
    """relsim-mini as a run leaves it: without a null distribution."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in OURS.iterdir():
        if path.name == "relsim.json":
            about = json.loads(path.read_text())
            (folder / path.name).write_text(json.dumps({**about, "null_distribution": None}))
        else:
            (folder / path.name).symlink_to(path)
    return folder


def all_unrelated(folder, world):
    """The scores of every pair of drawn pictures with different relations, by the plain way."""
    model, _ = load_metric(checkpoint_dir=folder)
    rows = [json.loads(line) for line in (world / "manifest.jsonl").read_text().splitlines()]
    vectors = model.embed_files([world / "images" / f"{row['image_hash']}.png" for row in rows])
    scores = vectors @ vectors.T
    return [
        float(scores[i, j])
        for i in range(len(rows))
        for j in range(len(rows))
        if rows[i]["relation"] != rows[j]["relation"]
    ]


def test_scores_get_percentiles(verb, fresh, world):
    """Those of the share of all unrelated pairs below a score, within what 100,000 draws leave open (0.7 points)."""
    pictures = sorted((world / "images").iterdir())[:2]
    assert "unrelated pairs" not in verb("score", *pictures, "--checkpoint", fresh).stdout
    fingerprint = load_metric(checkpoint_dir=fresh)[0].fingerprint
    result = verb("calibrate", fresh, world / "manifest.jsonl")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "43 images with 43 labels, 100,000 unrelated pairs"
    options._load_model.cache_clear()  # as the next process would read the checkpoint
    assert "unrelated pairs" in verb("score", *pictures, "--checkpoint", fresh).stdout
    null, scores = json.loads((fresh / "relsim.json").read_text())["null_distribution"], all_unrelated(fresh, world)
    for score in np.quantile(scores, [0.1, 0.5, 0.9]):
        assert percentile_of(score, null) == pytest.approx(100 * np.mean(np.array(scores) < score), abs=0.7)
    assert load_metric(checkpoint_dir=fresh)[0].fingerprint == fingerprint


def test_captions_are_labels_where_nothing_else_is(verb, fresh, world, tmp_path):
    rows = [json.loads(line) for line in (world / "manifest.jsonl").read_text().splitlines()]
    known = ("image_hash", "url_link", "caption")
    listed = [{**{name: row[name] for name in known}, "caption": row["caption"].upper()} for row in rows]
    listed.append({**listed[0], "caption": f" {rows[0]['caption']} ", "image_hash": "again"})
    for row in listed:
        source = (
            world / "images" / f"{rows[0]['image_hash'] if row['image_hash'] == 'again' else row['image_hash']}.png"
        )
        shutil.copy(source, tmp_path / f"{row['image_hash']}.png")
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    result = verb("calibrate", fresh, tmp_path / "list.jsonl", "--image-folder", tmp_path, "--json")
    document = json.loads(result.stdout)
    assert (document["schema"], document["pictures"], document["labels"]) == ("relsim.calibration/1", 44, 43)
    assert document["null_distribution"] == json.loads((fresh / "relsim.json").read_text())["null_distribution"]


def test_what_cannot_be_calibrated_is_one_line(refused, fresh, world, tmp_path):
    before = (fresh / "relsim.json").read_text()
    assert "there is no folder relsim-mini" in refused("calibrate", "relsim-mini", world / "manifest.jsonl")
    row = json.loads((world / "manifest.jsonl").read_text().splitlines()[0])
    (tmp_path / "one.jsonl").write_text(json.dumps(row) + "\n")
    line = refused("calibrate", fresh, tmp_path / "one.jsonl", "--image-folder", world / "images")
    assert "unrelated pairs need two different ones" in line
    assert (fresh / "relsim.json").read_text() == before


def test_a_picture_that_cannot_be_used_is_told(verb, fresh, world, tmp_path):
    folder = tmp_path / "w"
    shutil.copytree(world, folder)
    spoiled = min((folder / "images").iterdir())
    spoiled.write_bytes(b"")
    result = verb("calibrate", fresh, folder / "manifest.jsonl")
    assert result.exit_code == 3
    assert spoiled.stem in result.stderr
    assert result.stdout.startswith("42 images with 42 labels")
