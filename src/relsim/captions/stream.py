"""Records in, captions and failures out: pictures are read in threads while the captioner writes about earlier ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from relsim.captions.captioner import Caption, Captioner
from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.environment import usable_cores
from relsim.errors import ImageError
from relsim.models.generation import Sampling
from relsim.models.pixels import Patches

logger = logging.getLogger(__name__)

WINDOW = 128
"""Pictures that are captioned together: a few batches, and under 100 MB of patches at 448 x 448."""


@dataclass(frozen=True, slots=True)
class Captioned:
    """One record and its caption."""

    record: ImageRecord
    caption: Caption


Outcome: TypeAlias = Captioned | Failure
_Ready: TypeAlias = tuple[ImageRecord, Patches] | Failure


def caption_records(
    records: Iterable[ImageRecord], captioner: Captioner, sampling: Sampling, *, workers: int | None = None
) -> Iterator[Outcome]:
    """One outcome per record, in order. Nothing about one picture ends the stream.

    `workers` threads read pictures (default: one per core, at most 16).
    """
    todo = iter(records)
    pool = ThreadPoolExecutor(workers or min(16, usable_cores()), thread_name_prefix="decode")

    def read_on() -> list[Future[_Ready]]:
        return [pool.submit(_prepare, captioner, record) for record in islice(todo, WINDOW)]

    try:
        pending = read_on()
        while pending:
            window = [future.result() for future in pending]
            pending = read_on()
            yield from _caption(captioner, sampling, window)
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(captioner: Captioner, record: ImageRecord) -> _Ready:
    loaded = load_image(record)
    if not isinstance(loaded, LoadedImage):
        return loaded
    try:
        return record, captioner.prepare(loaded.image)
    except ImageError as error:
        return Failure(record, Status(error.status), error.reason)


def _caption(captioner: Captioner, sampling: Sampling, window: Sequence[_Ready]) -> Iterator[Outcome]:
    """Outcomes of a window; where the captioner fails on it, each of its pictures is tried alone."""
    ready = [item for item in window if not isinstance(item, Failure)]
    try:
        captions = iter(captioner.caption_prepared([patches for _, patches in ready], sampling))
    except RuntimeError as error:  # out of memory, mostly
        if len(window) == 1:
            yield Failure(ready[0][0], Status.ENCODER, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return
        logger.warning("captioning %d pictures failed (%s); trying them one by one", len(ready), error)
        for item in window:
            yield from _caption(captioner, sampling, [item])
        return
    for item in window:
        yield item if isinstance(item, Failure) else Captioned(item[0], next(captions))
