"""Any collection of images as one object: files, folders, patterns, lists, manifests and shard folders.

By it the stages open a collection: embed, caption, score, train and evaluate. What everything that reads images
shares, also where a collection is no dataset (one query image, an inventory with rows that have none), lies below:
the address of a record (`relsim.data.sources.list_images` makes them) and `relsim.data.images.read_bytes`, which is
the same for files and for rows of shards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, final

from relsim.data.images import DEFAULT_LIMITS, Limits, decode_image, load_image, read_bytes
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.data.shard_address import split_address
from relsim.data.shuffling import permutation, random_numbers
from relsim.data.sources import Ids, SameId, list_images
from relsim.errors import ImageError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHUFFLE_ROWS, SHUFFLE_BYTES = 256, 256 * 2**20
"""Images of shards, not decoded yet, among which a shuffled stream draws: so many at most, or so many bytes."""
_RUN_ROWS = 100
_ORDER, _DRAWS = 0, 1


@final
class ImageDataset:
    """The images of a collection: by number, by id, or as a stream. None is opened before it is asked for.

    What cannot be used comes as a `Failure` in its place. Any number of threads may read; the object may be pickled or
    inherited by a forked process, and each process opens files by itself.
    """

    def __init__(self, records: Sequence[ImageRecord], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.records = list(records)
        self.limits = limits

    @classmethod
    def open(
        cls,
        sources: Sequence[str | Path],
        *,
        image_folder: str | Path | None = None,
        ids: Ids = "relative",
        recursive: bool = True,
        stdin: IO[bytes] | IO[str] | None = None,
        same_id: SameId = "extend",
    ) -> ImageDataset:
        """The images that `sources` name; everything is as in `relsim.data.sources.list_images`. Raises SourceError.

        In a shard folder rows that share an id are one image: the first that is ok. That is logged.
        """
        given = {"image_folder": image_folder, "recursive": recursive, "stdin": stdin}
        return cls(list_images(sources, ids=ids, same_id=same_id, **given))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> LoadedImage | Failure:
        return load_image(self.records[number], limits=self.limits)

    @cached_property
    def image_ids(self) -> list[str]:
        """Ids in the order of the records, each once."""
        return [record.image_id for record in self.records]

    def by_id(self, image_id: str) -> LoadedImage | Failure:
        """The image of that id. Raises KeyError for an id that the collection does not have."""
        return self[self._numbers[image_id]]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {record.image_id: number for number, record in enumerate(self.records)}

    def stream(
        self, *, shuffle_seed: int | None = None, part: tuple[int, int] = (0, 1)
    ) -> Iterator[LoadedImage | Failure]:
        """All images once, or part i of n, counted from 0, as `part` says: those of all n are disjoint and complete.

        Parts differ in size by one at most. Without a seed the order is that of the records. With one it follows from
        the seed, the part and the images alone: files come in a random order. Shards are read from front to back, 100
        rows at a time in a random order of these runs, into a buffer of 256 images from which one is drawn at a time.
        """
        index, count = part
        if not 0 <= index < count:
            raise SourceError(f"part {index} of {count} does not exist; parts are counted from 0")
        order = range(len(self.records)) if shuffle_seed is None else self._shuffled(shuffle_seed)
        chosen = order[len(order) * index // count : len(order) * (index + 1) // count]
        if shuffle_seed is None or not any(split_address(self.records[number].source) for number in chosen):
            return (self[number] for number in chosen)
        draws = random_numbers(shuffle_seed, _DRAWS + index, len(chosen))
        return self._drawn(chosen, draws)

    def _shuffled(self, seed: int) -> list[int]:
        """Numbers of all records in the order of reading: files one by one, rows of a shard in runs."""
        runs: dict[tuple[object, ...], list[tuple[int, int]]] = {}
        for number, record in enumerate(self.records):
            place = split_address(record.source)
            key = (number,) if place is None else (place[0], place[1] // _RUN_ROWS)
            runs.setdefault(key, []).append((0 if place is None else place[1], number))
        listed = [[number for _, number in sorted(run)] for run in runs.values()]
        return [number for place in permutation(seed, _ORDER, len(listed)) for number in listed[place]]

    def _drawn(self, order: Sequence[int], draws: NDArray[np.uint64]) -> Iterator[LoadedImage | Failure]:
        """Images in the order in which they are drawn from a buffer that is filled in order."""
        todo = deque(order)
        waiting: list[tuple[ImageRecord, bytes | Failure]] = []
        held = 0
        for draw in draws:
            while todo and (not waiting or (len(waiting) < SHUFFLE_ROWS and held < SHUFFLE_BYTES)):
                record = self.records[todo.popleft()]
                waiting.append((record, self._bytes(record)))
                held += _size(waiting[-1][1])
            place = int(draw) % len(waiting)
            waiting[place], waiting[-1] = waiting[-1], waiting[place]
            held -= _size(waiting[-1][1])
            yield self._decoded(*waiting.pop())

    def _bytes(self, record: ImageRecord) -> bytes | Failure:
        try:
            return read_bytes(record.source, limits=self.limits)
        except ImageError as error:
            return Failure(record, Status(error.status), error.reason)

    def _decoded(self, record: ImageRecord, data: bytes | Failure) -> LoadedImage | Failure:
        if isinstance(data, Failure):
            return data
        try:
            return LoadedImage(record, decode_image(data, limits=self.limits))
        except ImageError as error:
            return Failure(record, Status(error.status), error.reason)


def _size(data: bytes | Failure) -> int:
    return 0 if isinstance(data, Failure) else len(data)
