"""The forward pass of any Qwen-VL generation exactly as transformers runs it, for the query token alone.

It is slower than `packed.py` and needs padding, but it assumes nothing about the network beyond transformers' own
interface: a generation without a packed pass runs here, and the packed pass is tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relsim.models.pixels import Patches, PixelConfig, normalized
from relsim.models.prompt import Prompt


class PlainForward:
    """Hidden states (B, H) of the query token for a batch of patches, through transformers' forward."""

    def __init__(self, backbone: Any, pixels: PixelConfig, prompt: Prompt) -> None:
        self._backbone = backbone
        self._pixels = pixels
        self._prompt = prompt
        parameter = next(backbone.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype

    def __call__(self, batch: Sequence[Patches]) -> Tensor:
        """Hidden states (len(batch), H), in the order given."""
        output, lengths = self._run(batch)
        last = torch.tensor(lengths, device=self.device) - 1
        states: Tensor = output.last_hidden_state
        return states[torch.arange(len(batch), device=self.device), last]

    def attention(self, batch: Sequence[Patches]) -> list[Tensor]:
        """Attention (layers, heads, n) of the query token to each picture's n merged tokens, in reading order."""
        before = self._backbone.config._attn_implementation  # noqa: SLF001 - the one place where transformers tells it
        self._backbone.set_attn_implementation("eager")  # the only one that gives its weights away
        try:  # one by one: the weights of all places to all others are much to hold, padding included
            return [self._read(patches) for patches in batch]
        finally:
            self._backbone.set_attn_implementation(before)

    def _read(self, patches: Patches) -> Tensor:
        output, (length,) = self._run([patches], output_attentions=True)
        image = slice(len(self._prompt.prefix), length - len(self._prompt.suffix))
        return torch.stack([weights[0, :, -1, image].float() for weights in output.attentions])

    def _run(self, batch: Sequence[Patches], **options: Any) -> tuple[Any, list[int]]:
        """What transformers gives for a batch, and the length of each prompt."""
        merge = self._pixels.merge_size
        prompts = [self._prompt.ids(len(patches.pixels) // merge**2) for patches in batch]
        longest = max(map(len, prompts))
        ids = torch.full((len(batch), longest), self._prompt.query)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):  # padded on the right, where a causal model cannot see it
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        pixel_values = np.concatenate([normalized(patches, self._pixels) for patches in batch])
        grids = torch.tensor([[1, *patches.grid] for patches in batch])
        with torch.inference_mode():
            output = self._backbone(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                pixel_values=torch.from_numpy(pixel_values).to(self.device, self.dtype),
                image_grid_thw=grids.to(self.device),
                # without these types transformers gives plain text positions, and a wrong embedding without a word
                mm_token_type_ids=(ids == self._prompt.image).long().to(self.device),
                use_cache=False,
                **options,
            )
        return output, [len(prompt) for prompt in prompts]
