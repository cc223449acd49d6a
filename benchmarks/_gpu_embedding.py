"""The embedding rows of `gpu.py`: from JPEG files to vectors, one way of running the network after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from _gpu_model import RECIPE, Bench, published_way
from _gpu_rows import Amounts, Meter, Once, Row, prepare
from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import Vectors
from relsim.encoders.relational import RelationalEncoder
from relsim.encoders.stream import batch_halving, encode_records
from relsim.errors import ImageError
from relsim.models.memory import Halving
from relsim.models.pixels import Recipe
from relsim.models.plain import PlainForward

PREPARING = "reading and preparing alone"


class _NoNetwork:
    """In the place of a forward pass that is never called."""

    device, dtype = torch.device("cpu"), torch.float32


class _Unseen(RelationalEncoder):
    """Reads and prepares as every encoder does; the vectors are zero."""

    def encode(self, batch: Sequence[Any]) -> Vectors:
        """Zeros (len(batch), D)."""
        return np.zeros((len(batch), self.dimension), np.float32)


class Embedding:
    """The embedding rows. The plain path's vectors of the first files are what others are held against."""

    def __init__(
        self,
        bench: Bench,
        meter: Meter,
        paths: Sequence[Path],
        amounts: Amounts,
        *,
        part: str = "embedding",
        recipe: Recipe = RECIPE,
    ) -> None:
        self._bench, self._meter, self._amounts, self._part, self._recipe = bench, meter, amounts, part, recipe
        wanted = [paths[number % len(paths)] for number in range(amounts.images)]
        self._records = [ImageRecord(str(number), str(path)) for number, path in enumerate(wanted)]
        self._reference: Any = None

    def measure(self, *, all_ways: bool = True) -> None:
        """All ways, each over weights of its own: the packed pass takes over those that it is given."""
        bench = self._bench
        self._preparing()
        self._published()
        plain = Once(lambda: PlainForward(bench.merged().model, bench.pixels, bench.prompt))
        self._way("plain", plain, self._amounts.plain_batches, self._amounts.plain_images)
        del plain  # the network with it
        self._way("ours", Once(bench.packed))
        if not all_ways:
            return
        if bench.device.type == "cuda":
            self._way("ours, fp8", Once(partial(bench.packed, fp8=True)))
        else:
            self._meter.add(Row(self._part, "ours, fp8", 0, "images/s", note="not measured: 8-bit products want a GPU"))
        self._way("ours, compiled", Once(partial(bench.packed, compiled=True)))
        if bench.device.type == "cuda":
            self._way("ours, fp8 and compiled", Once(partial(bench.packed, fp8=True, compiled=True)))

    def _preparing(self) -> None:
        """Everything but the network."""
        encoder = _Unseen(self._bench.vlm(_NoNetwork(), self._recipe))
        row, halving = Row(self._part, PREPARING, 32, "images/s"), batch_halving()
        self._meter.take(row, lambda: self._meter.rate(len(self._records), lambda: self._run(encoder, 32, halving)))

    def _published(self) -> None:
        records = self._records[: self._amounts.published_images]
        embed = Once(lambda: published_way(self._bench, self._bench.adapted()))

        def one_by_one(records: Sequence[ImageRecord]) -> None:
            for record in records:
                embed()(prepare(record, self._bench, self._recipe)).cpu()

        def rate() -> float:
            one_by_one(records[:2])
            return self._meter.rate(len(records), lambda: one_by_one(records))

        self._meter.take(Row(self._part, "published way", 1, "images/s"), rate)

    def _way(
        self, name: str, forward: Once[Any], batches: Sequence[int] | None = None, count: int | None = None
    ) -> None:
        """A row for each batch (by default all of the run), over so many pictures (by default all)."""
        encoder = Once(lambda: RelationalEncoder(self._bench.vlm(forward(), self._recipe)))
        records = len(self._records[:count])
        for batch in batches or self._amounts.batches:
            row, kept = Row(self._part, name, batch, "images/s"), []

            def rate(row: Row = row, kept: list[Any] = kept) -> float:
                halving = batch_halving()  # of the warm-up, too: what is timed runs at one size from its first batch on
                warm = max(2 * row.batch, self._amounts.published_images)
                kept.append(self._run(encoder(), row.batch, halving, warm))
                found = self._meter.rate(records, lambda: self._run(encoder(), row.batch, halving, records))
                if halving.halved:
                    row.note = f"halved to {(row.batch + 1) // 2}"
                return found

            self._meter.take(row, rate)
            if kept and self._reference is None:
                self._reference = kept[0]
            if kept and name != "plain":
                both = min(len(kept[0]), len(self._reference))
                row.cosine = float((kept[0][:both] * self._reference[:both]).sum(axis=1).min())

    def _run(self, encoder: RelationalEncoder, batch: int, halving: Halving, count: int | None = None) -> Vectors:
        """Vectors (count or all, D) in order. Raises `ImageError` for a picture that gave none."""
        budget = batch * encoder.cost(prepare(self._records[0], self._bench, self._recipe))
        vectors = np.empty((len(self._records[:count]), encoder.dimension), np.float32)
        for outcome in encode_records(self._records[:count], encoder, budget=budget, halving=halving):
            if isinstance(outcome, Failure):
                raise ImageError(outcome.status, f"{outcome.record.source}: {outcome.reason}")
            vectors[int(outcome.record.image_id)] = outcome.vector
        return vectors
