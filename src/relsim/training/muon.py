"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): steps along orthogonalised momentum, for matrices.

A matrix is moved by U·Vᵀ where its momentum is U·S·Vᵀ: all directions learn at one pace, those of small gradients too.
U·Vᵀ comes from five Newton-Schulz steps of a quintic polynomial whose coefficients make small singular values grow
fastest; they end between 0.7 and 1.2, which is near enough. Steps are scaled by 0.2·sqrt(max(m, n)), so that their root
mean square is that of AdamW and its learning rates can be kept (arXiv 2502.16982, section 2.2).

torch has a Muon of its own, which works in bf16 and takes matrices one by one. Here they lie end to end by shape (see
`flat.py`), so that a step is a few batched products, in fp32: on a CPU without bf16 instructions that is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: slope at zero as steep as convergence allows
_STEPS = 5
_RMS = 0.2  # of AdamW's steps, as measured in arXiv 2502.16982


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; weight decay is decoupled.

    Each group has one long parameter and `stack`, a function that shows a tensor of its length as matrices (k, m, n).
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # no closure is needed
        """Move every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon evaluates no closure; compute the gradient first")
        for group in self.param_groups:
            (parameter,) = group["params"]
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum: Tensor = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            stack = group["stack"]
            steps = orthogonal(stack(parameter.grad.lerp(momentum, group["momentum"])))
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            stack(parameter).add_(steps, alpha=-group["lr"] * _RMS * math.sqrt(max(steps.shape[1:])))


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly U·Vᵀ (k, m, n) for matrices U·S·Vᵀ (k, m, n); zero where a matrix is."""
    a, b, c = _COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x: Tensor = matrices if wide else matrices.mT
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)  # largest singular value at most 1
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT
