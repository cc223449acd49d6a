"""How well embeddings find captions and pictures of their group: what a run is watched by.

Ranks count the wrong answers that score strictly higher, so equal scores never help a wrong answer to win nor depend
on an order. All figures are means over pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NEIGHBOURS = 10
_BLOCK = 1024


def caption_metrics(images: Tensor, texts: Tensor, own: Sequence[Tensor]) -> dict[str, float]:
    """Retrieval of captions for pictures: r@1, r@10 and mrr (mean reciprocal rank).

    `images` (B, D) and `texts` (N, D) are unit vectors; `own[i]` are the rows of `texts` that describe picture i. The
    rank of a picture is that of the best of its own captions among all texts that are not its own.
    """
    ranks = torch.cat(
        [
            _ranks(images[start : start + _BLOCK], texts, own[start : start + _BLOCK])
            for start in range(0, len(images), _BLOCK)
        ]
    ).double()
    return {
        "r@1": (ranks < 1).double().mean().item(),
        "r@10": (ranks < 10).double().mean().item(),
        "mrr": (1 / (ranks + 1)).mean().item(),
    }


def _ranks(images: Tensor, texts: Tensor, own: Sequence[Tensor]) -> Tensor:
    scores = images.float() @ texts.float().T
    mine = torch.zeros_like(scores, dtype=torch.bool)
    for row, numbers in zip(mine, own, strict=True):
        row[numbers.to(row.device)] = True
    best = scores.masked_fill(~mine, float("-inf")).amax(1, keepdim=True)
    return ((scores > best) & ~mine).sum(1)


def group_precision(images: Tensor, groups: Tensor) -> float | None:
    """Precision@10: the share of each picture's 10 nearest others that are of its group.

    `groups` (B,) are numbers, -1 for none. Pictures whose group has no other member are left out; None if none is left.
    With fewer than 11 pictures all others are the nearest.
    """
    numbers, counts = torch.unique(groups, return_counts=True)
    several = numbers[(counts > 1) & (numbers >= 0)]
    asked = torch.isin(groups, several).nonzero()[:, 0]
    if not len(asked):
        return None
    nearest = min(NEIGHBOURS, len(images) - 1)
    hits = []
    for part in torch.split(asked, _BLOCK):
        scores = images[part].float() @ images.float().T
        scores[torch.arange(len(part), device=scores.device), part] = float("-inf")
        found = scores.topk(nearest, dim=1).indices
        hits.append((groups[found] == groups[part][:, None]).double().mean(1))
    return torch.cat(hits).mean().item()
