"""Rows of `gpu.py` about the network alone, from prepared pictures: lever by lever, and one picture a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from _gpu_model import Bench
from _gpu_rows import Amounts, Once, Rate, Step
from levers import ALL, CPU_NORM, WAYS
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import Patches

LEAST_COSINE = 0.999
"""Of a lever's vectors with those of all levers together: it must not compute something else."""


def lever_rates(bench: Bench, rate: Rate, pictures: Sequence[Patches], amounts: Amounts) -> Iterator[Step]:
    """Ours at the largest batch, then without each lever of the forward pass."""
    batch = amounts.batches[-1]
    given = [pictures[number % len(pictures)] for number in range(batch)]
    vlm = Once(lambda: bench.vlm(bench.packed()))
    exact = Once(lambda: vlm().embed(given))

    def measure(name: str) -> float:
        exact()
        with WAYS[name](vlm()):
            cosine = float((vlm().embed(given) * exact()).sum(dim=1).min())
            if not cosine >= LEAST_COSINE:
                raise ArithmeticError(f"another vector, cosine {cosine:.5f}")
            return rate(2 * batch, lambda: (vlm().embed(given), vlm().embed(given)))

    yield "ours", batch, "images/s", partial(measure, ALL)
    off = {ALL} | ({CPU_NORM} if bench.device.type == "cuda" else set())  # on CUDA norms are of mixed types by default
    for name in WAYS:
        if name not in off:
            yield f"ours, but {name}", batch, "images/s", partial(measure, name)


def latency_rates(bench: Bench, rate: Rate, pictures: Sequence[Patches], amounts: Amounts) -> Iterator[Step]:
    """One picture a call until its state is here; then the same as a graph, which holds for pictures of one size."""
    forward = Once(bench.packed)
    given = [pictures[number % len(pictures)] for number in range(amounts.published_images)]

    def one_by_one(run: Callable[[Patches], Tensor]) -> float:
        for patches in given[:2]:
            run(patches).cpu()
        return rate(len(given), lambda: [run(patches).cpu() for patches in given])

    def as_a_graph() -> float:
        run = graphed(forward(), given[0])
        exact, found = (way.float() for way in (forward()(given[:2]), torch.cat([run(one) for one in given[:2]])))
        cosine = float(torch.cosine_similarity(exact, found).min())
        if not cosine >= LEAST_COSINE:
            raise ArithmeticError(f"another state, cosine {cosine:.5f}")
        return one_by_one(run)

    yield "ours", 1, "images/s", lambda: one_by_one(lambda patches: forward()([patches]))
    yield "ours, CUDA graph", 1, "images/s", as_a_graph


def graphed(forward: PackedQwen25VL, like: Patches) -> Callable[[Patches], Tensor]:
    """The packed pass for one picture of the size of `like`, recorded once: a call sends pixels and plays it."""
    if forward.device.type != "cuda":
        raise RuntimeError("graphs are for CUDA")
    inside: Any = forward  # the benchmark looks inside
    _, tables = inside._arranged([like])  # noqa: SLF001 - see above
    pixels = torch.from_numpy(like.pixels).to(forward.device)

    def run() -> Tensor:
        tokens = torch.cat([inside._vision(pixels, tables), inside._suffix])[tables.tokens]  # noqa: SLF001 - see above
        states: Tensor = inside._language(tokens, tables)  # noqa: SLF001 - see above
        return states

    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode():
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # libraries make their plans and workspaces in the first calls
                run()
        torch.cuda.current_stream().wait_stream(beside)
        with torch.cuda.graph(graph):
            states = run()

    def play(patches: Patches) -> Tensor:
        pixels.copy_(torch.from_numpy(patches.pixels))
        graph.replay()
        return states.clone()  # the next call writes into the same place

    return play
