"""Records in, vectors and failures out: decode threads ahead of the model, batches by memory, one outcome per record.

Records are taken in *windows*: as many as fill a few batches. The pictures of a window are sorted by cost and cut into
batches that keep to a budget of it, so that equal sizes meet and memory is bounded by tokens, not by a count. Windows
and batches follow from the records alone, never from timing: the same records always make the same batches.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.encoders.base import AnyEncoder, RecordEncoder, Vectors, draft_of
from relsim.environment import usable_cores
from relsim.errors import EncoderError, ImageError, MemoryShortageError
from relsim.models.memory import Halving

logger = logging.getLogger(__name__)

DEFAULT_BUDGET = 4_096
"""Cost of one batch in tokens: a dozen pictures of 0.2 MP, about what keeps a CPU's caches warm."""
WINDOW_BATCHES = 4
"""Batches' worth of pictures that are sorted together."""
READ_AHEAD = 8
"""Pictures per worker, at most, that are being read or wait for the model."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One record and its vector (D,), unit length."""

    record: ImageRecord
    vector: NDArray[np.float32]


Outcome: TypeAlias = Encoded | Failure

Load: TypeAlias = Callable[[ImageRecord], LoadedImage | Failure]
"""How a record becomes a picture: `load_image`, or what looks it up where it was read before. Thread-safe."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A prepared picture, its place among the records and its cost."""

    record: ImageRecord
    prepared: Any
    cost: int


def encode_records(
    records: Iterable[ImageRecord],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int = DEFAULT_BUDGET,
    load: Load = load_image,
    halving: Halving | None = None,
) -> Iterator[Outcome]:
    """One outcome per record, window by window; inside a window failures come first, then pictures by cost.

    `workers` threads read (by `load`) and prepare pictures (default: one per core, at most 16); `budget` bounds the
    summed cost of a batch, a single larger picture apart. Nothing about one picture ends the stream. A batch that does
    not fit into memory halves all that follow; `halving` keeps that beyond this call. Raises `MemoryShortageError`.
    """
    load = as_wanted(load, encoder)
    workers = workers or min(16, usable_cores())
    ahead = WINDOW_BATCHES * budget
    halving = halving or batch_halving()
    # Closed before the pool, so that a stream that is left early does not finish what it was reading ahead.
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool,
        closing(_in_order(pool, records, _preparer(encoder, load), workers=workers, budget=ahead)) as prepared,
    ):
        for window in _windows(prepared, ahead):
            yield from (item for item in window if isinstance(item, Failure))
            ready = [item for item in window if isinstance(item, _Ready)]
            for batch in cut_by_cost([item.cost for item in ready], budget):
                yield from _encode(encoder, [ready[index] for index in batch], halving)


