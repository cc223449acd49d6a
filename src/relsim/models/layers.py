"""What the packed forward pass is built of: products, norms, gated MLPs, rotary embedding, attention over segments.

Weights are taken over from transformers' modules: where one copy is enough, none is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.models.layout import Indices, Segments

JOIN_BYTES = 16 * 1024**2
"""Weights up to this size are copied to be joined with their neighbours; a large product gains nothing by it."""

KeyValues = tuple[Tensor, Tensor]
"""Keys and values of the prompt's prefix in one layer, each (1, heads, length, head size)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix product with optional bias: weight (out, in)."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, in) to (…, out)."""
        return F.linear(x, self.weight, self.bias)

    @classmethod
    def of(cls, *modules: Any, rows: Indices | None = None) -> Linear:
        """One product in place of several that read the same input; `rows` reorders the outputs."""
        weight = _join([module.weight for module in modules])
        bias = None if modules[0].bias is None else _join([module.bias for module in modules])
        if rows is not None:
            index = torch.from_numpy(rows).to(weight.device)
            weight, bias = weight[index], None if bias is None else bias[index]
        for module in modules:
            release(module)
        return cls(weight, bias)


@dataclass(frozen=True, slots=True)
class Norm:
    """Root mean square normalisation over the last axis, in fp32, then times `weight` (arXiv 1910.07467)."""

    weight: Tensor
    epsilon: float

    @classmethod
    def of(cls, module: Any) -> Norm:
        """From a transformers RMS norm."""
        return cls(module.weight.detach(), float(module.variance_epsilon))

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, D), normalised."""
        # A CPU's vector units do not work on mixed types: widening first halves the time. A GPU would only read more.
        wide = x.float() if x.is_cpu else x
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True, dtype=torch.float32)
        scale = length.square_().div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
        scaled: Tensor = wide * scale if wide is x else wide.mul_(scale)
        return scaled.to(x.dtype).mul_(self.weight)


@dataclass(frozen=True, slots=True)
class GatedMLP:
    """`down(silu(gate(x)) * up(x))`; without `up`, `gate` gives both, one after the other."""

    gate: Linear
    up: Linear | None
    down: Linear

    @classmethod
    def of(cls, module: Any) -> GatedMLP:
        """From a transformers MLP with `gate_proj`, `up_proj` and `down_proj`."""
        down = Linear.of(module.down_proj)
        if module.gate_proj.weight.nbytes > JOIN_BYTES:
            return cls(Linear.of(module.gate_proj), Linear.of(module.up_proj), down)
        return cls(Linear.of(module.gate_proj, module.up_proj), None, down)

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, H) to (…, H)."""
        gate, up = self.gate(x).chunk(2, dim=-1) if self.up is None else (self.gate(x), self.up(x))
        return self.down(F.silu(gate, inplace=True).mul_(up))


def padded(mlp: GatedMLP, multiple: int) -> GatedMLP:
    """The same function with an inner width that is a multiple of that many: what is added is zero and stays zero."""
    missing = -mlp.down.weight.shape[1] % multiple
    if not missing:
        return mlp
    down = Linear(F.pad(mlp.down.weight, (0, missing)), mlp.down.bias)
    if mlp.up is not None:
        return GatedMLP(_with_rows(mlp.gate, missing), _with_rows(mlp.up, missing), down)
    weights = mlp.gate.weight.chunk(2)
    biases = (None, None) if mlp.gate.bias is None else mlp.gate.bias.chunk(2)
    halves = [_with_rows(Linear(weight, bias), missing) for weight, bias in zip(weights, biases, strict=True)]
    bias = None if mlp.gate.bias is None else _join([half.bias for half in halves if half.bias is not None])
    return GatedMLP(Linear(_join([half.weight for half in halves]), bias), None, down)


def _with_rows(linear: Linear, count: int) -> Linear:
    """A product with so many more outputs, all of them zero."""
    bias = None if linear.bias is None else F.pad(linear.bias, (0, count))
    return Linear(F.pad(linear.weight, (0, 0, 0, count)), bias)


