"""Trainable parameters laid end to end in a few long tensors, so that a step costs a few operations, not one each.

Parameters become views of one *working* tensor for each kind (precision, decayed or not) and their gradients views of
one gradient tensor. Zeroing, summing over processes, clipping and the optimizer's step work on these.

With Muon (see `muon.py`) its matrices lie in groups of one shape, so that a group is a stack of matrices.

Working weights below fp32 have fp32 *masters*: the optimizer changes the masters, and the working weights are rounded
from them. Gradients of such weights are summed over micro-batches in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relsim.errors import TrainingError

_ALIGNMENT = 16  # elements: 64 bytes of fp32, so that each view begins where vector instructions like it


@dataclass(frozen=True, slots=True)
class _Group:
    """Parameters of one kind; every tensor is flat and of the same length."""

    decays: bool
    shape: tuple[int, int] | None  # of each matrix, where the group is a stack for Muon
    layout: str
    master: nn.Parameter  # fp32, what the optimizer steps; its gradient is a run of the whole gradient
    working: Tensor  # the master itself where parameters are fp32
    working_gradient: Tensor

    def stack(self, tensor: Tensor) -> Tensor:
        """A tensor of the group's length as matrices (k, m, n)."""
        rows, columns = self.shape or (1, len(tensor))
        return tensor.view(-1, _room(rows * columns))[:, : rows * columns].view(-1, rows, columns)


class FlatParameters:
    """Owns the storage of `named` from now on; `lowered` names those that work in `dtype`, the rest in fp32.

    Matrices (two axes and more) are weight-decayed, vectors and scalars (norms, biases, one row) are not. `stacked`
    names the matrices that Muon moves.
    """

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        *,
        lowered: frozenset[str] = frozenset(),
        stacked: frozenset[str] = frozenset(),
        dtype: torch.dtype,
    ) -> None:
        if not named:
            raise TrainingError("nothing in this network is left to train; see model.tune")
        kinds: dict[tuple[torch.dtype, bool, tuple[int, int] | None], list[str]] = {}
        for name, parameter in named.items():
            shape = (parameter.shape[0], parameter.shape[1]) if name in stacked else None
            kind = (dtype if name in lowered else torch.float32, parameter.dim() >= 2, shape)
            kinds.setdefault(kind, []).append(name)
        sizes = [sum(_room(named[name].numel()) for name in names) for names in kinds.values()]
        self.gradient = torch.zeros(sum(sizes), device=next(iter(named.values())).device)
        runs = torch.split(self.gradient, sizes)
        self._groups = [
            _lay_out({name: named[name] for name in names}, precision, run, decays=decays, shape=shape)
            for ((precision, decays, shape), names), run in zip(kinds.items(), runs, strict=True)
        ]
        self._lowered = [group for group in self._groups if group.working.dtype is not torch.float32]

    def __len__(self) -> int:
        """How many numbers are trained, padding included."""
        return len(self.gradient)

    @property
    def masters(self) -> list[nn.Parameter]:
        """The long fp32 tensors, for an optimizer."""
        return [group.master for group in self._groups]

    def decay_groups(self, weight_decay: float) -> list[dict[str, object]]:
        """Parameter groups for AdamW: all that is not stacked."""
        return [
            {"params": [group.master], "weight_decay": weight_decay if group.decays else 0.0}
            for group in self._groups
            if group.shape is None
        ]

    def stacks(self, weight_decay: float) -> list[dict[str, object]]:
        """Parameter groups for Muon; empty where nothing is stacked."""
        return [
            {"params": [group.master], "weight_decay": weight_decay, "stack": group.stack}
            for group in self._groups
            if group.shape is not None
        ]

    def zero_gradient(self) -> None:
        """Forget the gradient of the last step."""
        self.gradient.zero_()

    def collect(self) -> None:
        """After each backward pass: move what lies in lower precision to the fp32 gradient."""
        for group in self._lowered:
            _gradient_of(group).add_(group.working_gradient)
            group.working_gradient.zero_()

    def clip(self, limit: float | None) -> Tensor:
        """Scale the gradient to a norm of at most `limit`; returns the norm before. Nothing waits for the device."""
        norm: Tensor = torch.linalg.vector_norm(self.gradient)
        if limit is not None:
            self.gradient.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    def publish(self) -> None:
        """After each step: round the masters to the working weights."""
        for group in self._lowered:
            group.working.copy_(group.master.detach())

    def state(self) -> dict[str, Tensor]:
        """The masters, by number of group; `layout` tells them apart."""
        return {f"master.{number}": group.master.detach() for number, group in enumerate(self._groups)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over masters from `state`."""
        for name, master in self.state().items():
            master.copy_(state[name])
        self.publish()

    @property
    def layout(self) -> list[str]:
        """Names, shapes and precision of everything trained, in order: two equal layouts can exchange states."""
        return [group.layout for group in self._groups]


def _lay_out(
    named: Mapping[str, nn.Parameter],
    dtype: torch.dtype,
    gradient: Tensor,
    *,
    decays: bool,
    shape: tuple[int, int] | None,
) -> _Group:
    flat = torch.zeros_like(gradient)
    start, places = 0, {}
    for name, parameter in named.items():
        places[name] = slice(start, start + parameter.numel())
        flat[places[name]] = parameter.detach().flatten()
        start += _room(parameter.numel())
    plain = dtype is torch.float32
    working = flat if plain else flat.to(dtype)
    working_gradient = gradient if plain else torch.zeros_like(working)
    for name, parameter in named.items():
        # In this order: a gradient must be of the weight's type, and adapters are fp32 until now.
        parameter.data = working[places[name]].view(parameter.shape)
        parameter.grad = working_gradient[places[name]].view(parameter.shape)
    master = nn.Parameter(flat)
    master.grad = gradient
    shapes = " ".join(f"{name}{list(parameter.shape)}" for name, parameter in named.items())
    return _Group(decays, shape, f"{dtype} {shapes}", master, working, working_gradient)


def _gradient_of(group: _Group) -> Tensor:
    gradient = group.master.grad
    if gradient is None:
        raise TrainingError("an optimizer dropped the gradient; zero_grad must not be called on it")
    return gradient


def _room(numbers: int) -> int:
    return -(-numbers // _ALIGNMENT) * _ALIGNMENT
