"""Records in, captions and failures out: pictures are read in threads while the captioner writes about earlier ones."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeAlias

from PIL import Image

from relsim.captions.anonymity import Verdict, check
from relsim.captions.captioner import DEFAULT_BATCH, Caption
from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.encoders.read_ahead import Load, as_wanted
from relsim.environment import usable_cores
from relsim.errors import ImageError, MemoryShortageError
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.generation import Sampling, derived_seed

logger = logging.getLogger(__name__)

WINDOW_BATCHES = 4
"""Batches' worth of captions that are written before any is given out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many captions a picture gets, and how often one that is not anonymous is drawn again.

    Raises `ValueError` for what greedy captions cannot have: they are the same every time.
    """

    sampling: Sampling
    runs: int = 1
    until_anonymous: int = 0
    batch_size: int = DEFAULT_BATCH

    def __post_init__(self) -> None:
        for name, least in (("runs", 1), ("until_anonymous", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name, usual in (("runs", 1), ("until_anonymous", 0)):
            if self.sampling.greedy and getattr(self, name) != usual:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but a greedy caption is the same every time it is written; "
                    "leave --greedy (greedy=True) away to draw captions"
                )

    @property
    def window(self) -> int:
        """Pictures that are captioned before any caption is given out."""
        return WINDOW_BATCHES * max(1, self.batch_size // self.runs)


@dataclass(frozen=True, slots=True)
class Captioned:
    """One record, one of its captions and whether that is anonymous.

    `seed` draws this caption again, alone and without a run; `draws` is how many it took.
    """

    record: ImageRecord
    run: int
    seed: int
    draws: int
    caption: Caption
    verdict: Verdict

    @property
    def text(self) -> str:
        """The caption without white space around it."""
        return self.caption.text.strip()


Outcome: TypeAlias = Captioned | Failure
_Read: TypeAlias = tuple[ImageRecord, Any]


class CaptionWriter(Protocol):
    """What writes captions of prepared pictures: a `Captioner`, or one behind an endpoint."""

    fingerprint: Fingerprint

    def decoding(self, sampling: Sampling) -> dict[str, Fact]:
        """What the choice of tokens depends on, as facts of a fingerprint."""

    def prepare(self, image: Image.Image) -> Any:
        """An RGB picture in the form that it is captioned in. Thread-safe. Raises `ImageError`."""

    def caption_prepared(
        self, prepared: Sequence[Any], sampling: Sampling, seeds: Sequence[Sequence[int]], *, batch_size: int
    ) -> list[list[Caption]]:
        """For each prepared picture, in order, one caption for each of its seeds. `RuntimeError` where one fails."""


def caption_records(
    records: Iterable[ImageRecord], captioner: CaptionWriter, plan: Plan, *, workers: int | None = None
) -> Iterator[Outcome]:
    """For each record, in order, its captions by run, or one failure. Nothing about one picture ends the stream.

    `workers` threads read pictures (default: one per core, at most 16).
    """
    with closing(caption_windows(records, captioner, plan, workers=workers)) as windows:
        for window in windows:
            yield from window


def caption_windows(
    records: Iterable[ImageRecord],
    captioner: CaptionWriter,
    plan: Plan,
    *,
    workers: int | None = None,
    load: Load = load_image,
) -> Generator[list[Outcome], None, None]:
    """As `caption_records`, a window of pictures at a time, which `load` reads."""
    load = as_wanted(load, captioner)
    todo = iter(records)
    pool = ThreadPoolExecutor(workers or min(16, usable_cores()), thread_name_prefix="decode")

    def read_on() -> list[Future[_Read | Failure]]:
        return [pool.submit(_prepare, captioner, record, load) for record in islice(todo, plan.window)]

    try:
        pending = read_on()
        while pending:
            window = [future.result() for future in pending]
            pending = read_on()
            found = iter(_caption(captioner, plan, [item for item in window if not isinstance(item, Failure)]))
            yield [outcome for item in window for outcome in ([item] if isinstance(item, Failure) else next(found))]
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(captioner: CaptionWriter, record: ImageRecord, load: Load) -> _Read | Failure:
    loaded = load(record)
    if not isinstance(loaded, LoadedImage):
        return loaded
    try:
        return record, captioner.prepare(loaded.image)
    except ImageError as error:
        return Failure(record, Status(error.status), error.reason)


def _caption(captioner: CaptionWriter, plan: Plan, window: Sequence[_Read]) -> list[list[Outcome]]:
    """Outcomes of each picture; where the captioner fails on the window, each of them is tried alone."""
    try:
        return _drawn(captioner, plan, window)
    except (RuntimeError, MemoryShortageError) as error:
        if isinstance(error, MemoryShortageError) and error.pictures > 1:
            raise  # the size of batches is at fault and no picture
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    # Beyond the handler, so that what the failed window held in memory is free again.
    if len(window) == 1:
        return [[Failure(window[0][0], Status.ENCODER, reason)]]
    logger.warning("captioning %d pictures failed (%s); trying them one by one", len(window), reason)
    return [outcomes for item in window for outcomes in _caption(captioner, plan, [item])]


def _drawn(captioner: CaptionWriter, plan: Plan, window: Sequence[_Read]) -> list[list[Outcome]]:
    """All runs of all pictures; then, as often as the plan says, those that are not anonymous yet once more."""
    best: dict[tuple[int, int], Captioned] = {}
    missing = [(place, run) for place in range(len(window)) for run in range(plan.runs)]
    for draw in range(plan.until_anonymous + 1):
        for key, found in _draw_once(captioner, plan, window, missing, draw).items():
            best[key] = _better(best.get(key), found)
        missing = [key for key in missing if not best[key].verdict.ok]
        if not missing:
            break
    return [[best[place, run] for run in range(plan.runs)] for place in range(len(window))]


def _draw_once(
    captioner: CaptionWriter, plan: Plan, window: Sequence[_Read], missing: Sequence[tuple[int, int]], draw: int
) -> dict[tuple[int, int], Captioned]:
    """One more draw of those captions, by picture and run."""
    runs: dict[int, list[int]] = {}
    for place, run in missing:
        runs.setdefault(place, []).append(run)
    seeds = [[derived_seed(plan.sampling.seed, run, draw) for run in own] for own in runs.values()]
    captions = captioner.caption_prepared(
        [window[place][1] for place in runs], plan.sampling, seeds, batch_size=plan.batch_size
    )
    return {
        (place, run): Captioned(window[place][0], run, seed, draw + 1, caption, check(caption.text.strip()))
        for (place, own), own_seeds, said in zip(runs.items(), seeds, captions, strict=True)
        for run, seed, caption in zip(own, own_seeds, said, strict=True)
    }


def _better(before: Captioned | None, found: Captioned) -> Captioned:
    """The caption that fewer words speak against, the earlier one of equals; with the number of draws so far."""
    if before is None or len(found.verdict.findings) < len(before.verdict.findings):
        return found
    return replace(before, draws=found.draws)
