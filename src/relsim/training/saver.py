"""Saving a run between two steps, and going on from there.

A checkpoint is written before the state that names it, so a run that is killed at any moment goes on from a state whose
checkpoint is there, and repeats what came after.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from relsim.models.base import digest_base
from relsim.training.card import model_card
from relsim.training.checkpoints import Checkpoints
from relsim.training.config import TrainingConfig
from relsim.training.feed import Data, Part
from relsim.training.network import TrainingNetwork
from relsim.training.processes import Processes
from relsim.training.publishing import write_network
from relsim.training.state import State, check_same_facts, save_state

_MOMENT = re.compile(r"(?!master\.)(\w+)\.(\d+)")  # what an optimizer keeps for the master of that number


@dataclass(slots=True)
class Progress:
    """Where a run is, apart from its tensors."""

    sums: Tensor  # (4,) loss, hits, count and gradient norm of this process since the last line of the log
    since: int = 0  # steps since that line
    best: dict[str, Any] | None = None  # metric, value and step of the best checkpoint
    metrics: dict[str, float] = field(default_factory=dict)  # last figures of the held-out part
    null_distribution: Mapping[str, Any] | None = None  # the scores of its unrelated pictures, measured with them


class Saver:
    """Writes checkpoints and states of one run; only the first process touches the disk."""

    def __init__(
        self,
        config: TrainingConfig,
        *,
        network: TrainingNetwork,
        data: Data,
        optimizers: Sequence[torch.optim.Optimizer],
        scaler: Any,
        processes: Processes,
        record: Mapping[str, Any],
    ) -> None:
        """Make the folder's keeper; `record` goes into each checkpoint's record of training."""
        self._record = record
        self._config, self._network, self._data = config, network, data
        self._optimizers, self._scaler, self._processes = optimizers, scaler, processes
        self.checkpoints = Checkpoints(config.run.out, keep=config.run.keep)
        self._settings = config.model_dump(mode="json")

    def save(self, step: int, epoch: float, progress: Progress) -> None:
        """Write the checkpoint and the state after `step` steps, and remove what they make needless."""
        self.save_checkpoint(step, epoch, progress)
        sums = self._processes.sum(progress.sums.clone()).tolist()
        if self._processes.first:
            state = State(
                step=step,
                config=self._settings,
                facts=self._facts,
                tensors=self._network.flat.state() | self._moments(),
                best=progress.best,
                logged={"sums": sums, "since": progress.since},
                scaler=None if self._scaler is None else self._scaler.state_dict(),
            )
            path = save_state(self._config.run.out, state)
            self.checkpoints.mark_last(step)
            self.checkpoints.tidy(path)
        self._processes.wait()

    def save_best(self, step: int, epoch: float, progress: Progress) -> None:
        """Write the checkpoint after `step` steps and call it the best."""
        self.save_checkpoint(step, epoch, progress)
        if self._processes.first:
            self.checkpoints.mark_best(step)

    def save_checkpoint(self, step: int, epoch: float, progress: Progress) -> None:
        """Write the checkpoint after `step` steps, once."""
        if not self._processes.first or self.checkpoints.written(step):
            return
        record = {
            "global_step": step,
            "epoch": epoch,
            "metrics": progress.metrics,
            "skipped": self._data.skipped,
            "config": self._settings,
            **self._record,
        }
        card = model_card(self._config, self._network, self._data, step=step, metrics=progress.metrics)
        with self.checkpoints.place(step) as folder:
            texts, null = {"README.md": card}, progress.null_distribution
            write_network(folder, self._network, training=record, texts=texts, null_distribution=null)

    def restore(self, state: State, progress: Progress) -> None:
        """Put weights, moments and progress back. Raises `TrainingError` for other pictures or another network."""
        check_same_facts(state, self._facts)
        self._network.flat.load(state.tensors)
        masters = self._network.flat.masters
        for name, tensor in state.tensors.items():
            if moment := _MOMENT.fullmatch(name):
                master = masters[int(moment[2])]
                self._optimizer_of(master).state[master][moment[1]] = tensor.to(self._processes.device)
        progress.best, progress.since = state.best, int(state.logged["since"])
        if self._processes.first:
            progress.sums += torch.tensor(state.logged["sums"], device=progress.sums.device)
        if self._scaler is not None and state.scaler is not None:
            self._scaler.load_state_dict(self._scaler.state_dict() | state.scaler)

    def _moments(self) -> dict[str, Tensor]:
        states = [self._optimizer_of(master).state[master] for master in self._network.flat.masters]
        return {f"{name}.{number}": tensor for number, kept in enumerate(states) for name, tensor in kept.items()}

    def _optimizer_of(self, master: Tensor) -> torch.optim.Optimizer:
        return next(
            optimizer
            for optimizer in self._optimizers
            if any(master is parameter for group in optimizer.param_groups for parameter in group["params"])
        )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What must be the same besides the configuration."""
        train, held_out = self._data.train, self._data.held_out
        pretrained = self._config.model.init == "pretrained"
        return {
            "the trained parameters": _digest(json.dumps(self._network.flat.layout)),
            "the base model": digest_base(self._network.base) if pretrained else None,
            "the pictures": f"{len(train)} of digest {_digest(chr(10).join(train.image_ids))}",
            "the captions": _digest(json.dumps(train.captions)),
            "the groups": _digest(json.dumps(train.logics)),
            "the held-out part": "nothing" if held_out is None else _digest_part(held_out),
        }


def _digest_part(part: Part) -> str:
    """Pictures, captions and groups in one."""
    return f"{len(part)} of digest {_digest(json.dumps([part.image_ids, part.captions, part.logics]))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
