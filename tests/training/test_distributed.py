"""Two processes on one machine compute what one does."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from relsim.training.loop import train
from relsim.training.state import load_state
from relsim.training.tracking import read_log

RANKS = """
import sys
from pathlib import Path
from torch import distributed as dist
from relsim.training.config import TrainingConfig
from relsim.training.loop import train
for path in sys.argv[1:]:
    outcome = train(TrainingConfig.from_yaml(Path(path)))
    (outcome.out / f"rank {dist.get_rank()} of {dist.get_world_size()}").touch()
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
RUNS = {
    "one direction": ("optimizer.batch_size=7", "optimizer.micro_batch_size=3", "objective.mask_groups=true"),
    "both directions": ("objective.two_directional=true", "objective.learn_temperature=true"),
    "captions": ("objective.task=caption", "model.prompt=What is it?", "optimizer.batch_size=7"),
}


def launch(script, *arguments):
    """Start two processes by torchrun, whose variables `accelerate launch` sets as well."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [sys.executable, *TORCHRUN, script, *arguments],
        capture_output=True,
        check=False,
        env=environment | {"OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]


EPOCHS = ("run.steps=9", "model.lora.dropout=0.05")
KEPT = {f"tokens kept {wish}": (f"data.keep_tokens={wish}", *EPOCHS) for wish in ("never", "always")}


@pytest.fixture(scope="module")
def together(settings, crops, tmp_path_factory):
    """The runs of two processes, all of them in one start by torchrun."""
    home = tmp_path_factory.mktemp("two")
    paths = []
    mine = shutil.copytree(crops, home / "crops", ignore=shutil.ignore_patterns("tokens-*"))
    kept = {name: (f"data.crops={mine}", *overrides) for name, overrides in KEPT.items()}
    for name, overrides in {**RUNS, **kept}.items():
        config = settings(home / name, "run.steps=2", "run.threads=1", "model.lora.dropout=0", *overrides)
        paths.append(home / f"{name}.yaml")
        paths[-1].write_text(config.to_yaml())
    (home / "ranks.py").write_text(RANKS)
    launch(home / "ranks.py", *paths)
    return home


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_compute_the_gradient_of_one(settings, together, tmp_path, name):
    """AdamW's first moment after two steps is a sum of the two gradients; the record's sums are over both processes."""
    out = tmp_path / name
    assert {path.name for path in (together / name).glob("rank*")} == {"rank 0 of 2", "rank 1 of 2"}
    train(settings(out, "run.steps=2", "run.threads=1", "model.lora.dropout=0", *RUNS[name]))
    alone, both = (load_state(next(folder.glob("state-*"))).tensors for folder in (out, together / name))
    assert alone.keys() == both.keys()
    for key, tensor in alone.items():
        if key.startswith("exp_avg."):
            torch.testing.assert_close(both[key], tensor, rtol=0, atol=1e-6)
    mine, theirs = (read_log(folder / "train.jsonl") for folder in (out, together / name))
    assert [line["step"] for line in mine] == [line["step"] for line in theirs]
    for ours, other in zip(mine, theirs, strict=True):
        for key in ours.keys() - {"seconds", "samples_per_second"}:
            assert other[key] == pytest.approx(ours[key], rel=1e-4, abs=1e-6), key


def test_two_processes_share_the_tokens_that_they_keep(together):
    """In later epochs each reads what the other has written; weights and log are those of a run that keeps none."""
    without, kept = (together / name for name in KEPT)
    assert len(list((together / "crops").glob("tokens-*.bin"))) == 1
    first, second = (load_state(next(folder.glob("state-*"))).tensors for folder in (without, kept))
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    for ours, theirs in zip(*(read_log(folder / "train.jsonl") for folder in (without, kept)), strict=True):
        assert all(ours[key] == theirs[key] for key in ours.keys() - {"seconds", "samples_per_second"})
