"""What went wrong in a decoder, in plain words.

Decoders raise many kinds of exception with messages for programmers. Here they become one `ImageError`: too
large, truncated, or damaged. Where the format itself says how long the file should be, the reason has both numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

from relsim.data.records import Status
from relsim.errors import ImageError

_DAMAGED = Status.DAMAGED
_BOX_HEAD = 8
_MOST_BLOCKS = 100_000  # a file made to waste time may have millions
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT_BOMB = ("MAX_TEXT", "too large")
_ENDS_EARLY = ("truncat", "not enough", "unexpected end", "reached eof", "premature", "buffer is not large enough")
_TIFF_OFFSETS_AND_COUNTS = ((273, 279), (324, 325))  # strips, tiles


def explain_failure(
    error: Exception, data: bytes | None, *, format_name: str, image: Image.Image | None = None
) -> ImageError:
    """The ImageError for an exception that a decoder raised on `data`; `image` is what the header gave.

    `data` is None where the file is not ours to look at; the reason then has no numbers.
    """
    if isinstance(error, ImageError):
        return error
    message = str(error)
    if isinstance(error, Image.DecompressionBombError):
        status, what = Status.TOO_LARGE, "has more pixels than the decoder accepts"
    elif isinstance(error, MemoryError):
        status, what = Status.TOO_LARGE, "does not fit in memory"
    elif isinstance(error, ValueError) and any(mark in message for mark in _TEXT_BOMB):
        status, what = Status.TOO_LARGE, "has text or a colour profile that unpacks beyond the limit"
    elif data is not None and (needed := _declared_length(data, image) or 0) > len(data):
        status, what = Status.TRUNCATED, f"ends before its data does ({len(data):,} of at least {needed:,} bytes)"
    elif _read_past_the_end(error):
        size = "" if data is None else f" ({len(data):,} bytes)"
        status, what = Status.TRUNCATED, f"ends before its data does{size}"
    else:
        status, what = _DAMAGED, "cannot be decoded: its data is damaged"
    return ImageError(status, f"{format_name} {what}")


def _read_past_the_end(error: Exception) -> bool:
    # Pillow wraps whatever goes wrong in a header into a SyntaxError.
    past_the_end = isinstance(error, (EOFError, struct.error)) or isinstance(error.__cause__, (EOFError, struct.error))
    return past_the_end or any(mark in str(error).lower() for mark in _ENDS_EARLY)


def _declared_length(data: bytes, image: Image.Image | None) -> int | None:
    """The least number of bytes that the file needs by its own account, or None where it does not say."""
    try:
        if data.startswith(_PNG_SIGNATURE):
            return _chain_end(data, start=8, overhead=12, last=b"IEND")
        if data[:4] == b"RIFF":
            return int(struct.unpack_from("<I", data, 4)[0]) + 8
        if data[4:8] in (b"ftyp", b"jP  "):
            return _chain_end(data, start=0, overhead=0, last=None)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_end(data, image)
    except struct.error:
        return len(data) + 1
    return None


def _chain_end(data: bytes, *, start: int, overhead: int, last: bytes | None) -> int | None:
    """Follow blocks of `length, kind, content` (PNG chunks; boxes, whose length counts their own head)."""
    position = start
    for _ in range(_MOST_BLOCKS):
        if position >= len(data):
            return position if last is None else position + overhead
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == last:
            return None
        if last is None and length < _BOX_HEAD:
            if length != 1:  # 0: the last box, which has no length
                return None
            length = max(_BOX_HEAD, struct.unpack_from(">Q", data, position + _BOX_HEAD)[0])
        position += length + overhead
    return None


def _tiff_end(data: bytes, image: Image.Image | None) -> int | None:
    order = "<" if data[:2] == b"II" else ">"
    directory = int(struct.unpack_from(order + "I", data, 4)[0])
    (entries,) = struct.unpack_from(order + "H", data, directory)
    end = directory + 2 + 12 * int(entries)
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    for offsets, counts in _TIFF_OFFSETS_AND_COUNTS:
        pairs = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        end = max([end, *(int(offset) + int(count) for offset, count in pairs)])
    return end
