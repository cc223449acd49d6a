"""Stored crops: the squares of a collection, decoded and resized once, read from a memory map in every epoch.

A folder of crops holds

    crops.json              what it is: recipe, side, counts, digests, and the names of the two files below
    pixels-<token>.u8       squares of side * side * 3 bytes (row, column, RGB), one after the other; of the "stored"
                            ones the first "squares" are this folder's, for folders may share a file
    index-<token>.jsonl     one line for each image in the order of its source: {"image_id", "captions"} and, where they
                            are known, "group", "relation" and "source". An image that could not be used has "status"
                            and "reason" beside them and no square; the n-th line without them belongs to square n.

`crops.json` is replaced last and in one step, so that a reader sees the old crops or the new ones. A file that
it does not name is a rest of an interrupted run, and the next one removes it. `.lock` is held while one writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any, final

import numpy as np
from numpy.typing import NDArray

from relsim.errors import TrainingError
from relsim.files import TEMPORARY_PREFIX, exclusive_lock, flush, temporary_beside
from relsim.models.pixels import Recipe
from relsim.training.samples import Sample

SCHEMA = "relsim.crops/1"
HEAD = "crops.json"
_NEEDED = {"recipe", "squares", "pixels", "index"}
_REMEDY = "remove the folder, and a run with data.manifests makes it again"

Squares = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CropRow:
    """One image of the index. `status` is None for one that has a square; else `reason` says why there is none."""

    image_id: str
    captions: tuple[str, ...]
    group: str | None = None
    relation: str | None = None
    source: str | None = None
    status: str | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as it is written: what is None is left out."""
        given = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in given.items() if value is not None} | {"captions": list(self.captions)}


class CropStore:
    """Stored crops, opened for reading; made by `CropWriter` or by `relsim.training.crop_build.build_crops`."""

    def __init__(self, folder: Path, head: Mapping[str, Any], rows: Sequence[CropRow], pixels: Squares) -> None:
        self.folder = folder
        self.recipe = Recipe.parse(head["recipe"])
        self.digest: str | None = head.get("digest")
        self.index = list(rows)
        self.rows = [row for row in rows if row.status is None]
        self.skipped = [row for row in rows if row.status is not None]
        self.pixel_file: str = head["pixels"]
        self._pixels = pixels

    @classmethod
    def open(cls, folder: str | Path) -> CropStore:
        """Open a folder; no pixel is read yet. Raises `TrainingError` if it is missing, cut short or another kind."""
        folder = Path(folder)
        head = read_head(folder)
        if head is None:
            raise TrainingError(f"{folder} holds no stored crops ({HEAD}); a run with data.manifests makes them")
        try:
            lines = (folder / head["index"]).read_text(encoding="utf-8").splitlines()
            rows = [_row(json.loads(line)) for line in lines]
            count, side = sum(row.status is None for row in rows), Recipe.parse(head["recipe"]).side
            size, stored = (folder / head["pixels"]).stat().st_size, head.get("stored", head["squares"])
            if side is None or not count == head["squares"] <= stored or size != stored * side * side * 3:
                raise ValueError(f"{count:,} rows and {size:,} bytes do not fit together")  # noqa: TRY301 - as below
            shape = (stored, side, side, 3)
            pixels = (
                np.memmap(folder / head["pixels"], np.uint8, "r", shape=shape) if stored else np.empty(shape, np.uint8)
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"the stored crops in {folder} are damaged ({error}); {_REMEDY}") from error
        return cls(folder, head, rows, pixels)

    @property
    def stored(self) -> int:
        """Squares of the file of pixels, this folder's and whatever comes after them."""
        return len(self._pixels)

    @classmethod
    def build(
        cls,
        folder: str | Path,
        samples: Sequence[Sample],
        recipe: Recipe,
        *,
        workers: int | None = None,
        max_unreadable: float = 0.05,
    ) -> CropStore:
        """`relsim.training.crop_build.build_crops`: the crops of image files, made only if they are not there."""
        from relsim.training.crop_build import build_crops

        return build_crops(folder, samples, recipe, workers=workers, max_unreadable=max_unreadable)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def side(self) -> int:
        """Side of a square in pixels."""
        return int(self._pixels.shape[1])

    @cached_property
    def image_ids(self) -> list[str]:
        """Ids of the images that have a square."""
        return [row.image_id for row in self.rows]

    @cached_property
    def captions(self) -> list[tuple[str, ...]]:
        """Captions of each, one at least."""
        return [row.captions for row in self.rows]

    @cached_property
    def groups(self) -> list[str | None]:
        """Group of each, None where none is known."""
        return [row.group for row in self.rows]

    @cached_property
    def relations(self) -> list[str | None]:
        """Relation of each, None where none is known."""
        return [row.relation for row in self.rows]

    @property
    def reasons(self) -> dict[str, int]:
        """How many images were skipped, by status, the most frequent first."""
        return dict(Counter(str(row.status) for row in self.skipped).most_common())

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> Squares:
        """Squares (B, side, side, 3) of the rows, in their order; a copy in memory."""
        return np.array(self._pixels[np.asarray(rows, np.int64)], subok=False)


