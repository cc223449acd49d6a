"""The records that flow between stages. Nothing here opens a file.

A source becomes `ImageRecord`s; a record is read into a `LoadedImage` or becomes a `Failure`.
A failure is a row like any other: it has the id, a status and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from PIL import Image


class Status(str, Enum):
    """What became of one image, when it was downloaded, read or encoded. Only `OK` rows have an image and a vector."""

    OK = "ok"
    MISSING = "missing"  # no such path, or a link that leads nowhere
    DIRECTORY = "directory"  # a folder where an image was expected
    EMPTY = "empty"  # a file of zero bytes
    NOT_IMAGE = "not_image"  # bytes that no decoder recognises
    TRUNCATED = "truncated"  # an image that ends before its data does
    DAMAGED = "damaged"  # an image whose data cannot be decoded (wrong checksum, broken compression)
    TOO_LARGE = "too_large"  # more pixels or bytes than the limit (decompression bombs)
    BAD_SHAPE = "bad_shape"  # an aspect ratio that the recipe cannot take (200:1 and beyond)
    UNREADABLE = "unreadable"  # the system refuses: permissions, input/output errors
    ENCODER = "encoder"  # the encoder failed on this image
    # Why a download gave no image. NOT_IMAGE, TRUNCATED, DAMAGED, TOO_LARGE and EMPTY are told of downloads as well.
    DEAD = "dead"  # the address leads nowhere for good: 404, 410, no such host
    TIMEOUT = "timeout"  # a time limit ran out
    BLOCKED = "blocked"  # the server refuses: 401, 403, 451, or 429 after all tries
    ROBOTS = "robots"  # the server's X-Robots-Tag asks that the image is not used
    PLACEHOLDER = "placeholder"  # a stand-in that the server sends in the image's place
    REFUSED = "refused"  # the address, the URL or the id is one that relsim's own policy refuses
    ERROR = "error"  # the server or the connection failed after all tries: 5xx, TLS, resets


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image by name: where it is and what it is called, before anything is read.

    `image_id` is unique within a collection. `source` is the path (absolute where it is a file), or the address of a
    row of a shard, which is the path of its part, `#` and a number (see `relsim.data.shard_address`).
    `fields` holds a manifest's other columns, unknown ones included, unchanged.
    """

    image_id: str
    source: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image in memory: RGB, 8 bits a channel, upright (EXIF orientation applied)."""

    record: ImageRecord
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be used, and why."""

    record: ImageRecord
    status: Status
    reason: str
