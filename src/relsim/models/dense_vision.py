"""The vision tower of the pass that can be trained (`dense.py`), and layers that the language model has as well."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.errors import CheckpointError
from relsim.models.kernels import attend, rms_norm, split_heads
from relsim.models.layers import frequencies, rotation_of
from relsim.models.layout import Grid, Segments, equal_runs, grid_layout
from relsim.models.pixels import PixelConfig


@dataclass(frozen=True, slots=True)
class _VisionTables:
    """What a grid fixes, on the device. `order` and `reading` are None where they would change nothing."""

    order: Tensor | None  # (n,) window order, as rows of the processor's order
    reading: Tensor | None  # (n / merge²,) reading order, as rows of window order
    rotation: Tensor  # (n, 1, d / 2)
    windows: tuple[Segments, ...]
    picture: tuple[Segments, ...]


class VisionTower:
    """Merged tokens (B, n / merge², H), in reading order, of patches (B, n, patch² * 3) uint8 on one grid."""

    def __init__(self, tower: Any, pixels: PixelConfig) -> None:
        config = tower.config
        self._tower = tower
        self._pixels = pixels
        self._window: int = config.window_size // config.spatial_merge_size // config.patch_size
        self._heads: int = config.num_heads
        self._full = frozenset(config.fullatt_block_indexes)
        self._fold = PatchFold(tower.patch_embed.proj, pixels)
        theta = float(config.rope_parameters["rope_theta"])
        self._frequencies = frequencies(theta, config.hidden_size // config.num_heads // 2)
        self._tables: dict[Grid, _VisionTables] = {}

    def __call__(self, patches: Tensor, grid: Grid) -> Tensor:
        """Without a graph where no weight of the tower is trained."""
        frozen = not any(parameter.requires_grad for parameter in self._tower.parameters())
        with torch.no_grad() if frozen else nullcontext():
            return self._forward(patches, self._tables_of(grid, patches.device))

    def _forward(self, patches: Tensor, tables: _VisionTables) -> Tensor:
        if tables.order is not None:
            patches = patches[:, tables.order]
        x = self._fold(patches)
        for number, block in enumerate(self._tower.blocks):
            segments = tables.picture if number in self._full else tables.windows
            qkv = block.attn.qkv(norm(block.norm1, x))
            q, k, v = split_heads(qkv, tables.rotation, (self._heads,) * 3, 2)
            x = x + block.attn.proj(_attend_segments(q, k, v, segments))
            x = x + gated(block.mlp, norm(block.norm2, x))
        merger = self._tower.merger
        merged = norm(merger.ln_q, x).view(len(x), -1, merger.hidden_size)
        if tables.reading is not None:
            merged = merged[:, tables.reading]
        tokens: Tensor = merger.mlp(merged)
        return tokens

    def _tables_of(self, grid: Grid, device: torch.device) -> _VisionTables:
        if grid not in self._tables:
            layout = grid_layout(grid, self._pixels.merge_size, self._window)
            several = len(layout.windows) > 1
            angles = torch.from_numpy(layout.positions)[..., None] * self._frequencies
            self._tables[grid] = _VisionTables(
                order=torch.from_numpy(layout.order).to(device) if several else None,
                reading=torch.from_numpy(layout.reading).to(device) if several else None,
                rotation=rotation_of(angles.flatten(1)).to(device),
                windows=equal_runs(layout.windows),
                picture=equal_runs([len(layout.order)]),
            )
        return self._tables[grid]


class PatchFold:
    """The patch embedding as a product with 8-bit patches (row, column, channel), in fp32.

    W·((x / 255 - mean) / std), summed over the repeated frame, is W'·x + b with W' = W / (255 std), b = -W·mean / std.
    W' follows from the convolution's weight at each call, with its gradient; of a frozen weight it is kept.
    """

    def __init__(self, convolution: Any, pixels: PixelConfig) -> None:
        if type(convolution) is not nn.Conv3d:
            raise CheckpointError(f"the patch embedding is a {type(convolution).__name__}; it takes no adapter")
        self._convolution = convolution
        self._pixels = pixels
        self._kept: tuple[tuple[int, int], tuple[Tensor, Tensor]] | None = None

    def __call__(self, patches: Tensor) -> Tensor:
        """Patches (…, patch² * 3) uint8 to (…, H)."""
        weight, bias = self._current()
        with torch.autocast(patches.device.type, enabled=False):
            return F.linear(patches.float(), weight, bias).to(self._convolution.weight.dtype)

    def _current(self) -> tuple[Tensor, Tensor]:
        source: Tensor = self._convolution.weight
        if source.requires_grad:
            return self._folded()
        state = source.data_ptr(), source._version  # noqa: SLF001 - torch's only word on whether it was written to
        if self._kept is None or self._kept[0] != state:
            self._kept = state, self._folded()
        return self._kept[1]

    def _folded(self) -> tuple[Tensor, Tensor]:
        weight = self._convolution.weight.float().sum(dim=2)
        mean, std = (
            torch.tensor(values, device=weight.device).view(1, 3, 1, 1)
            for values in (self._pixels.mean, self._pixels.std)
        )
        folded = (weight / (255 * std)).permute(0, 2, 3, 1).flatten(1)
        bias = -(weight * (mean / std)).sum(dim=(1, 2, 3))
        if self._convolution.bias is not None:
            bias = bias + self._convolution.bias.float()
        return folded, bias


def norm(module: Any, x: Tensor) -> Tensor:
    """X (…, D) through a transformers RMS norm."""
    return rms_norm(x, module.weight, module.variance_epsilon)


def gated(mlp: Any, x: Tensor) -> Tensor:
    """X (…, H) through a gated MLP of transformers, `down(silu(gate(x)) * up(x))`."""
    gated: Tensor = mlp.down_proj(F.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
    return gated


def _attend_segments(q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segments]) -> Tensor:
    """Attention inside each segment of q, k, v (B, n, heads, d); result (B, n, heads * d)."""
    results = []
    for run in segments:
        parts = (part[:, run.start : run.stop].reshape(-1, run.length, *part.shape[2:]) for part in (q, k, v))
        results.append(attend(*parts).view(len(q), run.count * run.length, -1))
    return results[0] if len(results) == 1 else torch.cat(results, dim=1)