@final
class CropWriter:
    """The right to write into a folder of crops, for one at a time: whoever comes second waits.

    Squares are taken one by one and appear at `publish`; what is unpublished at `close` is removed. A context.
    """

    def __init__(self, folder: str | Path, recipe: Recipe, *, digest: str | None = None) -> None:
        if recipe.side is None:
            raise TrainingError(
                f"crops have one size, and the recipe {recipe.value} gives none: name crop<side> or squash<side>"
            )
        self.folder, self.recipe, self.side = Path(folder), recipe, recipe.side
        self._digest = digest
        self._rows: list[CropRow] = []
        self._name = f"pixels-{secrets.token_hex(4)}.u8"
        with _storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = contextlib.ExitStack()
            self._lock.enter_context(exclusive_lock(self.folder / ".lock", wait=True))
            self._file: IO[bytes] | None = None

    def append(
        self,
        square: Squares,
        image_id: str,
        captions: Sequence[str],
        *,
        group: str | None = None,
        relation: str | None = None,
        source: str | None = None,
    ) -> None:
        """Add one image: its square, (side, side, 3) uint8, and what is known of it."""
        if square.shape != (self.side, self.side, 3) or square.dtype != np.uint8:
            raise TrainingError(
                f"the square of {image_id} is {square.dtype} {square.shape}; "
                f"{self.recipe.value} needs uint8 ({self.side}, {self.side}, 3)"
            )
        if isinstance(captions, str) or not captions:
            raise TrainingError(f"{image_id} needs a list of one caption or more, not {captions!r}")
        with _storing(self.folder):
            self._pixels().write(np.ascontiguousarray(square).data)
        self._rows.append(CropRow(image_id, tuple(captions), group, relation, source))

    def skip(self, row: CropRow) -> None:
        """Add an image that could not be used; its row has a status and a reason."""
        if row.status is None:
            raise TrainingError(f"{row.image_id} cannot be skipped without a status")
        self._rows.append(row)

    def publish(self) -> CropStore:
        """Put the crops in place of those that the folder held, and open them."""
        with _storing(self.folder):
            file = self._pixels()
            file.flush()
            os.fsync(file.fileno())
        self._publish(self._name, self._rows, self._digest)
        return CropStore.open(self.folder)

    def relabel(self, store: CropStore, rows: Sequence[CropRow]) -> CropStore:
        """Put the squares of this folder's `store` under new rows, one for each of the first, and open them."""
        self._publish(store.pixel_file, rows, store.digest, stored=store.stored)
        return CropStore.open(self.folder)

    def close(self) -> None:
        """Remove what is unpublished and let others write."""
        if self._file is not None:
            self._file.close()
            head = read_head(self.folder)
            if head is None or head["pixels"] != self._name:
                (self.folder / self._name).unlink(missing_ok=True)
        self._lock.close()

    def __enter__(self) -> CropWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pixels(self) -> IO[bytes]:
        if self._file is None:
            self._file = (self.folder / self._name).open("xb")
        return self._file

    def _publish(self, pixels: str, rows: Sequence[CropRow], digest: str | None, stored: int | None = None) -> None:
        """Write the index, then in one step the head that names it and the pixels; remove what it does not name."""
        index = self.folder / f"index-{secrets.token_hex(4)}.jsonl"
        squares = sum(row.status is None for row in rows)
        head = {
            "schema": SCHEMA,
            "recipe": self.recipe.value,
            "side": self.side,
            "squares": squares,
            "stored": squares if stored is None else stored,
            "skipped": dict(Counter(row.status for row in rows if row.status is not None).most_common()),
            "digest": digest,
            "pixels": pixels,
            "index": index.name,
        }
        with _storing(self.folder):
            with index.open("x", encoding="utf-8") as file:
                file.writelines(json.dumps(row.to_dict()) + "\n" for row in rows)
            flush(index)
            with temporary_beside(self.folder / HEAD) as temporary:
                temporary.write_text(json.dumps(head, indent=2) + "\n", encoding="utf-8")
                flush(temporary)
                temporary.replace(self.folder / HEAD)
                flush(self.folder)
            for pattern in ("pixels-*.u8", "index-*.jsonl", f"{TEMPORARY_PREFIX}{HEAD}-*"):
                for path in self.folder.glob(pattern):
                    if path.name not in (pixels, index.name):
                        path.unlink(missing_ok=True)


def read_head(folder: Path) -> dict[str, Any] | None:
    """What `crops.json` says, None where there is none. Raises `TrainingError` if it cannot be understood."""
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    if not isinstance(head, dict) or head.get("schema") != SCHEMA or not head.keys() >= _NEEDED:
        raise TrainingError(f"{path} is not of the kind {SCHEMA}; {_REMEDY}")
    return head


def _row(values: Mapping[str, Any]) -> CropRow:
    return CropRow(**{**values, "captions": tuple(values["captions"])})


@contextlib.contextmanager
def _storing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the crops cannot be stored in {folder}: {(error.strerror or str(error)).lower()}"
        ) from error
