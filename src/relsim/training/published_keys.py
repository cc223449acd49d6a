"""The keys of the published captioner's `config.yaml`, section by section, with the defaults of its trainer.

What they mean here is in `published_config.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from relsim.models.prompt import CAPTION_PROMPT

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
