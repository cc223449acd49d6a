"""Files of captions: rows that a later run goes on from, and the published form made of them."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from relsim.captions import stream
from relsim.captions.anonymity import check
from relsim.captions.caption_file import caption_to_file, write_published
from relsim.captions.rows_file import RowsFile, head_of
from relsim.captions.stream import Plan
from relsim.data.manifest import ManifestRow, read_manifest
from relsim.data.records import ImageRecord
from relsim.data.sources import list_images
from relsim.errors import SourceError
from relsim.fingerprint import Fingerprint
from relsim.models.generation import Sampling

DRAWN = Sampling(max_new_tokens=5, temperature=1.5)
PLAN = Plan(DRAWN, runs=2, until_anonymous=1, batch_size=4)


@pytest.fixture(scope="module")
def small(load_captioner):
    """The golden captioner on pictures of 56 x 56."""
    return load_captioner(recipe="squash56")


@pytest.fixture(scope="module")
def records(tmp_path_factory, noise):
    """Twelve pictures, of which two cannot be used."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(10):
        noise(40, 30 + number, number).save(folder / f"{number}.png")
    (folder / "3-text.png").write_text("no picture")
    (folder / "9-empty.png").write_bytes(b"")
    return list_images([folder])


@pytest.fixture(scope="module")
def whole(small, records, tmp_path_factory):
    """The file of a run that is left alone."""
    path = tmp_path_factory.mktemp("whole") / "captions.jsonl"
    caption_to_file(records, small, PLAN, path)
    return path


def test_a_row_for_each_image_and_run(whole, records):
    rows = read_manifest(whole)
    failed = {"3-text.png": "not_image", "9-empty.png": "empty"}
    expected = [
        (record.image_id, run)
        for record in records
        for run in ([None] if record.image_id in failed else range(PLAN.runs))
    ]
    assert [(row.image_hash, row.extra["run"]) for row in rows] == expected
    for row in rows:
        extra = row.extra
        if row.image_hash in failed:
            assert (row.caption, extra["status"]) == (None, failed[row.image_hash])
            assert (extra["seed"], extra["draws"], extra["anonymous"], extra["findings"]) == (None, 0, None, [])
            assert extra["reason"]
            continue
        verdict = check(row.caption)
        assert (extra["status"], extra["reason"]) == ("ok", None)
        assert extra["anonymous"] is verdict.ok
        assert [(one["start"], one["end"], one["kind"], one["word"]) for one in extra["findings"]] == [
            (one.start, one.end, one.kind, one.word) for one in verdict.findings
        ]


def test_the_head_names_all_that_decides_a_caption(whole, small):
    head = json.loads(head_of(whole).read_text())
    assert head["kind"] == "captions"
    decided = {"greedy": False, "max_new_tokens": 5, "temperature": 1.5, "top_p": 0.9, "top_k": 50, "seed": 0}
    asked = {"repetition_penalty": 1.0, "runs": 2, "until_anonymous": 1}
    assert head["made_by"] == {**small.fingerprint.to_dict(), **decided, **asked}


@pytest.mark.parametrize("lines", [1, 5, 14])
@pytest.mark.parametrize("torn", [b"", b'{"image_hash": "4.p'])
def test_a_run_that_ended_anywhere_goes_on_to_the_same_bytes(whole, small, records, tmp_path, lines, torn):
    """Also between two runs of one image, and within a line."""
    path = tmp_path / "captions.jsonl"
    shutil.copy(head_of(whole), head_of(path))
    path.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:lines]) + torn)
    asked = []
    result = caption_to_file(records, small, PLAN, path, on_outcome=asked.append)
    assert path.read_bytes() == whole.read_bytes()
    assert result.rows == read_manifest(whole)
    # Those that were there are not asked for again, except where one run was and the other was not.
    ids = [row.image_hash for row in result.rows]
    there = [record for record in records if ids.count(record.image_id) == ids[:lines].count(record.image_id)]
    assert len(there) in (0, 2, 7, 8)
    assert {outcome.record.image_id for outcome in asked} == set(ids) - {record.image_id for record in there}
    assert result.there == len(there)
    assert result.written == len(result.captions) - sum(row.caption is not None for row in result.rows[:lines])


