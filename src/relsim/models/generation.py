"""Answers of a VLM about pictures: token by token, greedily or drawn by chance, in true batches.

Pictures of several sizes share a batch by padding on the left; the prompt is read once and its keys and values are
kept; an answer that is complete leaves the batch. An answer does not depend on its batch beyond rounding: each draws
from a generator of its own, seeded by a seed and by the picture. Several answers about one picture, each with a seed of
its own, share one reading of it.

Sampling is that of transformers' `generate`, as the published captioner calls it: the logits are divided by the
temperature, the `TOP_K` most probable tokens are kept, and of these the fewest whose probabilities sum to `top_p`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relsim.models.pixels import Patches, PixelConfig
from relsim.models.prompt import Prompt
from relsim.models.readers import PackedReader, PlainReader, Reader

TOP_K = 50
"""What transformers' `generate` keeps where neither the call nor the base model says otherwise."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is chosen: drawn with temperature and top-p, as published, or the most probable token each time."""

    greedy: bool = False
    max_new_tokens: int = 128
    temperature: float = 0.7
    top_p: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; an answer has at least 1 token")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0 (greedy=True needs none)")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1")


def derived_seed(seed: int, run: int, draw: int) -> int:
    """The seed of a later run, or of a caption that is drawn again; for the first draw of run 0, `seed`."""
    if run == draw == 0:
        return seed
    digest = hashlib.sha256(f"{seed} {run} {draw}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


class AnswerDecoder:
    """Token ids of answers for batches of patches.

    `network` is a transformers Qwen-VL with its head; `packs` says that the packed pass, which is faster, may take its
    weights over. `stop` are the tokens that end an answer. `repetition_penalty` divides the positive logits of tokens
    that prompt or answer hold, and multiplies the negative ones (arXiv 1909.05858); some base models ask for it in
    their `generation_config.json`, as they may for a `top_k`.
    """

    def __init__(
        self,
        network: Any,
        pixels: PixelConfig,
        prompt: Prompt,
        stop: Collection[int],
        *,
        repetition_penalty: float = 1.0,
        top_k: int = TOP_K,
        packs: bool = False,
    ) -> None:
        reader = PackedReader if packs else PlainReader
        self._reader: Reader = reader(network, pixels, prompt)
        self.device = self._reader.device
        self._merge = pixels.merge_size
        self._prompt = prompt
        self._stop = frozenset(stop)
        self.repetition_penalty = repetition_penalty
        self.top_k = top_k

    def tokens(self, patches: Patches) -> int:
        """Length of the prompt that a picture makes, image tokens included."""
        return len(self._prompt.ids(len(patches.pixels) // self._merge**2))

    def __call__(
        self, batch: Sequence[Patches], sampling: Sampling, seeds: Sequence[Sequence[int]] | None = None
    ) -> list[list[int]]:
        """One answer for each picture of a batch that fits into memory, in order, without the token that ends it.

        With `seeds` as many answers for each picture as it has seeds there, picture by picture; else that of the
        sampling counts.
        """
        given = [(sampling.seed,)] * len(batch) if seeds is None else seeds
        owners = [place for place, own in enumerate(given) for _ in own]
        answers: list[list[int]] = [[] for _ in owners]
        if not owners:
            return answers
        draws = None if sampling.greedy else _draws(batch, given, sampling.max_new_tokens)
        rows = list(range(len(owners)))  # of all answers, those that go on
        with torch.inference_mode():
            logits, reading = self._reader.read(batch, sampling.max_new_tokens - 1)
            if owners != list(range(len(batch))):
                shared = torch.tensor(owners, device=self.device)
                logits = logits[shared]
                reading.select(shared)
            seen = self._seen(len(rows), logits.shape[-1])
            for step in range(sampling.max_new_tokens):
                chosen = self._choose(logits, seen, None if draws is None else draws[rows, step], sampling)
                going = [position for position, token in enumerate(chosen) if token not in self._stop]
                for position in going:
                    answers[rows[position]].append(chosen[position])
                if not going or step + 1 == sampling.max_new_tokens:
                    break
                tokens = torch.tensor([chosen[position] for position in going], device=self.device)
                if len(going) < len(rows):
                    kept = torch.tensor(going, device=self.device)
                    rows = [rows[position] for position in going]
                    seen = None if seen is None else seen[kept]
                    reading.select(kept)
                if seen is not None:
                    seen.scatter_(1, tokens[:, None], value=True)
                logits = reading.go_on(tokens)
        return answers

    def _seen(self, rows: int, vocabulary: int) -> Tensor | None:
        """Which tokens each row holds (rows, V), where that counts: at first those of the prompt, for all the same."""
        if self.repetition_penalty == 1:
            return None
        seen = torch.zeros((rows, vocabulary), dtype=torch.bool, device=self.device)
        seen[:, self._prompt.ids(1)] = True
        return seen

    def _choose(self, logits: Tensor, seen: Tensor | None, draws: Tensor | None, sampling: Sampling) -> list[int]:
        """The next token of each row."""
        if seen is not None:
            logits = penalized(logits, seen, self.repetition_penalty)
        if draws is None:
            chosen: list[int] = logits.argmax(dim=-1).tolist()  # at once: on a GPU each number would be waited for
            return chosen
        return draw(logits, draws, temperature=sampling.temperature, top_k=self.top_k, top_p=sampling.top_p)


def penalized(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits (B, V) where those of the tokens `seen` (B, V) are less probable for a penalty above 1."""
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def draw(logits: Tensor, draws: Tensor, *, temperature: float, top_k: int, top_p: float) -> list[int]:
    """One token for each row of (B, V) logits: where `draws` (B,), from 0 to below 1, falls among what is kept."""
    count = min(top_k or logits.shape[-1], logits.shape[-1])
    best, tokens = logits.topk(count)  # in descending order
    shares = (best.cpu().double() / temperature).softmax(dim=-1)
    before = shares.cumsum(dim=-1) - shares
    shares[before >= top_p] = 0.0
    bounds = shares.cumsum(dim=-1)
    found = torch.searchsorted(bounds, (draws * bounds[:, -1])[:, None], right=True)
    # A draw just below 1 may round up to the last bound.
    last = (shares > 0).sum(dim=-1, keepdim=True) - 1
    chosen: list[int] = tokens.cpu().gather(1, torch.minimum(found, last))[:, 0].tolist()
    return chosen


def _draws(batch: Sequence[Patches], seeds: Sequence[Sequence[int]], length: int) -> Tensor:
    """Numbers (answers, length) from 0 to below 1, each answer's from its own seed and its picture."""
    rows = []
    for patches, own in zip(batch, seeds, strict=True):
        picture = hashlib.sha256(str(patches.grid).encode())
        picture.update(patches.pixels.tobytes())
        for seed in own:
            digest = picture.copy()
            digest.update(str(seed).encode())
            rng = np.random.default_rng(int.from_bytes(digest.digest()[:8], "little"))
            rows.append(rng.random(length))
    return torch.from_numpy(np.stack(rows))
