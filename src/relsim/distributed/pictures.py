"""Pictures on their way from the process that reads them to the one that has the model.

A part's pictures travel decoded, and as small as they may be without the model seeing a difference, as far as they fit
into a bound; what is left over is read by the process that has the model, on its threads. So a part of huge pictures
takes no more memory than one of small ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from PIL import Image

from relsim.data.images import Read, load_image, read_bytes
from relsim.data.records import Failure, ImageRecord, LoadedImage
from relsim.data.remote import is_remote
from relsim.encoders.base import Shrink

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
    with closing(_fetched(records)) as fetched:
        for record, read in zip(records, fetched, strict=True):
            loaded = load_image(record, draft=draft, read=read)
            if isinstance(loaded, Failure):
                pictures[record.image_id] = loaded
                continue
            image = loaded.image if shrink is None else shrink(loaded.image)
            held += 3 * image.width * image.height
            if held > pixel_bytes:
                break
            pictures[record.image_id] = (image.size, image.tobytes())
    return ReadPart(records, pictures, draft)


def _fetched(records: Sequence[ImageRecord]) -> Generator[Read | None, None, None]:
    """What gives the file of each picture, in order; None where it lies here.

    Files at addresses are asked for ahead, and decoded by the caller, one after the other: sixteen large pictures are
    small files and much memory.
    """
    if not any(is_remote(record.source) for record in records):
        yield from (None for _ in records)
        return
    todo = iter(records)
    pending: deque[Future[bytes]] = deque()
    pool = ThreadPoolExecutor(_ASKED, thread_name_prefix="asked")
    try:
        while True:
            asked = islice(todo, _ASKED - len(pending))
            pending.extend(pool.submit(read_bytes, record.source) for record in asked)
            if not pending:
                return
            yield pending.popleft().result
    finally:
        pool.shutdown(cancel_futures=True)
