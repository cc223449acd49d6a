"""The settings of a training run: one validated model, read from YAML and dotted overrides and saved with the run.

    run:
      out: runs/metric
    model:
      base: Qwen/Qwen2.5-VL-7B-Instruct
    data:
      manifests: [anonymous_captions_train.jsonl]
      image_folder: images

These lines are a whole configuration; every other setting has a default. Where the published trainers set a value, the
default is theirs, and it depends on `objective.task`: see `TASK_DEFAULTS`. An override is `section.key=value`, its
value is YAML, and it counts for more than the file. Paths are relative to the folder that a run is started in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from relsim.errors import TrainingError
from relsim.models.pixels import Recipe
from relsim.models.prompt import CAPTION_PROMPT, FILTER_PROMPT
from relsim.training.published_config import translated
from relsim.training.settings_text import explain, merged, parse_yaml, to_yaml, with_overrides

_CAPTIONER = {"learning_rate": 2e-4, "schedule": "linear", "warmup_steps": 50, "batch_size": 32}

TASK_DEFAULTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    # train.sh of the published trainer.
    "metric": {
        "run": {"epochs": 3},
        "model": {"recipe": "crop448"},
        "optimizer": {"learning_rate": 1e-4, "schedule": "cosine", "warmup_steps": 0, "batch_size": 64},
    },
    # config.yaml of the published captioner.
    "caption": {"run": {"epochs": 50}, "model": {"recipe": "squash448"}, "optimizer": _CAPTIONER},
    # How the published filter was trained is not known. It had eight times the captioner's pictures.
    "yes_no": {
        "run": {"epochs": 3},
        "model": {"recipe": "squash448", "prompt": FILTER_PROMPT},
        "optimizer": _CAPTIONER,
    },
}
"""Settings of a task that is given none. A run with `run.steps` needs no epochs, so their default gives way to it."""

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
GroupName = Annotated[str, Field(min_length=1, coerce_numbers_to_str=True)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class RunSection(_Section):
    """How long a run is, what it writes and where. Exactly one of `steps` and `epochs` is set."""

    out: Path
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    steps: Positive | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    stop_at: Positive | None = None  # end after this step, though the schedule is laid out for all of them
    log_every: Positive = 10
    save_every: Positive = 500
    eval_every: Positive | None = None  # None: at every save
    keep: Positive | None = 2  # numbered checkpoints that stay on the disk, the best and the last apart; None: all
    trackers: tuple[Literal["wandb", "trackio", "tensorboard"], ...] = ()
    project: Annotated[str, Field(min_length=1)] = "relsim"  # what the run belongs to, as trackers have it
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # auto: bf16 on CUDA, fp32 on a CPU
    best_metric: str | None = None  # None: the task's own (mrr of the metric, token_loss of an answering task)
    threads: Positive | None = None


class LoraSection(_Section):
    """LoRA as peft has it: rank, scale, dropout and the ends of the names of the modules that get it."""

    r: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Fraction = 0.05
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q_proj", "v_proj")


class ModelSection(_Section):
    """What is trained: a base (a folder or a Hub id), the parts of it that learn, the pictures that it sees.

    `tune` is lora (adapters and projection), all (every weight) or head (projection alone). `vision_tuned` includes
    the vision tower in `all`. `prompt` is the question of the caption task. A base with `init` random needs no weights:
    they are drawn by `run.seed`. `storage` is the precision in which checkpoints keep whole models.
    """

    base: Annotated[str, Field(min_length=1)]
    init: Literal["pretrained", "random"] = "pretrained"
    storage: Literal["bf16", "fp32"] = "bf16"
    tune: Literal["lora", "all", "head"] = "lora"
    vision_tuned: bool = False
    lora: LoraSection = LoraSection()
    train_query_row: bool = False
    recipe: str
    prompt: Annotated[str, Field(min_length=1)] = CAPTION_PROMPT

    @field_validator("recipe")
    @classmethod
    def _one_size(cls, name: str) -> str:
        try:
            side = Recipe.parse(name).side
        except ValueError:
            side = None
        if side is None:
            raise ValueError(
                "crop<side> or squash<side>, side a multiple of 4, for a batch holds pictures of one size (crop448)"
            )
        return name


class ObjectiveSection(_Section):
    """What is learned. `positive_weight` is for yes_no: how often a picture labelled Yes counts in the loss.

    The rest is for the metric; a mask leaves false negatives out of the loss.
    """

    task: Literal["metric", "caption", "yes_no"] = "metric"
    temperature: Annotated[float, Field(gt=0)] = 0.07
    learn_temperature: bool = False
    two_directional: bool = False
    mask_groups: bool = False
    mask_similarity: Annotated[float, Field(gt=-1, le=1)] | None = None
    positive_weight: Annotated[float, Field(gt=0)] = 1.0


class OptimizerSection(_Section):
    """What moves the weights, and its schedule.

    `batch_size` counts pictures of all processes together; a step takes one batch.
    `micro_batch_size` pictures go through the network at once; it changes memory and speed, not the gradient. `kind`
    muon is for training many weights: it moves the hidden matrices, and AdamW the rest (see `muon.py`).
    """

    kind: Literal["adamw", "muon"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["cosine", "linear", "constant"]
    warmup_steps: Annotated[int, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    batch_size: Annotated[int, Field(ge=1)]
    micro_batch_size: Positive | None = None


class DataSection(_Section):
    """Where pictures and captions come from: manifests, or a folder of stored crops (see `relsim.training.crops`).

    With both, `crops` is where the pictures of the manifests are stored; its default is `crops` in `run.out`. Without
    manifests it is read as it is. What is held out is a fraction of the images or of their groups (`hold_out`; None:
    of groups for captions, else of images), groups by name, or data of its own. `keep_tokens`
    stores what a frozen vision tower makes of each picture (see `tokens.py`); auto does so where pictures come again
    and the disk has room, up to `keep_tokens_limit` bytes.
    """

    manifests: tuple[Path, ...] = ()
    image_folder: Path | None = None
    crops: Path | None = None
    eval_fraction: Fraction = 0.0
    hold_out: Literal["images", "groups"] | None = None
    held_out_groups: tuple[GroupName, ...] | None = None
    eval_manifest: Path | None = None
    eval_image_folder: Path | None = None  # None: image_folder
    eval_crops: Path | None = None
    max_unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    workers: Positive | None = None
    keep_tokens: Literal["auto", "never", "always"] = "auto"
    keep_tokens_limit: Annotated[int, Field(ge=0)] = 20_000_000_000


class SamplesSection(_Section):
    """Captions that a captioner in training writes about a few pictures, which stay the same for the whole run.

    They are written every so many steps and after the last one, greedily and drawn (see `caption_samples.py`).
    """

    every: Positive | None = None  # None: never
    held_out: Annotated[int, Field(ge=0)] = 4
    trained: Annotated[int, Field(ge=0)] = 2
    max_new_tokens: Positive = 128
    temperature: Annotated[float, Field(gt=0)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9


class TrainingConfig(_Section):
    """All settings of a run. Frozen; names that are not known are refused."""

    run: RunSection
    model: ModelSection
    objective: ObjectiveSection = ObjectiveSection()
    optimizer: OptimizerSection
    data: DataSection
    samples: SamplesSection = SamplesSection()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "the configuration") -> TrainingConfig:
        """Validate nested values. Raises `TrainingError`, one line that names keys, values and what is acceptable."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise TrainingError(f"{source}: {explain(error, cls)}") from None

    @classmethod
    def from_yaml(
        cls, path: Path | None, overrides: Sequence[str] = (), *, defaults: Sequence[str] = ()
    ) -> TrainingConfig:
        """Read a file, if one is named, and put `section.key=value` texts over it (or, `defaults`, under it).

        The file may be the published captioner's (see `published_config.py`). Raises `TrainingError`.
        """
        source = "the configuration" if path is None else str(path)
        values = merged(with_overrides({}, defaults), {} if path is None else translated(parse_yaml(path), source))
        return cls.from_dict(with_overrides(values, overrides), source=source)

    def to_yaml(self) -> str:
        """Every setting, defaults included, as YAML that `from_yaml` reads to an equal configuration."""
        return to_yaml(self.model_dump(mode="json"))

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Put the defaults of the task under what was given. What is malformed is left for the fields to refuse."""
        if not isinstance(values, Mapping):
            return values
        objective = values.get("objective")
        stated = objective.get("task") if isinstance(objective, Mapping) else getattr(objective, "task", None)
        filled = {name: values.get(name) for name in cls.model_fields} | dict(values)
        task = stated if stated in ("caption", "yes_no") else "metric"
        for name, defaults in TASK_DEFAULTS[task].items():
            section = {} if filled[name] is None else filled[name]
            if isinstance(section, Mapping):
                needless = {"epochs"} if section.get("steps") is not None else set()
                filled[name] = {key: value for key, value in defaults.items() if key not in needless} | dict(section)
        return {name: {} if section is None else section for name, section in filled.items()}

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingConfig:
        run, data, model = self.run, self.data, self.model
        if (run.steps is None) == (run.epochs is None):
            raise ValueError("exactly one of run.steps and run.epochs must be set, the other left out or null")
        # What a filter learns from may be named beside its settings (see `filter_run.py`).
        if not data.manifests and data.crops is None and self.objective.task != "yes_no":
            raise ValueError("data.manifests or data.crops must be set, or there is nothing to learn from")
        if fault := _of_the_data(data):
            raise ValueError(fault)
        if fault := _of_another_task(self):
            raise ValueError(fault)
        if model.vision_tuned and model.tune != "all":
            raise ValueError("model.vision_tuned needs model.tune all")
        return self


def _of_the_data(data: DataSection) -> str | None:
    """What is wrong where settings of the data do not go together."""
    apart = data.eval_manifest is not None or data.eval_crops is not None
    if apart and (data.eval_fraction > 0 or data.held_out_groups):
        name = "data.eval_fraction" if data.eval_fraction > 0 else "data.held_out_groups"
        return f"{name} and data of its own to evaluate on exclude each other; keep one"
    if data.eval_image_folder is not None and data.eval_manifest is None:
        return "data.eval_image_folder needs data.eval_manifest"
    if data.held_out_groups and data.hold_out == "images":
        return "data.held_out_groups needs data.hold_out groups"
    return None


def _of_another_task(config: TrainingConfig) -> str | None:
    """What is wrong where a setting is given that means nothing to the task."""
    task = config.objective.task
    if task != "metric" and (idle := _set_for_the_metric(config)):
        return f"{', '.join(idle)} cannot be set with objective.task {task}, only with metric"
    if task != "yes_no" and config.objective.positive_weight != 1:
        return f"objective.positive_weight is for objective.task yes_no; {task} knows no labels"
    if task != "caption" and config.samples.every is not None:
        return f"samples.every is for objective.task caption; {task} writes no captions"
    return None


def _set_for_the_metric(config: TrainingConfig) -> list[str]:
    """What is set although it means nothing to a task that answers in words."""
    objective, model = config.objective, config.model
    wishes = {
        "objective.learn_temperature": objective.learn_temperature,
        "objective.two_directional": objective.two_directional,
        "objective.mask_groups": objective.mask_groups,
        "objective.mask_similarity": objective.mask_similarity is not None,
        "model.train_query_row": model.train_query_row,
        "model.tune=head": model.tune == "head",
    }
    return [name for name, wished in wishes.items() if wished]
