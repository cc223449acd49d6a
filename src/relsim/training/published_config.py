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
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relsim.errors import TrainingError
from relsim.models.prompt import CAPTION_PROMPT
from relsim.training.settings_text import explain

HELD_OUT = 0.05
"""Share of the groups that is held out where the file names no other data to test on: 27 of the published 532."""

_log = logging.getLogger(__name__)
_OWN = frozenset({"run", "objective", "optimizer", "samples"})

Count = Annotated[int, Field(ge=1)]
Idle: TypeAlias = Annotated[Any, "idle"]
"""A key that has no meaning here."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Wandb(_Section):
    """The tracker, which the published trainer uses unless it is told not to."""

    enabled: bool = True
    project: Annotated[str, Field(min_length=1)] = "anonymous-caption"
    api_key: Idle = None
    entity: Idle = None
    name: Idle = None
    run_name: Idle = None


class Model(_Section):
    """The base model."""

    name: Annotated[str, Field(min_length=1)] | None = None
    torch_dtype: Idle = None
    device_map: Idle = None
    trust_remote_code: Idle = None
    attn_implementation: Idle = None


class Lora(_Section):
    """Names of peft's LoraConfig."""

    r: Count = 16
    lora_alpha: Annotated[float, Field(gt=0)] = 32
    target_modules: Annotated[list[str], Field(min_length=1)] = ["q_proj", "v_proj"]
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    bias: Literal["none"] = "none"
    task_type: Literal["CAUSAL_LM"] = "CAUSAL_LM"


class Data(_Section):
    """Seed groups and their folders of images."""

    train_json: Path | list[Path] | None = None
    test_json: Path | None = None
    train_image_folder: Path | None = None
    test_image_folder: Path | None = None


class Image(_Section):
    """Width and height that pictures are squashed to."""

    target_size: Annotated[list[Count], Field(min_length=2, max_length=2)] = [448, 448]


class Training(_Section):
    """Names of transformers' TrainingArguments, and its defaults where the published trainer has none of its own."""

    output_dir: Path | None = None
    per_device_train_batch_size: Count = 32
    gradient_accumulation_steps: Count = 1
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    adam_epsilon: Literal[1e-8] = 1e-8  # type: ignore[valid-type]  # a number is a fine literal for pydantic
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    optim: Literal["adamw_torch", "adamw_torch_fused"] = "adamw_torch"
    num_train_epochs: Annotated[float, Field(gt=0)] = 50
    max_steps: int = -1
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    logging_steps: Count = 1
    save_strategy: Literal["steps"] = "steps"
    save_steps: Count = 100
    save_total_limit: Count | None = None
    eval_strategy: Literal["no", "steps"] = "no"
    eval_steps: Count | None = None
    fp16: bool | None = None
    bf16: bool | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    logging_first_step: Idle = None
    logging_dir: Idle = None
    logging_strategy: Idle = None
    per_device_eval_batch_size: Idle = None
    dataloader_num_workers: Idle = None
    dataloader_pin_memory: Idle = None
    gradient_checkpointing: Idle = None
    remove_unused_columns: Idle = None
    overwrite_output_dir: Idle = None
    load_best_model_at_end: Idle = None
    ddp_find_unused_parameters: Idle = None
    report_to: Idle = None
    run_name: Idle = None
    tf32: Idle = None


class Generation(_Section):
    """How sample captions are written."""

    max_new_tokens: Count = 128
    do_sample: bool = False
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    num_beams: Literal[1] = 1


class Evaluation(_Section):
    """Steps between sample captions."""

    interval: Count = 50
    sentence_transformer_model: Idle = None


class Prompt(_Section):
    """What the captioner is asked."""

    anonymous_captioning: Annotated[str, Field(min_length=1)] = CAPTION_PROMPT


class Misc(_Section):
    """The seed; the order is shuffled in any case, there as here."""

    seed: Annotated[int, Field(ge=0)] = 42
    shuffle_data: Idle = None


class PublishedConfig(_Section):
    """The whole file."""

    wandb: Wandb = Wandb()
    model: Model = Model()
    lora: Lora = Lora()
    data: Data = Data()
    image: Image = Image()
    training: Training = Training()
    generation: Generation = Generation()
    evaluation: Evaluation = Evaluation()
    prompt: Prompt = Prompt()
    misc: Misc = Misc()

    def idle_keys(self) -> list[str]:
        """Keys that were given and have no meaning here, in the order of the sections."""
        found = []
        for name in type(self).model_fields:
            section = getattr(self, name)
            fields = type(section).model_fields
            found += [
                f"{name}.{key}" for key in fields if key in section.model_fields_set and "idle" in fields[key].metadata
            ]
        return found


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
