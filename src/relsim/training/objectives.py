"""What training minimises: functions from tensors to losses, one number for each picture of a micro-batch.

The contrastive objective is the published one, InfoNCE from image to text (arXiv 1807.03748): the texts are frozen, so
the loss of a picture depends on its own embedding and on the texts alone. Losses of micro-batches against *all* texts
of a batch therefore add up to the batch's loss with its exact gradient, whatever the sizes:

    for part in parts: (contrastive_rows(embed(part), texts, targets[part], temperature).sum() / batch_size).backward()

The other direction, from text to image, needs the embeddings of all pictures at once; `embedding_gradient` gives the
gradient at the embeddings, so that a second pass over micro-batches can carry it into the network (arXiv 2101.06983).
Embeddings are unit vectors; similarities are computed in fp32 whatever the precision around them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses


def contrastive_rows(
    images: Tensor, texts: Tensor, targets: Tensor, temperature: float | Tensor, mask: Tensor | None = None
) -> Tensor:
    """Losses (b,) in nats of finding the text `targets[i]` for image i among all texts.

    `images` (b, D), `texts` (N, D), `targets` (b,) int64 rows of `texts`; `mask` (b, N) is true at texts that do not
    count as wrong answers (a picture's own text always counts). A temperature that is a tensor gets its gradient.
    """
    logits = _similarities(images, texts) / temperature
    if mask is not None:
        logits = logits.masked_fill(mask & ~_own(targets, len(texts)), float("-inf"))
    return F.cross_entropy(logits, targets, reduction="none")


def contrastive_columns(
    images: Tensor, texts: Tensor, targets: Tensor, temperature: float | Tensor, mask: Tensor | None = None
) -> Tensor:
    """Losses (B,) in nats of finding image i for its own text among all images of the batch; not separable.

    Arguments as for `contrastive_rows`, with the images of the whole batch. Pictures of one text count as wrong
    answers for each other unless `mask` hides them.
    """
    places = torch.arange(len(images), device=images.device)
    hidden = None if mask is None else mask[:, targets].T
    return contrastive_rows(texts[targets], images, places, temperature, hidden)


def contrastive_both(
    images: Tensor, texts: Tensor, targets: Tensor, temperature: float | Tensor, mask: Tensor | None = None
) -> Tensor:
    """Losses (B,): the mean of both directions, for the images of a whole batch."""
    rows = contrastive_rows(images, texts, targets, temperature, mask)
    return (rows + contrastive_columns(images, texts, targets, temperature, mask)) / 2


def embedding_gradient(images: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Value and gradient (B, D) of the scalar `loss(images)` at the embeddings of a whole batch.

    Other leaves that `loss` reads, such as a learned temperature, collect their gradient as in any backward pass. The
    second pass is `embed(part).backward(gradient[part])` for each micro-batch.
    """
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf)
        value.backward()  # type: ignore[no-untyped-call]  # torch has no types here
    if leaf.grad is None:
        raise ValueError("the loss does not depend on the embeddings")
    return value.detach(), leaf.grad


def group_numbers(groups: Sequence[str | None]) -> Tensor:
    """One number (N,) int64 for each group name, equal for equal names; -1 for a picture that has no group."""
    numbers: dict[str, int] = {}
    return torch.tensor([-1 if group is None else numbers.setdefault(group, len(numbers)) for group in groups])


def same_group_mask(groups: Tensor, targets: Tensor) -> Tensor:
    """Mask (b, N) of the other texts from the group of each picture's own text; `groups` (N,) as `group_numbers`."""
    own = groups[targets][:, None]
    return (own == groups) & (own >= 0) & ~_own(targets, len(groups))


def similar_caption_mask(texts: Tensor, targets: Tensor, threshold: float) -> Tensor:
    """Mask (b, N) of the other texts whose cosine with each picture's own text is at least `threshold`."""
    return (_similarities(texts[targets], texts) >= threshold) & ~_own(targets, len(texts))


def answer_loss(sums: Tensor, answer_tokens: int) -> Tensor:
    """Share of a micro-batch in the mean next-token loss of a batch.

    `sums` (b,) are the losses of whole answers, as `DenseQwen25VL.caption_loss` gives them, `answer_tokens` the number
    of answer tokens in the whole batch.
    """
    return sums.sum() / answer_tokens


def yes_no_rows(logits: Tensor, labels: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Losses (b,) in nats of answering yes or no; `logits` (b, 2) are those of "yes" and "no", `labels` (b,) bool.

    Only these two answers compete. A picture labelled yes counts `positive_weight` times.
    """
    labels = labels.to(logits.device)
    difference = logits[:, 0].float() - logits[:, 1].float()
    losses = F.softplus(torch.where(labels, -difference, difference))
    return torch.where(labels, losses * positive_weight, losses)


def yes_bias(positive_weight: float) -> float:
    """What is added to the logit of yes so that probabilities are those of pictures that count once each."""
    return math.log(1 / positive_weight)


def _similarities(rows: Tensor, columns: Tensor) -> Tensor:
    with torch.autocast(rows.device.type, enabled=False):
        return rows.float() @ columns.float().T


def _own(targets: Tensor, texts: int) -> Tensor:
    return F.one_hot(targets, texts).bool()
