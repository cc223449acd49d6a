"""`relsim train`: a training run from a configuration, from flags, or from both."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options, training_options
from relsim.cli.output import emit, note, print_json
from relsim.errors import MissingExtraError, RelsimError

if TYPE_CHECKING:
    from relsim.training.config import TrainingConfig
    from relsim.training.loop import Outcome

_TASKS = {"metric": "metric", "captioner": "caption"}
_RUNS = Path("runs")
_NAMES = {"metric": "metric", "caption": "captioner", "yes_no": "filter"}  # folders of runs that are given none


def train(
    task: Annotated[
        Literal["metric", "captioner"],
        typer.Argument(metavar="metric|captioner", help="What is trained: image vectors, or a writer of captions."),
    ],
    manifests: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MANIFESTS]",
            help="Manifests (.jsonl), lists of seed groups or shard folders, beside --json-files.",
        ),
    ] = None,
    json_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--json-files",
            "--train-json",
            metavar="FILE",
            help="Manifests (.jsonl), lists of seed groups, or shard folders.",
            rich_help_panel=training_options.DATA,
        ),
    ] = None,
    test_json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The same, to evaluate on; nothing else is held out.",
            rich_help_panel=training_options.DATA,
        ),
    ] = None,
    image_folder: training_options.ImageFolder = None,
    crops: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where decoded crops are kept for later runs. Default: in --out.",
            rich_help_panel=training_options.DATA,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            "--output-dir",
            metavar="DIR",
            help="Folder of the run. Default: runs/metric or runs/captioner.",
            rich_help_panel=training_options.RUN,
        ),
    ] = None,
    run_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Folder of the run, below --out, or below runs without it.",
            rich_help_panel=training_options.RUN,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Settings of a run, or the published captioner's config.yaml; flags count for more.",
            rich_help_panel=training_options.RUN,
        ),
    ] = None,
    settings: training_options.Settings = None,
    resume: training_options.Resume = False,
    num_epochs: Annotated[
        float | None, typer.Option(metavar="N", help="Visits to each image.", rich_help_panel=training_options.RUN)
    ] = None,
    save_steps: Annotated[
        int | None, typer.Option(metavar="N", help="Steps between checkpoints.", rich_help_panel=training_options.RUN)
    ] = None,
    logging_steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Steps between lines of the log.", rich_help_panel=training_options.RUN),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="wandb, trackio or tensorboard, beside the log.", rich_help_panel=training_options.RUN
        ),
    ] = None,
    seed: training_options.Seed = None,
    precision: training_options.Precision = None,
    base_model: training_options.BaseModel = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Pixels: crop448, squash448 or another side.", rich_help_panel=options.MODEL_PANEL
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Images of a step, all processes together.", rich_help_panel=training_options.LEARNING
        ),
    ] = None,
    micro_batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Images in memory at once; the gradient stays the same.",
            rich_help_panel=training_options.LEARNING,
        ),
    ] = None,
    learning_rate: training_options.LearningRate = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="X", help="Temperature of the metric's loss.", rich_help_panel=training_options.LEARNING),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Train on images with captions.

    The flags of the published train.sh mean what they mean there. What no flag and no configuration says is as
    published. Several processes: torchrun -m relsim train.
    """
    flags: dict[str, Any] = {
        "run.out": _folder(out, run_name),
        "data.manifests": [str(path) for path in [*(json_files or []), *(manifests or [])]] or None,
        "data.eval_manifest": test_json and str(test_json),
        "data.image_folder": image_folder and str(image_folder),
        "data.crops": crops and str(crops),
        "run.epochs": num_epochs,
        "run.save_every": save_steps,
        "run.log_every": logging_steps,
        "run.trackers": tracker or None,
        "run.seed": seed,
        "run.precision": precision,
        "model.base": base_model,
        "model.recipe": recipe,
        "optimizer.batch_size": batch_size,
        "optimizer.micro_batch_size": micro_batch_size,
        "optimizer.learning_rate": learning_rate,
        "objective.temperature": temperature,
    }
    wanted = read_settings(_TASKS[task], config, flags, settings or [])
    from relsim.training.loop import train as run_training

    try:
        outcome = run_training(wanted, resume=resume, watcher=None if as_json else show_line)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run it again with --resume to go on from the last checkpoint") from None
    if os.environ.get("RANK", "0") == "0":  # torchrun's number of this process
        _report(outcome, as_json=as_json)


def read_settings(task: str, path: Path | None, flags: Mapping[str, Any], settings: Sequence[str]) -> TrainingConfig:
    """The settings of the file, under the flags, under those of --set. Raises `RelsimError`.

    A run that is given no folder has one of its task's name, below runs.
    """
    try:
        from relsim.training.config import TrainingConfig
    except ImportError as error:
        raise MissingExtraError(error.name or "pydantic", "train", "training") from error

    given = [f"{name}={json.dumps(value)}" for name, value in flags.items() if value is not None]
    if flags["run.epochs"] is not None:
        given.append("run.steps=null")  # a file that counts in steps gives way
    if flags.get("data.eval_manifest") is not None:
        given.append("data.eval_fraction=0")  # and so does a file that holds out a share
    base = os.environ.get("RELSIM_BASE_MODEL") or training_options.PUBLISHED_BASE
    out = str(_RUNS / _NAMES[task])
    defaults = [f"objective.task={task}", f"model.base={json.dumps(base)}", f"run.out={json.dumps(out)}"]
    config = TrainingConfig.from_yaml(path, [*given, *settings], defaults=defaults)
    if config.objective.task != task:
        raise RelsimError(f"{path or '--set'} says objective.task {config.objective.task}, the command line {task}")
    if task != "metric" and flags.get("objective.temperature") is not None:
        raise RelsimError("--temperature belongs to relsim train metric; a captioner's loss has none")
    return config


def _folder(out: Path | None, run_name: str | None) -> str | None:
    if run_name is None:
        return None if out is None else str(out)
    return str((out or _RUNS) / run_name)


def show_line(line: Mapping[str, Any]) -> None:
    """A line of the log, for the person at the terminal."""
    note(
        "  ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.4g}" for name, value in line.items()
        )
    )


def _report(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "schema": "relsim.train/1",
                "out": str(outcome.out),
                "steps": outcome.steps,
                "last": str(outcome.last),
                "best": outcome.best and str(outcome.best),
                "metrics": outcome.metrics,
                "skipped": outcome.skipped,
            }
        )
        return
    best = f", best {outcome.best}" if outcome.best else ""
    emit(f"{outcome.out}: {outcome.steps:,} steps done; last checkpoint {outcome.last}{best}")
    if outcome.metrics:
        emit("held out: " + ", ".join(f"{name} {value:.4f}" for name, value in outcome.metrics.items()))
