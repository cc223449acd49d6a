"""`relsim caption`: lines, a manifest or a document, and a row for what cannot be captioned."""

import json

import pytest

from relsim.data.manifest import read_manifest


@pytest.fixture(scope="module")
def captioner_flags(golden):
    return [
        *("-c", golden / "captioner", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"),
        *("--max-new-tokens", "24"),
    ]


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


def test_each_image_is_a_line_with_the_published_caption(verb, golden, published, captioner_flags):
    names = list(published)[:3]
    result = verb("caption", *(golden / "images" / name for name in names), *captioner_flags)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"{golden / 'images' / name}\t{published[name]}" for name in names]


def test_greedy_is_the_default(verb, folder, captioner_flags):
    plain = verb("caption", folder / "05_nest_224x224.png", *captioner_flags)
    assert verb("caption", folder / "05_nest_224x224.png", *captioner_flags, "--greedy").stdout == plain.stdout


def test_the_seed_decides_what_is_drawn(verb, folder, captioner_flags):
    def drawn(seed):
        path = folder / "05_nest_224x224.png"
        return verb("caption", path, *captioner_flags, "--sample", "--temperature", 1, "--seed", seed).stdout

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_bad_image_is_told_and_the_others_are_captioned(verb, folder, captioner_flags):
    result = verb("caption", folder, *captioner_flags)
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith("1 failed: 1 not_image\n  06_text.png: not an image in a known format")


def test_json_has_a_row_for_every_image(document, folder, published, captioner_flags):
    found = document("caption", folder, *captioner_flags, exits=3)
    assert set(found) == {"schema", "captions", "sampling", "fingerprint"}
    assert found["schema"] == "relsim.captions/1"
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
    assert set(found["fingerprint"]) == {"captioner", "prompt", "recipe", "precision"}


def test_out_writes_a_manifest(verb, folder, published, captioner_flags, tmp_path):
    """Other fields of a manifest come along, its own captions are replaced."""
    (tmp_path / "list.jsonl").write_text(
        '{"image_hash": "05_nest_224x224", "url_link": "https://x/5", "caption": "old", "votes": 3}\n'
        '{"image_hash": "gone"}\n'
    )
    result = verb("caption", tmp_path / "list.jsonl", "--out", tmp_path / "captions.jsonl", *captioner_flags)
    assert result.exit_code == 3
    assert result.stdout == f"{tmp_path}/captions.jsonl: 1 captions\n"
    good, gone = read_manifest(tmp_path / "captions.jsonl")
    assert (good.url_link, good.caption) == ("https://x/5", published["05_nest_224x224.png"])
    assert good.extra == {"votes": 3, "source": str(folder / "05_nest_224x224.png"), "status": "ok"}
    assert (gone.caption, gone.extra["status"]) == (None, "missing")


def test_a_folder_is_no_file_to_write(refused, folder, captioner_flags):
    assert "--out names a file" in refused("caption", folder, "--out", folder, *captioner_flags)


def test_without_a_name_the_embedded_captioner_writes(document, folder, monkeypatch):
    monkeypatch.delenv("RELSIM_CAPTIONER", raising=False)
    picture, embedded = folder / "05_nest_224x224.png", ("--checkpoint", "relsim-mini-captioner")
    assert document("caption", picture) == document("caption", picture, *embedded)


def test_the_environment_may_name_the_captioner(verb, golden, folder, monkeypatch):
    monkeypatch.setenv("RELSIM_CAPTIONER", str(golden / "captioner"))
    monkeypatch.setenv("RELSIM_BASE_MODEL", str(golden / "base"))
    flags = ["--device", "cpu", "--dtype", "float32", "--max-new-tokens", 2]
    assert verb("caption", folder / "05_nest_224x224.png", *flags).exit_code == 0


def test_the_metrics_checkpoint_is_refused(refused, folder, model_flags):
    assert "writes no captions" in refused("caption", folder, *model_flags)


@pytest.mark.parametrize(("option", "value"), [("--temperature", 0), ("--top-p", 2), ("--max-new-tokens", 0)])
def test_settings_out_of_range_are_told(refused, folder, option, value):
    assert option[2:].replace("-", "_") in refused("caption", folder, option, value)
