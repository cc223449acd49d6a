"""The anonymous captioner: pictures in, sentences out that state their shared logic without naming what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from relsim.captions.answering import load_answering
from relsim.captions.checkpoint import read_captioner, stop_tokens
from relsim.data.images import preprocess_image
from relsim.encoders.stream import cut_by_cost
from relsim.fingerprint import Fingerprint
from relsim.models.embedded import embedded_name
from relsim.models.embedded.photographs import PhotographWatch
from relsim.models.generation import TOP_K, AnswerDecoder, Sampling
from relsim.models.hub import resolve_folder
from relsim.models.lanes import split_in_lanes
from relsim.models.pixels import Patches, PixelConfig, Recipe, cut

BUDGET = 16_384
"""Prompt tokens of one batch: 41 pictures under squash448. Answers come on top."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence and the tokens it was made of, without the token that ends it."""

    text: str
    token_ids: tuple[int, ...]


class Captioner:
    """Sentences about pictures. The caption of a picture is the same in every batch, up to rounding."""

    def __init__(
        self,
        decoder: AnswerDecoder,
        tokenizer: Any,
        pixels: PixelConfig,
        recipe: Recipe,
        *,
        fingerprint: Fingerprint,
        watch: PhotographWatch | None = None,
    ) -> None:
        self._decoder = decoder
        self._tokenizer = tokenizer
        self.pixels = pixels
        self.recipe = recipe
        self._watch = watch
        self.fingerprint = fingerprint
        """What a greedy caption depends on: weights, prompt, recipe, precision."""

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
        prompt: str | None = None,
    ) -> Captioner:
        """The captioner of a folder or Hub id; `base_model` takes the place of the base that its adapter names.

        `recipe` and `prompt` override those stored with it. Raises `CheckpointError` or `DeviceError`.
        """
        folder = resolve_folder(checkpoint_dir, cache_dir=cache_dir, revision=revision)
        found = load_answering(
            folder,
            read_captioner(folder),
            base_model=base_model,
            cache_dir=cache_dir,
            device=device,
            dtype=dtype,
            recipe=recipe,
            prompt=prompt,
        )
        network, options = found.network, found.network.generation_config
        decoder = AnswerDecoder(
            network,
            found.pixels,
            found.question,
            stop_tokens(network, found.tokenizer, found.base),
            repetition_penalty=options.repetition_penalty or 1.0,
            top_k=TOP_K if options.top_k is None else options.top_k,
        )
        fingerprint = Fingerprint.of({"captioner": found.weights, **found.facts})
        embedded = embedded_name(folder)
        watch = PhotographWatch(embedded) if embedded else None
        return cls(decoder, found.tokenizer, found.pixels, found.recipe, fingerprint=fingerprint, watch=watch)

    def caption(
        self,
        images: Image.Image | Sequence[Image.Image],
        *,
        greedy: bool = True,
        max_new_tokens: int = 128,
        temperature: float = 0.7,
        top_p: float = 0.9,
        seed: int = 0,
    ) -> list[Caption]:
        """One caption for each picture, in order: the most probable tokens, or without `greedy` drawn ones.

        `seed` and the picture decide what is drawn. Raises `TypeError` for what is no PIL image, `ImageError` for a
        picture that the recipe cannot take, and `ValueError` for settings that are out of range.
        """
        sampling = Sampling(greedy, max_new_tokens, temperature, top_p, seed)
        listed = [images] if isinstance(images, Image.Image) else list(images)
        return self.caption_prepared([self.prepare(image) for image in preprocess_image(listed)], sampling)

    def prepare(self, image: Image.Image) -> Patches:
        """Cut an RGB picture into patches by this captioner's recipe. Thread-safe."""
        if self._watch is not None:
            self._watch(image)
        return cut(image, self.recipe, self.pixels)

    def caption_prepared(self, prepared: Sequence[Patches], sampling: Sampling) -> list[Caption]:
        """One caption for each prepared picture, in order, in batches of `BUDGET` tokens with like sizes together."""
        captions: dict[int, Caption] = {}
        for batch in cut_by_cost([self._decoder.tokens(patches) for patches in prepared], BUDGET):
            for row, ids in zip(batch, self._answer([prepared[row] for row in batch], sampling), strict=True):
                captions[row] = Caption(self._text(ids), tuple(ids))
        return [captions[row] for row in range(len(prepared))]

    def _answer(self, batch: Sequence[Patches], sampling: Sampling) -> list[list[int]]:
        if self._decoder.device.type != "cpu":
            return self._decoder(batch, sampling)
        answers: dict[int, list[int]] = {}
        for rows, found in split_in_lanes(lambda share: self._decoder(share, sampling), batch):
            answers.update(zip(rows, found, strict=True))
        return [answers[row] for row in range(len(batch))]

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
