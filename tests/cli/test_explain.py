"""`relsim explain`: text, a document, a picture and maps, and one clear line for what cannot be done."""

import json

import numpy as np
import pytest
from PIL import Image

from relsim.world.looks import Split
from relsim.world.scenes import draw, draw_scene, like

LITTLE = ["--steps", "2", "--quick", "--nearest", "2"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two files that show one relation; the second is wider than what the model sees."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(1)
    scene = draw_scene(Split.VALIDATION, rng, relation="ring")
    draw(scene, 160).image.save(folder / "a.png")
    wide = Image.new("RGB", (200, 160), "white")
    wide.paste(draw(like(scene, rng), 160).image, (20, 0))
    wide.save(folder / "b.png")
    return folder / "a.png", folder / "b.png"


def test_by_default_both_axes_the_captions_and_the_captioner_speak(verb, drawn, tmp_path, documented):
    out, maps = tmp_path / "why.png", tmp_path / "maps.npz"
    result = verb("explain", *drawn, "--device", "cpu", "--steps", "2", "-o", out, "--maps", maps)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("relational")
    assert lines[1].startswith("attribute")
    assert all("% of unrelated pairs" in line for line in lines[:2])
    assert "nearest to both, of 51 captions" in lines
    assert "Several {Objects} arranged in a circle around an empty center" in lines[4]
    assert sum(line.startswith("the captioner of ") for line in lines) == 2
    assert sum("deletion" in line for line in lines) == 6
    assert result.stderr.splitlines() == [f"wrote {path}" for path in (out, tmp_path / "why.json", maps)]
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 1000
    document = json.loads((tmp_path / "why.json").read_text())
    documented(document)
    assert [part["source"] for part in document["pictures"]] == [str(path) for path in drawn]
    assert document["pictures"][1]["seen"] == [20, 0, 180, 160]
    with np.load(maps) as found:
        assert found["attention_first"].shape == (160, 160)
        assert found["occlusion_second"].shape == (160, 200)
        assert (found["attention_second"][:, :20] == 0).all()
        assert found["attention_second"].sum() == pytest.approx(1, abs=1e-4)


def test_the_document_is_printed_and_repeats_itself(document, drawn, golden, model_flags):
    first = document("explain", *drawn, *model_flags, *LITTLE, "--attributes", "descriptors:side=64")
    assert first == document("explain", *drawn, *model_flags, *LITTLE, "--attributes", "descriptors:side=64")
    assert first["attribute"]["encoder"] == "descriptors"
    assert first["relational"]["percentile"] is None
    assert [part["sentence"] for part in first["pictures"]] == [None, None]
    assert [part["faithfulness"]["curves"] for part in first["pictures"]] == [None, None]
    scored = document("score", *drawn, *model_flags)
    assert first["relational"]["score"] == pytest.approx(scored["scores"][0][1], abs=1e-5)


def test_another_checkpoint_brings_no_axis_and_no_captioner_along(document, drawn, model_flags):
    found = document("explain", *drawn, *model_flags, *LITTLE)
    assert found["attribute"] is None
    assert found["pictures"][0]["sentence"] is None


def test_none_leaves_both_away(document, drawn):
    found = document("explain", *drawn, *LITTLE, "--attributes", "none", "--captioner", "none")
    assert found["attribute"] is None
    assert found["pictures"][0]["sentence"] is None


def test_captions_of_a_file_and_a_sentence_to_ask_about(document, drawn, tmp_path, model_flags):
    captions = tmp_path / "mine.txt"
    captions.write_text("A ring of {Objects}\nA row of {Objects}\nNothing but {Noise}\n")
    found = document(
        "explain", *drawn, *model_flags, *LITTLE, "--captions", captions, "--towards", "A row of {Objects}"
    )
    assert found["captions"]["bank"] == 3
    assert len(found["captions"]["shared"]) == 2
    assert found["towards"] == "A row of {Objects}"
    scores = [one["score"] for one in found["captions"]["first"] if one["caption"] == "A row of {Objects}"]
    assert not scores or found["pictures"][0]["occlusion"]["similarity"] == pytest.approx(scores[0], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-o", "why.gif"], "cannot be written as 'why.gif'"),
        (["--maps", "maps.zip"], "end its name in .npz"),
        (["--patch", "1.5"], "more than 0 and less than 1"),
        (["--captions", "nowhere.txt"], "nowhere.txt cannot be read: no such file"),
        (["--attributes", "nonsense"], "nonsense"),
        (["--captioner", "./nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line(options, reason, refused, drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reason in refused("explain", *drawn, *LITTLE, *options)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_image_is_named(refused, drawn, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    assert refused("explain", drawn[0], bad, *LITTLE) == f"{bad}: the file is empty"
    assert "is no image file" in refused("explain", tmp_path, drawn[0], *LITTLE)


def test_an_image_is_not_written_over(refused, drawn):
    before = drawn[0].read_bytes()
    assert "is one of the sources" in refused("explain", *drawn, *LITTLE, "-o", drawn[0])
    assert drawn[0].read_bytes() == before


def test_what_is_in_the_place_of_the_data_is_refused_before_the_picture_is_written(
    refused, drawn, tmp_path, model_flags
):
    out = tmp_path / "why.png"
    out.write_bytes(b"earlier")
    (tmp_path / "why.json").mkdir()
    assert "why.json is a folder" in refused("explain", *drawn, *LITTLE, *model_flags, "-o", out)
    assert out.read_bytes() == b"earlier"


def test_a_document_of_another_kind_is_not_written_over(refused, drawn, tmp_path):
    (tmp_path / "why.json").write_text('{"schema": "relsim.triplets/1"}')
    told = refused("explain", *drawn, *LITTLE, "-o", tmp_path / "why.png")
    assert "no document of the kind explain (but triplets)" in told
    assert [path.name for path in tmp_path.iterdir()] == ["why.json"]