def encode_usable(
    records: Iterable[ImageRecord],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int = DEFAULT_BUDGET,
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


def as_wanted(load: Load, reader: object) -> Load:
    """How an encoder or captioner wants files read.

    What looks pictures up where they were read before (`load`) says by its own `draft` how that was. Raises
    `EncoderError` where it was another way.
    """
    side = draft_of(reader)
    if load is load_image:
        return load if side is None else functools.partial(load_image, draft=side)
    if draft_of(load) != side:
        raise EncoderError(f"pictures were read with draft={draft_of(load)}, and are wanted with draft={side}")
    return load


def encode_all(
    records: Sequence[ImageRecord], encoder: AnyEncoder, *, workers: int | None = None, budget: int = DEFAULT_BUDGET
) -> Vectors:
    """Vectors (len(records), D), in order. Raises `ImageError` naming the first source that cannot be used."""
    numbered = [ImageRecord(str(row), record.source, record.fields) for row, record in enumerate(records)]
    vectors = np.empty((len(records), encoder.dimension), np.float32)
    for outcome in encode_records(numbered, encoder, workers=workers, budget=budget):
        if isinstance(outcome, Failure):
            raise ImageError(outcome.status, f"{outcome.record.source}: {outcome.reason}")
        vectors[int(outcome.record.image_id)] = outcome.vector
    return vectors


def encode_images(encoder: AnyEncoder, images: Sequence[Image.Image], *, budget: int = DEFAULT_BUDGET) -> Vectors:
    """Vectors (len(images), D) of RGB pictures in memory, in order. Raises `ImageError` for one it cannot take."""
    prepared = [encoder.prepare(image) for image in images]
    vectors = np.empty((len(images), encoder.dimension), np.float32)
    halving = batch_halving()
    for rows in cut_by_cost([encoder.cost(item) for item in prepared], budget):
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


def _in_order(
    pool: ThreadPoolExecutor,
    records: Iterable[ImageRecord],
    prepare: Callable[[ImageRecord], _Ready | Failure],
    *,
    workers: int,
    budget: int,
) -> Generator[_Ready | Failure, None, None]:
    """Prepared pictures in the order of their records.

    Reading runs ahead until what is prepared and waits costs `budget`; each worker has something to do all the same.
    """
    todo = iter(records)
    pending: deque[Future[_Ready | Failure]] = deque()

    expected = budget  # cost of a picture that is still being read: that of the last one known, at first a whole budget

    def has_room() -> bool:
        if len(pending) < 2 * workers:
            return True
        return len(pending) < READ_AHEAD * workers and sum(_cost(future, expected) for future in pending) < budget

    def read_on() -> None:
        while has_room() and (record := next(todo, None)) is not None:
            pending.append(pool.submit(prepare, record))

    try:
        read_on()
        while pending:
            done = pending.popleft().result()
            expected = done.cost if isinstance(done, _Ready) else expected
            read_on()  # before the model runs on what is given out
            yield done
    finally:
        for future in pending:
            future.cancel()


def _cost(future: Future[_Ready | Failure], expected: int) -> int:
    """Cost of what a worker has prepared, or is expected to prepare; a failure costs nothing."""
    if not future.done():
        return expected
    result = future.result()
    return result.cost if isinstance(result, _Ready) else 0


def _preparer(encoder: AnyEncoder, load: Load) -> Callable[[ImageRecord], _Ready | Failure]:
    return lambda record: _prepare(encoder, record, load)


def _prepare(encoder: AnyEncoder, record: ImageRecord, load: Load) -> _Ready | Failure:
    loaded = load(record)
    if not isinstance(loaded, LoadedImage):
        return loaded
    try:
        if isinstance(encoder, RecordEncoder):
            prepared = encoder.prepare_record(loaded)
        else:
            prepared = encoder.prepare(loaded.image)
        # A picture that costs nothing would let a window grow for ever.
        return _Ready(record, prepared, max(1, encoder.cost(prepared)))
    except ImageError as error:
        known = error.status in {status.value for status in Status}
        return Failure(record, Status(error.status) if known else Status.ENCODER, error.reason)
    except Exception as error:
        logger.debug("preparing %s failed", record.image_id, exc_info=True)
        return Failure(record, Status.ENCODER, _first_line(error))


def _windows(items: Iterator[_Ready | Failure], budget: int) -> Iterator[list[_Ready | Failure]]:
    window: list[_Ready | Failure] = []
    spent = 0
    for item in items:
        window.append(item)
        spent += item.cost if isinstance(item, _Ready) else 1
        if spent >= budget:
            yield window
            window, spent = [], 0
    if window:
        yield window


def _encode(encoder: AnyEncoder, batch: Sequence[_Ready], halving: Halving) -> Iterator[Outcome]:
    """Outcomes of one batch; where the encoder fails on a batch, each of its pictures is tried alone."""
    try:
        vectors = _checked(encoder, [item.prepared for item in batch], halving)
    except Exception as error:
        if isinstance(error, MemoryShortageError) and error.pictures > 1:
            raise
        reason = _first_line(error)
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


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
