"""Rows in bfloat16, for rough scores of many queries at once on a processor that multiplies bfloat16.

Half the bytes and a multiple of the speed of float32, for a copy in memory. What such a score may be off is bounded and
told, so a search by rough scores finds the same rows; it looks at a few more of them exactly (`relsim.vectors.topk`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from relsim.encoders.base import Vectors
from relsim.vectors.blocks import Rows

if TYPE_CHECKING:
    import torch

_COPIED = 8_192
_LONGEST = 1.001
"""What a row is long at most (`relsim.vectors.checks`)."""
_ROUNDING = 2.0**-8
"""Half the distance between two neighbouring bfloat16, at most, relative to either."""


class CoarseRows:
    """A copy of `rows` in bfloat16, of 2 bytes a number. Imports torch."""

    def __init__(self, rows: Rows) -> None:
        import torch

        self._rows = torch.empty(len(rows), rows.dimension, dtype=torch.bfloat16)
        self._lost = 0.0
        for start in range(0, len(rows), _COPIED):
            given = rows.between(start, min(start + _COPIED, len(rows)))
            kept, lost = _rounded(given)
            self._rows[start : start + len(given)] = kept
            self._lost = max(self._lost, float(lost.max()))

    def scores(self, queries: Vectors, start: int, stop: int) -> Vectors:
        """Dot products (Q, stop - start) of (Q, D) queries with these rows, in float32, off by at most `error`."""
        import torch

        with torch.inference_mode():
            product = torch.mm(_rounded(queries)[0], self._rows[start:stop].T)
            scores: Vectors = product.float().numpy()
        return scores

    def error(self, queries: Vectors) -> Vectors:
        """A bound of |rough - exact| for each query, shape (Q,).

        With ~ for rounded vectors, |~q ~r - q r| <= |~q - q| |~r| + |q| |~r - r| (Cauchy and Schwarz). The product is
        summed up in float32, in twice the roundings that `relsim.vectors.topk.rounding_error` counts, and rounded.
        """
        _, lost = _rounded(queries)
        lengths = _lengths(queries)
        longest = lengths + lost
        row = _LONGEST + self._lost
        summing = 2 * (queries.shape[1] + 8) * 2.0**-24 + _ROUNDING
        bound: Vectors = (lost * row + lengths * self._lost + longest * row * summing).astype(np.float32)
        np.nextafter(bound, np.float32(np.inf), out=bound)
        return bound


def _rounded(vectors: Vectors) -> tuple[torch.Tensor, Vectors]:
    """Vectors in bfloat16, and how far each is from what it was: shapes (n, D) and (n,)."""
    import torch

    kept = torch.tensor(vectors).bfloat16()
    return kept, _lengths(kept.float().numpy() - vectors)


def _lengths(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    return lengths
