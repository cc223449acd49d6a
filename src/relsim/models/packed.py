"""The forward pass of Qwen2.5-VL for one token: pictures in, the query token's last hidden state out.

The same function as transformers computes with the same weights, arranged for embedding:

- Pictures of any sizes are packed along one axis and nothing is padded, so a row cannot depend on its neighbours.
- Attention is one dense product per segment *length* (see `layout.py`); transformers runs one per window.
- The prompt before the image is the same for every picture and the language model is causal: its keys and values are
  computed once per model. Nothing after the query token is computed, and of the last layer only the query's row.
- Scaling and normalising pixels and repeating the still frame are linear: they are folded into the patch embedding,
  which reads 8-bit patches.
- Rotary pairs (i, i + d/2) are brought side by side by permuting the rows of the query and key weights, which leaves
  every attention score as it was; a rotation is then one complex product.
- Products that read the same input are joined where the weights are small. Large weights stay where they were loaded,
  which for a safetensors file on a CPU is the mapped file itself: a 7B model takes no memory twice.

`PackedQwen25VL` takes over the weights of the modules it is built from; those modules must not be used afterwards.
`plain.py` is the oracle that the tests hold it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.models.layout import BatchLayout, Grid, Indices, Segments, batch_layout
from relsim.models.pixels import Patches, PixelConfig

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
            _release(module)
        return cls(weight, bias)


@dataclass(frozen=True, slots=True)
class Norm:
    """Root mean square normalisation over the last axis, in fp32, then times `weight` (arXiv 1910.07467)."""

    weight: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        """X (…, D), normalised."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = length.square_().div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
        normalised: Tensor = (x * scale).to(x.dtype)
        return normalised.mul_(self.weight)


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


@dataclass(frozen=True, slots=True)
class Block:
    """One transformer layer. `qkv` gives queries, keys and values, rotary pairs side by side."""

    attention_norm: Norm
    qkv: Linear
    out: Linear
    mlp_norm: Norm
    mlp: GatedMLP


class PackedQwen25VL:
    """Hidden states (B, H) of the query token for a batch of patches.

    `backbone` is a transformers `Qwen2_5_VLModel`; `prefix` and `suffix` are the prompt's token ids before and after
    the image, the suffix ending with the query token.
    """

    def __init__(self, backbone: Any, pixels: PixelConfig, prefix: Sequence[int], suffix: Sequence[int]) -> None:
        embedding: Tensor = backbone.language_model.embed_tokens.weight.detach()
        self.device, self.dtype = embedding.device, embedding.dtype
        self._merge = pixels.merge_size
        self._prefix_length = len(prefix)
        self._suffix = embedding[list(suffix)].clone()
        prefix_states = embedding[list(prefix)].clone()
        _release(backbone.language_model.embed_tokens)
        self._vision = _VisionTower(backbone.visual, pixels)
        self._language = _LanguageModel(backbone.language_model, prefix_states)

    @staticmethod
    def supports(config: Any) -> bool:
        """Whether a network of this configuration computes what this pass computes."""
        text, vision = config.text_config, config.vision_config
        return (
            text.hidden_act == vision.hidden_act == "silu"
            and text.rope_parameters.get("rope_type") == "default"
            and not text.use_sliding_window
        )

    def __call__(self, batch: Sequence[Patches]) -> Tensor:
        """Hidden states (len(batch), H), in the order given."""
        order = sorted(range(len(batch)), key=lambda i: (len(batch[i].pixels), batch[i].grid))
        batch = [batch[i] for i in order]
        layout = self._layout([patches.grid for patches in batch])
        pixels = torch.from_numpy(np.concatenate([patches.pixels for patches in batch])).to(self.device)
        with torch.inference_mode():
            tokens = torch.cat([self._vision(pixels, layout), self._suffix])[self._index(layout.tokens)]
            states = self._language(tokens, layout)
            return states[self._index(np.argsort(order))]

    def _layout(self, grids: Sequence[Grid]) -> BatchLayout:
        return batch_layout(
            grids,
            merge=self._merge,
            window=self._vision.window,
            prefix=self._prefix_length,
            suffix=len(self._suffix),
        )

    def _index(self, rows: Indices) -> Tensor:
        return torch.from_numpy(rows).to(self.device)


