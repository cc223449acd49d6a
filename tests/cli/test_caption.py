"""`relsim caption`: lines, a manifest or a document, and a row for what cannot be captioned."""

import json
import re
from dataclasses import asdict

import pytest

from relsim.captions.anonymity import check
from relsim.data.manifest import read_manifest
from relsim.evaluation.statistics import wilson


@pytest.fixture(scope="module")
def captioner_flags(golden):
    return [
        *("-c", golden / "captioner", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"),
        *("--max-new-tokens", "24"),
    ]


@pytest.fixture(scope="module")
def greedy_flags(captioner_flags):
    return [*captioner_flags, "--greedy"]


@pytest.fixture(scope="module")
def published(golden):
    captions = json.loads((golden / "expected_captions.json").read_text())["greedy"]
    return {name: caption["text"].strip() for name, caption in captions.items()}


@pytest.fixture
def folder(golden, tmp_path):
    """Two golden pictures and a file that is none."""
    for name in ("04_nest_333x500.png", "05_nest_224x224.png"):
        (tmp_path / name).write_bytes((golden / "images" / name).read_bytes())
    (tmp_path / "06_text.png").write_text("no picture")
    return tmp_path


def test_each_image_is_a_line_with_the_published_caption(verb, golden, published, greedy_flags):
    names = list(published)[:3]
    result = verb("caption", *(golden / "images" / name for name in names), *greedy_flags)
    assert result.exit_code == 0
    summary = r"3 captions; 100\.0% not anonymous \(95 %: 43\.9% to 100\.0%\); \d+\.\d captions/s\n"
    assert re.fullmatch(summary, result.stderr)
    assert result.stdout.splitlines() == [f"{golden / 'images' / name}\t{published[name]}" for name in names]


def test_captions_are_drawn_as_published_by_default(document, folder, captioner_flags):
    path = folder / "05_nest_224x224.png"
    found = document("caption", path, *captioner_flags)
    published = ("--sample", "--temperature", 0.7, "--top-p", 0.9, "--seed", 0)
    assert document("caption", path, *captioner_flags, *published)["captions"] == found["captions"]
    assert document("caption", path, *captioner_flags, "--greedy")["captions"] != found["captions"]


def test_eight_bits_of_the_environment_are_for_metrics(verb, refused, golden, folder, monkeypatch):
    monkeypatch.setenv("RELSIM_DTYPE", "int8")
    words = ["caption", folder / "05_nest_224x224.png", "-c", golden / "captioner", "--base-model", golden / "base"]
    words += ["--device", "cpu", "--max-new-tokens", "2"]
    assert verb(*words).exit_code == 0
    assert refused(*words, "--dtype", "int8").startswith("unknown precision 'int8'")


def test_the_seed_decides_what_is_drawn(verb, folder, captioner_flags):
    def drawn(seed):
        path = folder / "05_nest_224x224.png"
        return verb("caption", path, *captioner_flags, "--temperature", 1, "--seed", seed).stdout

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_bad_image_is_told_and_the_others_are_captioned(verb, folder, captioner_flags):
    result = verb("caption", folder, *captioner_flags)
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 2
    summary, *failures = result.stderr.splitlines()
    assert summary.startswith("2 captions; ")
    assert failures[0] == "1 failed: 1 not_image"
    assert failures[1].startswith("  06_text.png: not an image in a known format")


def test_json_has_a_row_for_every_image(document, folder, published, greedy_flags):
    found = document("caption", folder, *greedy_flags, exits=3)
    assert found["schema"] == "relsim.captions/2"
    assert [(row["image_id"], row["status"], row["caption"]) for row in found["captions"]] == [
        ("04_nest_333x500.png", "ok", published["04_nest_333x500.png"]),
        ("05_nest_224x224.png", "ok", published["05_nest_224x224.png"]),
        ("06_text.png", "not_image", None),
    ]
    assert found["sampling"] == {
        "greedy": True,
        "max_new_tokens": 24,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 0,
    }
    assert (found["runs"], found["until_anonymous"], found["there"]) == (1, 0, 0)
    assert found["failed"] == {"not_image": 1}
    assert found["leak_rate"] == wilson(2, 2).to_json()
    assert found["captions_per_second"] == pytest.approx(2 / found["seconds"], rel=0.01)
    assert set(found["fingerprint"]) == {"captioner", "prompt", "recipe", "precision"}


def test_out_writes_a_manifest(verb, folder, published, greedy_flags, tmp_path):
    """Other fields of a manifest come along, its own captions are replaced."""
    (tmp_path / "list.jsonl").write_text(
        '{"image_hash": "05_nest_224x224", "url_link": "https://x/5", "caption": "old", "votes": 3}\n'
        '{"image_hash": "gone"}\n'
    )
    result = verb("caption", tmp_path / "list.jsonl", "--out", tmp_path / "captions.jsonl", *greedy_flags)
    assert result.exit_code == 3
    assert result.stdout.startswith(f"{tmp_path}/captions.jsonl: 1 caption; 100.0% not anonymous (95 %: ")
    good, gone = read_manifest(tmp_path / "captions.jsonl")
    assert (good.url_link, good.caption) == ("https://x/5", published["05_nest_224x224.png"])
    verdict = check(good.caption)
    assert good.extra == {
        "votes": 3,
        "source": str(folder / "05_nest_224x224.png"),
        "run": 0,
        "seed": 0,
        "draws": 1,
        "status": "ok",
        "reason": None,
        "anonymous": False,
        "findings": [asdict(finding) for finding in verdict.findings],
    }
    assert (gone.caption, gone.extra["status"]) == (None, "missing")


def test_a_folder_is_no_file_to_write(refused, folder, captioner_flags):
    assert "--out names a file" in refused("caption", folder, "--out", folder, *captioner_flags)


def test_without_a_name_the_embedded_captioner_writes(document, folder, monkeypatch):
    monkeypatch.delenv("RELSIM_CAPTIONER", raising=False)
    picture, embedded = folder / "05_nest_224x224.png", ("--checkpoint", "relsim-mini-captioner")
    named, unnamed = document("caption", picture, *embedded), document("caption", picture)
    assert named["captions"] == unnamed["captions"]
    assert named["fingerprint"] == unnamed["fingerprint"]
    assert unnamed["captions"][0]["caption"]


def test_the_environment_may_name_the_captioner(verb, golden, folder, monkeypatch):
    monkeypatch.setenv("RELSIM_CAPTIONER", str(golden / "captioner"))
    monkeypatch.setenv("RELSIM_BASE_MODEL", str(golden / "base"))
    flags = ["--device", "cpu", "--dtype", "float32", "--max-new-tokens", 2]
    assert verb("caption", folder / "05_nest_224x224.png", *flags).exit_code == 0


def test_the_metrics_checkpoint_is_refused(refused, folder, model_flags):
    assert "writes no captions" in refused("caption", folder, *model_flags)


def test_runs_are_rows_of_their_own(verb, document, folder, captioner_flags, tmp_path):
    """The seed that a row names draws its caption again."""
    flags = [*captioner_flags, "--temperature", 1.5]
    result = verb("caption", folder, *flags, "--runs", 3, "--out", tmp_path / "captions.jsonl")
    assert result.stdout.startswith(f"{tmp_path}/captions.jsonl: 6 captions; ")
    rows = read_manifest(tmp_path / "captions.jsonl")
    assert [(row.image_hash[:2], row.extra["run"]) for row in rows] == [
        *(("04", run) for run in range(3)),
        *(("05", run) for run in range(3)),
        ("06", None),
    ]
    (again,) = document("caption", rows[4].extra["source"], *flags, "--seed", rows[4].extra["seed"])["captions"]
    assert again["caption"] == rows[4].caption


def test_captions_that_name_things_are_drawn_again(document, golden):
    """By the embedded captioner, at a heat that makes it stray."""
    paths = sorted((golden / "images").glob("0*"))
    hot = ("--temperature", 3, "--top-p", 1, "--max-new-tokens", 32)
    once = document("caption", *paths, *hot)
    more = document("caption", *paths, *hot, "--until-anonymous", 3)
    assert {row["draws"] for row in once["captions"]} == {1}
    assert more["leak_rate"]["value"] < once["leak_rate"]["value"]
    for before, after in zip(once["captions"], more["captions"], strict=True):
        assert after["anonymous"] is check(after["caption"]).ok
        if before["anonymous"]:
            assert after == before
        else:
            assert after["draws"] > 1
            assert after["anonymous"] or after["draws"] == 4


def test_the_published_form_is_written_beside_the_rows(verb, folder, published, greedy_flags, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    result = verb("caption", folder, *greedy_flags, "--out", out / "captions.json")
    assert result.exit_code == 3
    names = ("04_nest_333x500.png", "05_nest_224x224.png")
    assert json.loads((out / "captions.json").read_text()) == {str(folder / name): published[name] for name in names}
    assert len(read_manifest(out / "captions.jsonl")) == 3
    again = verb("caption", folder, *greedy_flags, "--out", out / "captions.jsonl")
    assert again.stdout.endswith("; 3 were there\n")


class TestRefused:
    """What ends with one line, before a model is loaded."""

    @pytest.mark.parametrize("option", ["--runs", "--until-anonymous"])
    def test_greedy_captions_that_would_be_drawn_again(self, refused, folder, option):
        line = refused("caption", folder, "--greedy", option, 2)
        assert "a greedy caption is the same every time it is written" in line

    def test_an_empty_folder(self, refused, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "no images in or below" in refused("caption", tmp_path / "empty")

    def test_a_source_to_write_to(self, refused, tmp_path, folder):
        (tmp_path / "list.jsonl").write_text('{"image_hash": "05_nest_224x224"}\n')
        for out in ("list.jsonl", "list.json"):
            line = refused("caption", tmp_path / "list.jsonl", "--out", tmp_path / out)
            assert "list.jsonl is one of the sources" in line

    def test_several_runs_in_the_published_form(self, refused, folder, tmp_path):
        line = refused("caption", folder, "--runs", 2, "--out", tmp_path / "captions.json")
        assert "one caption for each path" in line

    def test_a_json_file_of_something_else(self, refused, folder, tmp_path):
        (tmp_path / "xy.json").write_text('{"a": {"clip_score": 1}}')
        assert "is no file of captions" in refused("caption", folder, "--out", tmp_path / "xy.json")

    def test_a_manifest_of_something_else(self, refused, folder, captioner_flags, tmp_path):
        (tmp_path / "votes.jsonl").write_text('{"image_hash": "a"}\n')
        line = refused("caption", folder, *captioner_flags, "--out", tmp_path / "votes.jsonl")
        assert "no votes.jsonl.head.json beside it says what made it" in line

    def test_other_settings(self, verb, refused, folder, captioner_flags, tmp_path):
        out = tmp_path / "captions.jsonl"
        verb("caption", folder, *captioner_flags, "--out", out)
        line = refused("caption", folder, *captioner_flags, "--out", out, "--temperature", 1)
        assert "was begun with other settings (temperature: 0.7 there, 1.0 here). Write to another file" in line


@pytest.mark.parametrize(
    ("option", "value"),
    [("--runs", 0), ("--until-anonymous", -1), ("--temperature", 0), ("--top-p", 2), ("--max-new-tokens", 0)],
)
def test_settings_out_of_range_are_told(refused, folder, option, value):
    assert option[2:].replace("-", "_") in refused("caption", folder, option, value)


def test_a_file_that_is_neither_of_the_two_forms_is_refused(refused, tmp_path, golden_paths):
    for name in ("captions.txt", "captions"):
        assert "neither a .jsonl file" in refused("caption", golden_paths[0], "--out", tmp_path / name)
        assert not (tmp_path / name).exists()


def test_an_endpoint_decodes_pictures_whole(refused, folder):
    line = refused("caption", folder, "--endpoint", "http://127.0.0.1:9/v1", "--model", "x", "--decode", "draft")
    assert line == "--decode is for a model that runs here; leave it away beside --endpoint"
