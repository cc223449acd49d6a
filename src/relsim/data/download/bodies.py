"""The body of a response while it arrives: in memory up to 1 MiB, in a file of its own beyond.

So 64 bodies of any size at once take 64 MiB at most. A body has a limit in bytes, which it is the caller's to keep.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from relsim.data.shard_contents import writing
from relsim.files import TEMPORARY_PREFIX

IN_MEMORY = 2**20
_PIECE = 2**20


class Body:
    """Bytes that are appended, then read back. `close` removes the file. Raises `ShardError` for a full disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._file: BinaryIO | None = None
        self.path: Path | None = None
        self.size = 0

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body that is here, in memory whatever its size."""
        body = cls(Path())
        body._memory, body.size = bytearray(data), len(data)
        return body

    def add(self, piece: bytes) -> None:
        """Append bytes."""
        self.size += len(piece)
        if self.size <= IN_MEMORY:
            self._memory += piece
            return
        with writing(self._folder):
            self._spill(piece)

    def finish(self) -> None:
        """Nothing more is added; a reader of `path` finds all of it."""
        if self._file is not None:
            with writing(self._folder):
                self._file.close()

    def pieces(self) -> Iterator[bytes]:
        """All bytes, in pieces of at most 1 MiB."""
        if self.path is None:
            yield bytes(self._memory)
            return
        with self.path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def close(self) -> None:
        """Give the memory or the file back."""
        self._memory = bytearray()
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _spill(self, piece: bytes) -> None:
        if self._file is None:
            self.path = self._folder / f"{TEMPORARY_PREFIX}body-{secrets.token_hex(6)}"
            self._file = self.path.open("xb")
            self._file.write(self._memory)
            self._memory = bytearray()
        self._file.write(piece)
