"""Reading prompts and going on from them: what answers token by token need of a network, on two engines.

A `Reader` reads a batch of prompts once and gives the logits after each, and a `Reading` that keeps their keys and
values. `PlainReader` is transformers' own forward, for any Qwen-VL generation and for a network that is still being
trained. `PackedReader` is the pass of `packed.py`: nothing is padded while a picture is read, the prompt before the
image is read once per network, and of the last layer only the last token's row is finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from relsim.models.kept_prompts import KeptPrompts
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import Patches, PixelConfig, normalized
from relsim.models.prompt import Prompt


class Reading(Protocol):
    """Prompts that have been read, and what was said since. Rows are answers."""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (R,) only, in this order; a row that is named twice goes on twice."""

    def go_on(self, tokens: Tensor) -> Tensor:
        """Logits (R, V) in fp32 after one more token (R,) each."""


class Reader(Protocol):
    """A network that reads pictures with a prompt."""

    device: torch.device

    def read(self, batch: Sequence[Patches], room: int) -> tuple[Tensor, Reading]:
        """Logits (B, V) in fp32 after the prompts of a batch, and the reading, with room for so many more tokens."""


class PlainReader:
    """Transformers' own forward. Prompts of several lengths are padded on the left, so that all end together."""

    def __init__(self, network: Any, pixels: PixelConfig, prompt: Prompt) -> None:
        parameter = next(network.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self._network, self._pixels, self._prompt = network, pixels, prompt

    def read(self, batch: Sequence[Patches], room: int) -> tuple[Tensor, Reading]:  # noqa: ARG002 - its cache grows
        """As in `Reader`."""
        ids, mask = self._prompts(batch)
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
            pixel_values=torch.from_numpy(pixel_values).to(self.device, self._dtype),
            image_grid_thw=grids,
            mm_token_type_ids=types,
            use_cache=True,
            logits_to_keep=1,
        )
        place = positions.amax(dim=(0, 2)) + 1
        return output.logits[:, -1].float(), _PlainReading(self._network, output.past_key_values, mask, place)

    def _prompts(self, batch: Sequence[Patches]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B, longest)."""
        prompts = [self._prompt.ids(len(patches.pixels) // self._pixels.merge_size**2) for patches in batch]
        longest = max(map(len, prompts))
        ids = torch.full((len(batch), longest), prompts[0][0])
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        return ids.to(self.device), mask.to(self.device)


@dataclass(slots=True)
class _PlainReading:
    network: Any
    cache: Any
    mask: Tensor  # (R, length so far)
    place: Tensor  # (R,) position of the next token, on all three axes

    def select(self, rows: Tensor) -> None:
        self.mask, self.place = self.mask[rows], self.place[rows]
        self.cache.batch_select_indices(rows)

    def go_on(self, tokens: Tensor) -> Tensor:
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        output = self.network(
            input_ids=tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.place[None, :, None].expand(3, -1, 1),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.place = self.place + 1
        logits: Tensor = output.logits[:, -1].float()
        return logits


class PackedReader:
    """The packed pass over the weights of `network`, which is not to be used afterwards."""

    def __init__(self, network: Any, pixels: PixelConfig, prompt: Prompt) -> None:
        self._table: Tensor = network.model.language_model.embed_tokens.weight.detach()
        self._head = network.lm_head
        self._forward = PackedQwen25VL(network.model, pixels, prompt.prefix, prompt.suffix)
        self.device = self._forward.device

    def read(self, batch: Sequence[Patches], room: int) -> tuple[Tensor, Reading]:
        """As in `Reader`."""
        states, kept = self._forward.read(batch, room)
        return self._head(states).float(), _PackedReading(self._table, self._head, self._forward, kept)


@dataclass(slots=True)
class _PackedReading:
    table: Tensor
    head: Any
    forward: PackedQwen25VL
    kept: KeptPrompts

    def select(self, rows: Tensor) -> None:
        self.kept.select(rows)

    def go_on(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward.go_on(self.table[tokens], self.kept)).float()
        return logits
