"""Records in, vectors and failures out: decode threads ahead of the model, batches by memory, one outcome per record.

Records are taken in *windows*: as many as fill a few batches. The pictures of a window are sorted by cost and cut into
batches that keep to a budget of it, so that equal sizes meet and memory is bounded by tokens, not by a count. Windows
and batches follow from the records alone, never from timing: the same records always make the same batches. Records
may come in parts: a window ends with its part, while the threads are reading the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.base import AnyEncoder, Placed, Vectors
from relsim.encoders.read_ahead import Load, PartEnd, Ready, as_wanted, prepared_in_order, reason_of, windows
from relsim.environment import usable_cores
from relsim.errors import EncoderError, ImageError, MemoryShortageError
from relsim.models.memory import Halving

logger = logging.getLogger(__name__)

DEFAULT_BUDGET = 4_096
"""Cost of one batch in tokens on a CPU: a dozen pictures of 0.2 MP, about what keeps its caches warm."""
CUDA_BUDGET = 17_500
"""The same on a GPU: 64 pictures of 448 x 448, whose products are large enough for it."""
WINDOW_BATCHES = 4
"""Batches' worth of pictures that are sorted together."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One record and its vector (D,), unit length."""

    record: ImageRecord
    vector: NDArray[np.float32]


Outcome: TypeAlias = Encoded | Failure


def encode_records(
    records: Iterable[ImageRecord],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int | None = None,
    load: Load = load_image,
    halving: Halving | None = None,
) -> Iterator[Outcome]:
    """One outcome per record, window by window; inside a window failures come first, then pictures by cost.

    `workers` threads read (by `load`) and prepare pictures (default: one per core, at most 16); `budget` bounds the
    summed cost of a batch, a single larger picture apart (default: see `budget_of`). Nothing about one picture ends
    the stream. A batch that does not fit into memory halves all that follow; `halving` keeps that beyond this call.
    Raises `MemoryShortageError`.
    """
    stream = encode_parts([records], encoder, workers=workers, budget=budget, load=load, halving=halving)
    with closing(stream) as found:
        yield from (item for item in found if not isinstance(item, PartEnd))


def encode_parts(
    parts: Iterable[Iterable[ImageRecord]],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int | None = None,
    load: Load = load_image,
    halving: Halving | None = None,
) -> Generator[Outcome | PartEnd, None, None]:
    """As `encode_records` for each part by itself, and a `PartEnd` after it; parts are taken as they are to be read."""
    load = as_wanted(load, encoder)
    workers = workers or min(16, usable_cores())
    budget = budget or budget_of(encoder)
    ahead = WINDOW_BATCHES * budget
    halving = halving or batch_halving()
    # Closed before the pool, so that a stream that is left early does not finish what it was reading ahead.
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool,
        closing(prepared_in_order(pool, parts, encoder, load, workers=workers, budget=ahead)) as prepared,
    ):
        for window in windows(prepared, ahead):
            if isinstance(window, PartEnd):
                yield window
                continue
            yield from (item for item in window if isinstance(item, Failure))
            ready = [item for item in window if isinstance(item, Ready)]
            for batch in cut_by_cost([item.cost for item in ready], budget):
                yield from _encode(encoder, [ready[index] for index in batch], halving)


def budget_of(encoder: AnyEncoder) -> int:
    """The cost of a batch that suits where the encoder computes."""
    return CUDA_BUDGET if isinstance(encoder, Placed) and encoder.device.type == "cuda" else DEFAULT_BUDGET


def encode_usable(
    records: Iterable[ImageRecord],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[dict[str, NDArray[np.float32]], list[Failure]]:
    """The vectors (D,) of those records that could be used, by image id, and the others; see `encode_records`."""
    vectors: dict[str, NDArray[np.float32]] = {}
    failures: list[Failure] = []
    for outcome in encode_records(records, encoder, workers=workers, budget=budget):
        if isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            vectors[outcome.record.image_id] = outcome.vector
        if on_outcome is not None:
            on_outcome(outcome)
    return vectors, failures


def encode_all(
    records: Sequence[ImageRecord], encoder: AnyEncoder, *, workers: int | None = None, budget: int | None = None
) -> Vectors:
    """Vectors (len(records), D), in order. Raises `ImageError` naming the first source that cannot be used."""
    numbered = [ImageRecord(str(row), record.source, record.fields) for row, record in enumerate(records)]
    vectors = np.empty((len(records), encoder.dimension), np.float32)
    for outcome in encode_records(numbered, encoder, workers=workers, budget=budget):
        if isinstance(outcome, Failure):
            raise ImageError(outcome.status, f"{outcome.record.source}: {outcome.reason}")
        vectors[int(outcome.record.image_id)] = outcome.vector
    return vectors


def encode_images(encoder: AnyEncoder, images: Sequence[Image.Image], *, budget: int | None = None) -> Vectors:
    """Vectors (len(images), D) of RGB pictures in memory, in order. Raises `ImageError` for one it cannot take."""
    prepared = [encoder.prepare(image) for image in images]
    vectors = np.empty((len(images), encoder.dimension), np.float32)
    halving = batch_halving()
    for rows in cut_by_cost([encoder.cost(item) for item in prepared], budget or budget_of(encoder)):
        vectors[rows] = _checked(encoder, [prepared[row] for row in rows], halving)
    return vectors


def batch_halving() -> Halving:
    """What halves the batches of one run when one does not fit into memory."""
    return Halving("a smaller budget (--batch-tokens)")


def cut_by_cost(costs: Sequence[int], budget: int) -> list[list[int]]:
    """Indices sorted by cost and cut so that each batch costs at most `budget`, or is a single item beyond it."""
    batches: list[list[int]] = []
    spent = 0
    for index in sorted(range(len(costs)), key=lambda i: costs[i]):
        if not batches or spent + costs[index] > budget:
            batches.append([])
            spent = 0
        batches[-1].append(index)
        spent += costs[index]
    return batches


def _encode(encoder: AnyEncoder, batch: Sequence[Ready], halving: Halving) -> Iterator[Outcome]:
    """Outcomes of one batch; where the encoder fails on a batch, each of its pictures is tried alone."""
    try:
        vectors = _checked(encoder, [item.prepared for item in batch], halving)
    except Exception as error:
        if isinstance(error, MemoryShortageError) and error.pictures > 1:
            raise
        reason = reason_of(error)
        if len(batch) == 1:
            logger.debug("encoding %s failed", batch[0].record.image_id, exc_info=True)
            yield Failure(batch[0].record, Status.ENCODER, reason)
            return
    else:
        for item, vector in zip(batch, vectors, strict=True):
            if np.isfinite(vector).all():
                yield Encoded(item.record, vector.copy())  # a view would keep the whole batch in memory
            else:
                yield Failure(item.record, Status.ENCODER, "the encoder gave a vector that is not finite")
        return
    logger.warning("a batch of %d pictures failed (%s); trying them one by one", len(batch), reason)
    for item in batch:
        yield from _encode(encoder, [item], halving)


def _checked(encoder: AnyEncoder, batch: Sequence[Any], halving: Halving) -> Vectors:
    """Vectors of a batch; an encoder that gives another number or length of rows is refused."""
    found = halving.run(batch, lambda part: np.asarray(encoder.encode(part), np.float32))
    vectors = found[0] if len(found) == 1 else np.concatenate(found)
    if vectors.shape != (len(batch), encoder.dimension):
        raise EncoderError(
            f"the encoder {encoder.name} gave vectors of shape {vectors.shape} for a batch of {len(batch)}; "
            f"expected ({len(batch)}, {encoder.dimension})"
        )
    return vectors