@dataclass(frozen=True, slots=True)
class Block:
    """One transformer layer. `qkv` gives queries, keys and values, rotary pairs side by side."""

    attention_norm: Norm
    qkv: Linear
    out: Linear
    mlp_norm: Norm
    mlp: GatedMLP


def rotary_pairs(heads: int, head_size: int) -> Indices:
    """Order of a projection's output rows that puts the rotary pairs (i, i + head_size / 2) of each head together."""
    within = np.arange(head_size).reshape(2, -1).T.reshape(-1)
    rows: Indices = np.arange(heads)[:, None] * head_size + within
    return rows.reshape(-1)


def frequencies(theta: float, size: int) -> Tensor:
    """Rotary frequencies (size / 2,), from fp32: the modules' own buffers follow the weights to lower precision."""
    return 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float32) / size)


def rotation_of(angles: Tensor) -> Tensor:
    """Unit complex numbers (n, 1, d / 2) for angles (n, d / 2) in radians."""
    return torch.polar(torch.ones_like(angles), angles)[:, None]


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn the pairs of x (n, …, heads, d) by `rotation`, in fp32."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    if x.dim() > rotation.dim():
        rotation = rotation[:, None]
    return torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Sequence[Segments],
    *,
    prefix: KeyValues | None = None,
    causal: bool = False,
) -> Tensor:
    """Attention inside each segment for q, k, v (n, heads, d); result (n, heads * d).

    With a `prefix`, every segment continues it: its keys and values come first. They are given queries too (zeros,
    dropped afterwards), which keeps the mask a plain causal one.
    """
    attended = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    for run in segments:
        rows = None if run.rows is None else torch.as_tensor(run.rows, device=q.device)
        queries, keys, values = (_heads_first(tensor, run, rows) for tensor in (q, k, v))
        skip = 0
        if prefix is not None:
            skip = prefix[0].shape[2]
            queries = F.pad(queries, (0, 0, skip, 0))
            keys, values = _continue(prefix, keys, values)
        result = F.scaled_dot_product_attention(
            queries, keys, values, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1]
        )
        result = result[:, :, skip:].transpose(1, 2)
        if rows is None:
            attended[run.start : run.stop].view(result.shape).copy_(result)
        else:
            attended[rows] = result.reshape(-1, *q.shape[1:])
    return attended.flatten(1)


def attend_last(q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segments], prefix: KeyValues) -> Tensor:
    """Attention of one query per segment over prefix and segment: q (segments, heads, d) to (segments, heads * d)."""
    results = []
    first = 0
    for run in segments:
        keys, values = _continue(prefix, _heads_first(k, run, None), _heads_first(v, run, None))
        queries = q[first : first + run.count, :, None]
        result = F.scaled_dot_product_attention(queries, keys, values, enable_gqa=q.shape[1] != k.shape[1])
        results.append(result.flatten(1))
        first += run.count
    return torch.cat(results)


def _heads_first(x: Tensor, run: Segments, rows: Tensor | None) -> Tensor:
    """Rows of one run of segments as (count, heads, length, d)."""
    x = x[run.start : run.stop] if rows is None else x[rows]
    return x.view(run.count, run.length, *x.shape[1:]).transpose(1, 2)


def _continue(prefix: KeyValues, keys: Tensor, values: Tensor) -> KeyValues:
    before_keys, before_values = (part.expand(len(keys), -1, -1, -1) for part in prefix)
    return torch.cat([before_keys, keys], dim=2), torch.cat([before_values, values], dim=2)


def _join(parts: Sequence[Tensor]) -> Tensor:
    """One tensor of several; a single one stays where it is."""
    return torch.cat([part.detach() for part in parts]) if len(parts) > 1 else parts[0].detach()


def release(module: Any) -> None:
    """Drop a module's weights, so that taking them over never holds them twice."""
    module.weight = None
    if getattr(module, "bias", None) is not None:
        module.bias = None
