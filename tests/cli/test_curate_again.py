"""`relsim curate` in a folder that it worked in before: after kills, with other settings, with other images."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import relsim
from relsim.data.manifest import read_manifest
from relsim.files import exclusive_lock
from relsim.world.gallery import write_gallery

COUNT = 6
STAGES = ("1-images", "4-captions", "5-anonymous", "6-dataset")
KILLED = """
import os, signal, sys
from relsim.captions import rows_file
name, real = sys.argv.pop(1), rows_file.RowsFile.append
def append(self, rows):
    real(self, rows)
    if self.path.name == name:
        with self.path.open("ab") as file:
            file.write(b'{"image_hash": "torn')
        os.kill(os.getpid(), signal.SIGKILL)
rows_file.RowsFile.append = append
from relsim.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn pictures of a size that the embedded captioner knows."""
    home = tmp_path_factory.mktemp("again")
    gallery = write_gallery(home / "world", count=COUNT, size=80, workers=1)
    folder = home / "drawn"
    folder.mkdir()
    for number, path in enumerate(sorted((gallery.folder / "images").iterdir())):
        path.rename(folder / f"p{number}.png")
    return folder


@pytest.fixture
def pictures(drawn, tmp_path):
    """The pictures, so often that they are read in two parts, and a file that is none."""
    folder = shutil.copytree(drawn, tmp_path / "pictures")
    for number in range(70):
        shutil.copy(sorted(drawn.iterdir())[number % COUNT], folder / f"zz-{number}.png")
    (folder / "aa-text.png").write_text("no picture")
    return folder


def files(out):
    """Everything that a run left, the lock apart."""
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def words(pictures, out, *more):
    # One at a time, so that captions come in windows of four.
    return ["curate", pictures, "-o", out, "--device", "cpu", "--dtype", "float32", "--batch-size", 1, *more]


def redone(stderr):
    """Stages that were worked on, as the lines say."""
    lines = [line for line in stderr.splitlines() if line.partition(":")[0] in STAGES and " kept" in line]
    return [line.partition(":")[0] for line in lines if not line.endswith("; done before")]


@pytest.mark.parametrize("name", ["read.jsonl", "captions.jsonl"])
def test_a_killed_run_goes_on_to_the_same_files(verb, pictures, environment, tmp_path, name):
    """Killed within a stage, with a torn line at the end of what is there."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    arguments = [str(word) for word in words(pictures, out)]
    command = [sys.executable, "-c", KILLED, name, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    (left,) = out.glob(f"*/{name}")
    lines = left.read_bytes().splitlines()
    total = COUNT + 71 if name == "read.jsonl" else COUNT
    assert 1 < len(lines) <= total
    assert lines[-1] == b'{"image_hash": "torn'
    resumed = verb(*words(pictures, out))
    assert resumed.exit_code == 3
    assert f"{left.parent.name}: goes on" in resumed.stderr
    verb(*words(pictures, whole))
    assert files(out) == files(whole)


@pytest.fixture
def done(verb, drawn, tmp_path):
    """The pictures of a run that was done, and its folder."""
    pictures = shutil.copytree(drawn, tmp_path / "pictures")
    out = tmp_path / "out"
    assert verb(*words(pictures, out)).exit_code == 0
    return pictures, out


@pytest.mark.parametrize(
    ("option", "told", "stages"),
    [
        (("--held-out", 0.5), "6-dataset: held_out was 0.05, is 0.5; done again", ["6-dataset"]),
        (("--seed", 1), "4-captions: seed was 0, is 1; done again", ["4-captions", "5-anonymous", "6-dataset"]),
        # The same images are left, so nothing after it has anything else to do.
        (("--dedup", "exact"), "1-images: duplicates was near, is exact; done again", ["1-images"]),
    ],
)
def test_another_setting_makes_again_what_depends_on_it(verb, done, tmp_path, option, told, stages):
    pictures, out = done
    result = verb(*words(pictures, out, *option))
    assert result.exit_code == 0
    assert told in result.stderr.splitlines()
    assert redone(result.stderr) == stages
    verb(*words(pictures, tmp_path / "fresh", *option))
    assert files(out) == files(tmp_path / "fresh")


def test_images_that_come_along_or_change_are_captioned_and_the_others_are_not(verb, done, tmp_path):
    pictures, out = done
    first, second, third = sorted(pictures.iterdir())[:3]
    before = {row.image_hash: row for row in read_manifest(out / "4-captions" / "captions.jsonl")}
    # An earlier draw, which another run would not make.
    marked = out / "4-captions" / "captions.jsonl"
    kept = read_manifest(marked)[-1]
    marked.write_text(marked.read_text().replace(kept.caption, "{Object} as it was"))
    stage = json.loads((out / "4-captions" / "stage.json").read_text())
    (out / "4-captions" / "stage.json").rename(out / "4-captions" / "begun.json")
    assert "captions.jsonl" in stage["results"]

    shutil.copy(second, pictures / "00-new.png")
    second.unlink()
    shutil.copy(third, first)
    third.unlink()
    result = verb(*words(pictures, out))
    assert "4-captions: what it is made of has changed; what is the same is kept" in result.stderr
    found = read_manifest(marked)
    assert [row.image_hash for row in found] == ["00-new", *(path.stem for path in sorted(pictures.iterdir())[1:])]
    assert found[0].caption == before[second.stem].caption
    assert found[1].caption == before[third.stem].caption
    assert found[-1].caption == "{Object} as it was"


def test_results_that_were_changed_are_made_again(verb, done):
    pictures, out = done
    path = out / "5-anonymous" / "kept.jsonl"
    before = files(out)
    path.write_bytes(b"")
    result = verb(*words(pictures, out))
    assert "5-anonymous: its results were changed; done again" in result.stderr
    assert redone(result.stderr) == ["5-anonymous"]
    assert files(out) == before


@pytest.mark.parametrize("change", ["lost", "other bytes"])
def test_an_image_of_the_data_set_that_is_lost_or_changed_is_noticed(verb, done, change):
    pictures, out = done
    before = files(out)
    image = min((out / "6-dataset" / "images").iterdir())
    size = image.stat().st_size
    image.unlink()
    if change == "other bytes":
        image.write_bytes(bytes(size))
    result = verb(*words(pictures, out))
    assert "6-dataset: its results were changed; done again" in result.stderr
    assert redone(result.stderr) == ["6-dataset"]
    assert files(out) == before


@pytest.mark.parametrize("name", ["words/animal.txt", "anonymity.py", "placeholders.py"])
def test_other_rules_of_the_linter_have_captions_judged_again(done, environment, tmp_path, name):
    """With a copy of the package in which one file has a line more."""
    pictures, out = done
    package = shutil.copytree(Path(relsim.__file__).parent, tmp_path / "copy" / "relsim")
    with (package / "captions" / name).open("a") as file:
        file.write("\n# a line more\n")
    command = [sys.executable, "-c", "from relsim.cli.main import main; main()", *map(str, words(pictures, out))]
    told = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(tmp_path / "copy")}, capture_output=True, check=True, text=True
    ).stderr
    assert "5-anonymous: linter was " in told
    assert redone(told) == ["5-anonymous"]


