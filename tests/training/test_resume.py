"""Going on after an end by force: the same weights, bit for bit, and the same record."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from relsim.errors import TrainingError
from relsim.training.crops import CropStore, CropWriter
from relsim.training.loop import train
from relsim.training.state import State, load_state, save_state
from relsim.training.tracking import read_log

KILLED = """
import os, signal, sys
from pathlib import Path
from relsim.training import saver
from relsim.training.config import TrainingConfig
from relsim.training.loop import train
config, moment, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def die():
    os.kill(os.getpid(), signal.SIGKILL)
real = saver.save_state
def save_state(folder, state):
    if moment == "saving" and state.step == step:
        die()
    return real(folder, state)
saver.save_state = save_state
def watch(line):
    if moment == "learning" and line["step"] == step and "loss" in line:
        die()
train(TrainingConfig.from_yaml(config), watcher=watch)
"""
TIMES = ("seconds", "samples_per_second")


def final(out):
    """Tensors of the last state, and the record without its times."""
    (path,) = out.glob("state-*")
    lines = [
        {name: value for name, value in line.items() if name not in TIMES} for line in read_log(out / "train.jsonl")
    ]
    return load_state(path), lines


@pytest.fixture(scope="module")
def uninterrupted(settings, tmp_path_factory):
    """A run with dropout that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    outcome = train(settings(out, "run.threads=1", "run.log_every=2"))
    return outcome, *final(out)


@pytest.mark.parametrize(("moment", "step"), [("learning", 4), ("saving", 4), ("learning", 2)])
def test_a_killed_run_goes_on_to_the_same_weights(settings, uninterrupted, tmp_path, moment, step):
    """Killed before its first state, between two, and between a checkpoint and its state."""
    out = tmp_path / "run"
    config = settings(out, "run.threads=1", "run.log_every=2")
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "config.yaml", moment, str(step)], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr.decode()
    assert not (out / "checkpoints" / "step-00000006").exists()
    outcome = train(config, resume=True)
    whole, state, lines = uninterrupted
    ours, our_lines = final(out)
    assert ours.tensors.keys() == state.tensors.keys()
    assert all(torch.equal(ours.tensors[name], state.tensors[name]) for name in state.tensors)
    assert our_lines == lines
    for link in ("last", "best"):
        for name in ("adapter_model.safetensors", "projection.safetensors"):
            assert (outcome.out / link / name).read_bytes() == (whole.out / link / name).read_bytes()


def test_a_finished_run_has_nothing_left_to_do(settings, tmp_path):
    config = settings(tmp_path / "run", "run.steps=2")
    first = train(config)
    weights = (tmp_path / "run" / "last" / "adapter_model.safetensors").read_bytes()
    outcome = train(config, resume=True)
    assert first.metrics
    assert outcome.metrics == pytest.approx(first.metrics, rel=1e-6)
    assert (outcome.last / "adapter_model.safetensors").read_bytes() == weights
    assert len(read_log(tmp_path / "run" / "train.jsonl")) == 3


def test_other_settings_are_refused_by_name(settings, tmp_path):
    out = tmp_path / "run"
    train(settings(out, "run.steps=2"))
    before = (out / "config.yaml").read_text()
    for key, value in (("optimizer.learning_rate", "0.5"), ("model.lora.r", "4"), ("objective.temperature", "0.1")):
        with pytest.raises(TrainingError, match=rf"^{key} is {value}, the saved state was trained with"):
            train(settings(out, "run.steps=2", f"{key}={value}"), resume=True)
    assert (out / "config.yaml").read_text() == before


def test_settings_that_change_no_weight_may_differ(settings, tmp_path):
    out = tmp_path / "run"
    train(settings(out, "run.steps=2"))
    train(settings(out, "run.steps=2", "run.log_every=7", "run.keep=5", "optimizer.micro_batch_size=2"), resume=True)


@pytest.fixture(scope="module")
def begun(settings, crops, tmp_path_factory):
    """A run of one step on stored crops of its own, and other crops to evaluate on: (configuration, its store)."""
    home = tmp_path_factory.mktemp("begun")
    for name in ("mine", "apart"):
        shutil.copytree(crops, home / name, ignore=shutil.ignore_patterns("tokens-*"))
    places = (f"data.crops={home / 'mine'}", f"data.eval_crops={home / 'apart'}", "data.eval_fraction=0")
    config = settings(home / "run", "run.steps=1", *places)
    train(config)
    return config, CropStore.open(crops)


@pytest.mark.parametrize(
    ("part", "change", "fault"),
    [
        ("crops", {"image_id": "another"}, "the pictures: now"),
        ("crops", {"captions": ("Another caption",)}, "the captions: now"),
        ("crops", {"group": "another"}, "the groups: now"),
        ("eval_crops", {"image_id": "another"}, "the held-out part: now"),
        ("eval_crops", {"captions": ("Another caption",)}, "the held-out part: now"),
        ("eval_crops", {"group": "another"}, "the held-out part: now"),
    ],
)
def test_other_data_are_refused(begun, part, change, fault):
    """One picture of one part has another id, caption or group; put back, the run goes on."""
    config, store = begun
    folder = getattr(config.data, part)
    with CropWriter(folder, store.recipe) as writer:
        writer.relabel(CropStore.open(folder), [dataclasses.replace(store.rows[0], **change), *store.rows[1:]])
    with pytest.raises(TrainingError, match=f"^{fault} .*, the saved state was trained with"):
        train(config, resume=True)
    with CropWriter(folder, store.recipe) as writer:
        writer.relabel(CropStore.open(folder), store.rows)


