"""CLIP (arXiv 2103.00020): pictures and sentences in one space, by what they show. The paper's CLIP-I.

Vectors are transformers' own image and text features, brought to unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from relsim.encoders.base import Vectors
from relsim.encoders.towers import Tower, TowerEncoder, load_tower, unit_rows
from relsim.errors import CheckpointError
from relsim.models.quiet import quiet_loading

_SENTENCES = 64  # that are embedded together


class ClipEncoder(TowerEncoder):
    """Image features of CLIP; sentences meet them in the same space."""

    def __init__(self, tower: Tower) -> None:
        super().__init__("clip", tower)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the text side. Raises `CheckpointError`."""
        from transformers import AutoTokenizer

        folder = self.tower.folder
        try:
            with quiet_loading():
                return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{folder} has no tokenizer, so sentences cannot be embedded: {error}") from error

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Unit vectors (len(sentences), D). What is beyond the text side's length (77 tokens, as published) is cut."""
        vectors = np.empty((len(sentences), self.dimension), np.float32)
        limit = self.tower.network.config.text_config.max_position_embeddings
        for start in range(0, len(sentences), _SENTENCES):
            some = list(sentences[start : start + _SENTENCES])
            tokens = self.tokenizer(some, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            with torch.inference_mode():
                found = self.tower.network.get_text_features(
                    input_ids=tokens["input_ids"].to(self.tower.device),
                    attention_mask=tokens["attention_mask"].to(self.tower.device),
                )
            vectors[start : start + len(some)] = unit_rows(found.pooler_output)
        return vectors


def load_clip(
    *,
    model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> ClipEncoder:
    """CLIP from a folder or Hub id, by default ViT-L/14 as in the paper. Raises `CheckpointError`, `DeviceError`."""
    return ClipEncoder(load_tower("clip", model, cache_dir=cache_dir, revision=revision, device=device, dtype=dtype))