class _VisionTower:
    """8-bit patches in, merged tokens (n / merge², H) out, both in the layout's window order."""

    def __init__(self, tower: Any, pixels: PixelConfig) -> None:
        config = tower.config
        self.window: int = config.window_size // config.spatial_merge_size // config.patch_size
        self._heads: int = config.num_heads
        self._full = frozenset(config.fullatt_block_indexes)
        self._dtype = tower.patch_embed.proj.weight.dtype
        self._embed = _fold_pixels(tower.patch_embed.proj, pixels)
        self._frequencies: Tensor = tower.rotary_pos_emb.inv_freq.float()
        pairs = rotary_pairs(self._heads, config.hidden_size // self._heads)
        values = np.arange(2 * config.hidden_size, 3 * config.hidden_size)
        rows = np.concatenate([pairs, config.hidden_size + pairs, values])
        self._blocks = [
            Block(
                _norm(block.norm1),
                Linear.of(block.attn.qkv, rows=rows),
                Linear.of(block.attn.proj),
                _norm(block.norm2),
                GatedMLP.of(block.mlp),
            )
            for block in tower.blocks
        ]
        self._merger_norm = _norm(tower.merger.ln_q)
        self._merger_in, self._merger_out = Linear.of(tower.merger.mlp[0]), Linear.of(tower.merger.mlp[2])

    def __call__(self, pixels: Tensor, layout: BatchLayout) -> Tensor:
        device = pixels.device
        x = self._embed(pixels[torch.from_numpy(layout.order).to(device)].float()).to(self._dtype)
        positions = torch.from_numpy(layout.positions).to(device)
        rotation = _rotation((positions[..., None] * self._frequencies).flatten(1))
        for number, block in enumerate(self._blocks):
            segments = layout.pictures if number in self._full else layout.windows
            qkv = block.qkv(block.attention_norm(x)).view(len(x), 3, self._heads, -1)
            q, k = _rotate(qkv[:, :2], rotation).unbind(1)
            x = x + block.out(_attend(q, k, qkv[:, 2], segments))
            x += block.mlp(block.mlp_norm(x))
        merged = self._merger_norm(x).view(-1, self._merger_in.weight.shape[1])
        return self._merger_out(F.gelu(self._merger_in(merged)))


class _LanguageModel:
    """Token states in prompt order in, the normalised last state of every prompt out."""

    def __init__(self, model: Any, prefix: Tensor) -> None:
        config = model.config
        self._query_heads: int = config.num_attention_heads
        self._key_heads: int = config.num_key_value_heads
        self._frequencies: Tensor = model.rotary_emb.inv_freq.float()
        sections = config.rope_parameters["mrope_section"]
        # axis (temporal, vertical, horizontal) that each rotary frequency turns with
        self._axes = torch.arange(3, device=prefix.device).repeat_interleave(
            torch.tensor(sections, device=prefix.device)
        )
        head_size = config.hidden_size // self._query_heads
        rotated = rotary_pairs(self._query_heads + self._key_heads, head_size)
        rows = np.arange((self._query_heads + 2 * self._key_heads) * head_size)
        rows[: len(rotated)] = rotated
        self._blocks = [
            Block(
                _norm(layer.input_layernorm),
                Linear.of(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, rows=rows),
                Linear.of(layer.self_attn.o_proj),
                _norm(layer.post_attention_layernorm),
                GatedMLP.of(layer.mlp),
            )
            for layer in model.layers
        ]
        self._norm = _norm(model.norm)
        self._prefix = self._prefix_keys(prefix)

    def __call__(self, x: Tensor, layout: BatchLayout) -> Tensor:
        rotation = self._rotation(torch.from_numpy(layout.token_positions).to(x.device))
        last = torch.from_numpy(layout.last).to(x.device)
        for block, prefix in zip(self._blocks[:-1], self._prefix[:-1], strict=True):
            q, k, v = self._project(block, x, rotation)
            x = self._finish(block, x, _attend(q, k, v, layout.prompts, prefix=prefix, causal=True))
        block, prefix = self._blocks[-1], self._prefix[-1]
        q, k, v = self._project(block, x, rotation)
        attended = _attend_last(q[last], k, v, layout.prompts, prefix)
        return self._norm(self._finish(block, x[last], attended))

    def _prefix_keys(self, x: Tensor) -> list[KeyValues]:
        """Keys and values of the prefix in every layer; its positions count up from 0 on all three axes."""
        positions = torch.arange(len(x), device=x.device)[:, None].expand(-1, 3)
        rotation = self._rotation(positions)
        whole = (Segments(0, 1, len(x)),)
        keys: list[KeyValues] = []
        with torch.inference_mode():
            for block in self._blocks:
                q, k, v = self._project(block, x, rotation)
                keys.append((k.transpose(0, 1)[None], v.transpose(0, 1)[None]))
                x = self._finish(block, x, _attend(q, k, v, whole, causal=True))
        return keys

    def _project(self, block: Block, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = self._query_heads + 2 * self._key_heads
        qkv = block.qkv(block.attention_norm(x)).view(len(x), heads, -1)
        rotated = _rotate(qkv[:, : self._query_heads + self._key_heads], rotation)
        return rotated[:, : self._query_heads], rotated[:, self._query_heads :], qkv[:, -self._key_heads :]

    @staticmethod
    def _finish(block: Block, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.out(attended)
        x += block.mlp(block.mlp_norm(x))
        return x

    def _rotation(self, positions: Tensor) -> Tensor:
        return _rotation(positions[:, self._axes] * self._frequencies)


def rotary_pairs(heads: int, head_size: int) -> Indices:
    """Order of a projection's output rows that puts the rotary pairs (i, i + head_size / 2) of each head together."""
    within = np.arange(head_size).reshape(2, -1).T.reshape(-1)
    rows: Indices = np.arange(heads)[:, None] * head_size + within
    return rows.reshape(-1)


def _rotation(angles: Tensor) -> Tensor:
    """Unit complex numbers (n, 1, d / 2) for angles (n, d / 2) in radians."""
    return torch.polar(torch.ones_like(angles), angles)[:, None]


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn the pairs of x (n, …, heads, d) by `rotation`, in fp32."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    if x.dim() > rotation.dim():
        rotation = rotation[:, None]
    return torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)


def _attend(
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
        rows = None if run.rows is None else torch.from_numpy(run.rows).to(q.device)
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


def _attend_last(q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segments], prefix: KeyValues) -> Tensor:
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


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach(), float(module.variance_epsilon))


def _fold_pixels(convolution: nn.Conv3d, pixels: PixelConfig) -> Linear:
    """The patch embedding as a product with 8-bit patches (row, column, channel), in fp32.

    W·((x / 255 - mean) / std), summed over the repeated frame, is W'·x + b with W' = W / (255 std), b = -W·mean / std.
    """
    weight = convolution.weight.detach().float().sum(dim=2)
    std, mean = (torch.tensor(values, device=weight.device).view(1, 3, 1, 1) for values in (pixels.std, pixels.mean))
    folded = (weight / (255 * std)).permute(0, 2, 3, 1).flatten(1).contiguous()
    bias = -(weight * (mean / std)).sum(dim=(1, 2, 3))
    if convolution.bias is not None:
        bias += convolution.bias.detach().float()
    return Linear(folded, bias)


def _join(parts: Sequence[Tensor]) -> Tensor:
    """One tensor of several; a single one stays where it is."""
    return torch.cat([part.detach() for part in parts]) if len(parts) > 1 else parts[0].detach()


def _release(module: Any) -> None:
    """Drop a module's weights, so that taking them over never holds them twice."""
    module.weight = None
    if getattr(module, "bias", None) is not None:
        module.bias = None
