"""The forward pass of Qwen2.5-VL for one token: pictures in, the query token's last hidden state out.

The same function as transformers computes with the same weights, arranged for embedding:

- Pictures of any sizes are packed along one axis and nothing is padded, so a row cannot depend on its neighbours.
- Attention is one dense product per segment *length* (see `layout.py`); transformers runs one per window.
- The prompt before the image is the same for every picture and the language model is causal: its keys and values are
  computed once per model. Nothing after the query token is computed, and of the last layer only the query's row.
- Scaling and normalising pixels and repeating the still frame are linear: they are folded into the patch embedding,
  which reads 8-bit patches.
- What the grids of a batch fix is kept for batches that come again (see `tables.py`).
- Rotary pairs (i, i + d/2) are brought side by side by permuting the rows of the query and key weights, which leaves
  every attention score as it was; a rotation is then one complex product.
- Products that read the same input are joined where the weights are small. Large weights stay where they were loaded,
  which for a safetensors file on a CPU is the mapped file itself: a 7B model takes no memory twice.

`PackedQwen25VL` takes over the weights of the modules it is built from; those modules must not be used afterwards.
`plain.py` is the oracle that the tests hold it to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.models.attention import AttentionWatch
from relsim.models.kept_prompts import KeptPrompts
from relsim.models.layers import (
    Block,
    GatedMLP,
    KeyValues,
    Linear,
    Norm,
    attend,
    attend_last,
    padded,
    release,
    rotary_pairs,
    rotate,
)
from relsim.models.layout import Segments
from relsim.models.pixels import Patches, PixelConfig
from relsim.models.tables import BatchTables, PatchRotations, TableMaker, TokenRotations

_ALIGNED, _ALIGNED_ON = 64, {"cuda"}  # tensor cores want rows of whole 16 bytes; on a CPU it gains nothing (lab log)


class PackedQwen25VL:
    """Hidden states (B, H) of the query token for a batch of patches.

    `backbone` is a transformers `Qwen2_5_VLModel`; `prefix` and `suffix` are the prompt's token ids before and after
    the image, the suffix ending with the query token.
    """

    def __init__(self, backbone: Any, pixels: PixelConfig, prefix: Sequence[int], suffix: Sequence[int]) -> None:
        embedding: Tensor = backbone.language_model.embed_tokens.weight.detach()
        self.device, self.dtype = embedding.device, embedding.dtype
        self._prefix_length = len(prefix)
        self._suffix = embedding[list(suffix)].clone()
        prefix_states = embedding[list(prefix)].clone()
        release(backbone.language_model.embed_tokens)
        self._vision = _VisionTower(backbone.visual, pixels)
        self._language = _LanguageModel(backbone.language_model, prefix_states)
        self._tables = TableMaker(
            self._vision.rotations,
            self._language.rotations,
            pixels.merge_size,
            self._vision.window,
            self._prefix_length,
            len(self._suffix),
            self.device,
        ).kept()
        if self.device.type in _ALIGNED_ON:
            self.change_blocks(lambda block: replace(block, mlp=padded(block.mlp, _ALIGNED)))

    @staticmethod
    def supports(config: Any) -> bool:
        """Whether a network of this configuration computes what this pass computes."""
        text, vision = config.text_config, config.vision_config
        return (
            text.hidden_act == vision.hidden_act == "silu"
            and text.rope_parameters.get("rope_type") == "default"
            and not text.use_sliding_window
        )

    def change_blocks(self, change: Callable[[Block], Block]) -> None:
        """Put what `change` makes of each layer in its place, one after the other; the prefix is computed anew."""
        for blocks in (self._vision.blocks, self._language.blocks):
            for number, block in enumerate(blocks):
                blocks[number] = change(block)
        self._language.read_prefix()

    def __call__(self, batch: Sequence[Patches]) -> Tensor:
        """Hidden states (len(batch), H), in the order given."""
        order, tables = self._arranged(batch)
        return self._states(batch, order, tables)

    def read(self, batch: Sequence[Patches], room: int) -> tuple[Tensor, KeptPrompts]:
        """Hidden states as of a call, and all keys and values, with room for so many more tokens."""
        order, tables = self._arranged(batch)
        kept = KeptPrompts(tables.layout, order, room, self.device)
        return self._states(batch, order, tables, kept), kept

    def attention(self, batch: Sequence[Patches]) -> list[Tensor]:
        """Attention (layers, heads, n) of the query token to each picture's n merged tokens, in reading order."""
        order, tables = self._arranged(batch)
        watch = AttentionWatch(tables.layout, order)
        self._states(batch, order, tables, watch=watch)
        return watch.found(self._prefix_length, len(self._suffix))

    def go_on(self, states: Tensor, kept: KeptPrompts) -> Tensor:
        """Hidden states (R, H) after one more token for each row of `kept`, which is given as its embedding (R, H)."""
        with torch.inference_mode():
            return self._language.go_on(states, kept)

    def _arranged(self, batch: Sequence[Patches]) -> tuple[list[int], BatchTables]:
        """The pictures' order by size, and the tables of their grids in it."""
        order = sorted(range(len(batch)), key=lambda i: (len(batch[i].pixels), batch[i].grid))
        return order, self._tables(tuple(batch[i].grid for i in order))

    def _states(
        self,
        batch: Sequence[Patches],
        order: Sequence[int],
        tables: BatchTables,
        kept: KeptPrompts | None = None,
        watch: AttentionWatch | None = None,
    ) -> Tensor:
        pixels = torch.from_numpy(np.concatenate([batch[i].pixels for i in order])).to(self.device)
        with torch.inference_mode():
            tokens = torch.cat([self._vision(pixels, tables), self._suffix])[tables.tokens]
            states = self._language(tokens, tables, kept, watch)
            return states[torch.from_numpy(np.argsort(order)).to(self.device)]


