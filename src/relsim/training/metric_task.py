"""Learning the metric: embeddings of pictures are drawn to the frozen vectors of their captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relsim.errors import TrainingError
from relsim.training.config import TrainingConfig
from relsim.training.feed import Batch, CaptionTable, Data, Part
from relsim.training.network import TrainingNetwork
from relsim.training.objectives import (
    contrastive_both,
    contrastive_rows,
    embedding_gradient,
    group_numbers,
    same_group_mask,
    similar_caption_mask,
)
from relsim.training.processes import Processes
from relsim.training.retrieval import caption_metrics, group_precision
from relsim.training.task import Backward, BaseTask
from relsim.training.texts import TextVectors
from relsim.vectors.calibration import null_distribution

FEWEST = 50
"""Held-out pictures below which the scores of unrelated pairs say little: 1,225 pairs of them."""


class MetricTask(BaseTask):
    """Contrastive learning of embeddings against frozen caption vectors."""

    best_metric = "mrr"

    def __init__(self, config: TrainingConfig, network: TrainingNetwork, data: Data, processes: Processes) -> None:
        super().__init__(config, network, data, processes)
        self.passes = 2 if config.objective.two_directional else 1
        self._vectors = self._text_vectors(self._table, data.train.store.folder)
        self._groups = group_numbers(data.train.logics).to(self._device) if config.objective.mask_groups else None
        if config.objective.two_directional and config.objective.learn_temperature and config.run.precision == "fp16":
            raise TrainingError("a learned temperature in both directions does not work in fp16; use bf16 or fp32")
        if data.held_out is not None and self._held_out is not None:
            self._held_out_vectors = self._text_vectors(self._held_out, data.held_out.store.folder)

    def learn(self, batch: Batch, backward: Backward) -> Tensor:
        """See `Task`. Hits are pictures that no other text of the batch is nearer to than their own."""
        numbers = torch.from_numpy(self._table.numbers(batch.rows, batch.paraphrases))
        texts = self._vectors[numbers.to(self._device)]
        groups = None if self._groups is None else self._groups[torch.from_numpy(batch.rows).to(self._device)]
        if self._config.objective.two_directional:
            return self._learn_both(batch, texts, groups, backward)
        sums = torch.zeros(3, device=self._device)
        for place, pictures in self._seeded(batch):
            images = self._network.embed(pictures)
            targets = torch.arange(place.start, place.stop, device=self._device)
            mask = self._mask(texts, groups, targets)
            losses = contrastive_rows(images, texts, targets, self._network.temperature, mask)
            backward(losses.sum() / len(batch.rows))
            sums += _sums(losses, images, texts, targets)
        return sums

    def _learn_both(self, batch: Batch, texts: Tensor, groups: Tensor | None, backward: Backward) -> Tensor:
        """Both directions need all embeddings at once: a pass without gradient, then one to carry it on."""
        with torch.no_grad():
            mine = torch.cat([self._network.embed(pictures) for _, pictures in self._seeded(batch)])
        images = self._processes.gather(mine)
        targets = torch.arange(len(images), device=self._device)
        mask = self._mask(texts, groups, targets)
        temperature = self._network.temperature
        if isinstance(temperature, Tensor) and not self._processes.first:
            temperature = temperature.detach()  # every process sees the whole loss; its gradient counts once
        _, gradient = embedding_gradient(
            images, lambda leaf: contrastive_both(leaf, texts, targets, temperature, mask).mean()
        )
        for place, pictures in self._seeded(batch):
            backward((self._network.embed(pictures) * gradient[place]).sum())
        with torch.no_grad():
            losses = contrastive_both(images, texts, targets, temperature, mask)
            own = slice(batch.places[0].start, batch.places[-1].stop)
            return _sums(losses[own], images[own], texts, targets[own])

    def evaluate(self) -> dict[str, float]:
        """Retrieval of captions, loss in batches of the run's size, and precision among groups where there are any."""
        if self._data.held_out is None or self._held_out is None:
            return {}
        part, table = self._data.held_out, self._held_out
        with self._network.evaluating():
            mine = [self._network.embed(pictures) for _, pictures in self._held_out_pictures(part)]
            empty = self._vectors.new_zeros(0, self._vectors.shape[1])
            images = self._processes.gather(torch.cat([empty, *mine]))
            metrics = caption_metrics(images, self._held_out_vectors, [torch.from_numpy(own) for own in table.by_row()])
            metrics["loss"] = self._held_out_loss(images, table, part)
        if self._processes.first:
            self.null_distribution = unrelated_scores(images, part)
        precision = group_precision(images, group_numbers(part.groups).to(self._device))
        return metrics if precision is None else metrics | {"p@10": precision}

    def _held_out_loss(self, images: Tensor, table: CaptionTable, part: Part) -> float:
        """Mean loss from image to text, row i with its paraphrase i modulo their number."""
        numbers = table.in_turn(np.arange(len(images)))
        texts = self._held_out_vectors[torch.from_numpy(numbers).to(self._device)]
        groups = group_numbers(part.logics).to(self._device) if self._groups is not None else None
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for some in torch.split(torch.arange(len(images), device=self._device), self._config.optimizer.batch_size):
            targets = torch.arange(len(some), device=self._device)
            mask = self._mask(texts[some], None if groups is None else groups[some], targets)
            total += contrastive_rows(images[some], texts[some], targets, self._network.temperature, mask).sum()
        return total.item() / len(images)

    def _mask(self, texts: Tensor, groups: Tensor | None, targets: Tensor) -> Tensor | None:
        masks = [] if groups is None else [same_group_mask(groups, targets)]
        threshold = self._config.objective.mask_similarity
        if threshold is not None:
            masks.append(similar_caption_mask(texts, targets, threshold))
        return torch.stack(masks).any(0) if masks else None

    def _text_vectors(self, table: CaptionTable, folder: Path) -> Tensor:
        return torch.from_numpy(TextVectors.of(table.texts, folder)[table.texts]).to(self._device)


def unrelated_scores(images: Tensor, part: Part) -> dict[str, list[float]] | None:
    """The null distribution of a held-out part with vectors (N, D); None where it is too small or all of one logic.

    Unrelated are pictures of different logic, or, where no logic is known, with different captions.
    """
    labels = [logic or captions[0] for logic, captions in zip(part.logics, part.captions, strict=True)]
    if len(labels) < FEWEST or len(set(labels)) < 2:
        return None
    return null_distribution(images.float().cpu().numpy(), labels)


def _sums(losses: Tensor, images: Tensor, texts: Tensor, targets: Tensor) -> Tensor:
    scores = images.detach() @ texts.T
    hits = scores.gather(1, targets[:, None])[:, 0] >= scores.amax(1)
    return torch.stack([losses.detach().sum(), hits.sum().float(), losses.new_full((), len(losses))])
