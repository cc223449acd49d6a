"""Measures of pairs: loaded by name, and used to rank candidates that another encoder found.

A measure of pairs has no index. Over all pictures it is exact and slow; over the first few of a fast encoder it is the
second look. Either way every candidate is measured, and none is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.encoders.base import AnyPairwise
from relsim.encoders.registry import PAIRWISE, make
from relsim.environment import usable_cores
from relsim.errors import EncoderError, ImageError

T = TypeVar("T")
DEFAULT_BATCH = 32
"""Pairs that are measured together."""
_NOT_FINITE = "the distance is not finite"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and its distance from the query."""

    record: ImageRecord
    distance: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """All candidates, nearest first and ties by id, and those that could not be measured."""

    ranked: list[Ranked]
    failures: list[Failure]


def load_pairwise(name: str, **options: Any) -> AnyPairwise:
    """The measure of pairs of that name, `lpips`. Raises `EncoderError`, and whatever its loading raises of ours."""
    if name not in PAIRWISE:
        raise EncoderError(f"there is no measure of pairs {name!r}; known are {', '.join(PAIRWISE)}")
    made: AnyPairwise = make(name, PAIRWISE[name][1], options)
    return made


def rerank(
    pairwise: AnyPairwise,
    query: ImageRecord,
    candidates: Sequence[ImageRecord],
    *,
    batch_size: int = DEFAULT_BATCH,
    workers: int | None = None,
) -> Ranking:
    """The candidates in the order of their distance from the query, each measured; the query itself is left out.

    Raises `ImageError` for a query that cannot be read, `ValueError` for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    asked = _prepare(pairwise, query)
    if isinstance(asked, Failure):
        raise ImageError(asked.status.value, f"{query.source}: {asked.reason}")
    others = [record for record in candidates if record.image_id != query.image_id]
    ranked: list[Ranked] = []
    failures: list[Failure] = []
    with ThreadPoolExecutor(workers or min(16, usable_cores()), thread_name_prefix="decode") as pool:
        for batch in _cut(others, batch_size):
            ready = list(zip(batch, pool.map(lambda record: _prepare(pairwise, record), batch), strict=True))
            failures += [item for _, item in ready if isinstance(item, Failure)]
            measured = [(record, item) for record, item in ready if not isinstance(item, Failure)]
            ranked += _measured(pairwise, asked, measured)
    failures += [Failure(one.record, Status.ENCODER, _NOT_FINITE) for one in ranked if not np.isfinite(one.distance)]
    finite = [one for one in ranked if np.isfinite(one.distance)]
    return Ranking(sorted(finite, key=lambda one: (one.distance, one.record.image_id)), failures)


@dataclass(frozen=True, slots=True)
class Measured:
    """Distances of pairs in their order, None for those that could not be measured, and why they could not."""

    distances: list[float | None]
    failures: list[Failure]


def measure_pairs(
    pairwise: AnyPairwise,
    pairs: Sequence[tuple[ImageRecord, ImageRecord]],
    *,
    batch_size: int = DEFAULT_BATCH,
    workers: int | None = None,
    on_measured: Callable[[Any], None] | None = None,
) -> Measured:
    """The distance of the two pictures of each pair; `on_measured` is called with each distance, or None.

    A distance that is not finite is a failure of the pair's second picture.
    """
    found = Measured([], [])
    failed: dict[str, Failure] = {}
    with ThreadPoolExecutor(workers or min(16, usable_cores()), thread_name_prefix="decode") as pool:
        for batch in _cut(pairs, batch_size):
            wanted = {record.image_id: record for pair in batch for record in pair}
            prepared = pool.map(lambda record: _prepare(pairwise, record), wanted.values())
            ready = dict(zip(wanted, prepared, strict=True))
            failed |= {name: item for name, item in ready.items() if isinstance(item, Failure)}
            whole = [row for row, pair in enumerate(batch) if not any(record.image_id in failed for record in pair)]
            measured = _distances(pairwise, *([ready[batch[row][side].image_id] for row in whole] for side in (0, 1)))
            by_row = dict(zip(whole, measured, strict=True))
            for row, (_, second) in enumerate(batch):
                distance = by_row.get(row)
                if distance is not None and not np.isfinite(distance):
                    failed[second.image_id] = Failure(second, Status.ENCODER, _NOT_FINITE)
                    distance = None
                found.distances.append(distance)
                if on_measured is not None:
                    on_measured(distance)
    found.failures.extend(failed.values())
    return found


def distances(
    pairwise: AnyPairwise, records: Sequence[ImageRecord], *, batch_size: int = DEFAULT_BATCH
) -> NDArray[np.float32]:
    """Distances (N, N) of N pictures, each pair measured both ways; all of them are in memory at once.

    Raises `ImageError` for a picture that cannot be read.
    """
    ready = [_prepare(pairwise, record) for record in records]
    for item in ready:
        if isinstance(item, Failure):
            raise ImageError(item.status.value, f"{item.record.source}: {item.reason}")
    pairs = [(row, column) for row in range(len(ready)) for column in range(len(ready))]
    found = np.empty((len(ready), len(ready)), np.float32)
    for batch in _cut(pairs, batch_size):
        rows, columns = (list(places) for places in zip(*batch, strict=True))
        found[rows, columns] = pairwise.distance([ready[row] for row in rows], [ready[column] for column in columns])
    return found


def _measured(pairwise: AnyPairwise, asked: Any, batch: Sequence[tuple[ImageRecord, Any]]) -> list[Ranked]:
    found = _distances(pairwise, [asked] * len(batch), [item for _, item in batch])
    return [Ranked(record, value) for (record, _), value in zip(batch, found, strict=True)]


def _distances(pairwise: AnyPairwise, first: Sequence[Any], second: Sequence[Any]) -> list[float]:
    if not first:
        return []
    found = np.asarray(pairwise.distance(first, second), np.float32)
    if found.shape != (len(first),):
        raise EncoderError(f"{pairwise.name} gave distances of shape {found.shape} for {len(first)} pairs")
    return [float(value) for value in found]


def _prepare(pairwise: AnyPairwise, record: ImageRecord) -> Any:
    """What the measure takes of a picture, or the failure that it is."""
    loaded = load_image(record)
    if not isinstance(loaded, LoadedImage):
        return loaded
    try:
        return pairwise.prepare(loaded.image)
    except ImageError as error:
        return Failure(record, Status.ENCODER, error.reason)


def _cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
