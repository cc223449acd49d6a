"""Answers of a VLM about pictures: token by token, greedily or drawn by chance, in true batches.

Pictures of several sizes share a batch by padding on the left; the prompt is read once and its keys and values are
kept; a picture whose answer is complete leaves the batch. An answer does not depend on its batch beyond rounding: each
picture draws from a generator of its own, seeded by the call's seed and by the picture.

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

from relsim.models.pixels import Patches, PixelConfig, normalized
from relsim.models.prompt import Prompt

TOP_K = 50
"""What transformers' `generate` keeps where neither the call nor the base model says otherwise."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is chosen: the most probable token each time, or one drawn with temperature and top-p."""

    greedy: bool = True
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


class AnswerDecoder:
    """Token ids of answers for batches of patches.

    `network` is a transformers Qwen-VL with its head; `stop` are the tokens that end an answer. `repetition_penalty`
    divides the positive logits of tokens that prompt or answer hold, and multiplies the negative ones (arXiv
    1909.05858); some base models ask for it in their `generation_config.json`, as they may for a `top_k`.
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
    ) -> None:
        parameter = next(network.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self._network = network
        self._pixels = pixels
        self._prompt = prompt
        self._stop = frozenset(stop)
        self._penalty = repetition_penalty
        self._top_k = top_k

    def tokens(self, patches: Patches) -> int:
        """Length of the prompt that a picture makes, image tokens included."""
        image = len(patches.pixels) // self._pixels.merge_size**2
        return len(self._prompt.prefix) + image + len(self._prompt.suffix)

    def __call__(self, batch: Sequence[Patches], sampling: Sampling) -> list[list[int]]:
        """One answer for each picture of a batch that fits into memory, in order, without the token that ends it."""
        answers: list[list[int]] = [[] for _ in batch]
        if not batch:
            return answers
        draws = None if sampling.greedy else _draws(batch, sampling)
        rows = list(range(len(batch)))  # of the batch, those whose answer goes on
        with torch.inference_mode():
            ids, mask = self._prompts(batch)
            logits, cache, place = self._read(batch, ids, mask)
            seen = self._seen(ids, logits.shape[-1])
            for step in range(sampling.max_new_tokens):
                chosen = self._choose(logits, seen, None if draws is None else draws[rows, step], sampling)
                going = [position for position, token in enumerate(chosen) if token not in self._stop]
                for position in going:
                    answers[rows[position]].append(chosen[position])
                if not going or step + 1 == sampling.max_new_tokens:
                    break
                tokens = torch.tensor([chosen[position] for position in going], device=self.device)[:, None]
                if len(going) < len(rows):
                    kept = torch.tensor(going, device=self.device)
                    rows = [rows[position] for position in going]
                    mask, place = mask[kept], place[kept]
                    seen = None if seen is None else seen[kept]
                    cache.batch_select_indices(kept)
                if seen is not None:
                    seen.scatter_(1, tokens, value=True)
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                logits = self._continue(tokens, mask, place + step, cache)
        return answers

    def _prompts(self, batch: Sequence[Patches]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B, longest), padded on the left so that all prompts end together."""
        prompts = [self._prompt.ids(self.tokens(patches) - self._around) for patches in batch]
        longest = max(map(len, prompts))
        ids = torch.full((len(batch), longest), prompts[0][0])
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        return ids.to(self.device), mask.to(self.device)

    @property
    def _around(self) -> int:
        return len(self._prompt.prefix) + len(self._prompt.suffix)

    def _read(self, batch: Sequence[Patches], ids: Tensor, mask: Tensor) -> tuple[Tensor, Any, Tensor]:
        """Logits (B, V) after the prompts, their keys and values, and the position (B,) of the token that follows."""
        pixel_values = np.concatenate([normalized(patches, self._pixels) for patches in batch])
        grids = torch.tensor([[1, *patches.grid] for patches in batch], device=self.device)
        # Given outright: transformers would keep what it finds itself in the network, between calls.
        types = (ids == self._prompt.image).long()
        positions, _ = self._network.model.get_rope_index(
            ids, mm_token_type_ids=types, image_grid_thw=grids, attention_mask=mask
        )
        output = self._network(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            pixel_values=torch.from_numpy(pixel_values).to(self.device, self.dtype),
            image_grid_thw=grids,
            mm_token_type_ids=types,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float(), output.past_key_values, positions.amax(dim=(0, 2)) + 1

    def _continue(self, tokens: Tensor, mask: Tensor, place: Tensor, cache: Any) -> Tensor:
        """Logits (B, V) after one more token (B, 1) each, at the positions `place` (B,) on all three axes."""
        output = self._network(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=place[None, :, None].expand(3, -1, 1),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _seen(self, ids: Tensor, vocabulary: int) -> Tensor | None:
        """Which tokens each row holds (B, V), where that counts."""
        if self._penalty == 1:
            return None
        seen = torch.zeros((len(ids), vocabulary), dtype=torch.bool, device=ids.device)
        return seen.scatter_(1, ids, value=True)

    def _choose(self, logits: Tensor, seen: Tensor | None, draws: Tensor | None, sampling: Sampling) -> list[int]:
        """The next token of each row."""
        if seen is not None:
            logits = penalized(logits, seen, self._penalty)
        if draws is None:
            return [int(token) for token in logits.argmax(dim=-1)]
        return draw(logits, draws, temperature=sampling.temperature, top_k=self._top_k, top_p=sampling.top_p)


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
    return [int(token) for token in tokens.cpu().gather(1, torch.minimum(found, last))[:, 0]]


def _draws(batch: Sequence[Patches], sampling: Sampling) -> Tensor:
    """Numbers (B, max_new_tokens) from 0 to below 1, each picture's from its own seed."""
    rows = []
    for patches in batch:
        digest = hashlib.sha256(f"{sampling.seed} {patches.grid}".encode())
        digest.update(patches.pixels.tobytes())
        rng = np.random.default_rng(int.from_bytes(digest.digest()[:8], "little"))
        rows.append(rng.random(sampling.max_new_tokens))
    return torch.from_numpy(np.stack(rows))
