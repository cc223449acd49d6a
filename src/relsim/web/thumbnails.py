"""Small pictures for the page: made when they are first asked for, kept in memory up to a number of bytes."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict

from PIL import Image

from relsim.data.records import ImageRecord, Status
from relsim.errors import ImageError
from relsim.web.batching import BusyError
from relsim.web.pictures import Pictures

SIDES = (96, 192, 384, 1024)
"""Longest sides in pixels that may be asked for."""
MEDIA_TYPE = "image/webp"
_SLOW_ONES = 1_024
"""Pictures of which is kept that they take too long: they shall not hold up the others each time."""


class Thumbnails:
    """Thumbnails of images by id and side, for one event loop; the least used go first. At most `waiting` are made."""

    name = "thumbnails"

    def __init__(self, pictures: Pictures, most_bytes: int, waiting: int) -> None:
        self._pictures = pictures
        self._most, self._most_waiting = most_bytes, waiting
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._making: dict[tuple[str, int], asyncio.Task[bytes]] = {}
        self._slow: OrderedDict[str, str] = OrderedDict()  # why, by id
        self._size = 0

    @property
    def waiting(self) -> int:
        """Thumbnails that are made now, or wait for it."""
        return len(self._making)

    async def of(self, record: ImageRecord, side: int) -> bytes:
        """The picture of a record as WebP, its longest side at most `side`. Raises `BusyError`, and `ImageError` of it.

        However many ask for it meanwhile, it is made once.
        """
        key = (record.image_id, side)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if record.image_id in self._slow:
            raise ImageError(Status.TIMEOUT, self._slow[record.image_id])
        if key not in self._making:
            if len(self._making) >= self._most_waiting:
                raise BusyError(self.name)
            self._making[key] = asyncio.create_task(self._make(record, side))
            self._making[key].add_done_callback(lambda task: self._made(key, task))
        return await asyncio.shield(self._making[key])

    async def _make(self, record: ImageRecord, side: int) -> bytes:
        image = await self._pictures.of(record, side=side)
        return await self._pictures.in_thread(lambda: shrink(image, side))

    def _made(self, key: tuple[str, int], task: asyncio.Task[bytes]) -> None:
        del self._making[key]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ImageError) and error.status == Status.TIMEOUT:
            self._slow[key[0]] = error.reason
            while len(self._slow) > _SLOW_ONES:
                self._slow.popitem(last=False)
        if task.cancelled() or error is not None:
            return
        self._kept[key] = task.result()
        self._size += len(self._kept[key])
        while self._size > self._most and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])


def shrink(image: Image.Image, side: int) -> bytes:
    """An RGB picture as WebP, its longest side at most `side`; a smaller one keeps its size."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=82, method=2)
    return file.getvalue()
