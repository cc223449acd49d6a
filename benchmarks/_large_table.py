"""Tables for `large.py`: clustered vectors, as they are described there, and records with captions and URLs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relsim.data.records import ImageRecord
from relsim.encoders.base import Vectors
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

PART = 100_000
CENTRES, INNER = 2_000, 32
OWN, NOISE = 0.25, 0.3  # of a row, against centres of 1 in each of the inner numbers
WORDS = ("growth", "of", "subject", "over", "time", "rings", "around", "objects", "mirrored", "rows", "tall", "hollow")


def vectors_of(seed: int, count: int, dimension: int) -> Vectors:
    """Unit vectors of shape (count, dimension); centres and mapping are the same for every seed."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    centres = shared.standard_normal((CENTRES, INNER), np.float32)
    mapping = shared.standard_normal((INNER, dimension), np.float32)
    inner = centres[own.integers(0, CENTRES, count)] + OWN * own.standard_normal((count, INNER), np.float32)
    vectors: Vectors = inner @ mapping + NOISE * own.standard_normal((count, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def make_table(folder: Path, rows: int, dimension: int) -> None:
    """A table in parts; one part at a time is in memory."""
    with VectorTable.create(folder, Fingerprint.of({"encoder": "synthetic"}), dimension) as table:
        for number, start in enumerate(range(0, rows, PART)):
            count = min(PART, rows - start)
            records = records_of(start, count)
            table.append(f"{number:06d}", records, vectors_of(1 + number, count, dimension))


def records_of(start: int, count: int) -> list[ImageRecord]:
    """Records as a collection from the web has them: captions of five to eleven words, URLs of their own."""
    own = np.random.default_rng([3, start])
    lengths, words, hosts = own.integers(5, 12, count), own.integers(0, len(WORDS), (count, 11)), own.bytes(8 * count)
    records = []
    for number, row in enumerate(range(start, start + count)):
        caption = " ".join(WORDS[word] for word in words[number, : lengths[number]])
        url = f"https://pictures.example.org/{hosts[8 * number : 8 * number + 8].hex()}/{row:08d}.jpg"
        records.append(ImageRecord(f"{row:08d}", f"/images/{row:08d}.png", {"caption": caption, "url": url}))
    return records
