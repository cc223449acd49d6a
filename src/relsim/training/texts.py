"""Captions as vectors: each distinct one is embedded once, and the vectors stay on the disk for later runs.

The file `texts-<digest>.npy` holds float32 (U, 384), unit length, in the order of the sorted captions; the digest is of
those captions and of the encoder's name, so that a file is right or is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from relsim.errors import TrainingError
from relsim.files import flush, temporary_beside
from relsim.models.text_encoder import DIMENSION, HUB_ID, CaptionEncoder

_log = logging.getLogger(__name__)
Vectors = NDArray[np.float32]


class TextEncoder(Protocol):
    """Anything that turns sentences into vectors (N, 384) of unit length, such as `CaptionEncoder`."""

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Vectors of the sentences, in order."""
        ...


class TextVectors:
    """Distinct captions, sorted, and their vectors: `captions[k]` has `vectors[k]`, (U, 384) float32."""

    def __init__(self, captions: Sequence[str], vectors: Vectors) -> None:
        self.captions, self.vectors = tuple(captions), vectors
        self._places = {caption: place for place, caption in enumerate(self.captions)}

    @classmethod
    def of(
        cls,
        captions: Iterable[str],
        folder: str | Path | None = None,
        *,
        encoder: TextEncoder | None = None,
        name: str = HUB_ID,
    ) -> TextVectors:
        """Vectors of the captions, repeats included once, from the file in `folder` or from the encoder.

        `name` stands for the encoder in the digest; the default encoder is the frozen all-MiniLM-L6-v2.
        """
        distinct = sorted(set(captions))
        path = None if folder is None else Path(folder) / f"texts-{_digest(distinct, name)}.npy"
        vectors = None if path is None else _load(path, len(distinct))
        if vectors is None:
            vectors = np.ascontiguousarray((encoder or CaptionEncoder()).encode_text(distinct), np.float32)
            if len(vectors) != len(distinct) or not np.isfinite(vectors).all():
                raise TrainingError(
                    f"the text encoder {name} gave vectors {vectors.shape} for {len(distinct):,} captions"
                )
            if path is not None:
                _save(path, vectors)
        return cls(distinct, vectors)

    def __len__(self) -> int:
        return len(self.captions)

    def rows(self, captions: Iterable[str]) -> NDArray[np.int64]:
        """The row of each caption in `vectors`. Raises `TrainingError` for one that is not among them."""
        try:
            return np.fromiter((self._places[caption] for caption in captions), np.int64)
        except KeyError as error:
            raise TrainingError(
                f"the caption {error.args[0]!r} has no vector; it was not among those embedded"
            ) from None

    def __getitem__(self, captions: Sequence[str]) -> Vectors:
        """Vectors (len(captions), 384)."""
        return self.vectors[self.rows(captions)]


def _load(path: Path, count: int) -> Vectors | None:
    try:
        vectors = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        _log.warning("%s cannot be read and is made again: %s", path, error)
        return None
    if vectors.shape != (count, DIMENSION) or vectors.dtype != np.float32:
        _log.warning("%s holds %s %s and is made again", path, vectors.dtype, vectors.shape)
        return None
    return np.asarray(vectors)


def _save(path: Path, vectors: Vectors) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            with temporary.open("wb") as file:
                np.save(file, vectors)
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TrainingError(f"the vectors of the captions cannot be stored in {path.parent}: {reason}") from error


def _digest(captions: Sequence[str], name: str) -> str:
    return hashlib.sha256(json.dumps([name, DIMENSION, captions]).encode()).hexdigest()[:16]
