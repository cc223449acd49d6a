"""`relsim curate`: the whole chain on drawn pictures, stage by stage against other ways to the same, and its report."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from relsim.captions.anonymity import check
from relsim.captions.captioner import Captioner
from relsim.captions.interesting import InterestingFilter
from relsim.cli.main import app
from relsim.data.checksums import file_sha256
from relsim.data.cleaning import clean_caption
from relsim.data.curation.duplicates import DEFAULT_DISTANCE
from relsim.data.facts import hamming_distance, perceptual_hash
from relsim.data.manifest import read_manifest
from relsim.world.gallery import write_gallery
from relsim.world.looks import Split
from relsim.world.scenes import draw, draw_scene

COUNT, SIDE, THRESHOLD, RUNS = 14, 120, 0.78, 2
STEPS = 8
"""So many that some captions are anonymous and others still name what is there, as the base does."""
LORA = {"targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}
PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Drawn pictures, a copy of one, one that is a smaller form of another, and a file that is none."""
    folder = tmp_path_factory.mktemp("curate") / "pictures"
    gallery = write_gallery(folder.parent / "world", count=COUNT, size=SIDE, workers=1)
    folder.mkdir()
    for number, path in enumerate(sorted((gallery.folder / "images").iterdir())):
        path.rename(folder / f"p{number:02}.png")
    first, second = folder / "p00.png", folder / "p01.png"
    shutil.copy(first, folder / "zz-copy.png")
    Image.open(second).resize((SIDE - 8, SIDE - 8)).save(folder / "zz-near.jpg", quality=95)
    (folder / "zz-text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def filter_folder(golden, tmp_path_factory):
    """The golden captioner's weights as a filter."""
    folder = shutil.copytree(golden / "captioner", tmp_path_factory.mktemp("filter") / "filter")
    (folder / "relsim.json").write_text(json.dumps({"kind": "filter", "recipe": "squash56"}))
    return folder


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Six seed groups of two pictures, and settings of a training of a few steps."""
    folder = tmp_path_factory.mktemp("seeds")
    groups = []
    for index, relation in enumerate(Split.TRAIN.relations[:6]):
        home = folder / "images" / str(index)
        home.mkdir(parents=True)
        for number in range(2):
            scene = draw_scene(Split.TRAIN, np.random.default_rng([1, index, number]), relation=relation)
            draw(scene, SIDE).image.save(home / f"{number}.png")
        groups.append({"anonymous_caption": scene.captions[0], "index_group": index})
    (folder / "seed_group.json").write_text(json.dumps(groups))
    settings = {
        "run": {"steps": STEPS, "save_every": STEPS // 2, "precision": "fp32", "threads": 1},
        "model": {
            "base": "relsim-mini-base",
            "recipe": "crop120",
            "prompt": "Give the anonymous caption.",
            "lora": LORA,
        },
        "optimizer": {"batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 0},
        "data": {"eval_fraction": 0.2, "hold_out": "groups"},
    }
    (folder / "captioner.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def chain(pictures, filter_folder, seeds, golden, tmp_path_factory):
    """The whole chain: the words of the command, its folder, and what it printed with --json."""
    out = tmp_path_factory.mktemp("chain") / "out"
    words = ["curate", pictures, "-o", out, "--filter", filter_folder, "--threshold", THRESHOLD]
    words += ["--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"]
    words += ["--groups", seeds / "seed_group.json", "--captioner-config", seeds / "captioner.yaml"]
    words += ["--runs", RUNS, "--until-anonymous", 2, "--held-out", 0.3, "--json"]
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="relsim", catch_exceptions=False)
    assert result.exit_code == 3, result.stderr
    return words, out, json.loads(result.stdout)


def rows(out, name):
    return read_manifest(out / name)


def sources(out):
    """Where the images lie, by their ids."""
    return {row.image_hash: Path(row.extra["source"]) for row in rows(out, "1-images/images.jsonl")}


def test_every_image_of_the_sources_is_a_row_with_what_became_of_it(chain, pictures):
    _, out, _ = chain
    found = rows(out, "1-images/images.jsonl")
    assert [Path(row.extra["source"]) for row in found] == sorted(pictures.iterdir())
    *drawn, copy, near, text = found
    assert all((row.extra["status"], row.extra["kept"], row.extra["duplicate"]) == ("ok", True, None) for row in drawn)
    assert (copy.extra["kept"], copy.extra["duplicate"], copy.extra["duplicate_of"]) == (
        False,
        "exact",
        drawn[0].image_hash,
    )
    assert (near.extra["kept"], near.extra["duplicate"], near.extra["duplicate_of"]) == (
        False,
        "near",
        drawn[1].image_hash,
    )
    assert (text.extra["kept"], text.extra["status"]) == (False, "not_image")
    assert [row.extra["sha256"] for row in found[:-1]] == [
        file_sha256(path) for path in sorted(pictures.iterdir())[:-1]
    ]


def test_the_filter_keeps_what_reaches_the_threshold(chain, filter_folder, golden):
    _, out, _ = chain
    found = InterestingFilter.load(filter_folder, base_model=golden / "base", device="cpu", dtype="float32")
    judged = rows(out, "2-interesting/scores.jsonl")
    assert [row.image_hash for row in judged] == [
        row.image_hash for row in rows(out, "1-images/images.jsonl") if row.extra["kept"]
    ]
    where = sources(out)
    scores = found.probabilities([Image.open(where[row.image_hash]) for row in judged])
    assert [row.extra["kept"] for row in judged] == [score >= THRESHOLD for score in scores]
    assert {row.extra["kept"] for row in judged} == {True, False}


def test_the_trained_captioner_writes_about_the_kept_images_and_no_others(chain):
    """Each caption is what the checkpoint draws from the row's seed, alone."""
    _, out, _ = chain
    said = rows(out, "4-captions/captions.jsonl")
    kept = [row.image_hash for row in rows(out, "2-interesting/scores.jsonl") if row.extra["kept"]]
    assert [(row.image_hash, row.extra["run"]) for row in said] == list(product(kept, range(RUNS)))
    captioner = Captioner.load(out / "3-captioner" / "best", device="cpu", dtype="float32")
    where = sources(out)
    for row in said[:4]:
        (again,) = captioner.caption(Image.open(where[row.image_hash]), seed=row.extra["seed"])
        assert again.text.strip() == row.caption


def test_captions_are_parted_by_the_linter(chain):
    _, out, _ = chain
    said = rows(out, "4-captions/captions.jsonl")
    kept, rejected = (rows(out, f"5-anonymous/{name}.jsonl") for name in ("kept", "rejected"))
    judged = {(row.image_hash, row.extra["run"]): row for row in (*kept, *rejected)}
    assert len(judged) == len(kept) + len(rejected) == len(said)
    first = {}
    for row in said:
        verdict = check(row.caption)
        before = first.setdefault((row.image_hash, clean_caption(row.caption)), row.extra["run"])
        reason = None if verdict.ok else verdict.findings[0].kind
        if verdict.ok and before != row.extra["run"]:
            reason = "said before"
        assert judged[row.image_hash, row.extra["run"]].extra.get("rejected") == reason
    assert kept
    assert rejected


def test_the_data_set_is_the_kept_captions_with_their_images(chain):
    _, out, report = chain
    parts = {name: rows(out, f"6-dataset/{name}.jsonl") for name in ("train", "held_out")}
    together = [row for part in parts.values() for row in part]
    assert all(row.extra == {} for row in together)
    kept = rows(out, "5-anonymous/kept.jsonl")
    assert Counter((row.image_hash, row.caption) for row in together) == Counter(
        (row.image_hash, clean_caption(row.caption)) for row in kept
    )
    where = sources(out)
    images = {path.stem: path for path in (out / "6-dataset" / "images").iterdir()}
    assert set(images) == {row.image_hash for row in kept}
    assert all(path.read_bytes() == where[name].read_bytes() for name, path in images.items())
    assert report["dataset"]["parts"] == {
        name: {"images": len({row.image_hash for row in part}), "captions": len(part)} for name, part in parts.items()
    }


def test_nothing_that_looks_alike_is_in_both_parts(document, pictures, tmp_path):
    """With duplicates kept, each with its own caption."""
    report = document(
        "curate", pictures, "-o", tmp_path / "out", "--dedup", "none", "--held-out", 0.5, "--batch-size", 64, exits=3
    )
    assert report["funnel"][0]["rejected"] == {"not_image": 1}
    train, held = (rows(tmp_path / "out", f"6-dataset/{name}.jsonl") for name in ("train", "held_out"))
    assert {"zz-copy", "zz-near"} <= {row.image_hash for row in (*train, *held)}
    assert train
    assert held
    where = sources(tmp_path / "out")
    hashes = {name: perceptual_hash(Image.open(where[name])) for name in where if name != "zz-text"}
    apart = [hamming_distance(hashes[one.image_hash], hashes[other.image_hash]) for one, other in product(train, held)]
    assert min(apart) > DEFAULT_DISTANCE


def test_the_data_set_trains_a_metric(document, chain, golden, tmp_path):
    _, out, _ = chain
    words = ["train", "metric", "--json-files", out / "6-dataset" / "train.jsonl", "--base-model", golden / "base"]
    words += ["--recipe", "crop56", "--batch-size", 2, "--precision", "fp32", "--set", "run.threads=1"]
    assert document(*words, "--set", "run.steps=2", "--out", tmp_path / "run")["steps"] == 2


def test_the_report_counts_what_is_in_the_files(chain):
    _, out, report = chain
    assert json.loads((out / "report.json").read_text()) == report
    funnel = {row["stage"]: row for row in report["funnel"]}
    assert list(funnel) == ["1-images", "2-interesting", "3-groups", "4-captions", "5-anonymous", "6-dataset"]
    assert all(row["taken"] - row["kept"] == sum(row["rejected"].values()) for row in funnel.values())
    assert funnel["1-images"] == {
        "stage": "1-images",
        "unit": "images",
        "taken": COUNT + 3,
        "kept": COUNT,
        "rejected": {"exact duplicate": 1, "near duplicate": 1, "not_image": 1},
    }
    rejected = rows(out, "5-anonymous/rejected.jsonl")
    assert funnel["5-anonymous"]["rejected"] == Counter(row.extra["rejected"] for row in rejected)
    assert report["unreadable"] == {"not_image": 1}
    assert report["captioner"]["steps"] == STEPS
    kept = [clean_caption(row.caption) for row in rows(out, "5-anonymous/kept.jsonl")]
    facts = report["captions"]["kept"]
    assert (facts["captions"], facts["distinct"], facts["anonymous"]["value"]) == (len(kept), len(set(kept)), 1.0)
    assert facts["words"]["total"] == sum(len(caption.split()) for caption in kept)
    assert facts["placeholders"]["total"] == sum(caption.count("{") for caption in kept)
    assert report["captions"]["all"]["captions"] == len(kept) + len(rejected)
    for leak in report["leaks"]:
        assert leak["captions"] == sum(row.extra["rejected"] == leak["reason"] for row in rejected)
        for example in leak["examples"]:
            assert set(example["words"]) == {item.word for item in check(example["caption"]).findings if item.word}


class Links(HTMLParser):
    """Whatever a page would fetch, what its anchors lead to, and its ids."""

    def __init__(self):
        super().__init__()
        self.fetched, self.leads, self.ids, self.pictures = [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.leads += [given["href"]] if tag == "a" else []
        self.pictures += [given["alt"]] if tag == "img" else []
        self.fetched += [given[name] for name in ("src", "srcset", "data") if name in given]
        self.fetched += [given["href"]] if tag == "link" else []


def test_the_page_needs_nothing_else_and_shows_pictures_kept_and_rejected(chain):
    _, out, report = chain
    page = (out / "report.html").read_text()
    found = Links()
    found.feed(page)
    assert found.fetched
    assert all(source.startswith("data:image/webp;base64,") for source in found.fetched)
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert {lead.removeprefix("#") for lead in found.leads} <= set(found.ids)
    samples = report["samples"]
    shown = [row["image_id"] for row in (*samples["kept"], *samples["rejected"])]
    assert found.pictures == [name for name in shown if name != "zz-text"]
    assert "zz-text" in shown
    assert all(row["reason"] is None for row in samples["kept"])
    assert all(row["reason"] for row in samples["rejected"])


def test_again_everything_is_passed_over(verb, chain):
    words, out, _ = chain
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*/*") if path.is_file()}
    result = verb(*words[:-1])
    assert result.exit_code == 3
    lines = result.stderr.splitlines()
    assert len(lines) == 7
    assert all(line.endswith("; done before") for line in lines)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*/*") if path.is_file()} == before
    assert result.stdout.splitlines()[-1] == str(out / "report.html")


def test_captions_of_seed_groups_are_asked_for_once_and_those_that_leak_are_not_trained_on(
    verb, chain, seeds, chat_server, monkeypatch, tmp_path
):
    """A run that got no answer to one question asks that one alone when it is run again."""
    words, _, _ = chain
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    bare = tmp_path / "groups.json"
    bare.write_text(json.dumps([{"index_group": index} for index in range(6)]))
    out = tmp_path / "out"
    words = [*words[:2], "-o", out, *words[4:-1], "--group-images", seeds / "images"]
    words[words.index(seeds / "seed_group.json")] = bare
    assert "6 groups of" in verb(*words).stderr
    said = iter(["A cat beside {Object}", *(f"Growth of {{Subject}} in {{Manner {n}}}" for n in range(5))])
    with chat_server.ChatServer() as server:
        server.text = lambda _: next(said)
        server.then(chat_server.answer, chat_server.status(400))
        asked = [*words, "--endpoint", server.url, "--model", "tiny-vlm"]
        assert "got no answer" in verb(*asked).stderr
        assert verb(*asked).exit_code in (1, 3)
        assert len(server.answered) == 6
        verb(*asked)
        assert len(server.answered) == 6
    stage = json.loads((out / "3-groups" / "stage.json").read_text())
    assert (stage["taken"], stage["kept"], stage["rejected"]) == (6, 5, {"animal": 1})
    kept = [json.loads(line) for line in (out / "3-groups" / "0" / "kept.jsonl").read_text().splitlines()]
    assert all(check(group["anonymous_caption"]).ok for group in kept)
    report = json.loads((out / "report.json").read_text())
    assert next(row for row in report["funnel"] if row["stage"] == "3-groups")["rejected"] == {"animal": 1}
    assert json.loads((out / "3-captioner" / "stage.json").read_text())["taken"] == 10


def test_seed_groups_that_leak_are_left_out_unless_they_are_to_be_kept(verb, seeds, golden, pictures, tmp_path):
    """The images of the list lie beside it."""
    home = shutil.copytree(seeds, tmp_path / "seeds")
    groups = json.loads((home / "seed_group.json").read_text())
    groups[2]["anonymous_caption"] = "A cat beside {Object}"
    (home / "seed_group.json").write_text(json.dumps(groups))
    words = ["curate", pictures, "-o", tmp_path / "out", "--base-model", golden / "base", "--device", "cpu"]
    words += ["--groups", home / "seed_group.json", "--captioner-config", home / "captioner.yaml"]
    for more, kept in (((), 5), (("--keep-leaks",), 6)):
        told = verb(*words, *more).stderr
        assert f"3-groups: {kept} of 6 groups kept" in told
        assert json.loads((tmp_path / "out" / "3-captioner" / "stage.json").read_text())["taken"] == 2 * kept


KILLED = """
import os, signal, sys
from relsim.training import saver
real, last = saver.save_state, int(sys.argv.pop(1))
def save_state(folder, state):
    if state.step == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(folder, state)
saver.save_state = save_state
from relsim.cli.main import main
main()
"""


def test_a_run_that_was_killed_in_training_goes_on_to_the_same_data_set(verb, chain, environment):
    """Killed while the last state was to be written: half of the steps are done again."""
    words, out, _ = chain
    other = out.with_name("killed")
    again = [str(other if word == out else word) for word in words[:-1]]
    command = [sys.executable, "-c", KILLED, str(STEPS), *again]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert [path.name for path in (other / "3-captioner").glob("state-*")] == [f"state-{STEPS // 2:08}.safetensors"]
    resumed = verb(*again)
    assert "3-captioner: goes on" in resumed.stderr
    for name in ("4-captions/captions.jsonl", "6-dataset/train.jsonl", "report.json"):
        assert (other / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize("name", ["relsim.curate/1", "relsim.curate_stage/1"])
def test_the_documents_are_described(chain, name):
    """Keys of the example on the page of formats, at every depth that has no names of its own."""
    _, out, report = chain
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    (example,) = (example for example in examples if example.get("schema") == name)
    stage = json.loads((out / "2-interesting" / "stage.json").read_text())
    real = report if name == "relsim.curate/1" else stage
    assert f"### {name}\n" in PAGE
    assert list(example) == list(real)
    if name == "relsim.curate/1":
        assert list(example["captions"]["kept"]) == list(real["captions"]["kept"])
        for part in ("funnel", "leaks"):
            assert list(example[part][0]) == list(real[part][0])
        assert list(example["samples"]["rejected"][0]) == list(real["samples"]["rejected"][0])


def test_eight_bits_of_the_environment_are_for_metrics(pictures, tmp_path, monkeypatch):
    """The last stage asks for a captioner, after all the reading."""
    monkeypatch.setenv("RELSIM_DTYPE", "int8")
    words = ["curate", pictures, "--out", tmp_path / "set", "--device", "cpu"]
    assert CliRunner().invoke(app, list(map(str, words))).exit_code == 3  # a file is no picture
    assert (tmp_path / "set" / "report.html").exists()
