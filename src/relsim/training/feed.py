"""What a run learns from: stored crops, what is held out, and micro-batches read ahead in the background.

The batch of a step follows from the seed and the step alone, so a run can begin at any step; every process knows the
whole batch and reads the pictures of its own share, one micro-batch ahead of the network: a batch of any size takes the
memory of two micro-batches.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from relsim.errors import TrainingError
from relsim.evaluation.labels import first_label
from relsim.models.pixels import PixelConfig, Recipe, cut_squares
from relsim.training.config import DataSection, TrainingConfig
from relsim.training.crop_build import build_crops
from relsim.training.crops import CropStore
from relsim.training.samples import Order, Rows, hold_out, read_samples, share

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Tokens(Protocol):
    """Where a frozen vision tower's tokens of a store's squares are kept; see `relsim.training.tokens`."""

    def read(self, rows: Rows) -> Tensor | None:
        """Tokens (B, n, H) of these squares, None where those of any are not there."""
        ...

    def write(self, rows: Rows, tokens: Tensor) -> None:
        """Keep tokens (B, n, H) of these squares."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a store: what is trained on, or what is held out; `tokens` where they are kept."""

    store: CropStore
    rows: Rows
    tokens: Tokens | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_ids(self) -> list[str]:
        """Id of each row."""
        image_ids = self.store.image_ids
        return [image_ids[row] for row in self.rows]

    @property
    def captions(self) -> list[tuple[str, ...]]:
        """Captions of each row."""
        captions = self.store.captions
        return [captions[row] for row in self.rows]

    @property
    def groups(self) -> list[str | None]:
        """Group of each row, None where none is known."""
        groups = self.store.groups
        return [groups[row] for row in self.rows]

    @property
    def logics(self) -> list[str | None]:
        """What pictures of one logic have in common: the group of each row, or its relation where it has none."""
        rows = (self.store.rows[row] for row in self.rows)
        return [first_label({"group": row.group, "relation": row.relation}, ("group", "relation")) for row in rows]


@dataclass(frozen=True, slots=True)
class Data:
    """The parts of a run; nothing may be held out."""

    train: Part
    held_out: Part | None

    @property
    def skipped(self) -> dict[str, int]:
        """How many pictures could not be used, by status, the most frequent first."""
        parts = [self.train] if self.held_out is None else [self.train, self.held_out]
        stores = {id(part.store): part.store for part in parts}.values()
        return dict(Counter(str(row.status) for store in stores for row in store.skipped).most_common())


def open_data(config: TrainingConfig) -> Data:
    """Open the stored crops, making them first where manifests are named. Raises `TrainingError` or `SourceError`."""
    found = _parts(config)
    if config.objective.mask_groups and not any(logic is not None for logic in found.train.logics):
        raise TrainingError(
            f"objective.mask_groups has nothing to go by: none of the {len(found.train):,} pictures has a group or "
            "relation; add one of these fields to the manifest, or leave mask_groups out"
        )
    return found


def _parts(config: TrainingConfig) -> Data:
    data, recipe = config.data, Recipe.parse(config.model.recipe)
    store = _store(data, data.manifests, data.crops, config.run.out / "crops", recipe)
    if data.eval_manifest is not None or data.eval_crops is not None:
        if data.eval_image_folder is not None:
            data = data.model_copy(update={"image_folder": data.eval_image_folder})
        manifests = () if data.eval_manifest is None else (data.eval_manifest,)
        other = _store(data, manifests, data.eval_crops, config.run.out / "eval_crops", recipe)
        _tell_shared(store, other)
        return Data(Part(store, np.arange(len(store))), Part(other, np.arange(len(other))))
    named = data.held_out_groups or ()
    by_group = data.hold_out == "groups" or bool(named)
    if data.hold_out is None:
        by_group |= config.objective.task == "caption"
    groups = store.groups if by_group else None
    train, held_out = hold_out(store.image_ids, data.eval_fraction, groups=groups, named=named)
    return Data(Part(store, train), Part(store, held_out) if len(held_out) else None)


def _tell_shared(store: CropStore, other: CropStore) -> None:
    """Log how many of the pictures to evaluate on are trained on: figures of those say nothing about new ones."""
    trained = {row.source for row in store.rows} - {None}
    if shared := sum(row.source in trained for row in other.rows):
        _log.warning("%d of the %d pictures to evaluate on are trained on as well", shared, len(other))


def _store(
    data: DataSection, manifests: Sequence[Path], crops: Path | None, default: Path, recipe: Recipe
) -> CropStore:
    if manifests:
        samples = read_samples(manifests, data.image_folder)
        return build_crops(crops or default, samples, recipe, workers=data.workers, max_unreadable=data.max_unreadable)
    if crops is None:
        raise TrainingError("neither manifests nor stored crops are named; set data.manifests or data.crops")
    store = CropStore.open(crops)
    if store.recipe != recipe:
        raise TrainingError(f"the crops in {crops} are {store.recipe.value}, model.recipe is {recipe.value}")
    return store


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's batch. Places count the pictures of the whole batch, those of all processes together."""

    step: int
    rows: Rows  # (batch_size,) rows of the part that is trained on
    paraphrases: Rows  # (batch_size,) which caption of each row
    places: tuple[slice, ...]  # of each micro-batch of this process
    pictures: Iterable[Tensor]  # of each micro-batch, as `read_pictures` gives them; iterated once in each pass


