"""The filter: is a picture visually interesting? The probability that a vision-language model answers Yes.

Only the two words compete: with z the logits of the first tokens of Yes and No after the prompt, the probability is
1 / (1 + exp(z_no - z_yes - b)). The bias b comes with the checkpoint and is 0 where training did not weigh the labels;
where Yes counted w times, b = -log w brings the probability back to the labels' true mix.

A folder is that of a captioner (see `relsim.captions.checkpoint`), whose relsim.json says

    "kind": "filter"    or, of older training, "task": "yes_no"
    "caption_prompt"    the question
    "yes_bias"          b, 0 where it is missing
    "threshold"         a picture is kept from this probability on; 0.5 where it is missing
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from relsim.captions.answering import load_answering, usual_tokens
from relsim.captions.checkpoint import FILTER_KIND, CaptionerFiles, is_filter, read_files
from relsim.data.images import preprocess_image
from relsim.encoders.base import Shrink, Vectors
from relsim.encoders.stream import encode_images
from relsim.errors import CheckpointError
from relsim.fingerprint import Fingerprint
from relsim.models.checkpoint import PROJECTION, PUBLISHED_PROJECTION
from relsim.models.hub import resolve_folder
from relsim.models.lanes import run_in_lanes
from relsim.models.loading import choose_forward
from relsim.models.metadata import METADATA, read_metadata
from relsim.models.pixels import Patches, PixelConfig, Recipe, cut
from relsim.models.prompt import FILTER_PROMPT, Prompt, yes_no_tokens
from relsim.models.query_vlm import Forward

DEFAULT_THRESHOLD = 0.5
DEFAULT_BATCH = 16

Scores = NDArray[np.float64]
"""Shape (N,), from 0 to 1."""


@dataclass(frozen=True, slots=True)
class FilterFiles:
    """What a filter folder holds beside a captioner's files."""

    answers: CaptionerFiles
    yes_bias: float
    threshold: float


class InterestingFilter:
    """Probabilities of Yes. That of a picture is the same in every batch up to 1e-6, on a CPU also in bf16.

    It works as an encoder does, with vectors of one number, so that `encode_records` reads and batches for it.
    """

    name = "interesting"
    dimension = 1

    def __init__(
        self,
        forward: Forward,
        words: Tensor,
        prompt: Prompt,
        pixels: PixelConfig,
        recipe: Recipe,
        *,
        files: FilterFiles,
        fingerprint: Fingerprint,
    ) -> None:
        self._forward = forward
        self._words = words  # (2, H), the head's rows of Yes and No, fp32
        self._prompt, self._pixels = prompt, pixels
        self.recipe = recipe
        self.yes_bias = files.yes_bias
        self.threshold = files.threshold
        """The threshold that is stored with the checkpoint, else 0.5."""
        self.fingerprint = fingerprint
        """What a probability depends on: weights, prompt, recipe, precision, bias."""

    @classmethod
    def load(
        cls,
        checkpoint_dir: str | Path,
        *,
        base_model: str | Path | None = None,
        cache_dir: str | Path | None = None,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        recipe: str | None = None,
    ) -> InterestingFilter:
        """The filter of a folder or Hub id; `base_model` takes the place of the base that its adapter names.

        `recipe` overrides the one stored with it. Raises `CheckpointError`, also for a captioner and for a checkpoint
        of the metric, or `DeviceError`.
        """
        folder = resolve_folder(checkpoint_dir, cache_dir=cache_dir, revision=revision)
        files = read_filter(folder)
        found = load_answering(
            folder,
            files.answers,
            base_model=base_model,
            cache_dir=cache_dir,
            device=device,
            dtype=dtype,
            recipe=recipe,
        )
        words = list(yes_no_tokens(found.tokenizer, folder))
        # Before the engine, which gives up weights that it does not need.
        rows = found.network.lm_head.weight.detach()[words].float().clone()
        forward = choose_forward(found.network.model, found.architecture, found.pixels, found.question)
        fingerprint = Fingerprint.of({"filter": found.weights, "yes_bias": files.yes_bias, **found.facts})
        return cls(forward, rows, found.question, found.pixels, found.recipe, files=files, fingerprint=fingerprint)

    def probabilities(self, images: Image.Image | Sequence[Image.Image], *, batch_size: int = DEFAULT_BATCH) -> Scores:
        """Probability (N,) of Yes for each picture, in order.

        Raises `TypeError` for what is no PIL image and `ImageError` for a picture that the recipe cannot take.
        """
        listed = [images] if isinstance(images, Image.Image) else list(images)
        return encode_images(self, preprocess_image(listed), budget=self.budget(batch_size))[:, 0].astype(np.float64)

    def budget(self, batch_size: int) -> int:
        """Cost of so many pictures as the recipe makes them, or of 448 x 448 where it leaves them their own size."""
        return batch_size * usual_tokens(self.recipe, self._pixels, self._prompt)

    @property
    def shrink(self) -> Shrink:
        """What makes a picture smaller without a difference: its recipe."""
        return self.recipe.shrink

    def prepare(self, image: Image.Image) -> Patches:
        """Cut an RGB picture into patches by this filter's recipe. Thread-safe."""
        return cut(image, self.recipe, self._pixels)

    def cost(self, prepared: Patches) -> int:
        """Tokens of the prompt that this picture makes."""
        return len(self._prompt.ids(len(prepared.pixels) // self._pixels.merge_size**2))

    def encode(self, batch: Sequence[Patches]) -> Vectors:
        """Probabilities (len(batch), 1) of one batch, which must fit into memory."""
        on_cpu = self._forward.device.type == "cpu"
        states = run_in_lanes(self._forward, batch) if on_cpu else self._forward(batch)
        # In fp32 whatever the network computes in: bf16 keeps but two or three digits of a logit.
        logits = states.float() @ self._words.to(states.device).T
        found = torch.sigmoid(logits[:, 0] - logits[:, 1] + self.yes_bias)
        return found[:, None].cpu().numpy()


def read_filter(folder: Path) -> FilterFiles:
    """Read and check a folder. What is no filter is refused by `CheckpointError`, which says what it is."""
    stored = read_metadata(folder)
    if not is_filter(stored):
        kind = "a captioner"
        if any((folder / name).exists() for name in (PROJECTION, PUBLISHED_PROJECTION)):
            kind = "a checkpoint of the metric"
        raise CheckpointError(
            f'{folder} is {kind}, no filter (its {METADATA} does not say "kind": "{FILTER_KIND}"); '
            "relsim train filter makes one"
        )
    path = folder / METADATA
    bias = _number(stored, "yes_bias", 0.0, path)
    threshold = _number(stored, "threshold", DEFAULT_THRESHOLD, path)
    if not 0 <= threshold <= 1:
        raise CheckpointError(f"{path} has threshold {threshold}; it must be a probability, from 0 to 1")
    return FilterFiles(read_files(folder, stored, default_prompt=FILTER_PROMPT), bias, threshold)


def _number(stored: Mapping[str, Any], name: str, default: float, path: Path) -> float:
    value = stored.get(name, default)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise CheckpointError(f"{path} has {name} {value!r}; it must be a number")
    return float(value)
