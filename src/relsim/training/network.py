"""The network of a run: a base model, what of it learns, and what training adds (projection, query row, temperature).

    tune lora    peft's adapters and the projection; the base is frozen
    tune all     every weight of the language model, the vision tower if `vision_tuned`, and the projection
    tune head    the projection alone

fp32 computes in fp32. bf16 computes in bf16 and keeps fp32 masters of what learns (see `flat.py`). In fp16 what learns
is fp32 and computes in fp32, frozen weights compute in fp16, and Accelerate scales the loss; there is no autocast.
Frozen weights are held in the precision of the run. The projection works in fp32 always, as it does in scoring.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.errors import CheckpointError, MissingExtraError, TrainingError
from relsim.models.base import ARCHITECTURES, architecture_of, check_pixels, load_base, read_config, read_pixels
from relsim.models.checkpoint import PROJECTION, read_checkpoint
from relsim.models.dense import DenseQwen25VL
from relsim.models.hub import resolve_folder
from relsim.models.pixels import Recipe
from relsim.models.prompt import Prompt, read_prompt
from relsim.models.text_encoder import DIMENSION
from relsim.training.config import ModelSection, TrainingConfig
from relsim.training.flat import FlatParameters
from relsim.training.prompts import read_answers

COLDEST = 0.01
"""A learned temperature stops here, as CLIP's does (arXiv 2103.00020, section 2.5)."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingNetwork:
    """Patches or their tokens in, embeddings or answer losses out, with gradients; `flat` holds all that learns.

    `processor` is a folder of processor files; for the metric they must know the query token. New weights are drawn
    from torch's generator, seeded by `run.seed`. `adapted` is what has adapters, where there are any; `tower` says
    that the base is no Qwen-VL but an image tower (see `image_towers.py`).
    """

    tower: Literal["clip", "dino"] | None = None

    def __init__(self, config: TrainingConfig, *, device: torch.device, precision: str, processor: Path) -> None:
        self.config = config
        self.device = device
        self.dtype = PRECISIONS[precision]
        self.base = resolve_folder(config.model.base)
        self.recipe = Recipe.parse(config.model.recipe)
        self._answering = config.objective.task != "metric"
        self.processor = processor
        self.pixels = read_pixels(self.processor, self.base)
        patches = side_of(self.recipe) // self.pixels.patch_size
        self.grid = (patches, patches)
        if side_of(self.recipe) % self.pixels.factor:
            raise TrainingError(
                f"{self.recipe.value} does not fit {self.base}: it cuts pictures into squares of {self.pixels.factor} "
                f"pixels, so a side must be a multiple of that (model.recipe)"
            )
        torch.manual_seed(config.run.seed)
        self.model: Any = _load_model(self.base, config.model, self.dtype)
        check_pixels(self.model.config, self.pixels)
        self.answers = read_answers(self.processor, config.model.prompt) if self._answering else None
        self.prompt: Prompt = read_prompt(self.processor) if self.answers is None else self.answers.prompt
        self.resized = self.answers is None and self._make_room_for(self.prompt.query)
        self.model.requires_grad_(requires_grad=False)
        self._choose_what_learns()
        self.adapted = self.model
        self.projection = None if self._answering else self._new_projection()
        self.query_row = self._new_query_row()
        objective = config.objective
        self._log_temperature = (
            nn.Parameter(torch.tensor(math.log(objective.temperature))) if objective.learn_temperature else None
        )
        self._move(precision)
        self.dense = DenseQwen25VL(self.model, self.pixels)

    @property
    def temperature(self) -> float | Tensor:
        """Temperature of the contrastive loss: a number, or a tensor with a gradient where it is learned."""
        if self._log_temperature is None:
            return self.config.objective.temperature
        return self._log_temperature.exp().clamp(min=COLDEST)

    @property
    def vision_frozen(self) -> bool:
        """Whether nothing of the vision tower learns, so that a picture has the same tokens in every epoch."""
        return not any(
            parameter.requires_grad for name, parameter in self.model.named_parameters() if ".visual." in f".{name}"
        )

    @property
    def token_shape(self) -> tuple[int, int]:
        """Merged tokens of a picture, and numbers in each."""
        tokens = self.grid[0] * self.grid[1] // self.pixels.merge_size**2
        return tokens, int(self.model.get_input_embeddings().weight.shape[1])

    def image_tokens(self, pictures: Tensor) -> Tensor:
        """Merged tokens (B, n / merge², H) of patches (B, n, patch² * 3) uint8; tokens come back as they are."""
        return pictures if pictures.is_floating_point() else self.dense.image_tokens(pictures, self.grid)

    def embed(self, pictures: Tensor) -> Tensor:
        """Unit embeddings (B, D) fp32 of patches or tokens, as `image_tokens` takes them."""
        if self.projection is None:
            raise TrainingError(f"the task {self.config.objective.task} has no embeddings")
        tokens = self.image_tokens(pictures)
        states = self.dense.query_states(tokens, self.prompt.prefix, self.prompt.suffix, self.query_row)
        with torch.autocast(self.device.type, enabled=False):
            return F.normalize(self.projection(states.float()), dim=-1)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No dropout and no gradients inside."""
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()

    def trained(self) -> dict[str, nn.Parameter]:
        """Everything that learns, by name."""
        found = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        if self.projection is not None:
            found |= {f"projection.{name}": parameter for name, parameter in self.projection.named_parameters()}
        for name, parameter in (("query_row", self.query_row), ("log_temperature", self._log_temperature)):
            if parameter is not None:
                found[name] = parameter
        return found

    def _choose_what_learns(self) -> None:
        settings = self.config.model
        if settings.tune == "lora":
            self.model = with_lora(self.model, settings)
        elif settings.tune == "all":
            self.model.model.language_model.requires_grad_(requires_grad=True)
            self.model.model.visual.requires_grad_(requires_grad=settings.vision_tuned)
            if self._answering:
                self.model.lm_head.requires_grad_(requires_grad=True)

    def _make_room_for(self, token: int) -> bool:
        """Whether the embedding table had to grow for a new token; the rows are drawn as the network's others were."""
        table = self.model.get_input_embeddings().weight
        if token < len(table):
            return False
        self.model.resize_token_embeddings(token + 1, mean_resizing=False)
        return True

    def _new_projection(self) -> nn.Linear:
        hidden = self.model.get_input_embeddings().weight.shape[1]
        projection = nn.Linear(hidden, DIMENSION)
        if (self.base / PROJECTION).exists():  # the base is a checkpoint of ours: training goes on from there
            found = read_checkpoint(self.base)
            projection.weight.data, projection.bias.data = (
                found.projection_weight.float(),
                found.projection_bias.float(),
            )
        return projection

    def _new_query_row(self) -> nn.Parameter | None:
        """A row of its own where the table is frozen; where all is tuned, the table's row learns in its place."""
        settings = self.config.model
        if not settings.train_query_row or settings.tune == "all":
            return None
        return nn.Parameter(self.model.get_input_embeddings().weight[self.prompt.query].detach().float().clone())

    def _move(self, precision: str) -> None:
        self.model.train()
        lowered = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(self.device, None if parameter.requires_grad else self.dtype)
        for buffer in self.model.buffers():
            buffer.data = buffer.data.to(self.device)
        if self.projection is not None:
            self.projection.to(self.device)
        for extra in (self.query_row, self._log_temperature):
            if extra is not None:
                extra.data = extra.data.to(self.device)
        names = frozenset(lowered) if precision == "bf16" else frozenset()
        self.flat = FlatParameters(self.trained(), lowered=names, stacked=self._hidden_matrices(), dtype=self.dtype)

    def _hidden_matrices(self) -> frozenset[str]:
        """What Muon moves: matrices between hidden states. Tables of words, where each row is its own, are not."""
        if self.config.optimizer.kind != "muon":
            return frozenset()
        tables = {id(module.weight) for module in (self.model.get_input_embeddings(), self.model.lm_head)}
        return frozenset(
            name
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad and parameter.dim() == 2 and id(parameter) not in tables
        )


