"""The loop: the only one of the project. What is learned is a task's business; here is how a step, a log and a save go.

A run's folder (`run.out`) holds

    config.yaml                   the settings, defaults included
    train.jsonl                   the record (see `tracking.py`)
    samples.jsonl, samples.html   captions written on the way, where they are wished (see `caption_samples.py`)
    processor/                    processor files with the query token, where the base has none
    checkpoints/step-<step>/      what can be loaded, with a model card
    last, best                    links to two of them; best by `run.best_metric`
    state-<step>.safetensors      what a resumed run needs (see `state.py`)

A run that is killed at any moment goes on from its last state, and on a CPU ends with the same weights bit for bit.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relsim.errors import TrainingError
from relsim.training.caption_check import CaptionLeaks
from relsim.training.caption_samples import CaptionSamples
from relsim.training.config import OptimizerSection, TrainingConfig
from relsim.training.feed import Batch, Data, Feed
from relsim.training.flat import FlatParameters
from relsim.training.image_towers import make_network
from relsim.training.muon import Muon
from relsim.training.network import TrainingNetwork
from relsim.training.opening import open_run
from relsim.training.processes import Processes, open_accelerator
from relsim.training.saver import Progress, Saver
from relsim.training.schedule import rate
from relsim.training.state import State, check_same_settings, load_state, saved_states
from relsim.training.task import Task
from relsim.training.tasks import is_better, make_task
from relsim.training.tokens import keep_tokens
from relsim.training.tracking import RunLog, Watcher, check_trackers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves: folders of checkpoints, the last figures of the held-out part, pictures skipped by status."""

    out: Path
    steps: int
    last: Path
    best: Path | None
    metrics: dict[str, float]
    skipped: dict[str, int] = field(default_factory=dict)


def train(config: TrainingConfig, *, resume: bool = False, watcher: Watcher | None = None) -> Outcome:
    """Train as `config` says, in as many processes as this one was started among.

    With `resume`, go on from the last state in `run.out`, or begin where there is none; without, a folder that holds a
    run is refused. `watcher` is called with each line of the log. Raises `TrainingError`, `CheckpointError`,
    `SourceError` or `MissingExtraError`; what is missing is told before pictures are decoded.
    """
    check_trackers(config.run.trackers)
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    accelerator, precision = open_accelerator(config)
    processes = Processes(accelerator)
    out = config.run.out
    states = saved_states(out)
    if states and not resume:
        raise TrainingError(f"{out} holds a run already; resume it (--resume), or choose another run.out (--out)")
    if resume and not states:
        logger.warning("%s holds no state to go on from; the run begins", out)
    state = load_state(states[-1]) if states else None
    if state is not None:
        check_same_settings(state, config.model_dump(mode="json"))
    data, processor = open_run(config, processes)
    network = make_network(config, device=processes.device, precision=precision, processor=processor)
    return _Run(config, accelerator, data, network, watcher).go(state)


