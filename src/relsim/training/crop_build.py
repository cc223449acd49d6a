"""Making crops of image files: in parallel, in order, once, and again only when something has changed."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from relsim.data.dataset import ImageDataset
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shard_address import file_of
from relsim.environment import usable_cores
from relsim.errors import ImageError, TrainingError
from relsim.models.pixels import Recipe
from relsim.training.crops import CropRow, CropStore, CropWriter, Squares, read_head
from relsim.training.samples import Sample

_log = logging.getLogger(__name__)
_AHEAD = 4  # pictures per worker that are being read or wait to be written
_SHOWN = 3
_VERSION = 1  # of the way pictures become squares; a change makes all stored crops again


def build_crops(
    folder: str | Path,
    samples: Sequence[Sample],
    recipe: Recipe,
    *,
    workers: int | None = None,
    max_unreadable: float = 0.05,
) -> CropStore:
    """The crops of `samples` in `folder`: those that are there if nothing has changed, else made by `workers` threads.

    What counts is the recipe and each picture's path, size and time of change (in a shard folder, those of its part).
    If only captions, groups or ids have changed, the squares are kept. One process at a time works in a folder; others
    wait, and find its crops. Pictures that cannot be used are skipped, with status and reason in the index; more than
    the fraction `max_unreadable` of them, or too little room on the disk, is a `TrainingError`.
    """
    folder = Path(folder)
    if not samples:
        raise TrainingError("there is no picture to make crops of")
    digest = _digest(samples, recipe)
    labels = [CropRow(item.image_id, item.captions, item.group, item.relation, item.source) for item in samples]
    store = _made_before(folder, digest)
    if store is None or not _same_labels(store, labels):
        with CropWriter(folder, recipe, digest=digest) as writer:
            store = _made_before(folder, digest)  # by a process that was waited for
            if store is None:
                store = _make(writer, labels, workers or min(16, usable_cores()), max_unreadable)
            elif not _same_labels(store, labels):
                _log.info("new captions, groups or ids for the crops in %s; the squares are kept", folder)
                states = ((row.status, row.reason) for row in store.index)
                marked = zip(labels, states, strict=True)
                store = writer.relabel(store, [replace(row, status=state, reason=why) for row, (state, why) in marked])
    _check_failures(store.skipped, len(samples), max_unreadable)
    if store.skipped:
        counts = ", ".join(f"{count:,} {status}" for status, count in store.reasons.items())
        _log.warning("%d of %d pictures are skipped: %s", len(store.skipped), len(samples), counts)
    return store


def _made_before(folder: Path, digest: str) -> CropStore | None:
    """The crops in the folder, if they are whole and of these pictures."""
    try:
        head = read_head(folder)
        if head is None:
            return None
        if head.get("digest") == digest:
            return CropStore.open(folder)
        _log.info("the pictures or the recipe have changed: the crops in %s are made again", folder)
    except TrainingError as error:
        _log.warning("crops are made again: %s", error)
    return None


def _same_labels(store: CropStore, labels: Sequence[CropRow]) -> bool:
    return [replace(row, status=None, reason=None) for row in store.index] == labels


def _make(writer: CropWriter, labels: Sequence[CropRow], workers: int, max_unreadable: float) -> CropStore:
    _check_room(writer.folder, len(labels), writer.side)
    failures: list[CropRow] = []
    # Threads, because decoding and resizing leave the interpreter's lock.
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="crops") as pool,
        closing(_in_order(pool, labels, writer.recipe, _AHEAD * workers)) as results,
    ):
        for row, square in results:
            if isinstance(square, ImageError):
                failures.append(replace(row, status=Status(square.status).value, reason=square.reason))
                writer.skip(failures[-1])
                # At once: whoever named the wrong folder should not wait for all of it.
                _check_failures(failures, len(labels), max_unreadable)
            else:
                about = {"group": row.group, "relation": row.relation, "source": row.source}
                writer.append(square, row.image_id, row.captions, **about)
    return writer.publish()


def _in_order(
    pool: ThreadPoolExecutor, rows: Sequence[CropRow], recipe: Recipe, ahead: int
) -> Generator[tuple[CropRow, Squares | ImageError], None, None]:
    """Each row and its square; at most `ahead` of them are being read or wait to be taken."""
    dataset = ImageDataset([ImageRecord(row.image_id, row.source or "") for row in rows])
    todo = iter(enumerate(rows))
    pending: deque[tuple[CropRow, Future[Squares | ImageError]]] = deque()
    try:
        while True:
            while len(pending) < ahead and (one := next(todo, None)) is not None:
                number, row = one
                pending.append((row, pool.submit(_square, dataset, number, recipe)))
            if not pending:
                return
            row, future = pending.popleft()
            yield row, future.result()
    finally:
        for _, future in pending:
            future.cancel()


def _square(dataset: ImageDataset, number: int, recipe: Recipe) -> Squares | ImageError:
    outcome = dataset[number]
    if isinstance(outcome, Failure):
        return ImageError(outcome.status.value, outcome.reason)
    try:
        return np.asarray(recipe.apply(outcome.image))
    except ImageError as error:
        return error


def _check_failures(failures: Sequence[CropRow], total: int, max_unreadable: float) -> None:
    """Raise as soon as there are too many: whoever gave the wrong folder should not wait for all of them."""
    if len(failures) <= max_unreadable * total:
        return
    counts = ", ".join(f"{count:,} {status}" for status, count in Counter(row.status for row in failures).most_common())
    shown = "; ".join(f"{row.image_id}: {row.reason} ({row.source})" for row in failures[:_SHOWN])
    raise TrainingError(
        f"more than {max_unreadable:.0%} of the {total:,} pictures cannot be used ({counts}): "
        f"{shown}. Mend or remove them, check data.image_folder, or raise data.max_unreadable"
    )


def _check_room(folder: Path, count: int, side: int) -> None:
    needed, free = count * side * side * 3, shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"{count:,} crops of {side} x {side} need {_megabytes(needed)}, and the disk of {folder} has "
            f"{_megabytes(free)} free; name a folder on a larger disk (data.crops) or a smaller model.recipe"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _digest(samples: Sequence[Sample], recipe: Recipe) -> str:
    """What the squares depend on, 16 hex digits. A missing file counts as such, and is looked for in every run."""
    total = hashlib.sha256(json.dumps([_VERSION, recipe.value]).encode())
    for sample in samples:
        try:
            found = Path(file_of(sample.source)).stat()
            state: list[int] | None = [found.st_size, found.st_mtime_ns]
        except OSError:
            state = None
        total.update(json.dumps([sample.source, state]).encode())
    return total.hexdigest()[:16]
