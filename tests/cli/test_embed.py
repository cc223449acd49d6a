"""`relsim embed`: sources, failures, refusals. What kills and interrupts do is in test_embed_interrupted.py."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from relsim.encoders.descriptors import DescriptorEncoder
from relsim.vectors import VectorTable

FAKE = ["--encoder", "fake"]
COLOURS = {"black": (0, 0, 0, 1), "red": (2**-0.5, 0, 0, 2**-0.5), "white": (0.5, 0.5, 0.5, 0.5)}


@pytest.fixture
def folder(plain_images, tmp_path):
    plain_images(tmp_path / "images" / "sub", {"c.png": "white"})
    return plain_images(tmp_path / "images", {"a.png": "black", "b.png": "red"})


def vectors(path):
    return {row.image_id: tuple(np.round(row.vector.tolist(), 6)) for row in VectorTable.open(path).rows()}


def known(**ids):
    return {image_id: tuple(np.round(COLOURS[colour], 6)) for image_id, colour in ids.items()}


class TestSources:
    def test_a_folder(self, verb, folder, tmp_path):
        result = verb("embed", folder, "--out", tmp_path / "t", *FAKE)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(f"{tmp_path}/t: 3 embedded in ")
        assert result.stdout.endswith("; 3 rows in the table\n")
        assert vectors(tmp_path / "t") == known(**{"a.png": "black", "b.png": "red", "sub/c.png": "white"})

    def test_files_in_the_order_given(self, verb, folder, tmp_path):
        verb("embed", folder / "b.png", folder / "a.png", "--out", tmp_path / "t", *FAKE)
        assert list(vectors(tmp_path / "t")) == ["b.png", "a.png"]

    def test_a_pattern(self, verb, folder, tmp_path):
        verb("embed", f"{folder}/[b-z]*.png", "--out", tmp_path / "t", *FAKE)
        assert vectors(tmp_path / "t") == known(**{"b.png": "red"})

    def test_a_list_on_stdin(self, run, folder, tmp_path):
        result = run("embed", "-", "--out", "t", *FAKE, cwd=tmp_path, stdin="images/b.png\nimages/sub/c.png\n")
        assert result.returncode == 0
        assert vectors(tmp_path / "t") == known(**{"images/b.png": "red", "images/sub/c.png": "white"})

    def test_a_manifest_and_its_folder(self, verb, folder, tmp_path):
        row = {"image_hash": "b", "url_link": "https://x/b", "caption": "{Color}", "votes": [1, None]}
        (tmp_path / "list.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"image_hash": "gone"}) + "\n")
        result = verb("embed", tmp_path / "list.jsonl", "--image-folder", folder, "--out", tmp_path / "t", *FAKE)
        assert result.exit_code == 3
        assert "gone: no such file (missing)" in result.stderr
        (stored,) = VectorTable.open(tmp_path / "t").rows()
        assert {"image_hash": stored.image_id, **stored.fields} == row

    def test_stems_as_ids(self, verb, folder, tmp_path):
        verb("embed", folder, "--ids", "stem", "--out", tmp_path / "t", *FAKE)
        assert vectors(tmp_path / "t") == known(a="black", b="red", c="white")

    def test_two_files_of_one_id_are_refused(self, refused, folder, tmp_path):
        Image.new("RGB", (28, 28)).save(folder / "sub" / "a.png")
        assert "would have the id a" in refused("embed", folder, "--ids", "stem", "--out", tmp_path / "t", *FAKE)
        assert not (tmp_path / "t").exists()

    def test_names_that_are_no_text_are_embedded_all_the_same(self, run, folder, tmp_path):
        odd = os.fsencode(folder) + b"/\xff[bold]\n.png"
        os.link(folder / "b.png", odd)
        result = run("embed", folder, "--out", tmp_path / "t", "--json", *FAKE)
        assert result.returncode == 0
        (row,) = (row for row in VectorTable.open(tmp_path / "t").rows() if "bold" in row.image_id)
        assert (row.image_id, row.source) == ("\\xff[bold]\\n.png", f"{folder}/\\xff[bold]\\n.png")
        assert run("embed", folder, "--out", tmp_path / "t", *FAKE).stdout.count("4 were there") == 1


class TestFailures:
    @pytest.fixture
    def mixed(self, folder):
        (folder / "empty.png").write_bytes(b"")
        (folder / "void.png").write_bytes(b"")
        (folder / "text.png").write_text("no picture")
        (folder / "link.png").symlink_to("nowhere")
        (folder / "folder.png").mkdir()
        return folder

    def test_the_rest_is_finished_and_the_summary_counts_reasons(self, run, mixed, tmp_path):
        result = run("embed", mixed, "--out", tmp_path / "t", *FAKE)
        assert result.returncode == 3
        assert result.stdout.count("\n") == 1
        assert "3 embedded" in result.stdout
        summary, *lines = result.stderr.splitlines()
        assert summary == "4 failed: 2 empty, 1 missing, 1 not_image"
        assert "  empty.png: the file is empty (empty)" in lines
        assert len(lines) == 4
        assert len(vectors(tmp_path / "t")) == 3

    def test_failures_are_rows_of_the_table(self, verb, mixed, tmp_path):
        verb("embed", mixed, "--out", tmp_path / "t", *FAKE)
        rows = {f.record.image_id: f.status.value for f in VectorTable.open(tmp_path / "t").failures()}
        assert rows == {"empty.png": "empty", "void.png": "empty", "text.png": "not_image", "link.png": "missing"}

    def test_a_second_run_tries_them_again_and_changes_nothing(self, verb, mixed, tmp_path, files_of):
        verb("embed", mixed, "--out", tmp_path / "t", *FAKE)
        before = files_of(tmp_path / "t")
        result = verb("embed", mixed, "--out", tmp_path / "t", *FAKE)
        assert result.exit_code == 3
        assert "0 embedded, 3 were there" in result.stdout
        assert "4 failed" in result.stderr
        assert files_of(tmp_path / "t") == before

    def test_mended_files_make_the_run_succeed(self, verb, mixed, tmp_path):
        verb("embed", mixed, "--out", tmp_path / "t", *FAKE)
        for name in ("empty.png", "text.png"):
            Image.new("RGB", (28, 28), "red").save(mixed / name)
        (mixed / "void.png").unlink()
        (mixed / "link.png").unlink()
        result = verb("embed", mixed, "--out", tmp_path / "t", *FAKE)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "2 embedded" in result.stdout
        assert vectors(tmp_path / "t")["text.png"] == known(x="red")["x"]
        assert {f.record.image_id for f in VectorTable.open(tmp_path / "t").failures()} == {"void.png", "link.png"}

    def test_json_lists_them_all(self, document, mixed, tmp_path):
        found = document("embed", mixed, "--out", tmp_path / "t", *FAKE, exits=3)
        assert found["schema"] == "relsim.embed/1"
        assert (found["rows"], found["images"], found["embedded"], found["skipped"]) == (3, 7, 3, 0)
        assert found["failed"] == {"empty": 2, "missing": 1, "not_image": 1}
        assert found["failures"][0] == {
            "image_id": "empty.png",
            "source": str(mixed / "empty.png"),
            "status": "empty",
            "reason": "the file is empty",
        }
        assert found["fingerprint"] == {"encoder": "fake", "version": 1, "dimension": 4}

    def test_only_the_first_five_are_named(self, verb, folder, tmp_path):
        for number in range(8):
            (folder / f"void{number}.png").write_bytes(b"")
        *named, last = verb("embed", folder, "--out", tmp_path / "t", *FAKE).stderr.splitlines()[1:]
        assert [line.split(":")[0].strip() for line in named] == [f"void{number}.png" for number in range(5)]
        assert last == "  ... and 3 more; --json lists all"


class TestRefusals:
    def test_another_encoder(self, verb, refused, folder, tmp_path, files_of):
        verb("embed", folder, "--out", tmp_path / "t", *FAKE)
        before = files_of(tmp_path / "t")
        line = refused("embed", folder, "--out", tmp_path / "t", "--encoder", "descriptors")
        assert "encoder: 'fake' there, 'descriptors' here" in line
        assert files_of(tmp_path / "t") == before

    def test_another_recipe(self, verb, refused, golden_paths, tmp_path, files_of, model_flags):
        made = verb("embed", *golden_paths[:2], "--out", tmp_path / "t", *model_flags)
        assert made.exit_code == 0
        before = files_of(tmp_path / "t")
        line = refused("embed", *golden_paths[:3], "--out", tmp_path / "t", *model_flags, "--recipe", "crop448")
        assert "recipe: 'native' there, 'crop448' here" in line
        assert files_of(tmp_path / "t") == before

    def test_a_corrupt_part(self, verb, refused, folder, tmp_path, files_of):
        verb("embed", folder, "--out", tmp_path / "t", *FAKE)
        (part,) = (tmp_path / "t").glob("part-*")
        content = bytearray(part.read_bytes())
        content[40] ^= 1
        part.write_bytes(content)
        before = files_of(tmp_path / "t")
        assert part.name in refused("embed", folder, "--out", tmp_path / "t", *FAKE)
        assert files_of(tmp_path / "t") == before

    def test_a_folder_of_other_files(self, refused, folder, tmp_path, files_of):
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "thesis.tex").write_text("years of work")
        assert "thesis.tex" in refused("embed", folder, "--out", tmp_path / "t", *FAKE)
        assert files_of(tmp_path / "t") == {"thesis.tex": b"years of work"}

    def test_a_file_in_the_way(self, refused, folder, tmp_path):
        (tmp_path / "t").write_text("a file")
        assert str(tmp_path / "t") in refused("embed", folder, "--out", tmp_path / "t", *FAKE)
        assert (tmp_path / "t").read_text() == "a file"

    def test_a_read_only_disk(self, refused, small_disk, folder):
        disk, remount = small_disk
        remount("ro")
        assert "Read-only file system" in refused("embed", folder, "--out", disk / "t", *FAKE)

    def test_options_of_a_model_for_an_encoder_without_one(self, refused, folder, tmp_path):
        line = refused("embed", folder, "--out", tmp_path / "t", *FAKE, "--recipe", "native", "-c", "x")
        assert line == "the encoder fake takes no --checkpoint, --recipe; its options are none"

    def test_the_environments_checkpoint_is_no_such_option(self, verb, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("RELSIM_CHECKPOINT", "somebody/else")
        assert verb("embed", folder, "--out", tmp_path / "t", *FAKE).exit_code == 0

    def test_an_unknown_encoder(self, refused, folder, tmp_path):
        assert "known are relational, descriptors" in refused(
            "embed", folder, "--out", tmp_path / "t", "--encoder", "vgg"
        )

    @pytest.mark.parametrize("wrong", [["--ids", "hash"], ["--part-rows", "0"], ["--workers", "many"], ["--out"]])
    def test_wrong_usage_exits_2(self, wrong, verb, folder, tmp_path):
        result = verb("embed", folder, "--out", tmp_path / "t", *FAKE, *wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert not (tmp_path / "t").exists()


def test_a_second_writer_is_told_before_it_embeds_anything(refused, folder, tmp_path):
    encoder = DescriptorEncoder()
    with VectorTable.create(tmp_path / "t", encoder.fingerprint, encoder.dimension):
        line = refused("embed", folder, "--out", tmp_path / "t", "--encoder", "descriptors")
    assert "is being written by another process" in line


def test_two_processes_at_once_leave_one_sound_table(start, run, many, tmp_path, contents):
    slow = ["--encoder", "slow_encoder:Slow", "--part-rows", "16"]
    with start("embed", many, "--out", tmp_path / "t", *slow) as first:
        while not (tmp_path / "t" / "table.json").exists():
            assert first.poll() is None
        second = run("embed", many, "--out", tmp_path / "t", *slow)
        first.communicate()
    assert (first.returncode, second.returncode) == (3, 1)
    assert second.stdout == ""
    assert "is being written by another process" in second.stderr
    assert len(contents(tmp_path / "t")[0]) == 196


def test_a_full_disk_loses_nothing_and_can_be_continued(run, many, small_disk, tmp_path, contents):
    disk, remount = small_disk
    command = ["embed", many, "--encoder", "descriptors", "--part-rows", "16"]
    result = run(*command, "--out", disk / "t")
    assert (result.returncode, result.stdout) == (1, "")
    assert "No space left on device. Free some space" in result.stderr
    assert result.stderr.count("\n") == 1
    rows = contents(disk / "t")[0]
    assert 16 <= len(rows) < 196

    remount("size=20m")
    assert run(*command, "--out", disk / "t").returncode == 3
    run(*command, "--out", tmp_path / "whole")
    assert contents(disk / "t") == contents(tmp_path / "whole")
    assert contents(disk / "t")[0][: len(rows)] == rows


def test_a_result_that_cannot_be_written_is_one_line(run, folder, tmp_path):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        result = run("embed", folder, "--out", tmp_path / "t", *FAKE, stdout=full)
    assert (result.returncode, result.stderr) == (1, "relsim: the result cannot be written: no space left on device\n")
    assert len(vectors(tmp_path / "t")) == 3


def test_the_table_records_how_its_encoder_was_made(verb, golden, golden_paths, tmp_path, model_flags, monkeypatch):
    monkeypatch.chdir(golden)
    verb("embed", golden_paths[11], "--out", tmp_path / "t", "-c", "relsim", "--base-model", "base")
    facts = VectorTable.open(tmp_path / "t").fingerprint.to_dict()
    assert VectorTable.open(tmp_path / "t").origin == {
        "encoder": "relational",
        "checkpoint_dir": str(golden / "relsim"),
        "base_model": str(golden / "base"),
        "dtype": facts["precision"],
        "recipe": "native",
    }


def test_golden_images_give_the_golden_vectors(verb, golden, expected, golden_embeddings, tmp_path, model_flags):
    result = verb("embed", golden / "images", "--out", tmp_path / "t", *model_flags)
    assert result.exit_code == 0
    table = VectorTable.open(tmp_path / "t")
    assert list(table.ids) == expected["images"]
    assert np.abs(table.vectors - golden_embeddings).max() < 1e-3
    assert (1 - np.einsum("nd,nd->n", table.vectors, golden_embeddings)).max() < 1e-5


def test_drafts_by_name(verb, refused, noise, tmp_path, model_flags):
    """The table says that its files were decoded in part; another way of decoding is refused for it."""
    noise(900, 700).save(tmp_path / "large.jpg")
    made = verb(
        "embed",
        tmp_path / "large.jpg",
        "--out",
        tmp_path / "t",
        *model_flags,
        "--recipe",
        "crop112",
        "--decode",
        "draft",
    )
    assert (made.exit_code, made.stderr) == (0, "")
    table = VectorTable.open(tmp_path / "t")
    assert table.fingerprint.to_dict()["decode"] == table.origin["decode"] == "draft"
    line = refused("embed", tmp_path / "large.jpg", "--out", tmp_path / "t", *model_flags, "--recipe", "crop112")
    assert "decode" in line
    line = refused("embed", tmp_path / "large.jpg", "--out", tmp_path / "u", *model_flags, "--decode", "draft")
    assert "native needs every pixel" in line
    assert "takes no --decode" in refused("embed", tmp_path, "--out", tmp_path / "u", *FAKE, "--decode", "draft")
