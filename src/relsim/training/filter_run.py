"""Training a filter: labelled pictures, a run of the one loop, and what the filter is worth on held-out pictures.

A run's folder (see `loop.py`) gets, beside what every run writes,

    filter.json         labels, weights, threshold, and agreement with the held-out labels (docs/formats.md)
    calibration.png     share of Yes against probability, where matplotlib is there
    crops/, eval_crops/ squares of the pictures that are trained on and held out

The checkpoint that is measured (`best`, else `last`) gets the threshold and the same figures into its relsim.json.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from relsim.captions import agreement
from relsim.captions.agreement import Bin, Confusion
from relsim.captions.calibration_plot import draw_calibration
from relsim.captions.interesting import InterestingFilter
from relsim.errors import TrainingError
from relsim.files import flush, temporary_beside
from relsim.models.checkpoint_writing import add_metadata
from relsim.models.hub import resolve_folder
from relsim.models.pixels import Recipe
from relsim.training.config import TrainingConfig
from relsim.training.crop_build import build_crops
from relsim.training.crops import CropStore
from relsim.training.labels import YES, count_labels, split_by_label
from relsim.training.loop import Outcome, train
from relsim.training.samples import Sample
from relsim.training.tracking import Watcher

SCHEMA = "relsim.filter_report/1"
REPORT, PLOT = "filter.json", "calibration.png"
_AT_ONCE = 256
_FEW, _GUESS = 10, 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FilterOutcome:
    """What the run left, the checkpoint that was measured, and the content of filter.json."""

    run: Outcome
    checkpoint: Path
    report: dict[str, Any]


def train_filter(
    config: TrainingConfig,
    samples: Sequence[Sample],
    *,
    held_out: float = 0.1,
    balance: bool = True,
    precision_at_least: float | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> FilterOutcome:
    """Train on labelled pictures (`relsim.training.labels`) and measure the best checkpoint on the held-out ones.

    `config` is of the task yes_no; of its data the places of crops count (`data.crops`, `data.eval_crops`). `held_out`
    is the share of either label that is held out. With `balance` both labels weigh the same in the loss: Yes counts
    (number of No) / (number of Yes) times, which the checkpoint's probabilities take back. The threshold is that of
    the best F1, or of the best recall at `precision_at_least`. Raises as `train`
    does. Of several processes the first alone measures; the report of the others is empty.
    """
    if config.objective.task != "yes_no":
        raise TrainingError(f"a filter is trained with objective.task yes_no, not {config.objective.task}")
    resolve_folder(config.model.base)  # a base that cannot be had is told before pictures are cut
    parts = split_by_label(samples, held_out)
    data, out = config.data, config.run.out
    folders = (data.crops or out / "crops", data.eval_crops or out / "eval_crops")
    stores = [_crops(config, part, folder) for part, folder in zip(parts, folders, strict=True)]
    labels = {name: count_labels(store.captions) for name, store in zip(("train", "held_out"), stores, strict=True)}
    for name, counts in labels.items():
        if not all(counts.values()):
            raise TrainingError(f"of the pictures that can be read, one label has none ({name}: {counts})")
    weight = labels["train"]["no"] / labels["train"]["yes"] if balance else 1.0
    wanted = config.model_copy(
        update={
            "data": data.model_copy(
                update={"manifests": (), "crops": folders[0], "eval_fraction": 0.0, "eval_crops": folders[1]}
            ),
            "objective": config.objective.model_copy(update={"positive_weight": weight}),
        }
    )
    if find_spec("matplotlib") is None:
        _log.warning('there will be no %s, which needs matplotlib: pip install "relsim[figures]"', PLOT)
    run = train(wanted, resume=resume, watcher=watcher)
    checkpoint = (run.best or run.last).resolve()
    if os.environ.get("RANK", "0") != "0":  # torchrun's number of this process
        return FilterOutcome(run, checkpoint, {})
    measured = _measured(checkpoint, stores[1], precision_at_least)
    report = {
        "schema": SCHEMA,
        "checkpoint": str(checkpoint.relative_to(out.resolve())),
        "labels": labels,
        "positive_weight": weight,
        **measured,
    }
    add_metadata(checkpoint, {"threshold": measured["threshold"]["value"], "agreement": report})
    _write(out / REPORT, report)
    if find_spec("matplotlib") is not None:
        _draw(out / PLOT, report)
    return FilterOutcome(run, checkpoint, report)


def _crops(config: TrainingConfig, samples: Sequence[Sample], folder: Path) -> CropStore:
    data = config.data
    return build_crops(
        folder,
        samples,
        Recipe.parse(config.model.recipe),
        workers=data.workers,
        max_unreadable=data.max_unreadable,
    )


def _measured(checkpoint: Path, store: CropStore, precision_at_least: float | None) -> dict[str, Any]:
    """Threshold and figures of a checkpoint, loaded as relsim filter loads it, on held-out pictures."""
    interesting = InterestingFilter.load(checkpoint)
    labels = np.array([texts == (YES,) for texts in store.captions])
    scores = np.concatenate(
        [
            interesting.probabilities([Image.fromarray(square) for square in store.read(range(start, stop))])
            for start, stop in _blocks(len(store))
        ]
    )
    threshold = agreement.choose_threshold(labels, scores, precision_at_least=precision_at_least)
    if not threshold.reached:
        _log.warning("no threshold has a %s; the most precise one is taken", threshold.rule)
    few = min(int(labels.sum()), int((~labels).sum()))
    if few < _FEW:
        _log.warning("one label has %d held-out pictures; threshold and figures are little more than a guess", few)
    across = agreement.cross_fitted(labels, scores, precision_at_least=precision_at_least)
    weighted = scores / (scores + (1 - scores) * math.exp(interesting.yes_bias))
    held_out = agreement.report(labels, scores, threshold)
    if held_out["roc_auc"] <= _GUESS:
        _log.warning("the filter ranks the held-out pictures no better than chance (AUC %.3f)", held_out["roc_auc"])
    return {
        "yes_bias": interesting.yes_bias,
        "threshold": asdict(threshold),
        "held_out": held_out,
        "at_half": Confusion.at(labels, scores, 0.5).to_json(),
        "cross_fitted": None if across is None else across.to_json(),
        "uncorrected": {
            "brier": agreement.brier(labels, weighted),
            "calibration_error": agreement.calibration_error(agreement.reliability(labels, weighted)),
        },
        "fingerprint": interesting.fingerprint.to_dict(),
    }


def _blocks(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]


def _draw(path: Path, report: Mapping[str, Any]) -> None:
    found, labels = report["held_out"], report["labels"]["held_out"]
    draw_calibration(
        path,
        [Bin(**bin_) for bin_ in found["bins"]],
        brier=found["brier"],
        threshold=report["threshold"]["value"],
        title=f"{labels['yes'] + labels['no']:,} held-out pictures, {labels['yes']:,} labelled Yes",
    )


def _write(path: Path, report: Mapping[str, Any]) -> None:
    try:
        with temporary_beside(path) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