def test_a_state_with_fewer_facts_is_taken(begun):
    """Older states say nothing of captions, groups and what is held out."""
    config, _ = begun
    (path,) = config.run.out.glob("state-*")
    state = load_state(path)
    facts = {name: state.facts[name] for name in ("the trained parameters", "the base model", "the pictures")}
    assert len(state.facts) > len(facts)
    save_state(config.run.out, dataclasses.replace(state, facts=facts))
    assert train(config, resume=True).steps == 1
    save_state(config.run.out, state)


def test_another_metric_chooses_anew(settings, tmp_path):
    """By mrr the best was below 1; no loss here is, and yet the least of them is the best from then on."""
    out = tmp_path / "run"
    given = ("run.save_every=1", "run.steps=3")
    train(settings(out, *given, "run.best_metric=mrr", "run.stop_at=1"))
    train(settings(out, *given, "run.best_metric=loss"), resume=True)
    losses = {line["step"]: line["eval_loss"] for line in read_log(out / "train.jsonl") if "eval_loss" in line}
    least = min((2, 3), key=losses.__getitem__)
    assert losses[least] > 1
    best = final(out)[0].best
    assert (best["metric"], best["step"]) == ("loss", least)
    assert best["value"] == pytest.approx(losses[least])


def test_a_damaged_state_is_refused(settings, tmp_path):
    config = settings(tmp_path / "run", "run.steps=2")
    train(config)
    (path,) = (tmp_path / "run").glob("state-*")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"state-00000002\.safetensors cannot be read"):
        train(config, resume=True)


def test_a_state_comes_back_as_it_was(tmp_path):
    state = State(
        step=7,
        config={"run": {"seed": 1}},
        facts={"the pictures": "3"},
        tensors={"master.0": torch.arange(5.0), "step.0": torch.tensor(7.0)},
        best={"metric": "mrr", "value": 0.1 + 0.2, "step": 4},
        logged={"sums": [0.1, 1e-30, 3.0, 4.0], "since": 2},
    )
    back = load_state(save_state(tmp_path, state))
    assert json.dumps([back.best, back.logged]) == json.dumps([state.best, state.logged])
    assert (back.step, back.config, back.facts) == (state.step, state.config, state.facts)
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in state.tensors.items())
    assert [path.name for path in tmp_path.iterdir()] == ["state-00000007.safetensors"]


SCALING = {"init_scale": 1000.3, "growth_factor": 1.7, "growth_interval": 4}
"""No powers of two: a run under another scale ends with other weights. It grows between the two halves of a run."""


@pytest.fixture
def scaled(monkeypatch):
    """Every run scales its loss, as one in fp16 does; the scalers of the runs so far, the latest last."""
    from relsim.training import loop

    made = []

    def open_scaled(config):
        accelerator, precision = open_accelerator(config)
        accelerator.scaler = torch.amp.GradScaler("cpu", **SCALING)
        made.append(accelerator.scaler)
        return accelerator, precision

    open_accelerator = loop.open_accelerator
    monkeypatch.setattr(loop, "open_accelerator", open_scaled)
    return made


def test_a_run_with_a_scaled_loss_goes_on_to_the_same_weights(settings, scaled, tmp_path):
    threads = ("run.threads=1", "run.save_every=3")
    train(settings(tmp_path / "whole", *threads))
    train(settings(tmp_path / "half", *threads, "run.stop_at=3"))
    train(settings(tmp_path / "half", *threads), resume=True)
    assert scaled[0].get_scale() == pytest.approx(SCALING["init_scale"] * SCALING["growth_factor"])
    assert scaled[2].state_dict() == scaled[0].state_dict()
    (whole, lines), (ours, our_lines) = final(tmp_path / "whole"), final(tmp_path / "half")
    assert all(torch.equal(ours.tensors[name], whole.tensors[name]) for name in whole.tensors)
    assert our_lines == lines


def test_the_scale_alone_of_an_older_state_is_taken_over(settings, scaled, tmp_path):
    """States once held the number, and not how many steps it has stood."""
    config = settings(tmp_path / "run", "run.steps=2")
    train(config)
    (path,) = (tmp_path / "run").glob("state-*")
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["relsim"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    del about["scaler"]
    save_file(tensors, path, metadata={"relsim": json.dumps({**about, "scale": 250.5})})
    train(config, resume=True)
    assert scaled[-1].state_dict() == torch.amp.GradScaler("cpu", **{**SCALING, "init_scale": 250.5}).state_dict()
