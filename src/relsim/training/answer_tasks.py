"""Learning answers about pictures: captions token by token, and yes or no."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.errors import TrainingError
from relsim.models.prompt import yes_no_tokens
from relsim.training.config import TrainingConfig
from relsim.training.feed import Batch, CaptionTable, Data
from relsim.training.network import TrainingNetwork
from relsim.training.objectives import yes_bias, yes_no_rows
from relsim.training.processes import Processes
from relsim.training.prompts import Answers, TokenIds
from relsim.training.task import Backward, BaseTask


class CaptionTask(BaseTask):
    """Next-token learning of answers; count and hits are of tokens."""

    best_metric = "token_loss"

    def __init__(self, config: TrainingConfig, network: TrainingNetwork, data: Data, processes: Processes) -> None:
        super().__init__(config, network, data, processes)
        self._answers = self._encode(self._table)
        self._held_out_answers = None if self._held_out is None else self._encode(self._held_out)

    def learn(self, batch: Batch, backward: Backward) -> Tensor:
        """See `Task`. The loss is the mean over the answer tokens of the whole batch."""
        numbers = self._table.numbers(batch.rows, batch.paraphrases)
        answers = [self._answers[number] for number in numbers]
        total = sum(map(len, answers))
        sums = torch.zeros(3, device=self._device)
        for place, pictures in self._seeded(batch):
            found = self._losses(pictures, answers[place])
            backward(found[0] / total)
            sums += found.detach()
        return sums

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy over all held-out answer tokens, row i with its paraphrase i modulo their number."""
        if self._data.held_out is None or self._held_out is None or self._held_out_answers is None:
            return {}
        sums = torch.zeros(3, dtype=torch.float64, device=self._device)
        with self._network.evaluating():
            for rows, pictures in self._held_out_pictures(self._data.held_out):
                chosen = [self._held_out_answers[number] for number in self._held_out.in_turn(rows)]
                sums += self._losses(pictures, chosen)
        loss, hits, count = self._processes.sum(sums).tolist()
        return {"token_loss": loss / count, "token_accuracy": hits / count}

    def _encode(self, table: CaptionTable) -> list[TokenIds]:
        return _answers_of(self._network).encode(table.texts)

    def _losses(self, pictures: Tensor, answers: Sequence[TokenIds]) -> Tensor:
        """Sums (3,) over the answers' tokens, the loss with its gradient."""
        prompt = self._network.prompt
        start = len(prompt.suffix)
        tokens = torch.zeros(len(answers), start + max(map(len, answers)), dtype=torch.int64)
        mask = torch.zeros_like(tokens, dtype=torch.bool)
        tokens[:, :start] = torch.tensor(prompt.suffix)
        for row, answer in enumerate(answers):
            tokens[row, start : start + len(answer)] = torch.from_numpy(answer)
            mask[row, start : start + len(answer)] = True
        logits = self._network.dense.caption_logits(
            self._network.image_tokens(pictures), prompt.prefix, tokens, mask, grid=self._network.grid
        ).float()
        wanted = tokens[mask].to(logits.device)
        loss = F.cross_entropy(logits, wanted, reduction="sum")
        hits = (logits.detach().argmax(-1) == wanted).sum()
        return torch.stack([loss, hits.float(), loss.new_full((), len(wanted))])


class YesNoTask(BaseTask):
    """Two answers compete, yes and no; every caption is one of these words.

    A picture labelled yes counts `objective.positive_weight` times in what is learned, where losses are divided by the
    mean weight of all pictures. Such a network finds yes likelier by that factor than it is, so figures are of logits
    that have it taken back, and a held-out loss counts every picture once.
    """

    best_metric = "loss"  # right answers are no measure where nine in ten pictures are no

    def __init__(self, config: TrainingConfig, network: TrainingNetwork, data: Data, processes: Processes) -> None:
        super().__init__(config, network, data, processes)
        self._labels = _labels(self._table)
        self._held_out_labels = None if self._held_out is None else _labels(self._held_out)
        self._words = yes_no_tokens(_answers_of(network).tokenizer, network.processor)
        self._weight = config.objective.positive_weight
        rows = np.arange(len(self._table.counts))
        yes = self._labels[torch.from_numpy(self._table.in_turn(rows))].double().mean().item()
        self._mean_weight = self._weight * yes + 1 - yes

    def learn(self, batch: Batch, backward: Backward) -> Tensor:
        """See `Task`."""
        labels = self._labels[torch.from_numpy(self._table.numbers(batch.rows, batch.paraphrases))]
        sums = torch.zeros(3, device=self._device)
        for place, pictures in self._seeded(batch):
            logits, truth = self._logits(pictures), labels[place].to(self._device)
            loss = yes_no_rows(logits, truth, self._weight).sum() / self._mean_weight
            backward(loss / len(batch.rows))
            sums += torch.stack([loss.detach(), self._hits(logits, truth), loss.new_full((), len(truth))])
        return sums

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy over the held-out pictures, with the first caption of each."""
        if self._data.held_out is None or self._held_out is None or self._held_out_labels is None:
            return {}
        sums = torch.zeros(3, dtype=torch.float64, device=self._device)
        with self._network.evaluating():
            for rows, pictures in self._held_out_pictures(self._data.held_out):
                numbers = self._held_out.numbers(rows, np.zeros_like(rows))
                truth = self._held_out_labels[torch.from_numpy(numbers)].to(self._device)
                logits = self._logits(pictures)
                loss = yes_no_rows(logits + logits.new_tensor([self._bias, 0]), truth).sum()
                sums += torch.stack([loss, self._hits(logits, truth), loss.new_full((), len(truth))])
        loss, hits, count = self._processes.sum(sums).tolist()
        return {"loss": loss / count, "accuracy": hits / count}

    @property
    def _bias(self) -> float:
        return yes_bias(self._weight)

    def _logits(self, pictures: Tensor) -> Tensor:
        network = self._network
        tokens, prompt = network.image_tokens(pictures), network.prompt
        logits = network.dense.answer_logits(tokens, prompt.prefix, prompt.suffix, self._words, grid=network.grid)
        return logits.float()

    def _hits(self, logits: Tensor, labels: Tensor) -> Tensor:
        yes, no = logits.detach().unbind(1)
        return ((yes + self._bias > no) == labels).sum().float()


def _answers_of(network: TrainingNetwork) -> Answers:
    if network.answers is None:
        raise TrainingError("this network was made for the metric; it asks for no answers")
    return network.answers


def _labels(table: CaptionTable) -> Tensor:
    words = [text.strip().strip(".").lower() for text in table.texts]
    for text, word in zip(table.texts, words, strict=True):
        if word not in ("yes", "no"):
            raise TrainingError(f"the caption {text!r} is neither Yes nor No; the task yes_no knows these two")
    return torch.tensor([word == "yes" for word in words])
