"""Captions that a captioner writes while it learns, and what the captions that it learns from name."""

import io
import json
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from PIL import Image

from relsim.captions.anonymity import check
from relsim.evaluation.statistics import wilson
from relsim.models.metadata import read_metadata
from relsim.training import caption_check
from relsim.training.caption_check import CaptionLeaks
from relsim.training.caption_samples import choose
from relsim.training.crops import CropStore
from relsim.training.feed import Part
from relsim.training.loop import train
from relsim.training.sample_page import render
from relsim.training.state import load_state
from relsim.training.tracking import RunLog, read_log

CAPTION = ("objective.task=caption", "model.prompt=What is it?", "optimizer.warmup_steps=0", "run.threads=1")
SAMPLES = ("samples.every=2", "samples.max_new_tokens=8")


@pytest.fixture(scope="module")
def sampled(settings, tmp_path_factory):
    """A run of six steps with dropout and samples."""
    out = tmp_path_factory.mktemp("sampled") / "run"
    return train(settings(out, *CAPTION, *SAMPLES))


def state(outcome):
    (path,) = outcome.out.glob("state-*")
    return load_state(path).tensors


@pytest.mark.parametrize("tune", [(), ("model.tune=all",)], ids=["lora", "all"])
def test_samples_leave_the_weights_as_they_are(settings, tmp_path, tune):
    """Bit for bit, with dropout, and also where a step follows that has been read ahead."""
    without = state(train(settings(tmp_path / "without", *CAPTION, *tune)))
    with_ = state(train(settings(tmp_path / "with", *CAPTION, *tune, *SAMPLES, "samples.every=1")))
    assert without.keys() == with_.keys()
    assert all(torch.equal(without[name], with_[name]) for name in without)


def test_samples_are_of_the_same_pictures_at_every_time(sampled):
    rows = read_log(sampled.out / "samples.jsonl")
    assert [row["step"] for row in rows] == [2] * 6 + [4] * 6 + [6] * 6
    assert [row["part"] for row in rows[:6]] == ["held_out"] * 4 + ["trained"] * 2
    assert len({tuple(row["image_id"] for row in rows[start : start + 6]) for start in (0, 6, 12)}) == 1
    assert all(len(row["captions"]) == 2 and row["group"] in "0123" for row in rows)


def test_a_run_that_goes_on_writes_the_samples_of_one_that_was_not_stopped(settings, sampled, tmp_path):
    """The run that stops has written samples after its state, which are written again."""
    out = tmp_path / "run"
    train(settings(out, *CAPTION, *SAMPLES, "samples.every=1", "run.stop_at=4"))
    lines = (out / "samples.jsonl").read_text().splitlines(keepends=True)
    later = json.dumps({**json.loads(lines[-1]), "step": 5}) + "\n"
    (out / "samples.jsonl").write_text("".join(line for line in lines if '"step": 2,' in line or '"step": 4,' in line))
    with (out / "samples.jsonl").open("a") as file:
        file.write(later + later[:20])
    train(settings(out, *CAPTION, *SAMPLES), resume=True)
    assert (out / "samples.jsonl").read_bytes() == (sampled.out / "samples.jsonl").read_bytes()
    assert (out / "samples.html").read_text() == (sampled.out / "samples.html").read_text()


def test_no_samples_are_written_unless_they_are_wished(settings, tmp_path):
    train(settings(tmp_path / "run", *CAPTION, "run.steps=1"))
    assert not list((tmp_path / "run").glob("samples*"))


def test_pictures_of_the_page_are_those_of_the_run(sampled, crops):
    """Pixels as far as WebP keeps them: random pixels lose most, so a mean difference of 12 is a close likeness."""
    rows = read_log(sampled.out / "samples.jsonl")[:6]
    store = CropStore.open(crops)
    images = Page((sampled.out / "samples.html").read_text()).images
    assert len(images) == 6
    for row, image in zip(rows, images, strict=True):
        data = b64decode(image["src"].partition("base64,")[2])
        shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)
        stored = store.read([store.image_ids.index(row["image_id"])])[0].astype(np.int16)
        others = [np.abs(shown - square).mean() for square in store.read(range(24)).astype(np.int16)]
        assert np.abs(shown - stored).mean() == min(others) < 12
        assert image["alt"] == f"Picture {row['image_id']}: {row['captions'][0]}"


