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
    """What became of one image. Only `OK` rows have a vector."""

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


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image by name: where it is and what it is called, before anything is read.

    `image_id` is unique within a collection. `source` is the path (absolute where it is a file).
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
