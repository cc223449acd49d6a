"""The processes of a run, one for each device: who is first, sums over all, rows gathered from all.

Accelerate starts and places them (`torchrun` and `accelerate launch` both work). A run of one process pays nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from relsim.errors import MissingExtraError, TrainingError
from relsim.training.config import TrainingConfig


def open_accelerator(config: TrainingConfig) -> tuple[Any, str]:
    """Accelerate's hold on devices and trackers, and the precision that `run.precision` comes to here.

    Raises `TrainingError` for a precision that this machine cannot do, and `MissingExtraError`.
    """
    try:
        from accelerate import Accelerator  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise MissingExtraError("accelerate", "train", "training") from error
    cuda = torch.cuda.is_available()
    precision = config.run.precision
    if precision == "auto":
        precision = "bf16" if cuda else "fp32"
    if precision == "fp16" and not cuda:
        raise TrainingError(
            "run.precision fp16 (training.fp16 of a published configuration) is for CUDA; on a CPU say --precision fp32"
        )
    accelerator = Accelerator(
        mixed_precision="fp16" if precision == "fp16" else "no",
        log_with=list(config.run.trackers) or None,
        project_dir=str(config.run.out),
        cpu=not cuda,
    )
    return accelerator, precision


class Processes:
    """A thin view of an `accelerate.Accelerator`."""

    def __init__(self, accelerator: Any) -> None:
        self.rank: int = accelerator.process_index
        self.count: int = accelerator.num_processes
        self.first: bool = accelerator.is_main_process
        self.device: torch.device = accelerator.device
        self._accelerator = accelerator

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (n, D) of all processes in order of rank; their numbers may differ."""
        if self.count == 1:
            return rows
        sizes = torch.zeros(self.count, dtype=torch.int64, device=rows.device)
        sizes[self.rank] = len(rows)
        counts: list[int] = self.sum(sizes).tolist()
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