class Page(HTMLParser):
    """Attributes of the images, names of the tags, and cells of the tables."""

    def __init__(self, text):
        super().__init__()
        self.images, self.tags, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def line(step, caption, **fields):
    found = check(caption)
    words = [{"word": item.word, "kind": item.kind} for item in found.findings]
    said = {"caption": caption, "anonymous": found.ok, "findings": words}
    about = {"part": "held_out", "image_id": "a", "group": None, "captions": ["{A} row"]}
    return {"step": step, **about, "greedy": said, "drawn": said, **fields}


def test_the_newest_captions_come_first_and_texts_stay_texts():
    """Also a caption that looks like a tag, and a picture that the run no longer has."""
    rows = [
        line(step, caption) for step, caption in ((50, "A row of {Objects}"), (100, "<script> dog </script> & {A}"))
    ]
    text = render("run <1>", [*rows, line(50, "", part="trained", image_id='"quoted"')], lambda part, image_id: None)
    page = Page(text)
    assert page.cells[3:9:3] == ["100", "50"]
    assert page.cells[4] == "<script> dog </script> & {A}not anonymous: dog (animal)"
    assert page.cells[7] == "A row of {Objects}anonymous"
    assert page.cells[13] == "(nothing)not anonymous: no placeholder"
    assert "script" not in page.tags
    assert text.count("no longer among those of the run") == 2
    assert page.images == []


class Recorder(GeneralTracker):
    """A tracker of Accelerate's kind that keeps what it is told."""

    name, requires_logging_directory = "recorder", False

    def __init__(self):
        super().__init__()
        self.told = []

    @property
    def tracker(self):
        return self.told

    def store_init_configuration(self, values):
        self.told.append(values)

    def log(self, values, step=None, **options):
        self.told.append((step, values, options))


class Tables(Recorder):
    """One with tables and pictures, with the calls of Accelerate's WandBTracker."""

    name = "tables"

    def log_table(self, table_name, columns=None, data=None, dataframe=None, step=None, **options):
        self.told.append((step, table_name, columns, data, options))

    def log_images(self, values, step=None, **options):
        self.told.append((step, {name: np.shape(pictures) for name, pictures in values.items()}, options))


def test_trackers_get_samples_as_they_can_show_them(tmp_path):
    text, tables = Recorder(), Tables()
    log = RunLog(tmp_path, Accelerator(cpu=True, log_with=[text, tables]), {"run": {"seed": 1}}, project="mine")
    squares = [np.zeros((56, 56, 3), np.uint8)] * 2
    rows = [line(2, "A row of {Objects}"), line(2, "A dog | a\ncat", part="trained", image_id="b")]
    log.show_samples(2, rows, squares)
    log.show_samples(4, rows[:1], squares[:1])
    columns = ["part", "picture", "true caption", "greedy", "greedy: verdict", "drawn", "drawn: verdict"]
    first = ["held_out", "a", "{A} row", *["A row of {Objects}", "anonymous"] * 2]
    second = ["trained", "b", "{A} row", *["A dog | a\ncat", "names things"] * 2]
    assert tables.told[1:] == [
        (2, "samples", columns, [first, second], {}),
        (2, {"sample pictures": (2, 56, 56, 3)}, {}),
        (4, "samples", columns, [first], {}),
    ]
    (_, (step, values, _), (later, _, _)) = text.told
    assert (step, later) == (2, 4)
    table = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in values["samples"].splitlines()]
    assert table == [columns, ["---"] * 7, first, ["trained", "b", "{A} row", *[r"A dog \| a cat", "names things"] * 2]]