def test_the_size_of_a_batch_may_change(whole, small, records, tmp_path):
    for batch_size in (1, 64):
        path = tmp_path / f"{batch_size}.jsonl"
        caption_to_file(records, small, Plan(DRAWN, 2, 1, batch_size), path)
        assert path.read_bytes() == whole.read_bytes()


def test_a_finished_file_is_left_as_it_is(whole, small, records, monkeypatch):
    before = whole.read_bytes(), whole.stat().st_mtime_ns
    monkeypatch.setattr(type(small), "caption_prepared", None)
    result = caption_to_file(records, small, PLAN, whole)
    assert (result.there, result.written) == (len(records), 0)
    assert (whole.read_bytes(), whole.stat().st_mtime_ns) == before


def test_images_that_were_added_are_added(whole, small, records, tmp_path):
    path = tmp_path / "captions.jsonl"
    caption_to_file(records[4:], small, PLAN, path)
    result = caption_to_file(records, small, PLAN, path)
    assert result.rows == read_manifest(whole)
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(Sampling(max_new_tokens=5, temperature=1.0), 2, 1), "temperature: 1.5 there, 1.0 here"),
        (Plan(Sampling(max_new_tokens=5, temperature=1.5, seed=7), 2, 1), "seed: 0 there, 7 here"),
        (Plan(DRAWN, 3, 1), "runs: 2 there, 3 here"),
        (Plan(DRAWN, 2, 0), "until_anonymous: 1 there, 0 here"),
        (Plan(Sampling(greedy=True, max_new_tokens=5)), "greedy: False there, True here"),
    ],
)
def test_other_settings_do_not_go_on(whole, small, records, plan, told):
    with pytest.raises(SourceError, match=told) as raised:
        caption_to_file(records, small, plan, whole)
    assert "to go on, give the settings that it was begun with" in str(raised.value)


def test_another_recipe_does_not_go_on(whole, load_captioner, records):
    with pytest.raises(SourceError, match="recipe: 'squash56' there, 'squash84' here"):
        caption_to_file(records, load_captioner(recipe="squash84"), PLAN, whole)


def test_another_penalty_of_the_base_does_not_go_on(whole, load_captioner, golden, records, tmp_path):
    base = shutil.copytree(golden / "base", tmp_path / "base")
    options = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**options, "repetition_penalty": 1.2}))
    with pytest.raises(SourceError, match=r"\(repetition_penalty: 1.0 there, 1.2 here\)"):
        caption_to_file(records, load_captioner(recipe="squash56", base_model=base), PLAN, whole)


def test_another_image_of_the_same_name_is_refused(whole, small, records):
    moved = [ImageRecord(records[0].image_id, "/elsewhere/0.png")]
    with pytest.raises(SourceError, match=r"has a row 0\.png of .*, which is not /elsewhere/0\.png"):
        caption_to_file(moved, small, PLAN, whole)


