"""`relsim train filter`: from labelled pictures to a filter, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, training_options
from relsim.cli.output import emit, print_json
from relsim.cli.train import read_settings, show_line

if TYPE_CHECKING:
    from relsim.training.filter_run import FilterOutcome


def train_filter(
    manifests: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MANIFESTS]",
            help="Manifests (.jsonl) or shard folders with the field interesting, label or caption: true or Yes, "
            "false or No.",
        ),
    ] = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE", help="Images labelled Yes: a folder or any source.", rich_help_panel=training_options.DATA
        ),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Images labelled No.", rich_help_panel=training_options.DATA),
    ] = None,
    image_folder: training_options.ImageFolder = None,
    held_out: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of either label to measure on.", rich_help_panel=training_options.DATA
        ),
    ] = 0.1,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the run. Default: runs/filter.",
            rich_help_panel=training_options.RUN,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Settings of a run (docs/formats.md); flags count for more.",
            rich_help_panel=training_options.RUN,
        ),
    ] = None,
    settings: training_options.Settings = None,
    resume: training_options.Resume = False,
    num_epochs: Annotated[
        float | None,
        typer.Option(metavar="N", help="Visits to each image. Default: 3.", rich_help_panel=training_options.RUN),
    ] = None,
    seed: training_options.Seed = None,
    precision: training_options.Precision = None,
    base_model: training_options.BaseModel = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Pixels: squash448 or another side.", rich_help_panel=options.MODEL_PANEL),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What is asked about an image, to be answered Yes or No.",
            rich_help_panel=options.MODEL_PANEL,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Images of a step.", rich_help_panel=training_options.LEARNING)
    ] = None,
    micro_batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Images in memory at once.", rich_help_panel=training_options.LEARNING),
    ] = None,
    learning_rate: training_options.LearningRate = None,
    balance: Annotated[
        bool,
        typer.Option(
            "--balance/--no-balance",
            help="Both labels weigh the same in the loss, however many images each has.",
            rich_help_panel=training_options.LEARNING,
        ),
    ] = True,
    precision_at_least: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Threshold of the most images at that precision. Default: the best F1.",
            rich_help_panel=training_options.LEARNING,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a filter on images labelled Yes and No.

    It learns to answer whether an image is visually interesting, or what --prompt asks. A share of either label is held
    out; how well the filter agrees with it is in filter.json and calibration.png of the run, the threshold in the
    checkpoint. relsim filter uses it.
    """
    flags: dict[str, Any] = {
        "run.out": out and str(out),
        "data.image_folder": image_folder and str(image_folder),
        "run.epochs": num_epochs,
        "run.seed": seed,
        "run.precision": precision,
        "model.base": base_model,
        "model.recipe": recipe,
        "model.prompt": prompt,
        "optimizer.batch_size": batch_size,
        "optimizer.micro_batch_size": micro_batch_size,
        "optimizer.learning_rate": learning_rate,
    }
    if manifests:
        flags["data.manifests"] = [str(path) for path in manifests]
    wanted = read_settings("yes_no", config, flags, settings or [])
    from relsim.training.filter_run import train_filter as run_training
    from relsim.training.labels import labelled_samples

    samples = labelled_samples(positive or (), negative or (), wanted.data.manifests, wanted.data.image_folder)
    try:
        outcome = run_training(
            wanted,
            samples,
            held_out=held_out,
            balance=balance,
            precision_at_least=precision_at_least,
            resume=resume,
            watcher=None if as_json else show_line,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run it again with --resume to go on from the last checkpoint") from None
    if outcome.report:  # that of the first of several processes
        _report(outcome, as_json=as_json)


def _report(outcome: FilterOutcome, *, as_json: bool) -> None:
    report, run = outcome.report, outcome.run
    if as_json:
        print_json(
            {
                "schema": "relsim.train_filter/1",
                "out": str(run.out),
                "steps": run.steps,
                "checkpoint": str(outcome.checkpoint),
                "skipped": run.skipped,
                "report": report,
            }
        )
        return
    labels, found, threshold = report["labels"], report["held_out"], report["threshold"]
    counts = "; ".join(
        f"{text} {labels[part]['yes']:,} Yes and {labels[part]['no']:,} No"
        for part, text in (("train", "trained on"), ("held_out", "held out"))
    )
    emit(f"{run.out}: {run.steps:,} steps done, {counts}")
    emit(f"checkpoint {outcome.checkpoint}, threshold {threshold['value']:.3g} ({threshold['rule']})")
    shares = ", ".join(f"{name} {_share(found[name])}" for name in ("agreement", "precision", "recall"))
    emit(
        f"held out: {shares}, F1 {found['f1']:.3f}, average precision {found['average_precision']:.3f}, "
        f"AUC {found['roc_auc']:.3f}, calibration error {found['calibration_error']:.3f}"
    )
    across = report["cross_fitted"]
    if across is not None:
        emit(f"at thresholds of other pictures: agreement {_share(across['agreement'])}, F1 {across['f1']:.3f}")


def _share(estimate: Mapping[str, float] | None) -> str:
    """A share with its interval, in percent."""
    if estimate is None:
        return "unknown"
    low, high = 100 * estimate["low"], 100 * estimate["high"]
    return f"{100 * estimate['value']:.1f} % ({low:.1f} to {high:.1f})"
