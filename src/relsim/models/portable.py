"""The network of a fixed square as one module of real numbers, which torch can trace for other runtimes.

    pixels (B, side, side, 3) uint8  ->  vectors (B, D) float32, unit length

The same function as `packed.py` computes, from the same weights, in fp32. Everything that the size of the picture fixes
is a constant of the module: order, windows, rotations, and the keys and values of the prompt before the image. There is
no complex number, no gradient and no branch, and the batch may be of any size. How pixels come from a picture stays
outside: a recipe and the processor's resize are Pillow's (`prepared_steps` spells them out).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.errors import CheckpointError
from relsim.models.checkpoint import Checkpoint
from relsim.models.layers import frequencies
from relsim.models.layout import Indices, Segments, equal_runs, grid_layout, prompt_positions
from relsim.models.packed import PackedQwen25VL, fold_pixels
from relsim.models.pixels import PixelConfig, Recipe, smart_resize
from relsim.models.prompt import Prompt


def pixel_side(recipe: Recipe, pixels: PixelConfig) -> int:
    """Side in pixels of the square that the network is shown. Raises `CheckpointError` for a recipe without one."""
    if recipe.side is None:
        raise CheckpointError(
            f"the recipe {recipe.value} leaves pictures their own size; this form needs one of a fixed square, "
            "such as crop448"
        )
    return smart_resize(recipe.side, recipe.side, pixels)[0]


def prepared_steps(recipe: Recipe, pixels: PixelConfig) -> list[dict[str, Any]]:
    """What is to be done with a decoded picture, step by step, until it is the network's input."""
    side = pixel_side(recipe, pixels)
    steps: list[dict[str, Any]] = [{"do": "orient", "by": "EXIF"}, {"do": "convert", "mode": "RGB"}]
    if recipe.kind == "crop":
        steps.append({"do": "crop", "part": "centred square"})
    steps.append({"do": "resize", "size": [recipe.side, recipe.side], "filter": "lanczos"})
    if side != recipe.side:
        steps.append({"do": "resize", "size": [side, side], "filter": "bicubic"})
    return steps


class PortableQwen25VL(nn.Module):
    """See the module. `backbone` is a `Qwen2_5_VLModel`, or one that was read without transformers, in fp32."""

    def __init__(self, backbone: Any, checkpoint: Checkpoint, prompt: Prompt, pixels: PixelConfig) -> None:
        super().__init__()
        if not PackedQwen25VL.supports(backbone.config):
            raise CheckpointError("this network computes something that the portable pass does not")
        self.side = pixel_side(checkpoint.recipe, pixels)
        table: Tensor = backbone.get_input_embeddings().weight.detach()
        self._vision = _VisionTower(backbone.visual, pixels, self.side)
        tokens = self.side // pixels.factor
        self._language = _LanguageModel(
            backbone.language_model, tokens, table[list(prompt.prefix)], table[list(prompt.suffix)]
        )
        self._projection = _linear(checkpoint.projection_weight.float(), checkpoint.projection_bias.float())

    def forward(self, pixels: Tensor) -> Tensor:
        """Vectors (B, D) of pictures (B, side, side, 3) uint8."""
        states = self._language(self._vision(pixels))
        return F.normalize(self._projection(states), dim=-1)


