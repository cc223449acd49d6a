"""The elementwise parts of a network's forward and backward pass, in as few passes over memory as torch allows.

On a CPU, what autograd makes of these formulas costs as much as the matrix products of a small network. Each is a
function with a gradient written out; the tests hold them to autograd's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

EXPLICIT_SCORES = 4096
"""Up to this many scores per head and picture, two plain products are faster on a CPU than the fused attention."""


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Root mean square normalisation of x (…, D) over the last axis, then times `weight` (arXiv 1910.07467)."""
    if x.device.type == "cpu" and x.dtype is torch.float32 is weight.dtype:
        normalised: Tensor = _RMSNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]  # torch has no types here
        return normalised
    return F.rms_norm(x, x.shape[-1:], weight, epsilon)


def split_heads(x: Tensor, rotation: Tensor, heads: Sequence[int], turned: int) -> tuple[Tensor, ...]:
    """Cut x (B, n, sum(heads) * d) into parts (B, n, heads[i], d) and turn the first `turned` of them.

    `rotation` (n, 1, d / 2) are unit complex numbers; the pair (i, i + d / 2) of each head is one complex number. A
    turned part comes out with its pairs side by side: scores are the same as long as queries and keys both do.
    """
    parts: tuple[Tensor, ...] = _SplitHeads.apply(x, rotation, tuple(heads), turned)  # type: ignore[no-untyped-call]  # as above
    return parts


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of all to all for q, k, v (B, n, heads, d); result (B, n, heads * d)."""
    result = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return result.transpose(1, 2).flatten(2)


def attend_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of the *last* t places q (B, t, heads, d) to all s places k, v (B, s, key heads, d)."""
    t, s = q.shape[1], k.shape[1]
    if q.device.type == "cpu" and t * s <= EXPLICIT_SCORES:
        return _attend_explicitly(q, k, v)
    queries = q.transpose(1, 2)
    if 1 < t < s:  # queries of zero in front make the mask a plain causal one, which fused kernels know
        queries = F.pad(queries, (0, 0, s - t, 0))
    result = F.scaled_dot_product_attention(
        queries, k.transpose(1, 2), v.transpose(1, 2), is_causal=t > 1, enable_gqa=q.shape[2] != k.shape[2]
    )
    return result[:, :, -t:].transpose(1, 2).flatten(2)


def _attend_explicitly(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries that share a key head are rows of one product."""
    batch, t, heads, d = q.shape
    s, key_heads = k.shape[1:3]
    group = heads // key_heads
    queries = q.view(batch, t, key_heads, group, d).permute(0, 2, 3, 1, 4).reshape(-1, group * t, d)
    keys = k.permute(0, 2, 3, 1).reshape(-1, d, s)
    values = v.transpose(1, 2).reshape(-1, s, d)
    hidden = torch.full((t, s), float("-inf"), dtype=q.dtype, device=q.device).triu(s - t + 1).repeat(group, 1)
    scores = torch.baddbmm(hidden, queries, keys, alpha=d**-0.5)
    result = torch.bmm(scores.softmax(-1), values).view(batch, key_heads, group, t, d)
    return result.permute(0, 3, 1, 2, 4).reshape(batch, t, heads * d)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normalised: Tensor = x * scale
        ctx.save_for_backward(normalised, scale, weight)
        return normalised * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        normalised, scale, weight = ctx.saved_tensors
        products = gradient * normalised
        for_weight = products.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, for_weight, None
        along = torch.matmul(products, weight).div_(len(weight)).unsqueeze(-1)
        torch.mul(gradient, weight, out=products)
        return products.addcmul_(normalised, along, value=-1).mul_(scale), for_weight, None


class _SplitHeads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rotation: Tensor, heads: tuple[int, ...], turned: int) -> tuple[Tensor, ...]:
        ctx.save_for_backward(rotation)
        ctx.heads, ctx.turned = heads, turned
        parts = torch.split(x.view(*x.shape[:-1], sum(heads), -1), list(heads), dim=2)
        return *(_turn(part, rotation) for part in parts[:turned]), *parts[turned:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (rotation,) = ctx.saved_tensors
        batch, n, _, d = gradients[0].shape
        whole = gradients[0].new_empty(batch, n, sum(ctx.heads), d)
        parts = torch.split(whole, ctx.heads, dim=2)
        for part, gradient in zip(parts[: ctx.turned], gradients, strict=False):
            _turn_back(gradient, rotation, part)
        for part, gradient in zip(parts[ctx.turned :], gradients[ctx.turned :], strict=True):
            part.copy_(gradient)
        return whole.flatten(2), None, None, None


def _turn(x: Tensor, rotation: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    pairs = torch.complex(x[..., :half].float(), x[..., half:].float()).mul_(rotation)
    return torch.view_as_real(pairs).flatten(-2).to(x.dtype)


def _turn_back(gradient: Tensor, rotation: Tensor, out: Tensor) -> None:
    half = out.shape[-1] // 2
    if gradient.stride(-1) != 1:
        gradient = gradient.contiguous()
    pairs = torch.view_as_complex(gradient.float().view(*out.shape[:-1], half, 2)) * rotation.conj_physical()
    out[..., :half].copy_(pairs.real)
    out[..., half:].copy_(pairs.imag)