def test_a_folder_is_worked_on_by_one_process_at_a_time(refused, done):
    pictures, out = done
    with exclusive_lock(out / ".curate.lock"):
        assert "is being worked on by another process" in refused(*words(pictures, out))


def test_a_shard_folder_gives_what_its_files_give(verb, done, make_shards, tmp_path):
    pictures, out = done
    shards = make_shards(tmp_path / "shards", {path.stem: path.read_bytes() for path in sorted(pictures.iterdir())})
    assert verb(*words(shards, tmp_path / "of-shards")).exit_code == 0
    for part in ("train", "held_out"):
        name = f"6-dataset/{part}.jsonl"
        assert (tmp_path / "of-shards" / name).read_bytes() == (out / name).read_bytes()
    images = tmp_path / "of-shards" / "6-dataset" / "images"
    assert {path.name: path.read_bytes() for path in images.iterdir()} == {
        path.name: path.read_bytes() for path in pictures.iterdir()
    }


def test_fields_of_a_manifest_and_groups_come_along(verb, done, tmp_path):
    pictures, _ = done
    names = sorted(path.stem for path in pictures.iterdir())
    listed = [
        {"image_hash": name, "url_link": f"https://x/{name}", "caption": "old", "group": 7, "votes": 1}
        for name in names[:2]
    ]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    out = tmp_path / "listed"
    result = verb(*words(tmp_path / "list.jsonl", out, "--image-folder", pictures, "--held-out", 0))
    assert result.exit_code == 0
    assert not (out / "6-dataset" / "held_out.jsonl").exists()
    assert all(row.extra["votes"] == 1 for row in read_manifest(out / "1-images" / "images.jsonl"))
    rows = read_manifest(out / "6-dataset" / "train.jsonl")
    assert [(row.url_link, row.extra) for row in rows] == [(f"https://x/{name}", {"group": 7}) for name in names[:2]]
    assert "old" not in {row.caption for row in rows}


