"""The anonymous captioner: pictures in, sentences out that state their shared logic without naming what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from relsim.captions.checkpoint import (
    merge_adapter,
    read_captioner,
    stop_tokens,
    tokenizer_folder,
)
from relsim.data.images import preprocess_image
from relsim.encoders.stream import cut_by_cost
from relsim.errors import CheckpointError
from relsim.fingerprint import Fingerprint
from relsim.models.base import check_pixels, digest_base, find_base, load_base, place, read_pixels
from relsim.models.checkpoint import ADAPTER_TENSORS, parse_recipe
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.digest import digest_files
from relsim.models.embedded import embedded_name
from relsim.models.embedded.photographs import PhotographWatch
from relsim.models.generation import TOP_K, AnswerDecoder, Sampling
from relsim.models.hub import resolve_folder
from relsim.models.lanes import split_in_lanes
from relsim.models.pixels import Patches, PixelConfig, Recipe, cut
from relsim.models.prompt import Prompt, load_tokenizer, read_question

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
        target = choose_device(device)
        precision = choose_dtype(target, dtype)
        folder = resolve_folder(checkpoint_dir, cache_dir=cache_dir, revision=revision)
        files = read_captioner(folder)
        if base_model is not None and not files.adapter:
            raise CheckpointError(f"{folder} holds a whole model of its own; leave base_model (--base-model) away")
        base = find_base(files.base_model, folder, base_model, cache_dir) if files.adapter else folder
        chosen = files.recipe if recipe is None else parse_recipe(recipe, source="the call")
        words = tokenizer_folder(folder, base)
        question, tokenizer = read_question(words, prompt or files.prompt), load_tokenizer(words)
        pixels = read_pixels(folder, base)
        network, _ = load_base(base, precision, head=True)
        merge_adapter(network, files)
        network = place(network, target, precision)
        check_pixels(network.config, pixels)
        _check_vocabulary(network, question, folder)
        options = network.generation_config
        decoder = AnswerDecoder(
            network,
            pixels,
            question,
            stop_tokens(network, tokenizer, base),
            repetition_penalty=options.repetition_penalty or 1.0,
            top_k=TOP_K if options.top_k is None else options.top_k,
        )
        facts = {
            "captioner": f"{digest_base(base)}+{digest_files(folder, ADAPTER_TENSORS)}",
            "prompt": question.text,
            "recipe": chosen.value,
            "precision": str(precision).removeprefix("torch."),
        }
        embedded = embedded_name(folder)
        watch = PhotographWatch(embedded) if embedded else None
        return cls(decoder, tokenizer, pixels, chosen, fingerprint=Fingerprint.of(facts), watch=watch)

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


def _check_vocabulary(network: Any, prompt: Prompt, folder: Path) -> None:
    rows, needed = len(network.get_input_embeddings().weight), max(prompt.ids(1))
    if needed >= rows:
        raise CheckpointError(
            f"the prompt of {folder} needs row {needed} of the base model's embedding table, which has {rows}; "
            "is it the right base model?"
        )
