"""The published captioner's `config.yaml`, read as it is and translated to the settings of a run.

Its sections are wandb, model, lora, data, image, training, generation, evaluation, prompt and misc; those that our own
form lacks tell the two apart. `training` has names of transformers' TrainingArguments, of which more than the published
file uses are understood. What is left out is as in the published trainer. A key that nobody knows is refused by name;
one that has no meaning here is accepted and told.

One thing is not as published, and is told as well: where the test data are the training data, as they are in the
published file, a share of the groups is held out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from relsim.errors import TrainingError
from relsim.training.published_keys import Data, PublishedConfig, Training
from relsim.training.settings_text import explain

HELD_OUT = 0.05
"""Share of the groups that is held out where the file names no other data to test on: 27 of the published 532."""

_log = logging.getLogger(__name__)
_OWN = frozenset({"run", "objective", "optimizer", "samples"})


def is_published(values: Mapping[str, Any]) -> bool:
    """Whether a file has sections of the published form alone, and none of ours alone."""
    alone = PublishedConfig.model_fields.keys() - {"model", "data"}
    return not alone.isdisjoint(values) and _OWN.isdisjoint(values)


def translated(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The settings of a run, nested, that a file of either form stands for; of the published form notes are logged.

    Raises `TrainingError` for a published file with names that are not known or values that have no counterpart.
    """
    if not is_published(values):
        return dict(values)
    given = {name: section for name, section in values.items() if section is not None}
    try:
        found = PublishedConfig.model_validate(given)
    except ValidationError as error:
        raise TrainingError(f"{source}: {explain(error, PublishedConfig)}") from None
    notes: list[str] = []
    try:
        settings = {
            "run": _run(found, notes),
            "model": _model(found),
            "objective": {"task": "caption"},
            "optimizer": _optimizer(found.training),
            "data": _data(found.data, notes),
            "samples": _samples(found),
        }
    except ValueError as error:
        raise TrainingError(f"{source}: {error}") from None
    if idle := found.idle_keys():
        notes.append(f"without a meaning here: {', '.join(idle)}")
    for note in notes:
        _log.warning("%s: %s", source, note)
    return settings


def _run(found: PublishedConfig, notes: list[str]) -> dict[str, Any]:
    training, wandb = found.training, found.wandb
    trackers = ["wandb"] if wandb.enabled and "wandb" in found.model_fields_set else []
    if trackers and find_spec("wandb") is None:
        trackers = []
        notes.append(
            "wandb.enabled: wandb is not installed, so train.jsonl and samples.html are the only record "
            '(pip install "relsim[tracking]")'
        )
    if wandb.api_key is not None:
        notes.append("wandb.api_key: keys are not read from files; set WANDB_API_KEY, and take it out of the file")
    if training.fp16 and training.bf16:
        raise ValueError("training.fp16 and training.bf16 exclude each other; keep one")
    precision = "bf16" if training.bf16 else "auto" if training.fp16 is False else "fp16"
    out = {} if training.output_dir is None else {"out": str(training.output_dir)}
    length = {"steps": training.max_steps} if training.max_steps > 0 else {"epochs": training.num_train_epochs}
    return (
        out
        | length
        | {
            "seed": found.misc.seed if training.seed is None else training.seed,
            "log_every": training.logging_steps,
            "save_every": training.save_steps,
            "eval_every": training.eval_steps,
            "keep": training.save_total_limit,
            "trackers": trackers,
            "project": wandb.project,
            "precision": precision,
        }
    )


def _model(found: PublishedConfig) -> dict[str, Any]:
    lora, (width, height) = found.lora, found.image.target_size
    if width != height:
        raise ValueError(f"image.target_size is [{width}, {height}]; acceptable: a square, such as [448, 448]")
    base = {} if found.model.name is None else {"base": found.model.name}
    return base | {
        "tune": "lora",
        "lora": {
            "r": lora.r,
            "alpha": lora.lora_alpha,
            "dropout": lora.lora_dropout,
            "targets": lora.target_modules,
        },
        "recipe": f"squash{width}",
        "prompt": found.prompt.anonymous_captioning,
    }


def _optimizer(training: Training) -> dict[str, Any]:
    schedule = training.lr_scheduler_type
    together, times = training.per_device_train_batch_size, training.gradient_accumulation_steps
    return {
        "learning_rate": training.learning_rate,
        "weight_decay": training.weight_decay,
        "betas": [training.adam_beta1, training.adam_beta2],
        "schedule": "constant" if schedule == "constant_with_warmup" else schedule,
        "warmup_steps": 0 if schedule == "constant" else training.warmup_steps,
        "clip": training.max_grad_norm or None,
        "batch_size": together * times,
        "micro_batch_size": together if times > 1 else None,
    }


def _data(data: Data, notes: list[str]) -> dict[str, Any]:
    lists = data.train_json if isinstance(data.train_json, list) else [data.train_json] if data.train_json else []
    found: dict[str, Any] = {"manifests": [str(path) for path in lists]}
    if data.train_image_folder is not None:
        found["image_folder"] = str(data.train_image_folder)
    if data.test_json is not None and data.test_json not in lists:
        folder = data.test_image_folder or data.train_image_folder
        return found | {
            "eval_manifest": str(data.test_json),
            "eval_image_folder": None if folder is None else str(folder),
        }
    if data.test_json is not None:
        notes.append(
            f"data.test_json is the training data; {HELD_OUT:.0%} of its groups are held out instead "
            "(--set data.eval_fraction=0 trains on all, as published)"
        )
        found["eval_fraction"] = HELD_OUT
    return found


def _samples(found: PublishedConfig) -> dict[str, Any]:
    generation = found.generation
    drawn = {"temperature": generation.temperature, "top_p": generation.top_p} if generation.do_sample else {}
    return {"every": found.evaluation.interval, "max_new_tokens": generation.max_new_tokens, **drawn}