def test_what_is_no_file_of_captions_is_refused(small, records, tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("notes\n")
    with pytest.raises(SourceError, match="is there already"):
        caption_to_file(records, small, PLAN, path)
    with RowsFile(tmp_path / "scores.jsonl", "scores of a filter", Fingerprint.of({})) as file:
        file.append([ManifestRow("0.png", extra={"score": 1})])
    with pytest.raises(SourceError, match="holds scores of a filter, not captions"):
        caption_to_file(records, small, PLAN, tmp_path / "scores.jsonl")
    assert path.read_text() == "notes\n"


class TestPublished:
    """The published form, {path: caption}."""

    PLAN = Plan(Sampling(max_new_tokens=5, temperature=1.5))

    def test_it_is_made_of_the_rows_beside_it(self, small, records, tmp_path):
        result = caption_to_file(records, small, self.PLAN, tmp_path / "captions.json")
        rows = read_manifest(tmp_path / "captions.jsonl")
        assert rows == result.rows
        captions = {row.extra["source"]: row.caption for row in rows if row.extra["status"] == "ok"}
        assert len(captions) == 10
        # As the published script writes it, byte for byte.
        assert (tmp_path / "captions.json").read_text() == json.dumps(captions, indent=2)
        assert all(os.path.isfile(path) for path in captions)  # noqa: PTH113 - the names in the file are text

    def test_a_second_time_changes_nothing(self, small, records, tmp_path):
        path = tmp_path / "captions.json"
        caption_to_file(records, small, self.PLAN, path)
        before = path.read_bytes()
        assert caption_to_file(records, small, self.PLAN, path).written == 0
        assert path.read_bytes() == before

    def test_several_captions_of_an_image_have_no_place_in_it(self, small, records, tmp_path):
        with pytest.raises(SourceError, match=r"one caption for each path.*ends in \.jsonl"):
            caption_to_file(records, small, PLAN, tmp_path / "captions.json")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("content", ["[1]", '{"a": 1}', "text", "\xff"])
    def test_other_files_are_not_replaced(self, small, records, tmp_path, content):
        path = tmp_path / "captions.json"
        path.write_text(content, encoding="latin-1")
        with pytest.raises(SourceError, match="is no file of captions"):
            caption_to_file(records, small, self.PLAN, path)
        assert path.read_text(encoding="latin-1") == content

    def test_a_full_disk_leaves_the_earlier_file_and_the_rows(self, whole, small_disk):
        folder, _ = small_disk
        path = folder / "captions.json"
        path.write_text("{}")
        (folder / "filler").write_bytes(b"x" * 600_000)
        rows = [row for row in read_manifest(whole) if row.caption is not None] * 200
        many = [replace(row, extra={"source": f"/{number}"}) for number, row in enumerate(rows)]
        with pytest.raises(SourceError, match=r"no space left.*captions are kept in .*captions\.jsonl"):
            write_published(path, many)
        assert path.read_text() == "{}"
        assert sorted(item.name for item in folder.iterdir()) == ["captions.json", "filler"]


def test_a_full_disk_keeps_the_windows_that_were_written(small, records, small_disk, tmp_path):
    """Each row takes 30 KB, so that the disk is full after half of them."""
    folder, remount = small_disk
    large = [replace(record, fields={"note": "x" * 30_000}) for record in records]
    caption_to_file(large, small, PLAN, tmp_path / "whole.jsonl")
    whole, path = (tmp_path / "whole.jsonl").read_bytes(), folder / "captions.jsonl"
    with pytest.raises(SourceError, match="no space left"):
        caption_to_file(large, small, Plan(DRAWN, 2, 1, 1), path)
    kept = path.read_bytes()
    assert 0 < len(kept) < len(whole)
    assert whole.startswith(kept)
    remount("size=4m")
    caption_to_file(large, small, PLAN, path)
    assert path.read_bytes() == whole


def test_rows_are_on_the_disk_before_they_are_told(small, records, tmp_path):
    path, seen = tmp_path / "captions.jsonl", []

    def look(outcome):
        seen.append(outcome)
        assert outcome.record.image_id in {row.image_hash for row in read_manifest(path)}

    caption_to_file(records, small, Plan(DRAWN, batch_size=1), path, on_outcome=look)
    assert len(seen) == len(records)
    assert len(records) > stream.WINDOW_BATCHES  # else it would be one window


def test_the_leak_rate_counts_images_and_not_their_runs():
    """Three of four captions of one image leak, none of the other's: 3/8 over two images, not 3/8 over eight."""
    from relsim.captions.caption_file import CaptionResult
    from relsim.data.manifest import ManifestRow
    from relsim.evaluation.statistics import wilson

    rows = [
        ManifestRow(image, None, "a caption", {"status": "ok", "run": run, "anonymous": image == "b" or run == 0})
        for image in "ab"
        for run in range(4)
    ]
    assert CaptionResult(rows).leaks == wilson(0.75, 2)
    assert CaptionResult([]).leaks is None