def test_files_of_one_name_in_several_folders_get_ids_that_can_name_a_file(document, done, tmp_path):
    pictures, _ = done
    for folder, path in zip(("a", "b"), sorted(pictures.iterdir())[:2], strict=True):
        (tmp_path / "deep" / folder).mkdir(parents=True)
        shutil.copy(path, tmp_path / "deep" / folder / "1.png")
    report = document(*words(tmp_path / "deep", tmp_path / "named"))
    assert report["funnel"][0]["kept"] == 2
    names = [row.image_hash for row in read_manifest(tmp_path / "named" / "1-images" / "images.jsonl")]
    assert len(set(names)) == 2
    assert not any("/" in name for name in names)
    images = tmp_path / "named" / "6-dataset" / "images"
    assert sorted(path.stem for path in images.iterdir()) == sorted(names)


class TestNothingIsLeft:
    """A report all the same, one line that says why, and no data set of an earlier run."""

    def end(self, verb, *arguments):
        result = verb(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        return result.stderr.splitlines()[-1]

    def test_no_image_can_be_read(self, verb, done, tmp_path):
        pictures, out = done
        for path in pictures.iterdir():
            path.write_text("no picture")
        line = self.end(verb, *words(pictures, out))
        assert f"nothing is left of {COUNT} images after 1-images: 0 of {COUNT} images kept ({COUNT} not_image)" in line
        assert f"{out}/report.html shows why" in line
        report = json.loads((out / "report.json").read_text())
        assert (report["dataset"], report["unreadable"]) == (None, {"not_image": COUNT})
        assert "Nothing is left of" in (out / "report.html").read_text()
        assert not (out / "6-dataset").exists()

    def test_no_caption_is_anonymous(self, verb, done, golden):
        """A captioner that was never taught writes no placeholder."""
        pictures, out = done
        for path in sorted(pictures.iterdir())[2:]:
            path.unlink()
        flags = ("--captioner", golden / "captioner", "--base-model", golden / "base")
        line = self.end(verb, *words(pictures, out, *flags))
        assert "nothing is left of 2 images after 5-anonymous: 0 of 2 captions kept" in line
        assert len(read_manifest(out / "5-anonymous" / "rejected.jsonl")) == 2
        assert not (out / "6-dataset").exists()


class TestRefused:
    """What ends with one line, before anything is written."""

    def test_an_empty_folder(self, refused, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "no images in or below" in refused(*words(tmp_path / "empty", tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    def test_a_folder_with_other_files(self, refused, drawn, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        assert "holds other files" in refused(*words(drawn, tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_folder_among_the_sources(self, refused, drawn):
        assert "lies in one of the sources" in refused(*words(drawn, drawn / "out"))

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (("--threshold", 0.5), "belongs to a filter, and none is named"),
            (("--group-images", "x"), "belong to --groups"),
            (("--groups", "g.json", "--captioner", "c"), "keep one of them"),
            (("--held-out", 1), "from 0 to below 1"),
            (("--runs", 0), "runs is 0"),
            (("--captioner", "nowhere"), "there is no folder 'nowhere'"),
        ],
    )
    def test_options_that_do_not_go_together(self, refused, drawn, tmp_path, more, told):
        assert told in refused(*words(drawn, tmp_path / "out", *more))
        assert not (tmp_path / "out").exists()

    def test_a_captioner_as_a_filter(self, refused, drawn, golden, tmp_path):
        flags = ("--filter", golden / "captioner", "--base-model", golden / "base")
        assert "is a captioner, no filter" in refused(*words(drawn, tmp_path / "out", *flags))