class _VisionTower:
    """8-bit patches in, merged tokens (n / merge², H) out, both in the layout's window order."""

    def __init__(self, tower: Any, pixels: PixelConfig) -> None:
        config = tower.config
        self.window: int = config.window_size // config.spatial_merge_size // config.patch_size
        self._heads: int = config.num_heads
        self._full = frozenset(config.fullatt_block_indexes)
        self._dtype = tower.patch_embed.proj.weight.dtype
        self._embed = fold_pixels(tower.patch_embed.proj, pixels)
        self._frequencies: Tensor = tower.rotary_pos_emb.inv_freq.float()
        self.rotations = PatchRotations(self._frequencies)
        pairs = rotary_pairs(self._heads, config.hidden_size // self._heads)
        values = np.arange(2 * config.hidden_size, 3 * config.hidden_size)
        rows = np.concatenate([pairs, config.hidden_size + pairs, values])
        self.blocks = [
            Block(
                Norm.of(block.norm1),
                Linear.of(block.attn.qkv, rows=rows),
                Linear.of(block.attn.proj),
                Norm.of(block.norm2),
                GatedMLP.of(block.mlp),
            )
            for block in tower.blocks
        ]
        self._merger_norm = Norm.of(tower.merger.ln_q)
        self._merger_in, self._merger_out = Linear.of(tower.merger.mlp[0]), Linear.of(tower.merger.mlp[2])

    def __call__(self, pixels: Tensor, tables: BatchTables) -> Tensor:
        x = self._embed(pixels[tables.order].float()).to(self._dtype)
        for number, block in enumerate(self.blocks):
            segments = tables.pictures if number in self._full else tables.windows
            qkv = block.qkv(block.attention_norm(x)).view(len(x), 3, self._heads, -1)
            q, k = rotate(qkv[:, :2], tables.rotation).unbind(1)
            x = x + block.out(attend(q, k, qkv[:, 2], segments))
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
        self.rotations = TokenRotations(self._frequencies, config.rope_parameters["mrope_section"])
        head_size = config.hidden_size // self._query_heads
        rotated = rotary_pairs(self._query_heads + self._key_heads, head_size)
        rows = np.arange((self._query_heads + 2 * self._key_heads) * head_size)
        rows[: len(rotated)] = rotated
        self.blocks = [
            Block(
                Norm.of(layer.input_layernorm),
                Linear.of(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, rows=rows),
                Linear.of(layer.self_attn.o_proj),
                Norm.of(layer.post_attention_layernorm),
                GatedMLP.of(layer.mlp),
            )
            for layer in model.layers
        ]
        self._norm = Norm.of(model.norm)
        self._prefix_states = prefix
        self.read_prefix()

    def __call__(
        self,
        x: Tensor,
        tables: BatchTables,
        kept: KeptPrompts | None = None,
        watch: AttentionWatch | None = None,
    ) -> Tensor:
        rotation, last, prompts = tables.token_rotation, tables.last, tables.layout.prompts
        for block, prefix in zip(self.blocks[:-1], self._prefix[:-1], strict=True):
            q, k, v = self._project(block, x, rotation)
            if kept is not None:
                kept.add(prefix, k, v)
            if watch is not None:
                watch.add(q[last], prefix[0], k)
            x = self._finish(block, x, attend(q, k, v, prompts, prefix=prefix, causal=True))
        block, prefix = self.blocks[-1], self._prefix[-1]
        q, k, v = self._project(block, x, rotation)
        if kept is not None:
            kept.add(prefix, k, v)
        if watch is not None:
            watch.add(q[last], prefix[0], k)
        attended = attend_last(q[last], k, v, prompts, prefix)
        return self._norm(self._finish(block, x[last], attended))

    def go_on(self, x: Tensor, kept: KeptPrompts) -> Tensor:
        rotation = self.rotations(kept.places[:, None].expand(-1, 3))
        kept.begin_token()
        for number, block in enumerate(self.blocks):
            q, k, v = self._project(block, x, rotation)
            x = self._finish(block, x, kept.attend(number, q, k, v))
        return self._norm(x)

    def read_prefix(self) -> None:
        """Keys and values of the prefix in every layer; its positions count up from 0 on all three axes."""
        x = self._prefix_states
        positions = torch.arange(len(x), device=x.device)[:, None].expand(-1, 3)
        rotation = self.rotations(positions)
        whole = (Segments(0, 1, len(x)),)
        keys: list[KeyValues] = []
        with torch.inference_mode():
            for block in self.blocks:
                q, k, v = self._project(block, x, rotation)
                keys.append((k.transpose(0, 1)[None], v.transpose(0, 1)[None]))
                x = self._finish(block, x, attend(q, k, v, whole, causal=True))
        self._prefix = keys

    def _project(self, block: Block, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = self._query_heads + 2 * self._key_heads
        qkv = block.qkv(block.attention_norm(x)).view(len(x), heads, -1)
        rotated = rotate(qkv[:, : self._query_heads + self._key_heads], rotation)
        return rotated[:, : self._query_heads], rotated[:, self._query_heads :], qkv[:, -self._key_heads :]

    @staticmethod
    def _finish(block: Block, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.out(attended)
        x += block.mlp(block.mlp_norm(x))
        return x


def fold_pixels(convolution: nn.Conv3d, pixels: PixelConfig) -> Linear:
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
