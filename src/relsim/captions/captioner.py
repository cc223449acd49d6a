"""The anonymous captioner: pictures in, sentences out that state their shared logic without naming what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image

from relsim.captions.answering import load_answering, usual_tokens
from relsim.captions.checkpoint import read_captioner, stop_tokens
from relsim.data.images import preprocess_image
from relsim.encoders.base import Shrink
from relsim.encoders.stream import cut_by_cost
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.embedded import embedded_name
from relsim.models.embedded.photographs import PhotographWatch
from relsim.models.generation import TOP_K, AnswerDecoder, Sampling
from relsim.models.hub import resolve_folder
from relsim.models.lanes import split_in_lanes
from relsim.models.memory import Halving
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import Patches, PixelConfig, Recipe, cut, draft_side
from relsim.models.prompt import Prompt

DEFAULT_BATCH = 16
"""Captions that are written together."""

_Asked: TypeAlias = tuple[Patches, Sequence[int]]


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
        question: Prompt,
        pixels: PixelConfig,
        recipe: Recipe,
        *,
        fingerprint: Fingerprint,
        watch: PhotographWatch | None = None,
        draft: int | None = None,
    ) -> None:
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._question = question
        self.pixels = pixels
        self.recipe = recipe
        self.draft = draft
        """The least side in pixels to which JPEG files may be decoded smaller; None where they are decoded whole."""
        self._watch = watch
        self._halving = Halving("a smaller batch (--batch-size)")
        self.fingerprint = fingerprint
        """What a caption depends on beside its sampling: weights, prompt, recipe, precision."""

    @classmethod
    def load(  # noqa: PLR0913 - one place to load from, the rest by name
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
        decode: str | None = None,
    ) -> Captioner:
        """The captioner of a folder or Hub id; `base_model` takes the place of the base that its adapter names.

        `recipe` and `prompt` override those stored with it. `decode="draft"` is for JPEG files (see
        `draft_side`). Raises `CheckpointError` or `DeviceError`.
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
            packs=found.architecture.packs and PackedQwen25VL.supports(network.config),
        )
        draft = draft_side(found.recipe, decode)
        decoding = {} if draft is None else {"decode": "draft"}
        fingerprint = Fingerprint.of({"captioner": found.weights, **found.facts, **decoding})
        embedded = embedded_name(folder)
        watch = PhotographWatch(embedded) if embedded else None
        return cls(
            decoder,
            found.tokenizer,
            found.question,
            found.pixels,
            found.recipe,
            fingerprint=fingerprint,
            watch=watch,
            draft=draft,
        )

    def caption(
        self,
        images: Image.Image | Sequence[Image.Image],
        *,
        greedy: bool = False,
        max_new_tokens: int = 128,
        temperature: float = 0.7,
        top_p: float = 0.9,
        seed: int = 0,
        batch_size: int = DEFAULT_BATCH,
    ) -> list[Caption]:
        """One caption for each picture, in order: drawn as published, or with `greedy` of the most probable tokens.

        `seed` and the picture decide what is drawn. Raises `TypeError` for what is no PIL image, `ImageError` for a
        picture that the recipe cannot take, and `ValueError` for settings that are out of range.
        """
        sampling = Sampling(greedy, max_new_tokens, temperature, top_p, seed)
        listed = [images] if isinstance(images, Image.Image) else list(images)
        prepared = [self.prepare(image) for image in preprocess_image(listed)]
        return [own for (own,) in self.caption_prepared(prepared, sampling, batch_size=batch_size)]

    def decoding(self, sampling: Sampling) -> dict[str, Fact]:
        """What the choice of tokens depends on, as facts of a fingerprint."""
        facts: dict[str, Fact] = {"greedy": sampling.greedy, "max_new_tokens": sampling.max_new_tokens}
        facts["repetition_penalty"] = self._decoder.repetition_penalty
        if sampling.greedy:
            return facts
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
        return facts | drawn | {"top_k": self._decoder.top_k}

    @property
    def shrink(self) -> Shrink:
        """What makes a picture smaller without a difference: its recipe."""
        return self.recipe.shrink

    def prepare(self, image: Image.Image) -> Patches:
        """Cut an RGB picture into patches by this captioner's recipe. Thread-safe."""
        if self._watch is not None:
            self._watch(image)
        return cut(image, self.recipe, self.pixels)

    def caption_prepared(
        self,
        prepared: Sequence[Patches],
        sampling: Sampling,
        seeds: Sequence[Sequence[int]] | None = None,
        *,
        batch_size: int = DEFAULT_BATCH,
    ) -> list[list[Caption]]:
        """For each prepared picture, in order, one caption for each of its `seeds`; without them that of the sampling.

        `batch_size` captions of usual pictures are written together, fewer of large ones, like sizes together. Once a
        batch did not fit into memory, half as many. Raises `MemoryShortageError`.
        """
        given = [(sampling.seed,)] * len(prepared) if seeds is None else seeds
        asked = list(zip(prepared, given, strict=True))
        costs = [self._decoder.tokens(patches) * max(1, len(own)) for patches, own in asked]
        budget = batch_size * usual_tokens(self.recipe, self.pixels, self._question)
        captions: list[list[Caption]] = [[] for _ in prepared]
        for rows in cut_by_cost(costs, budget):
            parts = self._halving.run([asked[row] for row in rows], lambda part: self._answer(part, sampling))
            for row, said in zip(rows, chain.from_iterable(parts), strict=True):
                captions[row] = [Caption(self._text(ids), tuple(ids)) for ids in said]
        return captions

    def _answer(self, batch: Sequence[_Asked], sampling: Sampling) -> list[list[list[int]]]:
        def run(share: Sequence[_Asked]) -> list[list[list[int]]]:
            said = iter(self._decoder([patches for patches, _ in share], sampling, [seeds for _, seeds in share]))
            return [list(islice(said, len(seeds))) for _, seeds in share]

        if self._decoder.device.type != "cpu":
            return run(batch)
        answers: dict[int, list[list[int]]] = {}
        for rows, found in split_in_lanes(run, batch, [self._decoder.tokens(patches) for patches, _ in batch]):
            answers.update(zip(rows, found, strict=True))
        return [answers[row] for row in range(len(batch))]

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
