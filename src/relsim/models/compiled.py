"""Norms and gated MLPs of the packed pass as programs that torch compiles, by name only (`engine="compiled"`).

What lies between two products is then read and written once, not once for each step. Weights are arguments, so that all
layers of a tower share a program. It takes a compiler (a C++ one for a CPU) and a minute, and gains a hundredth or two
on the processors that were tried (docs/benchmarks.md); it is meant for GPUs, where it has not been measured.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.errors import DeviceError, first_line
from relsim.models.layers import Block, GatedMLP, Norm
from relsim.models.packed import PackedQwen25VL

_PROGRAMS = 64
"""Programs of a function that torch keeps in a process. Of its own eight a model takes four, for towers and batches;
beyond them torch runs the function as it is, with a warning."""

_UNKEPT = "Failed to pickle cache key"
# Programs over 8-bit floats are made anew at each start, for torch cannot keep them, and it tells so at great length.
logging.getLogger("torch._inductor.codecache").addFilter(lambda record: _UNKEPT not in record.getMessage())

_Product = tuple[Tensor, Tensor | None]
_allowed = threading.local()


def _allow_programs() -> None:
    """Settings of torch's compiler are each thread's own, and lanes of a CPU have threads of theirs."""
    if not getattr(_allowed, "yes", False):
        limits = torch._dynamo.config  # noqa: SLF001 - torch has no public name for it
        limits.recompile_limit = max(limits.recompile_limit, _PROGRAMS)
        _allowed.yes = True


@dataclass(frozen=True, slots=True)
class CompiledNorm(Norm):
    """`Norm` as one program."""

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, D), normalised."""
        _allow_programs()
        found: Tensor = _norm(x, self.weight, self.epsilon)
        return found


@dataclass(frozen=True, slots=True)
class CompiledGatedMLP(GatedMLP):
    """`GatedMLP` as one program around its products."""

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, H) to (…, H)."""
        _allow_programs()
        up = None if self.up is None else (self.up.weight, self.up.bias)
        found: Tensor = _gated(x, (self.gate.weight, self.gate.bias), up, (self.down.weight, self.down.bias))
        return found


def compile_blocks(forward: PackedQwen25VL) -> None:
    """Give every layer of a packed pass its compiled form. Raises `DeviceError` where torch cannot compile."""
    try:
        forward.change_blocks(_compiled)  # the prompt's prefix is read again, so the first programs are made here
    except Exception as error:  # what a compiler, or its absence, makes torch raise
        reason = first_line(error)
        raise DeviceError(f"torch cannot compile on {forward.device} here: {reason}; leave engine unset") from error


def _compiled(block: Block) -> Block:
    return replace(
        block,
        attention_norm=CompiledNorm(block.attention_norm.weight, block.attention_norm.epsilon),
        mlp_norm=CompiledNorm(block.mlp_norm.weight, block.mlp_norm.epsilon),
        mlp=CompiledGatedMLP(block.mlp.gate, block.mlp.up, block.mlp.down),
    )


@torch.compile
def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    return (wide * (wide.square().mean(-1, keepdim=True) + epsilon).rsqrt()).to(x.dtype) * weight


@torch.compile
def _gated(x: Tensor, gate: _Product, up: _Product | None, down: _Product) -> Tensor:
    first, second = F.linear(x, *gate).chunk(2, dim=-1) if up is None else (F.linear(x, *gate), F.linear(x, *up))
    return F.linear(F.silu(first) * second, *down)
