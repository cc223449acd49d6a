"""`relsim filter`: lines, a manifest that goes on after a kill, and a row for what cannot be judged."""

import json
import shutil
import signal
import time

import pytest

from relsim.data.manifest import read_manifest

THRESHOLD = 0.81


@pytest.fixture(scope="module")
def filter_folder(golden, tmp_path_factory):
    """The golden captioner's weights as a filter that keeps about half of the golden pictures."""
    folder = shutil.copytree(golden / "captioner", tmp_path_factory.mktemp("filter") / "filter")
    (folder / "relsim.json").write_text(json.dumps({"kind": "filter", "recipe": "squash56", "threshold": THRESHOLD}))
    return folder


@pytest.fixture(scope="module")
def flags(golden, filter_folder):
    return ["-c", filter_folder, "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"]


@pytest.fixture(scope="module")
def scores(golden, golden_pictures, golden_paths, filter_folder):
    """Probability of each golden picture by its stem, in one batch."""
    from relsim.captions.interesting import InterestingFilter

    found = InterestingFilter.load(filter_folder, base_model=golden / "base", device="cpu", dtype="float32")
    values = found.probabilities(golden_pictures, batch_size=100)
    return {path.stem: value for path, value in zip(golden_paths, values, strict=True)}


@pytest.fixture
def folder(golden, tmp_path):
    """Two golden pictures, one kept and one not, and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("02_ring_448x448.png", "11_nest_28x28.png"):
        shutil.copy(golden / "images" / name, folder)
    (folder / "12_text.png").write_text("no picture")
    return folder


def test_eight_bits_of_the_environment_are_for_metrics(verb, golden, golden_paths, filter_folder, monkeypatch):
    monkeypatch.setenv("RELSIM_DTYPE", "fp8")
    words = ["filter", golden_paths[0], "-c", filter_folder, "--base-model", golden / "base", "--device", "cpu"]
    assert verb(*words).exit_code == 0


def test_each_image_is_a_line(verb, golden_paths, scores, flags):
    result = verb("filter", golden_paths[0].parent, *flags)
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [path for path, _, _ in lines] == [str(path) for path in golden_paths]
    assert [float(score) for _, score, _ in lines] == pytest.approx(list(scores.values()), abs=1e-3)
    assert [word == "kept" for *_, word in lines] == [score >= THRESHOLD for score in scores.values()]
    kept = sum(score >= THRESHOLD for score in scores.values())
    assert 0 < kept < 17
    assert result.stderr == f"{kept} of 17 kept ({kept / 17:.2%}) at 0.81\n"


def test_a_bad_image_is_told_and_the_others_are_judged(verb, folder, flags):
    result = verb("filter", folder, *flags)
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 2
    assert "1 of 2 kept (50.00%) at 0.81\n1 failed: 1 not_image\n  12_text: not an image" in result.stderr


def test_kept_only_prints_the_kept_ones(verb, folder, flags):
    result = verb("filter", folder, *flags, "--kept-only")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [str(folder / "02_ring_448x448.png")]


def test_a_threshold_takes_the_place_of_the_stored_one(document, folder, flags):
    found = document("filter", folder, *flags, "--threshold", "0", exits=3)
    assert [row["kept"] for row in found["images"]] == [True, True, False]
    assert found["threshold"] == 0


def test_json_has_a_row_for_every_image(document, folder, flags, scores):
    found = document("filter", folder, *flags, exits=3)
    assert set(found) == {"schema", "images", "total", "kept", "failed", "threshold", "fingerprint"}
    assert (found["schema"], found["total"], found["kept"], found["failed"]) == (
        "relsim.filter/1",
        3,
        1,
        {"not_image": 1},
    )
    assert [(row["image_id"], row["status"], row["kept"]) for row in found["images"]] == [
        ("02_ring_448x448", "ok", True),
        ("11_nest_28x28", "ok", False),
        ("12_text", "not_image", False),
    ]
    assert found["images"][0]["score"] == pytest.approx(scores["02_ring_448x448"], abs=1e-5)
    assert found["images"][2]["score"] is None
    assert set(found["fingerprint"]) == {"filter", "prompt", "recipe", "precision", "yes_bias"}


def test_out_is_a_manifest_that_other_verbs_read(verb, folder, flags, model_flags, tmp_path):
    out = tmp_path / "kept.jsonl"
    result = verb("filter", folder, *flags, "--out", out)
    assert (result.exit_code, result.stdout) == (3, f"{out}: 1 of 2 kept (50.00%) at 0.81\n")
    assert [(row.image_hash, row.extra["kept"]) for row in read_manifest(out)] == [
        ("02_ring_448x448", True),
        ("11_nest_28x28", False),
        ("12_text", False),
    ]
    embedded = verb("embed", out, "--image-folder", folder, "--out", tmp_path / "t", *model_flags)
    assert "2 embedded" in embedded.stdout


def test_fields_of_a_manifest_come_along(verb, folder, flags, tmp_path):
    """Those of an earlier filter are replaced."""
    (tmp_path / "list.jsonl").write_text(
        '{"image_hash": "02_ring_448x448", "url_link": "https://x/2", "caption": "a ring", "votes": 3, "score": 9}\n'
        '{"image_hash": "gone"}\n'
    )
    assert verb("filter", tmp_path / "list.jsonl", *flags, "--out", tmp_path / "kept.jsonl").exit_code == 3
    good, gone = read_manifest(tmp_path / "kept.jsonl")
    assert (good.url_link, good.caption, good.extra["votes"]) == ("https://x/2", "a ring", 3)
    assert good.extra["score"] < 1
    assert (gone.extra["kept"], gone.extra["score"], gone.extra["status"]) == (False, None, "missing")


def test_kept_only_writes_the_kept_ones_and_has_all_beside_them(verb, folder, flags, tmp_path):
    out = tmp_path / "kept.jsonl"
    verb("filter", folder, *flags, "--out", out, "--kept-only")
    assert [row.image_hash for row in read_manifest(out)] == ["02_ring_448x448"]
    assert len(read_manifest(tmp_path / "kept.all.jsonl")) == 3
    again = verb("filter", folder, *flags, "--out", out, "--kept-only")
    assert again.stdout == f"{out}: 1 of 2 kept (50.00%) at 0.81; 3 were there\n"


def test_kept_ones_do_not_replace_the_rows_of_all(verb, refused, folder, flags, tmp_path):
    verb("filter", folder, *flags, "--out", tmp_path / "all.jsonl")
    assert "to another file" in refused("filter", folder, *flags, "--out", tmp_path / "all.jsonl", "--kept-only")
    assert len(read_manifest(tmp_path / "all.jsonl")) == 3


def test_images_that_were_added_are_added(verb, folder, flags, tmp_path):
    out = tmp_path / "kept.jsonl"
    verb("filter", folder, *flags, "--out", out)
    before = out.read_bytes()
    shutil.copy(folder / "02_ring_448x448.png", folder / "00_copy.png")
    result = verb("filter", folder, *flags, "--out", out)
    assert result.stdout == f"{out}: 2 of 3 kept (66.67%) at 0.81; 3 were there\n"
    assert out.read_bytes().startswith(before)
    assert read_manifest(out)[-1].image_hash == "00_copy"


def test_another_image_of_the_same_name_is_refused(verb, refused, folder, flags, tmp_path):
    verb("filter", folder, *flags, "--out", tmp_path / "kept.jsonl")
    moved = shutil.copytree(folder, tmp_path / "other")
    assert "has a row 02_ring_448x448 of" in refused("filter", moved, *flags, "--out", tmp_path / "kept.jsonl")


@pytest.mark.parametrize(("option", "value"), [("--threshold", "0.4"), ("--recipe", "squash112")])
def test_a_run_with_other_settings_does_not_go_on(verb, refused, folder, flags, tmp_path, option, value):
    verb("filter", folder, *flags, "--out", tmp_path / "kept.jsonl")
    line = refused("filter", folder, *flags, "--out", tmp_path / "kept.jsonl", option, value)
    assert f"begun with other settings ({option[2:]}: " in line


@pytest.fixture(scope="module")
def hundred(many):
    """A hundred pictures and a file that is none."""
    return [*(many / f"{number}.png" for number in range(100)), many / "50-text.png"]


@pytest.fixture(scope="module")
def whole(hundred, filter_folder, golden):
    """The rows of a run that is left alone."""
    from relsim.captions.filtering import filter_records, row_of
    from relsim.captions.interesting import InterestingFilter
    from relsim.data.dataset import ImageDataset

    found = InterestingFilter.load(filter_folder, base_model=golden / "base", device="cpu", dtype="float32")
    return [row_of(outcome) for outcome in filter_records(ImageDataset.open(hundred, ids="stem").records, found)]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_goes_on(verb, start, hundred, whole, flags, tmp_path, end):
    """In batches of one before and of sixteen after, as the run that was left alone."""
    out = tmp_path / "kept.jsonl"
    with start("filter", *hundred, *flags, "--out", out, "--batch-size", 1) as process:
        while not (out.exists() and out.stat().st_size):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(end)
        _, err = process.communicate()
    rows = read_manifest(out)
    assert 0 < len(rows) < 101
    interrupted = (130, "relsim: interrupted; what was judged is kept, run it again to go on\n")
    assert (process.returncode, err) == (interrupted if end == signal.SIGINT else (-signal.SIGKILL, ""))
    result = verb("filter", *hundred, *flags, "--out", out)
    assert (result.exit_code, f"; {len(rows)} were there" in result.stdout) == (3, True)
    found = read_manifest(out)
    assert [row.image_hash for row in found] == [row.image_hash for row in whole]
    for mine, other in zip(found, whole, strict=True):
        assert mine.extra["score"] == pytest.approx(other.extra["score"], abs=2e-6)
        assert {**mine.extra, "score": None} == {**other.extra, "score": None}


class TestRefused:
    """What ends with one line."""

    def test_a_captioner(self, refused, golden, folder, flags):
        line = refused("filter", folder, *flags[2:], "-c", golden / "captioner")
        assert "is a captioner, no filter" in line
        assert "relsim train filter makes one" in line

    def test_a_checkpoint_of_the_metric(self, refused, folder, model_flags):
        assert "is a checkpoint of the metric, no filter" in refused("filter", folder, *model_flags)

    def test_no_checkpoint(self, refused, folder, monkeypatch):
        monkeypatch.delenv("RELSIM_FILTER", raising=False)
        assert refused("filter", folder).startswith("no filter is named, and none comes with relsim")

    def test_an_empty_folder(self, refused, tmp_path, flags):
        (tmp_path / "empty").mkdir()
        assert "no images in or below" in refused("filter", tmp_path / "empty", *flags)

    def test_a_folder_to_write_to(self, refused, folder, flags):
        assert "--out names a file" in refused("filter", folder, *flags, "--out", folder)

    @pytest.mark.parametrize("more", [[], ["--kept-only"]])
    def test_a_source_to_write_to(self, refused, folder, flags, tmp_path, more):
        (tmp_path / "list.jsonl").write_text('{"image_hash": "02_ring_448x448"}\n')
        line = refused("filter", tmp_path / "list.jsonl", *flags, "--out", tmp_path / "list.jsonl", *more)
        assert "is one of the sources" in line


def test_the_environment_may_name_the_filter(verb, golden, folder, filter_folder, monkeypatch):
    monkeypatch.setenv("RELSIM_FILTER", str(filter_folder))
    result = verb("filter", folder, "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32")
    assert len(result.stdout.splitlines()) == 2


def test_a_threshold_is_a_probability(verb, folder, flags):
    assert verb("filter", folder, *flags, "--threshold", "1.5").exit_code == 2
