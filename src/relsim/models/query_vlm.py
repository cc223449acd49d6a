"""The query-token VLM: a Qwen-VL, a prompt that ends at the query token, and a projection to the caption space.

An embedding is the query token's last hidden state, projected and brought to unit length. `loading.py` makes one of a
checkpoint and its base model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.fingerprint import Fingerprint
from relsim.models.attention import QueryAttention
from relsim.models.checkpoint import Checkpoint
from relsim.models.lanes import run_in_lanes
from relsim.models.pixels import Patches, PixelConfig, cut
from relsim.models.prompt import Prompt


class Forward(Protocol):
    """Hidden states (B, H) of the query token for a batch of patches, in order."""

    device: torch.device
    dtype: torch.dtype

    def __call__(self, batch: Sequence[Patches]) -> Tensor:
        """Hidden states of a batch that fits into memory."""

    def attention(self, batch: Sequence[Patches]) -> list[Tensor]:
        """Attention (layers, heads, n) of the query token to each picture's n merged tokens, in reading order."""


class QueryVLM:
    """Pictures in, embeddings (N, D) out: float32, unit length, each independent of the rest of its batch."""

    def __init__(
        self,
        forward: Forward,
        checkpoint: Checkpoint,
        prompt: Prompt,
        pixels: PixelConfig,
        *,
        weights: str,
        watch: Callable[[Image.Image], None] | None = None,
        draft: int | None = None,
        precision: str | None = None,
    ) -> None:
        """`precision` is the name of the products' where it is not that of the rest, as `int8`."""
        self._forward = forward
        self._weight = checkpoint.projection_weight.to(forward.device, torch.float32)
        self._bias = checkpoint.projection_bias.to(forward.device, torch.float32)
        self.checkpoint = checkpoint
        self.prompt = prompt
        self.pixels = pixels
        self.recipe = checkpoint.recipe
        self.draft = draft
        """The least side in pixels to which JPEG files may be decoded smaller; None where they are decoded whole."""
        self._weights_digest = weights
        self._precision = precision or str(forward.dtype).removeprefix("torch.")
        self._watch = watch

    @property
    def device(self) -> torch.device:
        """Where it computes; embeddings are returned there."""
        return self._forward.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network. Projection and normalisation are always fp32."""
        return self._forward.dtype

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return self._weight.shape[0]

    @property
    def fingerprint(self) -> Fingerprint:
        """What an embedding depends on."""
        decoding = {} if self.draft is None else {"decode": "draft"}
        return Fingerprint.of(
            {
                "encoder": "relational",
                "weights": self._weights_digest,
                "prompt": self.prompt.text,
                "recipe": self.recipe.value,
                "min_pixels": self.pixels.min_pixels,
                "max_pixels": self.pixels.max_pixels,
                "pixel_mean": " ".join(f"{value:g}" for value in self.pixels.mean),
                "pixel_std": " ".join(f"{value:g}" for value in self.pixels.std),
                "precision": self._precision,
                "dimension": self.dimension,
                **decoding,
            }
        )

    def prepare(self, image: Image.Image) -> Patches:
        """Cut an RGB picture into patches by this model's recipe. Thread-safe."""
        if self._watch is not None:
            self._watch(image)
        return cut(image, self.recipe, self.pixels)

    def tokens(self, patches: Patches) -> int:
        """Length of the prompt that a picture makes, image tokens included."""
        image = len(patches.pixels) // self.pixels.merge_size**2
        return len(self.prompt.prefix) + image + len(self.prompt.suffix)

    def embed(self, batch: Sequence[Patches]) -> Tensor:
        """Embeddings (len(batch), D) of one batch, which must fit into memory."""
        if not batch:
            return torch.empty((0, self.dimension), device=self.device)
        states = run_in_lanes(self._forward, batch) if self.device.type == "cpu" else self._forward(batch)
        return F.normalize(F.linear(states.float(), self._weight, self._bias), dim=-1)

    def attention(self, batch: Sequence[Patches]) -> list[QueryAttention]:
        """What the query token attends to in each picture of a batch, which must fit into memory."""
        merge = self.pixels.merge_size
        return [
            QueryAttention(weights.cpu().numpy(), (patches.grid[0] // merge, patches.grid[1] // merge))
            for weights, patches in zip(self._forward.attention(batch), batch, strict=True)
        ]
