"""A pass through Qwen2.5-VL that can be trained: pictures of one grid in, a gradient for every weight that wants one.

The same function as transformers computes, over transformers' own modules: they, or the LoRA layers that peft puts in
their place, keep the weights, and saving them stays the libraries' business. What is arranged differently:

- All pictures of a batch have one grid, so every tensor is dense (B, N, H) and everything that depends on the grid
  alone (order, windows, rotations) is built once. Nothing waits for the device.
- The prompt before the image is the same for every picture and the language model is causal: it runs once, as a batch
  of one, and its keys and values are shared. With dropout it is dropped out once for all of them.
- The last layer computes the places that are read and no others; the language head runs at answers only.
- Scaling and normalising pixels and repeating the still frame are folded into the patch embedding, which reads 8-bit
  patches; its gradient is that of the published convolution.

`packed.py` is the pass for embedding: pictures of any sizes, no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.errors import CheckpointError
from relsim.models.dense_vision import VisionTower, gated, norm
from relsim.models.kernels import attend_causal, split_heads
from relsim.models.layers import JOIN_BYTES, frequencies, rotation_of
from relsim.models.layout import Grid, prompt_positions
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import PixelConfig


class DenseQwen25VL:
    """The differentiable pass over `model`, a `Qwen2_5_VLForConditionalGeneration`, plain or with peft's layers.

    Weights are read anew at each call, so an optimizer's step takes effect, and so does freezing a part. A model that
    is moved to another device needs a new pass.
    """

    def __init__(self, model: Any, pixels: PixelConfig) -> None:
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        if not PackedQwen25VL.supports(model.config):
            raise CheckpointError("this network computes something that the dense pass does not; see PackedQwen25VL")
        self._vision = VisionTower(model.model.visual, pixels)
        self._language = _LanguageModel(model.model.language_model, pixels.merge_size)
        self._head = model.lm_head

    def image_tokens(self, patches: Tensor, grid: Grid) -> Tensor:
        """Merged tokens (B, n / merge², H), in reading order, of patches (B, n, patch² * 3) uint8 on one grid."""
        return self._vision(patches, grid)

    def query_states(
        self,
        image_tokens: Tensor,
        prefix: Sequence[int],
        suffix: Sequence[int],
        query_row: Tensor | None = None,
        *,
        grid: Grid | None = None,
    ) -> Tensor:
        """Normalised last hidden states (B, H) of the prompt's last token, for token ids before and after the image.

        `query_row` (H,) stands in for the embedding of that token. `grid` counts patches; None means a square.
        """
        after = self._language.embed(suffix)
        if query_row is not None:
            after = torch.cat([after[:-1], query_row[None].to(after.dtype)])
        after = after.expand(len(image_tokens), -1, -1)
        return self._language(image_tokens, prefix, after, grid, places=1)[:, 0]

    def caption_loss(
        self,
        image_tokens: Tensor,
        prefix: Sequence[int],
        tokens: Tensor,
        answer_mask: Tensor,
        *,
        grid: Grid | None = None,
    ) -> Tensor:
        """Next-token cross-entropy (B,) in nats, summed over the answer's tokens of each picture.

        `tokens` (B, T) int64 is everything after the image, filled up on the right with any valid id; `answer_mask`
        (B, T) bool marks the tokens to predict. Where the mask lies on the CPU nothing waits for the device.
        """
        rows = answer_mask.nonzero(as_tuple=True)[0].to(image_tokens.device)
        logits = self.caption_logits(image_tokens, prefix, tokens, answer_mask, grid=grid)
        wanted = tokens[answer_mask].to(logits.device)
        losses = F.cross_entropy(logits.float(), wanted, reduction="none")
        return losses.new_zeros(len(tokens)).index_add(0, rows, losses)

    def caption_logits(
        self,
        image_tokens: Tensor,
        prefix: Sequence[int],
        tokens: Tensor,
        answer_mask: Tensor,
        *,
        grid: Grid | None = None,
    ) -> Tensor:
        """Logits (K, V) for each of the K tokens that `answer_mask` marks, in the order of `tokens[answer_mask]`.

        Arguments as for `caption_loss`.
        """
        rows, columns = answer_mask.nonzero(as_tuple=True)
        first = int(columns.min()) if len(columns) else tokens.shape[1]
        device = image_tokens.device
        rows, columns, tokens = rows.to(device), columns.to(device), tokens.to(device)
        states = self._language(
            image_tokens, prefix, self._language.embed(tokens), grid, places=tokens.shape[1] - first + 1
        )
        logits: Tensor = self._head(states[rows, columns - first])
        return logits

    def answer_logits(
        self,
        image_tokens: Tensor,
        prefix: Sequence[int],
        suffix: Sequence[int],
        answers: Sequence[int],
        *,
        grid: Grid | None = None,
    ) -> Tensor:
        """Logits (B, len(answers)) of those token ids as the one that follows the prompt."""
        states = self.query_states(image_tokens, prefix, suffix, grid=grid)
        logits: Tensor = self._head(states)[:, list(answers)]
        return logits


class _LanguageModel:
    def __init__(self, model: Any, merge: int) -> None:
        config = model.config
        self._model = model
        self._merge = merge
        self._heads: int = config.num_attention_heads
        self._key_heads: int = config.num_key_value_heads
        parameters = config.rope_parameters
        self._frequencies = frequencies(float(parameters["rope_theta"]), config.hidden_size // self._heads)
        # axis (temporal, vertical, horizontal) that each rotary frequency turns with
        self._axes = torch.arange(3).repeat_interleave(torch.tensor(parameters["mrope_section"]))
        self._tables: dict[tuple[Grid, int, int], tuple[Tensor, Tensor]] = {}
        self._ids: dict[tuple[int, ...], Tensor] = {}

    def embed(self, ids: Tensor | Sequence[int]) -> Tensor:
        """Embeddings (…, H) of token ids."""
        if not isinstance(ids, Tensor):
            key, device = tuple(ids), self._model.norm.weight.device
            if key not in self._ids:
                self._ids[key] = torch.tensor(key, device=device)
            ids = self._ids[key]
        embedded: Tensor = self._model.embed_tokens(ids)
        return embedded

    def __call__(
        self, image_tokens: Tensor, prefix: Sequence[int], after: Tensor, grid: Grid | None, *, places: int
    ) -> Tensor:
        """Normalised last states (B, places, H) of the last `places` tokens of prefix, image and `after` (B, S, H)."""
        rotation_before, rotation = self._tables_of(
            self._token_grid(grid, image_tokens.shape[1]), len(prefix), after.shape[1], image_tokens.device
        )
        before = self.embed(prefix)[None]
        x = torch.cat([image_tokens.to(after.dtype), after], dim=1)
        for layer in self._model.layers[:-1]:
            keys, before = self._prefix(layer, before, rotation_before)
            x = self._layer(layer, x, rotation, keys)
        keys = self._keys(layer := self._model.layers[-1], norm(layer.input_layernorm, before), rotation_before)
        return norm(self._model.norm, self._last_layer(layer, x, rotation, keys, places))

    def _prefix(self, layer: Any, x: Tensor, rotation: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        q, k, v = self._project(layer, norm(layer.input_layernorm, x), rotation)
        return (k, v), _finish(layer, x, attend_causal(q, k, v))

    def _layer(self, layer: Any, x: Tensor, rotation: Tensor, before: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = self._project(layer, norm(layer.input_layernorm, x), rotation)
        return _finish(layer, x, attend_causal(q, *_continue(before, k, v)))

    def _last_layer(
        self, layer: Any, x: Tensor, rotation: Tensor, before: tuple[Tensor, Tensor], places: int
    ) -> Tensor:
        normed = norm(layer.input_layernorm, x)
        k, v = self._keys(layer, normed, rotation)
        q = _project([layer.self_attn.q_proj], normed[:, -places:])
        (q,) = split_heads(q, rotation[-places:], (self._heads,), 1)
        return _finish(layer, x[:, -places:], attend_causal(q, *_continue(before, k, v)))

    def _project(self, layer: Any, x: Tensor, rotation: Tensor) -> tuple[Tensor, ...]:
        attention = layer.self_attn
        qkv = _project([attention.q_proj, attention.k_proj, attention.v_proj], x)
        return split_heads(qkv, rotation, (self._heads, self._key_heads, self._key_heads), 2)

    def _keys(self, layer: Any, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        kv = _project([layer.self_attn.k_proj, layer.self_attn.v_proj], x)
        k, v = split_heads(kv, rotation, (self._key_heads, self._key_heads), 1)
        return k, v

    def _token_grid(self, grid: Grid | None, tokens: int) -> Grid:
        if grid is None:
            side = math.isqrt(tokens)
            grid = (side * self._merge, side * self._merge)
        rows, columns = grid[0] // self._merge, grid[1] // self._merge
        if rows * columns != tokens:
            raise ValueError(f"{tokens} image tokens do not lie on a grid of {grid[0]} by {grid[1]} patches")
        return rows, columns

    def _tables_of(self, tokens: Grid, prefix: int, after: int, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (tokens, prefix, after)
        if key not in self._tables:
            before = torch.arange(prefix)[:, None].expand(-1, 3)
            positions = torch.from_numpy(prompt_positions(tokens, prefix, after))
            first, second = (
                rotation_of(places[:, self._axes] * self._frequencies).to(device) for places in (before, positions)
            )
            self._tables[key] = first, second
        return self._tables[key]


def _finish(layer: Any, x: Tensor, attended: Tensor) -> Tensor:
    x = x + layer.self_attn.o_proj(attended)
    return x + gated(layer.mlp, norm(layer.post_attention_layernorm, x))


def _project(modules: Sequence[Any], x: Tensor) -> Tensor:
    """Outputs of modules that read the same input, side by side; plain small ones as one product."""
    if len(modules) == 1:
        single: Tensor = modules[0](x)
        return single
    if all(type(module) is nn.Linear and module.weight.nbytes <= JOIN_BYTES for module in modules):
        weight = torch.cat([module.weight for module in modules])
        bias = None if modules[0].bias is None else torch.cat([module.bias for module in modules])
        return F.linear(x, weight, bias)
    return torch.cat([module(x) for module in modules], dim=-1)


def _continue(before: tuple[Tensor, Tensor], k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = (part.expand(len(k), -1, -1, -1) for part in before)
    return torch.cat([keys, k], dim=1), torch.cat([values, v], dim=1)
