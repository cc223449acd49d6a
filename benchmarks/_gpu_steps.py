"""Training steps and captions for `gpu.py`. Both give the way, batch, unit and measurement of each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from _gpu_model import Bench
from _gpu_rows import Amounts, Once, Rate, Step
from captioning import generating
from relsim.models.dense import DenseQwen25VL
from relsim.models.generation import AnswerDecoder, Sampling
from relsim.models.pixels import Patches
from relsim.models.text_encoder import DIMENSION
from relsim.training.objectives import contrastive_rows


def training_rates(bench: Bench, rate: Rate, pictures: Sequence[Patches], amounts: Amounts) -> Iterator[Step]:
    """A step of the metric's training, for each size of batch: one to warm up, two that count."""
    for batch in amounts.training:

        def measure(batch: int = batch) -> float:
            step = training_step(bench, pictures, batch, amounts.micro_batch)
            step()
            return rate(2 * batch, lambda: (step(), step()))

        yield "ours", batch, "images/s", measure


def training_step(bench: Bench, pictures: Sequence[Patches], batch: int, micro: int) -> Callable[[], float]:
    """One step: losses of `micro` pictures at a time against the texts of the whole batch, then AdamW."""
    model = bench.adapted().train()
    learning = [parameter for name, parameter in model.named_parameters() if ".lora_" in name]
    for parameter in learning:
        parameter.requires_grad_(requires_grad=True)
    dense = DenseQwen25VL(model, bench.pixels)
    projection = nn.Linear(bench.config.text_config.hidden_size, DIMENSION, device=bench.device)
    optimizer = torch.optim.AdamW([*learning, *projection.parameters()], lr=1e-4)
    generator = torch.Generator().manual_seed(4)
    texts = F.normalize(torch.randn(batch, DIMENSION, generator=generator), dim=-1).to(bench.device)
    side = math.isqrt(len(pictures[0].pixels))
    patches = torch.from_numpy(np.stack([pictures[row % len(pictures)].pixels for row in range(batch)]))

    def step() -> float:
        total = 0.0
        for start in range(0, batch, micro):
            part = patches[start : start + micro].to(bench.device, non_blocking=True)
            tokens = dense.image_tokens(part, (side, side))
            states = dense.query_states(tokens, bench.prompt.prefix, bench.prompt.suffix)
            images = F.normalize(projection(states.float()), dim=-1)
            targets = torch.arange(start, start + len(part), device=bench.device)
            loss = contrastive_rows(images, texts, targets, 0.07).sum() / batch
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        optimizer.zero_grad()
        if not math.isfinite(total):
            raise ArithmeticError("the loss is not finite")
        return total

    return step


def caption_rates(bench: Bench, rate: Rate, pictures: Sequence[Patches], amounts: Amounts) -> Iterator[Step]:
    """Captions of equal length: `generate` one at a time and at once, adapter unmerged; then ours by batch."""
    length, folder_batch = amounts.tokens, amounts.captions[0]
    given = [pictures[number % len(pictures)] for number in range(amounts.captions[-1])]
    yield from _published_captions(bench, rate, given[:folder_batch], length)
    decoder = Once(lambda: AnswerDecoder(bench.merged(), bench.pixels, bench.question, (), packs=True))
    sampling = Sampling(greedy=True, max_new_tokens=length)

    def ours(batch: Sequence[Patches]) -> float:
        decoder()(batch, Sampling(greedy=True, max_new_tokens=2))
        return rate(length * len(batch), lambda: decoder()(batch, sampling))

    for batch in (1, *amounts.captions):
        yield "ours", batch, "tokens/s", partial(ours, given[:batch])


def _published_captions(bench: Bench, rate: Rate, given: Sequence[Patches], length: int) -> Iterator[Step]:
    write = Once(lambda: generating(bench.adapted().eval(), bench.question, bench.pixels))
    few = max(1, len(given) // 8)  # one at a time is slow, and as fast for a few pictures as for all

    def one_by_one() -> float:
        write()(given[:1], 2)
        return rate(length * few, lambda: [write()([patches], length) for patches in given[:few]])

    def at_once() -> float:
        write()(given, 2)
        return rate(length * len(given), lambda: write()(given, length))

    yield "published way, one at a time", 1, "tokens/s", one_by_one
    yield "published way, in a batch", len(given), "tokens/s", at_once
