"""Lanes: on a CPU, a batch runs as several small batches side by side, each on one thread.

Splitting every operation over all cores costs a barrier per operation, which small networks feel and which turns into
spinning where other threads (decoding pictures) want the same cores. Lanes have no barriers. A batch of one picture
has nothing to split and keeps torch's own threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from relsim.models.pixels import Patches

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def run_in_lanes(forward: Callable[[Sequence[Patches]], Tensor], batch: Sequence[Patches]) -> Tensor:
    """`forward(batch)` with rows in order, computed in as many lanes as torch may use threads."""
    parts = split_in_lanes(forward, batch, [len(patches.pixels) for patches in batch])
    if len(parts) == 1:
        return parts[0][1]
    states = torch.empty((len(batch), parts[0][1].shape[1]), dtype=parts[0][1].dtype)
    for rows, result in parts:
        states[rows] = result
    return states


def split_in_lanes(
    run: Callable[[Sequence[ItemT]], ResultT], batch: Sequence[ItemT], costs: Sequence[int]
) -> list[tuple[list[int], ResultT]]:
    """What `run` makes of each lane's share of a batch, with the rows of that share; lanes cost about the same."""
    threads = torch.get_num_threads()
    if threads == 1 or 4 * len(batch) < 3 * threads:  # with few pictures, lanes would leave many cores idle
        return [(list(range(len(batch))), run(batch))]
    lanes = split_evenly(costs, threads)
    results = _pool(threads).map(lambda rows: run([batch[row] for row in rows]), lanes)
    return list(zip(lanes, results, strict=True))


def split_evenly(costs: Sequence[int], count: int) -> list[list[int]]:
    """Indices in `count` groups of about equal summed cost: the costliest first, each to the lightest group."""
    groups: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for index in sorted(range(len(costs)), key=lambda i: -costs[i]):
        lightest = totals.index(min(totals))
        groups[lightest].append(index)
        totals[lightest] += costs[index]
    return [sorted(group) for group in groups if group]


@lru_cache(maxsize=1)
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads on which torch computes alone. The caller's own setting is left as it was.

    `torch.set_num_threads` sets the calling thread and the default of threads to come; the barrier makes every lane
    set itself before the default is put back.
    """
    threads = torch.get_num_threads()
    started = threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first question sets it to the default, which would undo the next line
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="lane", initializer=start)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(threads)
    return pool


if hasattr(os, "register_at_fork"):
    # A child has the pool and none of its threads: it would wait for them for ever.
    os.register_at_fork(after_in_child=_pool.cache_clear)
