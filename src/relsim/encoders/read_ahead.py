"""Pictures read and prepared by threads ahead of the model, in the order of their records, and cut into windows."""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.encoders.base import AnyEncoder, RecordEncoder, draft_of
from relsim.errors import EncoderError, ImageError, first_line

logger = logging.getLogger(__name__)

READ_AHEAD = 16
"""Pictures per worker, at most, that are being read or wait for the model."""

Load: TypeAlias = Callable[[ImageRecord], LoadedImage | Failure]
"""How a record becomes a picture: `load_image`, or what looks it up where it was read before. Thread-safe."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A prepared picture, its record and its cost."""

    record: ImageRecord
    prepared: Any
    cost: int


class PartEnd:
    """Stands in a stream where the records of a part have ended."""


END = PartEnd()

Item: TypeAlias = Ready | Failure | PartEnd


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


def prepared_in_order(
    pool: ThreadPoolExecutor,
    parts: Iterable[Iterable[ImageRecord]],
    encoder: AnyEncoder,
    load: Load,
    *,
    workers: int,
    budget: int,
) -> Generator[Item, None, None]:
    """Prepared pictures in the order of their records, and where parts end.

    Reading runs ahead until what is prepared and waits costs `budget`; each worker has something to do all the same.
    """
    todo = _with_ends(parts)
    pending: deque[Future[Item]] = deque()

    def prepare(item: ImageRecord | PartEnd) -> Item:
        return item if isinstance(item, PartEnd) else _prepare(encoder, item, load)

    expected = budget  # cost of a picture that is still being read: that of the last one known, at first a whole budget

    def has_room() -> bool:
        if len(pending) < 2 * workers:
            return True
        return len(pending) < READ_AHEAD * workers and sum(_cost(future, expected) for future in pending) < budget

    def read_on() -> None:
        while has_room() and (item := next(todo, None)) is not None:
            pending.append(pool.submit(prepare, item))

    try:
        read_on()
        while pending:
            done = pending.popleft().result()
            expected = done.cost if isinstance(done, Ready) else expected
            read_on()  # before the model runs on what is given out
            yield done
    finally:
        for future in pending:
            future.cancel()


def _with_ends(parts: Iterable[Iterable[ImageRecord]]) -> Iterator[ImageRecord | PartEnd]:
    for part in parts:
        yield from part
        yield END


def _cost(future: Future[Item], expected: int) -> int:
    """Cost of what a worker has prepared, or is expected to prepare; what is no picture costs nothing."""
    if not future.done():
        return expected
    result = future.result()
    return result.cost if isinstance(result, Ready) else 0


def _prepare(encoder: AnyEncoder, record: ImageRecord, load: Load) -> Ready | Failure:
    loaded = load(record)
    if not isinstance(loaded, LoadedImage):
        return loaded
    try:
        if isinstance(encoder, RecordEncoder):
            prepared = encoder.prepare_record(loaded)
        else:
            prepared = encoder.prepare(loaded.image)
        # A picture that costs nothing would let a window grow for ever.
        return Ready(record, prepared, max(1, encoder.cost(prepared)))
    except ImageError as error:
        known = error.status in {status.value for status in Status}
        return Failure(record, Status(error.status) if known else Status.ENCODER, error.reason)
    except Exception as error:
        logger.debug("preparing %s failed", record.image_id, exc_info=True)
        return Failure(record, Status.ENCODER, reason_of(error))


def windows(items: Iterator[Item], budget: int) -> Iterator[list[Ready | Failure] | PartEnd]:
    """Items until they cost `budget` or their part ends; then that it ends."""
    window: list[Ready | Failure] = []
    spent = 0
    for item in items:
        if isinstance(item, PartEnd):
            if window:
                yield window
            yield item
            window, spent = [], 0
            continue
        window.append(item)
        spent += item.cost if isinstance(item, Ready) else 1
        if spent >= budget:
            yield window
            window, spent = [], 0


def reason_of(error: Exception) -> str:
    """What a failure says of an error: its type and, where it has one, the first line of its text."""
    name = type(error).__name__
    return f"{name}: {first_line(error)}" if str(error).strip() else name