def test_tensorboard_shows_samples(settings, tmp_path):
    """Text and pictures are in its file."""
    pytest.importorskip("tensorboardX")
    out = tmp_path / "run"
    train(settings(out, *CAPTION, *SAMPLES, "run.steps=2", "run.trackers=[tensorboard]"))
    content = b"".join(file.read_bytes() for file in out.rglob("events.out.tfevents*"))
    said = read_log(out / "samples.jsonl")[0]
    assert b"samples" in content
    assert b"\x89PNG" in content
    assert said["image_id"].encode() in content


def test_pictures_are_of_different_groups_as_far_as_there_are_any(crops):
    part = Part(CropStore.open(crops), np.arange(24))
    for seed in range(5):
        chosen = choose(part, 6, seed)
        assert len(set(chosen)) == 6
        assert sorted(part.groups[row] for row in chosen[:4]) == ["0", "1", "2", "3"]
        assert choose(part, 3, seed) == chosen[:3]
    assert len({tuple(choose(part, 6, seed)) for seed in range(5)}) > 1
    assert sorted(choose(part, 99, 0)) == list(range(24))


def test_pictures_that_come_or_go_move_no_other(crops):
    store = CropStore.open(crops)
    alike = np.flatnonzero(np.array(store.groups) == "0")
    whole, fewer = Part(store, alike), Part(store, alike[1:])
    order = [whole.image_ids[row] for row in choose(whole, 6, 1)]
    order.remove(whole.image_ids[0])
    assert [fewer.image_ids[row] for row in choose(fewer, 6, 1)] == order


LEAKING = ["A golden retriever next to {Object}", "Growth of {Subject}", "A row", "Growth of {Subject}"]


def test_captions_that_name_things_are_counted_once():
    leaks = CaptionLeaks.of(LEAKING)
    assert str(leaks) == "2 of 3 captions name things, e.g. 'A golden retriever next to {Object}' (golden retriever)"
    assert leaks.to_json() == {"different": 3, "captions": 3, "leaks": 2, "leak_rate": wilson(2, 3).to_json()}


def test_none_and_one_are_told_as_such():
    assert str(CaptionLeaks.of(["Growth of {Subject}"])) == "none of 1 captions names things"
    assert str(CaptionLeaks.of(["A row", "{A} row"])) == "1 of 2 captions names things, e.g. 'A row' (no placeholder)"


def test_of_many_captions_some_are_checked_evenly(monkeypatch):
    monkeypatch.setattr(caption_check, "MOST_CHECKED", 4)
    leaks = CaptionLeaks.of([f"{{A}} row {number}" if number % 2 else f"row {number}" for number in range(10)])
    assert str(leaks) == ("2 of 4 captions (checked of 10 different ones) name things, e.g. 'row 0' (no placeholder)")
    assert CaptionLeaks.of([]).captions == 0


def test_a_long_example_is_cut():
    told = str(CaptionLeaks.of(["{A} " * 100 + "dog\n"]))
    assert len(told) < 200
    assert "…" in told
    assert told.isprintable()


def test_what_captions_name_is_told_once_and_recorded(settings, tmp_path, caplog):
    config = settings(tmp_path / "run", *CAPTION, "run.stop_at=2")
    with caplog.at_level("INFO", logger="relsim"):
        outcome = train(config)
    (first, *_) = read_log(outcome.out / "train.jsonl")
    texts = [text for texts in CropStore.open(config.data.crops).captions for text in texts]
    assert 0 < first["captions"] < len(set(texts))  # of those that are trained on
    assert first["step"] == 0
    assert first["leak_rate"] == pytest.approx(first["leaks"] / first["captions"])
    assert f"{first['leaks']:,} of {first['captions']:,} captions name things, e.g." in caplog.text
    record = read_metadata(outcome.last)["training"]["captions"]
    assert (record["captions"], record["leaks"]) == (first["captions"], first["leaks"])
    train(settings(tmp_path / "run", *CAPTION, "run.stop_at=4"), resume=True)
    assert [row["step"] for row in read_log(outcome.out / "train.jsonl") if "leaks" in row] == [0]
