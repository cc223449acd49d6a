"""Pictures on their way from the process that reads them to the one that has the model.

A part's pictures travel decoded, and as small as they may be without the model seeing a difference, as far as they fit
into a bound; what is left over is read by the process that has the model, on its threads. So a part of huge pictures
takes no more memory than one of small ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from PIL import Image

from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord, LoadedImage
from relsim.data.remote import is_remote
from relsim.encoders.base import Shrink
from relsim.encoders.stream import Load

PIXEL_BYTES = 256 * 2**20
"""Pixels of a part that travel: those of 256 pictures of a third of a megapixel, 1.7 times what `crop448` keeps."""
_ASKED = 16
"""Requests to a store at a time: each takes tens of milliseconds in which nothing else happens."""


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Records of one part, and what was read of them, by id: size and RGB bytes, or why there is no picture."""

    records: Sequence[ImageRecord]
    pictures: Mapping[str, tuple[tuple[int, int], bytes] | Failure] = field(default_factory=dict)
    draft: int | None = None

    def __call__(self, record: ImageRecord) -> LoadedImage | Failure:
        """As `load`: the part itself stands where files are read, and says by `draft` how they were."""
        return self.load(record)

    def load(self, record: ImageRecord) -> LoadedImage | Failure:
        """What `load_image` gives for a record of this part, with this `draft`."""
        known = self.pictures.get(record.image_id)
        if known is None:
            return load_image(record, draft=self.draft)
        if isinstance(known, Failure):
            return known
        return LoadedImage(record, Image.frombytes("RGB", *known))


def read_part(
    records: Sequence[ImageRecord],
    *,
    pixel_bytes: int = PIXEL_BYTES,
    draft: int | None = None,
    shrink: Shrink | None = None,
) -> ReadPart:
    """Read and decode the pictures of a part, in order, until they fill `pixel_bytes`.

    `draft` is as in `load_image`; `shrink` makes pictures smaller before they travel.
    """
    pictures: dict[str, tuple[tuple[int, int], bytes] | Failure] = {}
    held = 0
    for record, loaded in zip(records, _loaded(records, partial(_load, draft, shrink)), strict=False):
        if isinstance(loaded, Failure):
            pictures[record.image_id] = loaded
            continue
        held += 3 * loaded.image.width * loaded.image.height
        if held > pixel_bytes:
            break
        pictures[record.image_id] = (loaded.image.size, loaded.image.tobytes())
    return ReadPart(records, pictures, draft)


def _load(draft: int | None, shrink: Shrink | None, record: ImageRecord) -> LoadedImage | Failure:
    loaded = load_image(record, draft=draft)
    return loaded if shrink is None or isinstance(loaded, Failure) else replace(loaded, image=shrink(loaded.image))


def _loaded(records: Sequence[ImageRecord], load: Load) -> Iterator[LoadedImage | Failure]:
    """The pictures in order; those at addresses are asked for ahead."""
    if not any(is_remote(record.source) for record in records):
        yield from map(load, records)
        return
    todo = iter(records)
    pending: deque[Future[LoadedImage | Failure]] = deque()
    pool = ThreadPoolExecutor(_ASKED, thread_name_prefix="asked")
    try:
        pending.extend(pool.submit(load, record) for _, record in zip(range(_ASKED), todo, strict=False))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(load, record) for _, record in zip(range(1), todo, strict=False))
    finally:
        pool.shutdown(cancel_futures=True)
