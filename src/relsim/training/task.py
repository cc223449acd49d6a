"""What every task shares: seeded micro-batches to learn from, and the held-out part to be watched by.

A task turns the micro-batches of one process into losses whose gradients, summed over micro-batches and processes, are
the exact gradient of the whole batch's loss. Sums are (3,): loss, hits, count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from relsim.training.config import TrainingConfig
from relsim.training.feed import Batch, CaptionTable, Data, Part, read_ahead, read_pictures
from relsim.training.network import TrainingNetwork
from relsim.training.processes import Processes
from relsim.training.samples import Rows, share

Backward = Callable[[Tensor], None]
"""Takes a loss and adds its gradient."""

_EVALUATION_BATCH = 256


class Task(Protocol):
    """One way to learn from pictures with captions."""

    best_metric: str  # of `evaluate`, by which the best checkpoint is chosen unless the run says otherwise
    passes: int  # how often `learn` goes over the pictures of a batch

    def learn(self, batch: Batch, backward: Backward) -> Tensor:
        """Add this process's part of the batch's gradient; its sums (3,), on the device."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Figures of the held-out part, the same in every process; empty where nothing is held out."""
        ...

    @property
    def null_distribution(self) -> Mapping[str, Any] | None:
        """The scores of unrelated pictures of the held-out part as last evaluated, where the task has scores."""
        ...


class BaseTask:
    """The parts of a run as a task needs them."""

    passes = 1
    null_distribution: Mapping[str, Any] | None = None

    def __init__(self, config: TrainingConfig, network: TrainingNetwork, data: Data, processes: Processes) -> None:
        self._config, self._network, self._data, self._processes = config, network, data, processes
        self._device = processes.device
        self._table = CaptionTable(data.train.captions)
        self._held_out = None if data.held_out is None else CaptionTable(data.held_out.captions)

    def _seeded(self, batch: Batch) -> Iterator[tuple[slice, Tensor]]:
        """One pass over the batch: micro-batches on the device with their places, torch's generator seeded for each."""
        part = self._data.train
        for number, (place, pictures) in enumerate(zip(batch.places, batch.pictures, strict=True)):
            seed_dropout(self._config.run.seed, batch.step, self._processes.rank, number)
            yield place, self._on_device(part, batch.rows[place], pictures)

    def _held_out_pictures(self, part: Part) -> Iterator[tuple[Rows, Tensor]]:
        """This process's share of the held-out rows, block by block."""
        mine = share(np.arange(len(part)), self._processes.rank, self._processes.count)
        size = self._config.optimizer.micro_batch_size or _EVALUATION_BATCH
        blocks = [mine[start : start + size] for start in range(0, len(mine), size)]

        def read(number: int) -> tuple[Rows, Tensor]:
            return blocks[number], read_pictures(part, blocks[number], self._network.pixels)

        with read_ahead(read, 0, len(blocks)) as items:
            for rows, pictures in items:
                yield rows, self._on_device(part, rows, pictures)

    def _on_device(self, part: Part, rows: Rows, pictures: Tensor) -> Tensor:
        """What the network takes of these rows; where tokens are kept and were missing, they are made and kept now."""
        pictures = pictures.to(self._device, non_blocking=True)
        if part.tokens is None or pictures.is_floating_point():
            return pictures
        tokens = self._network.image_tokens(pictures)
        part.tokens.write(part.rows[rows], tokens)
        return tokens


def seed_dropout(seed: int, *place: int) -> None:
    """Seed torch's generators for one micro-batch, so that a resumed run drops out the same."""
    torch.manual_seed(int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0] >> np.uint64(1)))