def _optimizers(settings: OptimizerSection, flat: FlatParameters, *, fused: bool) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the stacks where there are any."""
    decay, rate = settings.weight_decay, settings.learning_rate
    found: list[torch.optim.Optimizer] = []
    if others := flat.decay_groups(decay):
        found.append(torch.optim.AdamW(others, lr=rate, betas=settings.betas, fused=fused))
    if stacks := flat.stacks(decay):
        found.append(Muon(stacks, lr=rate))
    return found


class _Run:
    def __init__(
        self, config: TrainingConfig, accelerator: Any, data: Data, network: TrainingNetwork, watcher: Watcher | None
    ) -> None:
        self._config, self._accelerator, self._network = config, accelerator, network
        self._processes = processes = Processes(accelerator)
        settings = config.optimizer
        data = keep_tokens(config, network, data)
        self._skipped = data.skipped
        self._feed = Feed(
            data.train,
            network.pixels,
            seed=config.run.seed,
            batch_size=settings.batch_size,
            micro_batch_size=settings.micro_batch_size,
            rank=processes.rank,
            ranks=processes.count,
            pinned=processes.device.type == "cuda",
        )
        self._steps = config.run.steps or self._feed.order.steps(config.run.epochs or 1.0)
        self._end = min(self._steps, config.run.stop_at or self._steps)
        self._task: Task = make_task(config, network, data, processes)
        self._flat = network.flat
        self._optimizers = _optimizers(settings, self._flat, fused=processes.device.type in ("cpu", "cuda"))
        self._scaler = accelerator.scaler
        self._leaks = (
            CaptionLeaks.of(text for texts in data.train.captions for text in texts)
            if config.objective.task == "caption"
            else None
        )
        self._saver = Saver(
            config,
            network=network,
            data=data,
            optimizers=self._optimizers,
            scaler=self._scaler,
            processes=processes,
            record={} if self._leaks is None else {"captions": self._leaks.to_json()},
        )
        self._log = RunLog(
            config.run.out, accelerator, config.model_dump(mode="json"), watcher, project=config.run.project
        )
        sampled = config.samples.every is not None and processes.first
        self._samples = CaptionSamples(config, network, data, self._log) if sampled else None
        self._progress = Progress(sums=torch.zeros(4, device=processes.device))
        self._clock = self._started = time.monotonic()

    def go(self, state: State | None) -> Outcome:
        """All steps from a state, or from the beginning."""
        first = 0
        if state is not None:
            self._saver.restore(state, self._progress)
            first = state.step
        self._begin(first)
        logger.info("steps %d to %d; %d numbers learn", first + 1, self._end, len(self._flat))
        every = self._config.run
        self._clock = self._started = time.monotonic()
        with self._feed.batches(first, self._end, passes=self._task.passes) as batches:
            for batch in batches:
                self._step(batch)
                done = batch.step + 1
                last = done == self._end
                if last or done % every.log_every == 0:
                    self._write_line(done)
                if last or done % (every.eval_every or every.save_every) == 0:
                    self._evaluate(done)
                if self._samples is not None and (last or done % (self._config.samples.every or 1) == 0):
                    self._sample(done, self._samples)
                if last or done % every.save_every == 0:
                    self._save(done)
        self._log.end()
        checkpoints = self._saver.checkpoints
        links = (checkpoints.last, checkpoints.best)
        return Outcome(every.out, self._end, *links, self._progress.metrics, self._skipped)

    def _begin(self, first: int) -> None:
        """Begin the record, or go on with it after `first` steps."""
        self._log.begin(first)
        self._progress.metrics = self._log.figures(first)
        if self._samples is not None:
            self._samples.begin(first)
        leaks = self._leaks
        if leaks is None or not self._processes.first:
            return
        logger.log(logging.WARNING if leaks.leaks else logging.INFO, "%s", leaks)
        if not first:
            rate = leaks.rate.value
            self._log.write({"step": 0, "captions": leaks.captions, "leaks": leaks.leaks, "leak_rate": rate})

    def _step(self, batch: Batch) -> None:
        settings, progress = self._config.optimizer, self._progress
        for group in (group for optimizer in self._optimizers for group in optimizer.param_groups):
            group["lr"] = self._rate(batch.step)
        self._flat.zero_gradient()
        progress.sums[:3] += self._task.learn(batch, self._backward)
        self._processes.sum(self._flat.gradient)
        if self._scaler is not None:
            for optimizer in self._optimizers:
                self._scaler.unscale_(optimizer)
        progress.sums[3] += self._flat.clip(settings.clip)
        for optimizer in self._optimizers:
            if self._scaler is None:
                optimizer.step()
            else:
                self._scaler.step(optimizer)
        if self._scaler is not None:
            self._scaler.update()
        self._flat.publish()
        progress.since += 1

    def _backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)
        self._flat.collect()

    def _rate(self, step: int) -> float:
        settings = self._config.optimizer
        return settings.learning_rate * rate(settings.schedule, step, self._steps, settings.warmup_steps)

    def _write_line(self, done: int) -> None:
        progress = self._progress
        loss, hits, count, norm = self._processes.sum(progress.sums.clone()).tolist()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {done}; a lower optimizer.learning_rate, a longer warm-up or fp32 may help"
            )
        now = time.monotonic()
        line: dict[str, float] = {
            "step": done,
            "epoch": self._feed.order.epoch(done),
            "loss": loss / count,
            "accuracy": hits / count,
            "learning_rate": self._rate(done - 1),
            "grad_norm": norm / progress.since / self._processes.count,
            "samples_per_second": progress.since * self._config.optimizer.batch_size / (now - self._clock),
            "seconds": now - self._started,
        }
        temperature = self._network.temperature
        if isinstance(temperature, Tensor):
            line["temperature"] = temperature.item()
        self._log.write(line)
        progress.sums.zero_()
        progress.since = 0
        self._clock = time.monotonic()

    def _evaluate(self, done: int) -> None:
        paused = time.monotonic()
        progress = self._progress
        metrics = self._task.evaluate()
        if not metrics:
            return
        progress.metrics, progress.null_distribution = metrics, self._task.null_distribution
        self._log.write({"step": done, **{f"eval_{name}": value for name, value in metrics.items()}})
        name = (self._config.run.best_metric or self._task.best_metric).removeprefix("eval_")
        if name not in metrics:
            raise TrainingError(f"run.best_metric {name!r} is not measured; measured are {', '.join(metrics)}")
        best = progress.best
        # A run that went on may be told to choose by another figure, and that of the old best says nothing then.
        if is_better(name, metrics[name], best["value"] if best is not None and best["metric"] == name else None):
            progress.best = {"metric": name, "value": metrics[name], "step": done}
            self._saver.save_best(done, self._feed.order.epoch(done), progress)
        self._clock += time.monotonic() - paused

    def _sample(self, done: int, samples: CaptionSamples) -> None:
        paused = time.monotonic()
        samples.write(done)
        self._clock += time.monotonic() - paused

    def _save(self, done: int) -> None:
        paused = time.monotonic()
        self._saver.save(done, self._feed.order.epoch(done), self._progress)
        self._clock += time.monotonic() - paused
