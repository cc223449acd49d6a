"""Where to compute and in which precision, chosen from what the machine offers and overridable by name.

CUDA computes in bf16 (from Ampere on), and so does a CPU with matrix units for it (Intel AMX). On other CPUs that
depends: with AVX-512 bf16 a product takes from a fifth of what it takes in fp32 (AMD Zen 5) to more than that (Intel
without AMX). So for networks large enough to matter both are tried, once in a process; smaller ones stay in fp32, which
is more exact and gives the same vectors on every machine.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

from relsim.errors import DeviceError

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


MATTERS = 8_000_000
"""Weights of a network, its tables apart, from which the precision of products decides how long a picture takes."""

WORTH_IT = 1.5
"""How much quicker than in fp32 a product in bf16 must be: everything between products is slower in bf16."""

_BF16_FROM = (8, 0)  # compute capability of the first GPUs that multiply bf16 (Ampere)
_ROWS, _WIDTH, _ROUNDS = 128, 768, 5  # of the product that is tried: 0.15 GFLOP, 2 to 5 ms in fp32 on one core


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or CUDA where there is one, else the CPU. Raises `DeviceError` for one that is absent."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"{name!r} is no device; examples are cpu, cuda, cuda:1") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is visible to torch on this machine; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"there is no {device}; this machine has {torch.cuda.device_count()} CUDA device(s)")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"relsim computes on cpu or cuda, not on {device.type}")
    return device


def choose_dtype(device: torch.device, name: str | torch.dtype | None = None, *, weights: int = 0) -> torch.dtype:
    """The named precision, or the one that this device is best at for a network of so many `weights`, tables apart."""
    if isinstance(name, torch.dtype):
        name = str(name).removeprefix("torch.")
    if name is not None:
        if name not in DTYPES:
            raise DeviceError(f"unknown precision {name!r}; known are {', '.join(DTYPES)}, for metrics int8 and fp8")
        if name == "float16" and device.type == "cpu":
            raise DeviceError("float16 is for CUDA; a CPU computes in float32 or bfloat16")
        return DTYPES[name]
    if device.type == "cuda":
        # Older ones emulate bf16, more slowly than fp32; in fp16 activations of these networks overflow.
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _BF16_FROM else torch.float32
    if has_amx():
        return torch.bfloat16
    return torch.bfloat16 if weights >= MATTERS and bf16_is_quicker() else torch.float32


def stored_dtype(name: str) -> torch.dtype:
    """The precision of that name for weights that are only written. Raises `DeviceError` for an unknown name."""
    if name not in DTYPES:
        raise DeviceError(f"weights are written in {', '.join(DTYPES)}, not in {name!r}")
    return DTYPES[name]


def merging_dtype(stored: torch.dtype | None) -> torch.dtype:
    """What to load a base in that is merged and written as `stored`; bf16, as where nothing is named, is as it lies."""
    return torch.bfloat16 if stored in (None, torch.bfloat16) else torch.float32


def has_amx() -> bool:
    """Whether the CPU has matrix units for bf16 that torch can use."""
    return bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - torch has no public name for it


@lru_cache(maxsize=1)
def bf16_is_quicker() -> bool:
    """Whether this CPU's products are `WORTH_IT` times quicker in bf16 than in fp32; measured once, in some 20 ms."""
    threads = torch.get_num_threads()
    try:
        # In a thread of its own, whose processor time tells the truth on a busy machine: two that wait for each other
        # at the end of each product measure the machine's other work.
        with ThreadPoolExecutor(1) as alone:
            exact, rounded = alone.submit(_try_products).result()
    finally:
        torch.set_num_threads(threads)
    logger.debug("a product takes %.2f ms in fp32 and %.2f ms in bf16", 1e3 * exact, 1e3 * rounded)
    return exact >= WORTH_IT * rounded


def _try_products() -> tuple[float, float]:
    """Seconds of a product in fp32 and in bf16, on one thread: of each the least of several."""
    torch.get_num_threads()  # a thread's first question sets it to the default, which would undo the next line
    torch.set_num_threads(1)
    x, weight = torch.ones(_ROWS, _WIDTH), torch.ones(_WIDTH, _WIDTH)
    pairs = [(x, weight), (x.bfloat16(), weight.bfloat16())]
    best = [float("inf")] * 2
    for pair in pairs:
        _seconds(*pair)  # the first one is prepared
    for _ in range(_ROUNDS):
        for number, pair in enumerate(pairs):
            best[number] = min(best[number], _seconds(*pair))
        if best[1] > 2 * best[0]:  # emulated, it may take long
            break
    return best[0], best[1]


def _seconds(x: torch.Tensor, weight: torch.Tensor) -> float:
    started = time.thread_time()
    torch.nn.functional.linear(x, weight)
    return time.thread_time() - started
