"""An encoder of this package in MTEB, the benchmark suite: `mteb.evaluate(MtebEncoder(encoder), tasks)`.

It is mteb's `EncoderProtocol` (mteb 2): batches of pictures or of sentences in, unit vectors out, similarity by dot
product. Pictures are those of mteb, made RGB as the published call does. Sentences go to the encoder's own text side;
the relational encoder's is the frozen text encoder, whose space it was trained into. Prompts of mteb are not used. A
batch with both a picture and a text, or with neither, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.data.images import preprocess_image
from relsim.encoders import DEFAULT_ENCODER
from relsim.encoders.base import AnyEncoder, TextEncoder, Vectors
from relsim.encoders.stream import encode_images
from relsim.errors import EncoderError, MissingExtraError

try:
    from mteb.models.model_meta import ModelMeta, ScoringFunction
except ImportError as missing:
    raise MissingExtraError("mteb", "mteb", "running MTEB") from missing

_ORGANISATION = "relsim"


class MtebEncoder:
    """The encoder as a model of mteb. Its revision is the digest of its fingerprint, so no result of another is reused.

    `label` is its name among results, by default the encoder's own.
    """

    def __init__(self, encoder: AnyEncoder, label: str | None = None, *, budget: int | None = None) -> None:
        self.encoder = encoder
        self._budget = budget
        modalities = ["image", "text"] if self._sentences is not None else ["image"]
        facts: dict[str, Any] = {
            # mteb wants organisation/name, and a file's name is made of it
            "name": f"{_ORGANISATION}/{(label or encoder.name).replace('/', '_')}",
            "revision": encoder.fingerprint.digest,
            "embed_dim": encoder.dimension,
            "similarity_fn_name": ScoringFunction.DOT_PRODUCT,
            "framework": ["PyTorch"] if encoder.name == DEFAULT_ENCODER else ["NumPy"],
            "modalities": modalities,
            "use_instructions": False,
        }
        self.mteb_model_meta: ModelMeta = ModelMeta.create_empty(facts)

    def encode(self, inputs: Iterable[Mapping[str, Any]], **_: Any) -> Vectors:
        """Vectors (N, D) of all batches, in order. Raises `EncoderError` for what the encoder has no side for."""
        parts = [self._batch(batch) for batch in inputs]
        return np.concatenate(parts) if parts else np.empty((0, self.encoder.dimension), np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """Dot products (N, M) of two sets of vectors."""
        products: NDArray[np.float32] = np.atleast_2d(embeddings1) @ np.atleast_2d(embeddings2).T
        return products

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """Dot products (N,) of pairs of vectors."""
        products: NDArray[np.float32] = np.einsum("nd,nd->n", embeddings1, embeddings2)
        return products

    def _batch(self, batch: Mapping[str, Any]) -> Vectors:
        if ("image" in batch) == ("text" in batch):
            raise EncoderError(
                f"{self.encoder.name} takes pictures or sentences; a batch of mteb has {', '.join(batch) or 'nothing'}"
            )
        if "image" in batch:
            return encode_images(self.encoder, preprocess_image(list(batch["image"])), budget=self._budget)
        if self._sentences is None:
            raise EncoderError(f"the space of {self.encoder.name} has no sentences; choose a task of pictures alone")
        return self._sentences.encode_text(list(batch["text"]))

    @cached_property
    def _sentences(self) -> TextEncoder | None:
        if isinstance(self.encoder, TextEncoder):
            return self.encoder
        if self.encoder.name == DEFAULT_ENCODER:
            from relsim.models.text_encoder import CaptionEncoder

            return CaptionEncoder()
        return None