def side_of(recipe: Recipe) -> int:
    """The side of the squares that a recipe makes. Raises `TrainingError` for one without a fixed size."""
    if recipe.side is None:
        raise TrainingError(f"the recipe {recipe.value} has no fixed size; take crop<side> or squash<side>")
    return recipe.side


def _load_model(base: Path, settings: ModelSection, dtype: torch.dtype) -> Any:
    if settings.init == "pretrained":
        model, architecture = load_base(base, dtype, head=True)
        if not architecture.packs:
            raise TrainingError(f"{base} is of a generation that relsim cannot train yet; it trains Qwen2.5-VL")
        return model
    if settings.tune != "all" or not settings.vision_tuned:
        raise TrainingError("model.init random needs model.tune all and model.vision_tuned true: nothing is known yet")
    import transformers

    architecture = architecture_of(base)
    if architecture is not ARCHITECTURES["qwen2_5_vl"]:
        raise TrainingError(f"{base} is of a generation that relsim cannot train yet; it trains Qwen2.5-VL")
    values = {name: value for name, value in read_config(base).items() if name not in ("dtype", "torch_dtype")}
    try:
        return transformers.Qwen2_5_VLForConditionalGeneration(transformers.Qwen2_5_VLConfig(**values))
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{base / 'config.json'} describes no network: {error}") from error


def with_lora(model: Any, settings: ModelSection, *, task_type: str | None = "CAUSAL_LM") -> Any:
    """The model with new adapters of peft in it. Raises `MissingExtraError` or `TrainingError`."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtraError("peft", "train", "training with LoRA") from error
    lora = settings.lora
    adapter = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a fraction works as well
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        bias="none",
        task_type=task_type,
    )
    try:
        with warnings.catch_warnings():
            # peft 0.21 reads a name that transformers 5.23 has renamed; nothing of ours is involved.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            return get_peft_model(model, adapter)
    except ValueError as error:
        raise TrainingError(f"model.lora cannot be put on this base: {error}") from error
