"""The published import path: `from relsim.relsim_score import relsim`."""

from __future__ import annotations

from relsim.data.images import preprocess_image
from relsim.metric import RelationalSimilarity, relsim

__all__ = ["RelationalSimilarity", "preprocess_image", "relsim"]
