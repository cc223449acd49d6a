"""The anonymous captions that are nearest to one picture, to another and to both, out of a bank of captions.

The bank that comes along (`captions.txt`) holds one caption of each relation of the drawn world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from relsim.data.cleaning import caption_to_use
from relsim.data.manifest import read_manifest
from relsim.encoders.base import Vectors
from relsim.errors import SourceError


@dataclass(frozen=True, slots=True)
class NearCaption:
    """A caption, its similarity to what was asked for, and to each of the two pictures."""

    caption: str
    score: float
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class NearCaptions:
    """The nearest captions, best first: of both pictures together (their mean vector), of the first, of the second."""

    shared: tuple[NearCaption, ...]
    first: tuple[NearCaption, ...]
    second: tuple[NearCaption, ...]
    bank: int  # captions that were compared

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary."""
        return asdict(self)


def packaged_captions() -> list[str]:
    """The captions that come along."""
    return (resources.files("relsim.explain") / "captions.txt").read_text(encoding="utf-8").splitlines()


def read_captions(path: Path) -> list[str]:
    """The different captions of a manifest (.jsonl) or of a text file with one in a line. Raises `SourceError`."""
    if path.suffix == ".jsonl":
        found = [caption_to_use(row.caption, row.extra) for row in read_manifest(path)]
    else:
        try:
            found = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
            raise SourceError(f"the captions in {path} cannot be read: {reason}") from error
    captions = list(dict.fromkeys(caption for caption in found if caption))
    if not captions:
        raise SourceError(f"{path} holds no captions; give a manifest with captions, or a text with one in each line")
    return captions


def nearest(captions: Sequence[str], vectors: Vectors, pictures: Vectors, count: int) -> NearCaptions:
    """The `count` captions nearest to two pictures (2, D), from their vectors (N, D); all rows have unit length."""
    both = pictures.sum(axis=0)
    queries = np.stack([both / max(float(np.linalg.norm(both)), 1e-12), *pictures])
    scores = (vectors @ queries.T).astype(np.float64)

    def best(column: int) -> tuple[NearCaption, ...]:
        rows = np.argsort(-scores[:, column], kind="stable")[:count]
        return tuple(
            NearCaption(captions[row], float(scores[row, column]), float(scores[row, 1]), float(scores[row, 2]))
            for row in rows
        )

    return NearCaptions(best(0), best(1), best(2), len(captions))