class _VisionTower(nn.Module):
    """Merged tokens (B, n / merge², H), in reading order."""

    kernel: Tensor
    bias: Tensor
    positions: Tensor
    reading: Tensor

    def __init__(self, tower: Any, pixels: PixelConfig, side: int) -> None:
        super().__init__()
        config = tower.config
        count = side // pixels.patch_size
        window = config.window_size // config.spatial_merge_size // config.patch_size
        layout = grid_layout((count, count), pixels.merge_size, window)
        fold = fold_pixels(tower.patch_embed.proj, pixels)
        # It reads patches as (row, column, channel); a convolution reads (channel, row, column).
        kernel = fold.weight.view(len(fold.weight), pixels.patch_size, pixels.patch_size, 3).permute(0, 3, 1, 2)
        _keep(self, "kernel", kernel)
        _keep(self, "bias", fold.bias if fold.bias is not None else torch.zeros(len(kernel)))
        self._stride = pixels.patch_size
        self._heads: int = config.num_heads
        head_size = config.hidden_size // self._heads
        theta = float(config.rope_parameters["rope_theta"])
        angles = (torch.from_numpy(layout.positions)[..., None] * frequencies(theta, head_size // 2)).flatten(1)
        self._turn = _Turn(angles)
        _keep(self, "positions", layout.positions[:, 0] * count + layout.positions[:, 1])
        _keep(self, "reading", layout.reading)
        whole, windows = equal_runs([len(layout.order)]), equal_runs(layout.windows)
        full = frozenset(config.fullatt_block_indexes)
        self._segments = [whole if number in full else windows for number in range(config.depth)]
        self._blocks = nn.ModuleList(_VisionBlock(block) for block in tower.blocks)
        self._norm = _norm(tower.merger.ln_q)
        self._merged: int = tower.merger.mlp[0].weight.shape[1]
        self._into = _linear(tower.merger.mlp[0].weight, tower.merger.mlp[0].bias)
        self._out = _linear(tower.merger.mlp[2].weight, tower.merger.mlp[2].bias)

    def forward(self, pixels: Tensor) -> Tensor:
        planes = pixels.permute(0, 3, 1, 2).float()
        x = F.conv2d(planes, self.kernel, self.bias, stride=self._stride)
        x = x.flatten(2).transpose(1, 2)[:, self.positions]
        blocks: Any = self._blocks
        for block, segments in zip(blocks, self._segments, strict=True):
            x = x + block.proj(self._attended(block.qkv(block.norm1(x)), segments))
            x = x + block.mlp(block.norm2(x))
        merged = _split(self._norm(x), 1, len(self.reading), -1).flatten(2)[:, self.reading]
        tokens: Tensor = self._out(F.gelu(self._into(merged)))
        return tokens

    def _attended(self, qkv: Tensor, segments: tuple[Segments, ...]) -> Tensor:
        q, k, v = _split(qkv, 2, 3, self._heads, -1).unbind(2)
        q, k = self._turn(q), self._turn(k)
        results = []
        for run in segments:
            inside = [_split(part[:, run.start : run.stop], 1, run.count, run.length) for part in (q, k, v)]
            queries, keys, values = (part.flatten(0, 1).transpose(1, 2) for part in inside)
            attended = _attend(queries, keys, values).transpose(1, 2).flatten(2)
            results.append(_split(attended, 0, -1, run.count).flatten(1, 2))
        return torch.cat(results, dim=1)


class _LanguageModel(nn.Module):
    """Normalised last states (B, H) of the query token, for merged tokens (B, n, H)."""

    suffix: Tensor
    hidden: Tensor

    def __init__(self, model: Any, tokens: int, prefix: Tensor, suffix: Tensor) -> None:
        super().__init__()
        config = model.config
        heads, key_heads = config.num_attention_heads, config.num_key_value_heads
        rates = frequencies(float(config.rope_parameters["rope_theta"]), config.hidden_size // heads)
        axes = torch.arange(3).repeat_interleave(torch.tensor(config.rope_parameters["mrope_section"]))
        places = torch.from_numpy(prompt_positions((tokens, tokens), len(prefix), len(suffix)))
        before = torch.arange(len(prefix))[:, None].expand(-1, 3)
        self._layers = nn.ModuleList(_Layer(layer, heads, key_heads) for layer in model.layers)
        self._norm = _norm(model.norm)
        self._turn = _Turn(places[:, axes] * rates)
        self._turn_last = _Turn(places[-1:, axes] * rates)
        _keep(self, "suffix", suffix[None].clone())
        length = len(prefix) + len(places)
        hidden = torch.full((length, length), float("-inf")).triu(1)
        _keep(self, "hidden", hidden[len(prefix) :])
        self._set_prefix(prefix[None], _Turn(before[:, axes] * rates), hidden[: len(prefix), : len(prefix)])

    def _set_prefix(self, x: Tensor, turn: _Turn, hidden: Tensor) -> None:
        """Keys and values of the prompt before the image, which are the same for every picture."""
        layers: Any = self._layers
        with torch.no_grad():
            for layer in layers:
                normed = layer.norm1(x)
                q, k, v = layer.queries(normed, turn), layer.keys(normed, turn), layer.values(normed)
                x = layer.finish(x, _attend(q, k, v, hidden))
                _keep(layer, "before_keys", k)
                _keep(layer, "before_values", v)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.cat([image, self.suffix.expand(image.shape[0], -1, -1)], dim=1)
        for layer in self._layers[:-1]:
            x = layer(x, self._turn, self._turn, self.hidden)
        x = self._layers[-1](x, self._turn, self._turn_last)
        last: Tensor = self._norm(x)[:, 0]
        return last


class _Layer(nn.Module):
    before_keys: Tensor
    before_values: Tensor

    def __init__(self, layer: Any, heads: int, key_heads: int) -> None:
        super().__init__()
        attention = layer.self_attn
        self._heads, self._key_heads = heads, key_heads
        self._q, self._k, self._v = (
            _linear(module.weight, module.bias) for module in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        self._o = _linear(attention.o_proj.weight, attention.o_proj.bias)
        self.norm1, self._norm2 = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self._mlp = _GatedMLP(layer.mlp)

    def forward(self, x: Tensor, turn: _Turn, turn_queries: _Turn, hidden: Tensor | None = None) -> Tensor:
        """All rows of x (B, n, H), or the last ones alone, as many as `turn_queries` turns."""
        normed = self.norm1(x)
        asked = turn_queries.length
        k = self._continued(self.before_keys, self.keys(normed, turn))
        v = self._continued(self.before_values, self.values(normed))
        q = self.queries(normed[:, -asked:], turn_queries)
        return self.finish(x[:, -asked:], _attend(q, k, v, hidden))

    def queries(self, normed: Tensor, turn: _Turn) -> Tensor:
        """(B, heads, n, d)."""
        turned: Tensor = turn(_split(self._q(normed), 2, self._heads, -1))
        return turned.transpose(1, 2)

    def keys(self, normed: Tensor, turn: _Turn) -> Tensor:
        """(B, key heads, n, d)."""
        turned: Tensor = turn(_split(self._k(normed), 2, self._key_heads, -1))
        return turned.transpose(1, 2)

    def values(self, normed: Tensor) -> Tensor:
        """(B, key heads, n, d)."""
        values: Tensor = self._v(normed)
        return _split(values, 2, self._key_heads, -1).transpose(1, 2)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer, after attention (B, heads, n, d)."""
        x = x + self._o(attended.transpose(1, 2).flatten(2))
        finished: Tensor = x + self._mlp(self._norm2(x))
        return finished

    @staticmethod
    def _continued(before: Tensor, after: Tensor) -> Tensor:
        return torch.cat([before.expand(after.shape[0], -1, -1, -1), after], dim=2)


class _VisionBlock(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(block.norm1), _norm(block.norm2)
        self.qkv = _linear(block.attn.qkv.weight, block.attn.qkv.bias)
        self.proj = _linear(block.attn.proj.weight, block.attn.proj.bias)
        self.mlp = _GatedMLP(block.mlp)


class _GatedMLP(nn.Module):
    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self._gate, self._up, self._down = (
            _linear(module.weight, module.bias) for module in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self._down(F.silu(self._gate(x)) * self._up(x))
        return inner


class _Turn(nn.Module):
    """Rotary embedding by angles (n, d / 2): the pair (i, i + d / 2) of each head of x (B, n, heads, d) is turned."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, angles: Tensor) -> None:
        super().__init__()
        self.length = len(angles)
        _keep(self, "cosines", angles.cos()[:, None])
        _keep(self, "sines", angles.sin()[:, None])

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return torch.cat(
            [first * self.cosines - second * self.sines, second * self.cosines + first * self.sines], dim=-1
        )


def _attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Attention (B, heads, n, d) of q (B, heads, n, d) to k, v (B, key heads, s, d); `hidden` (n, s) is added."""
    queries = _split(q, 1, k.shape[1], -1) * q.shape[-1] ** -0.5
    scores = queries @ k[:, :, None].transpose(3, 4)
    if hidden is not None:
        scores = scores + hidden
    attended: Tensor = scores.softmax(dim=-1) @ v[:, :, None]
    return attended.flatten(1, 2)


def _split(x: Tensor, axis: int, *sizes: int) -> Tensor:
    """Axis `axis` of x as several axes of those sizes; -1 is what remains."""
    split: Tensor = x.unflatten(axis, sizes)  # type: ignore[no-untyped-call]  # torch has no types here
    return split


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    rows, columns = weight.shape
    layer = nn.Linear(columns, rows, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


def _norm(module: Any) -> nn.RMSNorm:
    layer = nn.RMSNorm(module.weight.shape, eps=float(module.variance_epsilon), device="meta")
    layer.weight = nn.Parameter(module.weight.detach(), requires_grad=False)
    return layer


def _keep(module: nn.Module, name: str, values: Tensor | Indices) -> None:
    """A constant of the module."""
    module.register_buffer(name, torch.as_tensor(values).contiguous(), persistent=False)
