"""Rows of `gpu.py`, the meter that takes them, and the picture files that are measured with."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from _gpu_model import Bench
from _measure import peak_memory
from _pictures import draw_picture
from against_published import say
from relsim.data.images import load_image
from relsim.data.records import ImageRecord, LoadedImage
from relsim.models.pixels import Recipe, cut

MIB = 2**20

T = TypeVar("T")
Rate = Callable[[int, Callable[[], object]], float]
"""`Meter.rate`."""
Step = tuple[str, int, str, Callable[[], float]]
"""The way, batch, unit and measurement of a row."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is measured: pictures, batch sizes, tokens of a caption."""

    images: int
    published_images: int
    plain_images: int
    batches: tuple[int, ...]
    plain_batches: tuple[int, ...]
    training: tuple[int, ...]
    micro_batch: int
    captions: tuple[int, ...]
    """Batches, after the batch of one; the first is that of the published script for folders."""
    tokens: int
    native: int
    native_batches: tuple[int, ...]


AMOUNTS = {
    "7b": Amounts(512, 64, 128, (1, 8, 32, 64), (8, 32), (64, 256), 16, (32, 128), 48, 64, (1, 8)),
    "tiny": Amounts(16, 4, 8, (1, 4), (4,), (4,), 2, (4, 6), 4, 4, (1, 2)),
}


@dataclass(slots=True)
class Row:
    """One measurement. `note` says why `rate` is None, or that a smaller batch ran than the row is named after."""

    part: str
    way: str
    batch: int
    unit: str
    rate: float | None = None
    peak_mib: float | None = None
    cosine: float | None = None
    note: str = ""

    def found(self) -> str:
        """The rate with its unit and the note, or the note alone."""
        if self.rate is None:
            return self.note
        return f"{self.rate:.2f} {self.unit}" + (f", {self.note}" if self.note else "")


class Meter:
    """Takes measurements and keeps them; one that fails costs only its own row."""

    def __init__(self, bench: Bench, keep: Callable[[Sequence[Row]], object] = len) -> None:
        """`keep` is called with all rows after each."""
        self._bench, self._keep = bench, keep
        self.rows: list[Row] = []

    def take(self, row: Row, measure: Callable[[], float]) -> Row:
        """`measure` gives the rate; the peak is that of its own work."""
        gc.collect()  # of the networks that were measured before, nothing may be left
        cuda = self._bench.device.type == "cuda"
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            row.rate = measure()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other rows are still wanted
            row.note = f"not measured: {type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:160]}"
        row.peak_mib = (torch.cuda.max_memory_allocated() if cuda else peak_memory()) / MIB
        self.add(row)
        return row

    def add(self, row: Row) -> None:
        """Keep a row that is complete."""
        self.rows.append(row)
        self._keep(self.rows)
        say(f"{row.part}, {row.way}, batch {row.batch}: {row.found()}")

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self._bench.device.type == "cuda":
            torch.cuda.synchronize()

    def rate(self, count: int, work: Callable[[], object]) -> float:
        """`count` per second of `work`, warmed up by the caller."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return count / (time.perf_counter() - started)


def write_jpegs(folder: Path, count: int) -> list[Path]:
    """JPEG files of 1,024 x 768 pixels, drawn from a seed; those already there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04}.jpeg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            picture = draw_picture(1024, 768, np.random.default_rng([3, number]))
            picture.save(path.with_suffix(".partial"), "JPEG", quality=90)
            path.with_suffix(".partial").replace(path)
    return paths


class Once(Generic[T]):
    """What `make` makes, when it is first asked for, within the measurement that needs it; it fails once only."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._failed: Exception | None = None

    def __call__(self) -> T:
        """The same each time. Raises what `make` has raised."""
        if self._failed is not None:
            raise self._failed
        if not self._made:
            try:
                self._made.append(self._make())
            except Exception as error:
                self._failed = error.with_traceback(None)  # frames would keep what was allocated
                raise
        return self._made[0]


def prepare(record: ImageRecord, bench: Bench, recipe: Recipe) -> Any:
    """The patches of one file, in this thread."""
    loaded = load_image(record)
    if not isinstance(loaded, LoadedImage):
        raise SystemExit(f"{record.source} cannot be used: {loaded.reason}")
    return cut(loaded.image, recipe, bench.pixels)
