"""The record of a run: lines, what is kept of them, trackers by name."""

import json
from dataclasses import dataclass, field

import pytest

from relsim.errors import MissingExtraError, TrainingError
from relsim.training.loop import train
from relsim.training.tracking import PACKAGES, RunLog, check_trackers, flat_settings, read_log


@dataclass
class Accelerator:
    """What a log needs of Accelerate, keeping what it is told."""

    is_main_process: bool = True
    log_with: list = field(default_factory=list)
    told: list = field(default_factory=list)

    def init_trackers(self, name, config, init_kwargs):
        self.told.append((name, config, init_kwargs))

    def log(self, values, step):
        self.told.append((step, values))

    def end_training(self):
        self.told.append("end")


def test_lines_are_read_as_written(tmp_path):
    log = RunLog(tmp_path, Accelerator(), {})
    log.begin(0)
    log.write({"step": 1, "loss": 0.25})
    log.write({"step": 2, "eval_mrr": 1 / 3})
    assert (tmp_path / "train.jsonl").read_text() == '{"step": 1, "loss": 0.25}\n{"step": 2, "eval_mrr": 0.33333333}\n'
    assert read_log(tmp_path / "train.jsonl")[1]["step"] == 2


def test_a_run_that_goes_on_drops_what_came_after_its_state(tmp_path):
    """The last line was cut in the middle by the end of its process."""
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in range(1, 6)]
    (tmp_path / "train.jsonl").write_text("\n".join([*lines, '{"step": 6, "lo']))
    log = RunLog(tmp_path, Accelerator(), {})
    log.begin(3)
    log.write({"step": 4, "loss": 2.0})
    assert [line["loss"] for line in read_log(tmp_path / "train.jsonl")] == [1.0, 1.0, 1.0, 2.0]


def test_the_last_figures_up_to_a_step(tmp_path):
    log = RunLog(tmp_path, Accelerator(), {})
    assert log.figures(5) == {}
    log.write({"step": 2, "eval_mrr": 0.5, "eval_loss": 2.0})
    log.write({"step": 3, "loss": 1.0})
    log.write({"step": 4, "eval_mrr": 0.7})
    assert [log.figures(step) for step in (1, 2, 3, 4)] == [{}, *2 * [{"mrr": 0.5, "loss": 2.0}], {"mrr": 0.7}]


def test_a_new_run_begins_a_new_record(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"step": 1}\n')
    RunLog(tmp_path, Accelerator(), {}).begin(0)
    assert read_log(tmp_path / "train.jsonl") == []


def test_only_the_first_process_writes(tmp_path):
    watched = []
    log = RunLog(tmp_path, Accelerator(is_main_process=False), {}, watched.append)
    log.begin(0)
    log.write({"step": 1, "loss": 1.0})
    assert not (tmp_path / "train.jsonl").exists()
    assert watched == []


def test_trackers_get_settings_lines_and_an_end(tmp_path):
    accelerator = Accelerator(log_with=["wandb"])
    log = RunLog(tmp_path, accelerator, {"run": {"seed": 3, "trackers": ["wandb"], "steps": None}})
    log.begin(0)
    log.write({"step": 5, "loss": 1.5})
    log.end()
    settings = {"run.seed": 3, "run.trackers": '["wandb"]', "run.steps": "null"}
    places = {"wandb": {"dir": str(tmp_path)}}
    assert accelerator.told == [("relsim", settings, places), (5, {"loss": 1.5}), "end"]


def test_settings_are_flattened():
    assert flat_settings({"a": {"b": 1, "c": [1, 2]}}) == {"a.b": 1, "a.c": "[1, 2]"}


@pytest.mark.parametrize("name", PACKAGES)
def test_an_absent_tracker_is_named_with_its_extra(settings, tmp_path, monkeypatch, name):
    from relsim.training import tracking

    monkeypatch.setattr(tracking, "find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match=rf'{name}.*pip install "relsim\[tracking\]"'):
        train(settings(tmp_path / "run", f"run.trackers=[{name}]"))
    assert not (tmp_path / "run").exists()


def test_no_tracker_needs_nothing():
    check_trackers(())


def test_tensorboard_writes_its_files(settings, tmp_path):
    pytest.importorskip("tensorboard")
    train(settings(tmp_path / "run", "run.steps=1", "run.trackers=[tensorboard]"))
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))


def test_a_record_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "train.jsonl").mkdir()
    log = RunLog(tmp_path, Accelerator(), {})
    with pytest.raises(TrainingError, match=r"train\.jsonl cannot be written"):
        log.write({"step": 1})
