"""An append-only file of finished rows: what a killed download does not have to do again.

    b"RSP1", length of the facts (4 bytes), length of the image (8 bytes), the facts as JSON, the image's bytes,
    CRC-32 of all that (4 bytes); numbers are little-endian

A record is written at once when its row is done and is whole or not there: reading ends at the first record that is cut
off or whose checksum is wrong, and the next writer goes on from there. Nothing is flushed to the disk, so a power cut
may cost more records than a kill; what has become a part is flushed. Of several records of one row the last counts.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_log = logging.getLogger(__name__)
_HEAD = struct.Struct("<4sIQ")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"RSP1"
_PIECE = 2**20
_LONGEST_FACTS = 2**24


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a record is: its facts begin at `start`."""

    start: int
    facts: int
    image: int


class Spool:
    """The records of one file, by row. Errors of the system pass through."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, _Place] = {}
        self._end = 0
        self._file: BinaryIO | None = None
        if path.exists():
            self._scan()

    @property
    def rows(self) -> Iterable[int]:
        """The rows that have a record."""
        return self._places.keys()

    def append(self, row: int, facts: Mapping[str, Any], image: Iterable[bytes] = (), size: int = 0) -> None:
        """Add a record; `image` gives `size` bytes in pieces. What a full disk left of it is taken back."""
        text = json.dumps({"row": row, **facts}).encode()
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
            self._file.truncate(self._end)
        try:
            checksum = 0
            for piece in (_HEAD.pack(_MAGIC, len(text), size) + text, *image):
                checksum = zlib.crc32(piece, checksum)
                _write(self._file, piece)
            _write(self._file, _CHECKSUM.pack(checksum))
        except BaseException:
            self._file.truncate(self._end)
            raise
        start = self._end + _HEAD.size
        self._places[row] = _Place(start, len(text), size)
        self._end = start + len(text) + size + _CHECKSUM.size

    def facts(self, row: int) -> dict[str, Any]:
        """The facts of a row that has a record."""
        place = self._places[row]
        with self._path.open("rb") as file:
            return _facts(file, place)

    def read(self, row: int) -> tuple[dict[str, Any], bytes]:
        """Facts and image of a row that has a record."""
        place = self._places[row]
        with self._path.open("rb") as file:
            return _facts(file, place), file.read(place.image)

    def close(self) -> None:
        """Close the file. The records stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file."""
        self.close()
        self._path.unlink(missing_ok=True)
        self._places.clear()
        self._end = 0

    def _scan(self) -> None:
        with self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while self._end < size:
                place = _whole(file, self._end, size)
                if place is None:
                    _log.warning("dropped the last %d bytes of %s: no whole record", size - self._end, self._path)
                    return
                self._places[_facts(file, place)["row"]] = place
                self._end = place.start + place.facts + place.image + _CHECKSUM.size


def facts_after(path: Path, position: int) -> tuple[list[dict[str, Any]], int]:
    """Facts of the records from a position on that are whole by their lengths, and where the next one begins.

    For who looks on while another process writes: images and checksums are passed over.
    """
    found: list[dict[str, Any]] = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while position + _HEAD.size <= size:
            file.seek(position)
            magic, facts, image = _HEAD.unpack(file.read(_HEAD.size))
            end = position + _HEAD.size + facts + image + _CHECKSUM.size
            if magic != _MAGIC or facts > _LONGEST_FACTS or end > size:
                break
            found.append(_facts(file, _Place(position + _HEAD.size, facts, image)))
            position = end
    return found, position


def _whole(file: BinaryIO, position: int, size: int) -> _Place | None:
    """The record at a position, None if it is not whole."""
    file.seek(position)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    magic, facts, image = _HEAD.unpack(head)
    left = facts + image
    if magic != _MAGIC or facts > _LONGEST_FACTS or position + _HEAD.size + left + _CHECKSUM.size > size:
        return None
    checksum = zlib.crc32(head)
    while left:
        piece = file.read(min(left, _PIECE))
        checksum = zlib.crc32(piece, checksum)
        left -= len(piece)
    return _Place(position + _HEAD.size, facts, image) if file.read(4) == _CHECKSUM.pack(checksum) else None


def _facts(file: BinaryIO, place: _Place) -> dict[str, Any]:
    file.seek(place.start)
    facts: dict[str, Any] = json.loads(file.read(place.facts))
    return facts


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
