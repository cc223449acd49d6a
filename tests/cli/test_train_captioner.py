"""`relsim train captioner` with a configuration as published, on seed groups of drawn scenes in both forms."""

import json
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from relsim.captions.anonymity import check
from relsim.captions.captioner import Captioner
from relsim.data.seed_groups import url_id
from relsim.data.shard_writing import ShardWriter
from relsim.training.state import load_state
from relsim.training.tracking import read_log
from relsim.world.looks import Split
from relsim.world.scenes import draw, draw_scene

GROUPS, IMAGES, SIDE = 8, 3, 56
NAMED = "A golden retriever next to {Object}"
KILLED = """
import os, signal, sys
from relsim.training import saver
real = saver.save_state
def save_state(folder, state):
    if state.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(folder, state)
saver.save_state = save_state
from relsim.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, shard_row):
    """A folder with the list of both forms: images in index folders, and the same ones as rows of shards by URL."""
    folder = tmp_path_factory.mktemp("seed-groups")
    by_index, by_url = [], []
    with ShardWriter(folder / "shards") as writer:
        for group, relation in enumerate(Split.TRAIN.relations[:GROUPS]):
            scenes = [
                draw_scene(Split.TRAIN, np.random.default_rng([1, group, number]), relation=relation)
                for number in range(IMAGES)
            ]
            caption = NAMED if group == 2 else scenes[0].captions[0]
            urls = [f"https://pictures.example/{group}/{number}.png" for number in range(IMAGES)]
            for number, scene in enumerate(scenes):
                path = folder / "images" / str(group) / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                draw(scene, 2 * SIDE).image.save(path)
                writer.append(shard_row(group * IMAGES + number, url_id(urls[number]), path.read_bytes()))
            by_index.append({"anonymous_caption": f'"{caption}"', "index_group": group})
            by_url.append({"anonymous_caption": f'"{caption}"', "image_urls": urls})
    (folder / "by_index.json").write_text(json.dumps(by_index))
    (folder / "by_url.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in by_url))
    return folder


FORMS = {"index": ("by_index.json", "images"), "url": ("by_url.jsonl", "shards")}


@pytest.fixture
def configured(seeds, golden, tmp_path):
    """`configured(form)`: a file with the published sections and names; the values are small."""

    def write(form="index", **training):
        name, images = FORMS[form]
        values = {
            "wandb": {"project": "anonymous-caption-qwen2.5-vl", "enabled": False},
            "model": {"name": str(golden / "base"), "torch_dtype": "auto", "device_map": "auto"},
            "lora": {
                "r": 4,
                "lora_alpha": 8,
                "target_modules": ["q_proj", "v_proj"],
                "lora_dropout": 0.1,
                "bias": "none",
                "task_type": "CAUSAL_LM",
            },
            "data": {
                "train_json": str(seeds / name),
                "test_json": str(seeds / name),
                "train_image_folder": str(seeds / images),
                "test_image_folder": str(seeds / images),
            },
            "image": {"target_size": [SIDE, SIDE]},
            "training": {
                "output_dir": str(tmp_path / form),
                "per_device_train_batch_size": 4,
                "gradient_accumulation_steps": 2,
                "learning_rate": 1e-2,
                "max_steps": 6,
                "warmup_steps": 1,
                "logging_steps": 1,
                "logging_first_step": True,
                "save_strategy": "steps",
                "save_steps": 2,
                "save_total_limit": None,
                "eval_strategy": "no",
                "fp16": False,
                **training,
            },
            "generation": {"max_new_tokens": 12, "do_sample": False, "temperature": 1.0},
            "evaluation": {"interval": 3, "sentence_transformer_model": "all-MiniLM-L6-v2"},
            "prompt": {"anonymous_captioning": "What is the logic of this image?"},
            "misc": {"seed": 42, "shuffle_data": True},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path, tmp_path / form

    return write


def words(path, *more):
    return ["train", "captioner", "--config", path, "--precision", "fp32", "--set", "run.threads=1", *more]


def left(out):
    """Tensors of the last state, and what the run wrote on the way, apart from its times."""
    (path,) = out.glob("state-*")
    times = ("seconds", "samples_per_second")
    lines = [{name: line[name] for name in line if name not in times} for line in read_log(out / "train.jsonl")]
    return load_state(path).tensors, lines, (out / "samples.jsonl").read_bytes(), (out / "samples.html").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_a_published_configuration_trains_on_seed_groups(document, configured, seeds, form, caplog):
    path, out = configured(form)
    with caplog.at_level("INFO", logger="relsim"):
        found = document(*words(path))
    assert (found["steps"], found["out"]) == (6, str(out))
    assert {"token_loss", "token_accuracy"} <= found["metrics"].keys()
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "data.test_json is the training data; 5% of its groups are held out instead" in told
    assert "without a meaning here: model.torch_dtype, model.device_map" in told
    assert "1 of 7 captions names things, e.g. 'A golden retriever next to {Object}' (golden retriever)" in told

    rows = read_log(out / "samples.jsonl")
    assert [(row["step"], row["part"]) for row in rows[:6]] == [(3, "held_out")] * 3 + [(3, "trained")] * 2 + [
        (6, "held_out")
    ]
    held = {row["group"] for row in rows if row["part"] == "held_out"}
    assert len(held) == 1
    assert held.isdisjoint(row["group"] for row in rows if row["part"] == "trained")
    for row in rows:
        entries = json.loads((seeds / "by_index.json").read_text())
        assert row["captions"] == [entries[int(row["group"])]["anonymous_caption"].strip('"')]
        assert all(row[kind]["anonymous"] == check(row[kind]["caption"]).ok for kind in ("greedy", "drawn"))

    # What the run says of the pictures is what its last checkpoint says of them, read by the captioner.
    captioner = Captioner.load(found["last"], device="cpu", dtype="float32")
    last = [row for row in rows if row["step"] == 6]
    pictures = [pictured(seeds, row) for row in last]
    drawn = captioner.caption(pictures, greedy=False, max_new_tokens=12, seed=42)
    assert [row["greedy"]["caption"] for row in last] == [
        caption.text for caption in captioner.caption(pictures, greedy=True, max_new_tokens=12)
    ]
    assert [row["drawn"]["caption"] for row in last] == [caption.text for caption in drawn]
    assert len({caption.text for caption in drawn}) > 1


def pictured(seeds, row):
    """The picture that a line of samples tells of."""
    for group in range(GROUPS):
        for number in range(IMAGES):
            url = f"https://pictures.example/{group}/{number}.png"
            if row["image_id"] in (f"group_{group}_{number}", url_id(url)):
                return Image.open(seeds / "images" / str(group) / f"{number}.png")
    raise AssertionError(row)


def test_both_forms_train_to_the_same_weights_where_all_groups_are_trained_on(document, configured, tmp_path):
    """The order depends on places alone; ids differ, and so would what is held out."""
    states = []
    for form in FORMS:
        path, out = configured(form, max_steps=2)
        document(*words(path, "--set", "data.eval_fraction=0", "--set", "samples.every=null"))
        (state,) = out.glob("state-*")
        states.append(load_state(state).tensors)
    one, other = states
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def test_a_killed_run_goes_on_to_the_same_weights_and_samples(verb, configured, environment):
    path, out = configured()
    assert verb(*words(path)).exit_code == 0
    whole = left(out)
    other = out.with_name("killed")
    arguments = [str(word) for word in words(path, "--out", other)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=environment, capture_output=True, check=False, text=True
    )
    assert done.returncode == -9, done.stderr
    assert [row["step"] for row in read_log(other / "samples.jsonl")] == [3] * 5
    resumed = verb(*words(path, "--out", other, "--resume"))
    assert resumed.exit_code == 0, resumed.stderr
    tensors, lines, samples, page = left(other)
    assert tensors.keys() == whole[0].keys()
    assert all((tensors[name] == whole[0][name]).all() for name in tensors)
    assert (lines, samples) == (whole[1], whole[2])
    assert page.replace(b"killed", b"index") == whole[3]


class Page(HTMLParser):
    """Tags with their attributes, and texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_of_samples_holds_everything_and_the_newest_first(verb, configured, seeds):
    path, out = configured()
    assert verb(*words(path)).exit_code == 0
    text = (out / "samples.html").read_text()
    page = Page(text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5
    assert all(image["src"].startswith("data:image/webp;base64,") and len(image["alt"]) > 10 for image in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "http" not in text.replace("https://pictures.example", "")
    assert "prefers-color-scheme: dark" in text
    steps = [int(item) for item in page.texts if item.isdigit()]
    assert [step for step in steps if step in (3, 6)][:4] == [6, 3, 6, 3]


def test_test_data_of_its_own_take_the_place_of_a_share(document, configured, seeds, tmp_path):
    (tmp_path / "test.json").write_text(json.dumps([{"anonymous_caption": "{A} b", "index_group": 0}]))
    folder = tmp_path / "images" / "0"
    folder.mkdir(parents=True)
    Image.new("RGB", (60, 40), "red").save(folder / "x.png")
    path, out = configured(max_steps=1)
    flags = ["--test-json", tmp_path / "test.json", "--set", f"data.eval_image_folder={tmp_path / 'images'}"]
    document(*words(path, *flags))
    rows = read_log(out / "samples.jsonl")
    assert [(row["part"], row["image_id"]) for row in rows[:1]] == [("held_out", "group_0_x")]


def test_names_that_are_not_known_are_told_with_the_nearest(refused, configured):
    path, _ = configured(learning_rte=1e-3)
    fault = refused(*words(path))
    assert "training.learning_rte is not known; did you mean training.learning_rate?" in fault
