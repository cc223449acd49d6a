"""The relational encoder: the query-token VLM behind the encoder protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from relsim.encoders.base import Shrink, Vectors
from relsim.fingerprint import Fingerprint
from relsim.models.pixels import Patches
from relsim.models.query_vlm import QueryVLM


class RelationalEncoder:
    """Vectors whose product tells whether two pictures share their logic. A picture costs its prompt's length."""

    name = "relational"

    def __init__(self, vlm: QueryVLM) -> None:
        self.vlm = vlm

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self.vlm.dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """Weights, prompt, recipe and precision."""
        return self.vlm.fingerprint

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.vlm.device

    @property
    def draft(self) -> int | None:
        """The least side in pixels that it needs of a JPEG file, None where files are decoded whole."""
        return self.vlm.draft

    @property
    def shrink(self) -> Shrink:
        """What makes a picture smaller without a difference: its recipe."""
        return self.vlm.recipe.shrink

    def prepare(self, image: Image.Image) -> Patches:
        """Cut an RGB picture into patches. Thread-safe."""
        return self.vlm.prepare(image)

    def cost(self, prepared: Patches) -> int:
        """Tokens of the prompt that this picture makes."""
        return self.vlm.tokens(prepared)

    def encode(self, batch: Sequence[Patches]) -> Vectors:
        """Vectors (len(batch), D) in the order given."""
        return self.vlm.embed(batch).float().cpu().numpy().astype(np.float32, copy=False)
