"""Keys and values of prompts that have been read, for answers token by token (see `packed.py`).

Rows are answers. All prompts end at one column, shorter ones are hidden in front, and each further token takes one
column more, so that attention over all rows is one dense product.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.models.layers import KeyValues
from relsim.models.layout import BatchLayout


class KeptPrompts:
    """Of a batch, one row for each picture in the order given; `order` says which picture stands where in `layout`."""

    def __init__(self, layout: BatchLayout, order: Sequence[int], room: int, device: torch.device) -> None:
        todo = iter(order)
        self._runs = [(run, list(islice(todo, run.count))) for run in layout.prompts]
        self._longest = max(run.length for run, _ in self._runs)
        self._room = room
        self._layers: list[KeyValues] = []
        self._end = 0  # columns in use, the prefix included; known with the first layer
        self._visible: Tensor | None = None  # (R, columns), where prompts differ in length
        places = torch.empty(len(order), dtype=torch.long)
        places[list(order)] = torch.from_numpy(layout.token_positions[layout.last, 0]) + 1
        self.places = places.to(device)
        """Position (R,) of each row's next token, on all three axes."""

    def add(self, prefix: KeyValues, k: Tensor, v: Tensor) -> None:
        """Keep one more layer: its prefix, and keys and values (n, key heads, d) of all prompts in layout order."""
        before = prefix[0].shape[2]
        if not self._layers:
            self._end = before + self._longest
            self._visible = self._mask(before, k.device)
        self._layers.append((self._laid_out(prefix[0], k), self._laid_out(prefix[1], v)))

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (R,) only, in this order; a row that is named twice goes on twice."""
        self._layers = [(keys[rows], values[rows]) for keys, values in self._layers]
        self._visible = None if self._visible is None else self._visible[rows]
        self.places = self.places[rows]

    def begin_token(self) -> None:
        """Make a column for one more token of each row. Raises `IndexError` where there is no room for it."""
        if self._end == self._layers[0][0].shape[2]:
            raise IndexError(f"there was room for {self._room} tokens after the prompt")
        self._end += 1
        self.places = self.places + 1

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of the new tokens' q (R, heads, d) over what is kept and their own k, v; (R, heads * d)."""
        keys, values = self._layers[layer]
        keys[:, :, self._end - 1], values[:, :, self._end - 1] = k, v
        # Queries that share a key head are the rows of one product.
        queries = q.view(len(q), keys.shape[1], -1, q.shape[-1])
        mask = None if self._visible is None else self._visible[:, None, None, : self._end]
        result = F.scaled_dot_product_attention(queries, keys[:, :, : self._end], values[:, :, : self._end], mask)
        return result.flatten(1)

    def _laid_out(self, prefix: Tensor, x: Tensor) -> Tensor:
        """Prefix (1, key heads, p, d) and prompts (n, key heads, d) as (rows, key heads, columns, d)."""
        before = prefix.shape[2]
        kept = x.new_zeros(len(self.places), x.shape[1], self._end + self._room, x.shape[2])
        for run, rows in self._runs:
            start = self._end - run.length
            part = x[run.start : run.stop].view(run.count, run.length, *x.shape[1:]).transpose(1, 2)
            kept[rows, :, start : self._end] = part
            kept[rows, :, start - before : start] = prefix
        return kept

    def _mask(self, before: int, device: torch.device) -> Tensor | None:
        if len(self._runs) == 1:
            return None
        visible = torch.ones(len(self.places), self._end + self._room, dtype=torch.bool)
        for run, rows in self._runs:
            visible[rows, : self._end - run.length - before] = False
        return visible.to(device)