class _Stream:
    """Micro-batches as they come from the background: each iteration takes the next `count` of them."""

    def __init__(self, items: Iterator[Tensor], count: int) -> None:
        self._items, self._count = items, count

    def __iter__(self) -> Iterator[Tensor]:
        return islice(self._items, self._count)


class Feed:
    """Batches of a part, in the order of a seed, cut into micro-batches for one of several processes."""

    def __init__(
        self,
        part: Part,
        pixels: PixelConfig,
        *,
        seed: int,
        batch_size: int,
        micro_batch_size: int | None,
        rank: int = 0,
        ranks: int = 1,
        pinned: bool = False,
    ) -> None:
        self.order = Order(seed, len(part), batch_size)
        self._part, self._pixels, self._pinned = part, pixels, pinned
        self._counts = np.array([len(captions) for captions in part.captions])
        mine = share(np.arange(batch_size), rank, ranks)
        if not len(mine):
            raise TrainingError(f"a batch of {batch_size} pictures leaves nothing for one of {ranks} processes")
        size = micro_batch_size or len(mine)
        stop = int(mine[-1]) + 1
        self._places = tuple(slice(start, min(start + size, stop)) for start in range(int(mine[0]), stop, size))

    @contextmanager
    def batches(self, first: int, stop: int, *, passes: int = 1) -> Iterator[Iterator[Batch]]:
        """The batches of the steps from `first` to `stop` - 1, their pictures read while those before are worked on.

        The pictures of each batch must be iterated `passes` times, and are read anew each time.
        """
        count = len(self._places)
        reads = passes * count

        def read(number: int) -> Tensor:
            step, place = divmod(number, reads)
            return self._read(self.order.batch(step), self._places[place % count])

        with read_ahead(read, first * reads, stop * reads) as items:
            pictures = _Stream(items, count)
            yield (self._batch(step, pictures) for step in range(first, stop))

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0, with all its pictures in memory."""
        rows = self.order.batch(step)
        return self._batch(step, tuple(self._read(rows, place) for place in self._places))

    def _batch(self, step: int, pictures: Iterable[Tensor]) -> Batch:
        rows = self.order.batch(step)
        paraphrases = self.order.paraphrases(step, self._counts[rows])
        return Batch(step, rows, paraphrases, self._places, pictures)

    def _read(self, rows: Rows, place: slice) -> Tensor:
        return read_pictures(self._part, rows[place], self._pixels, pinned=self._pinned)


@contextmanager
def read_ahead(read: Callable[[int], T], first: int, stop: int) -> Iterator[Iterator[T]]:
    """`read(first)` to `read(stop - 1)`, each read in the background while the one before is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="relsim-feed") as reader:

        def items() -> Iterator[T]:
            waiting: Future[T] | None = reader.submit(read, first) if first < stop else None
            number = first
            while waiting is not None:
                item = waiting.result()
                number += 1
                waiting = reader.submit(read, number) if number < stop else None
                yield item

        yield items()


def read_pictures(part: Part, rows: Rows, pixels: PixelConfig, *, pinned: bool = False) -> Tensor:
    """What a network takes of rows of a part: kept tokens (b, n / merge², H), or patches where any are missing.

    Patches are (b, n, patch² * 3) uint8.
    """
    kept = None if part.tokens is None else part.tokens.read(part.rows[rows])
    if kept is None:
        return read_patches(part, rows, pixels, pinned=pinned)
    return kept.pin_memory() if pinned else kept


def read_patches(part: Part, rows: Rows, pixels: PixelConfig, *, pinned: bool = False) -> Tensor:
    """Patches (b, n, patch² * 3) uint8 of rows of a part."""
    patches = torch.from_numpy(cut_squares(part.store.read(part.rows[rows]), pixels))
    return patches.pin_memory() if pinned else patches


class CaptionTable:
    """Captions of a part by number: each different text once, and the numbers of each row's texts."""

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        numbers: dict[str, int] = {}
        flat = (numbers.setdefault(text, len(numbers)) for texts in captions for text in texts)
        self._numbers = np.fromiter(flat, np.int64)
        self.counts = np.fromiter(map(len, captions), np.int64)
        self._first = np.cumsum(self.counts) - self.counts
        self.texts = list(numbers)

    def numbers(self, rows: Rows, paraphrases: Rows) -> Rows:
        """Numbers of the chosen captions."""
        chosen: Rows = self._numbers[self._first[rows] + paraphrases]
        return chosen

    def in_turn(self, rows: Rows) -> Rows:
        """Numbers of one caption of each row: of row i the caption i modulo their number."""
        return self.numbers(rows, rows % self.counts[rows])

    def by_row(self) -> list[Rows]:
        """Numbers of all captions of each row."""
        return np.split(self._numbers, self._first[1:])
