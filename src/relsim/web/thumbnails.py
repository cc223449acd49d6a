"""Small pictures for the page: made when they are first asked for, kept in memory up to a number of bytes."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

from PIL import Image

from relsim.data.images import Limits, read_image
from relsim.data.records import ImageRecord

SIDES = (96, 192, 384, 1024)
"""Longest sides in pixels that may be asked for."""
MEDIA_TYPE = "image/webp"
_LIMITS = Limits(max_bytes=256 * 2**20, max_pixels=100_000_000)


class Thumbnails:
    """Thumbnails of images by id and side. Thread-safe; the least used go first. Raises `ImageError` of the image."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0

    def of(self, record: ImageRecord, side: int) -> bytes:
        """The picture of a record as WebP, its longest side at most `side`."""
        key = (record.image_id, side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = shrink(source_image(record), side)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self._size += len(data)
            while self._size > self._most and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return data


def source_image(record: ImageRecord) -> Image.Image:
    """The picture of a record of the collection, in RGB. Raises `ImageError`."""
    return read_image(record, limits=_LIMITS).image


def shrink(image: Image.Image, side: int) -> bytes:
    """An RGB picture as WebP, its longest side at most `side`; a smaller one keeps its size."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=82, method=2)
    return file.getvalue()
