"""Random access to the images of a part: each is read from where it lies, without its neighbours.

`relsim.data.shard_writing` stores images plain and uncompressed, so an image is a run of bytes in the file, which
`relsim.data.parquet_pages` finds. A part with another layout is read through pyarrow, one row group at a time. Either
way the bytes are compared with the row's SHA-256.

At an address one request fetches the images of a whole row group, which a few parts at a time keep: to walk from image
to image would be a request for each, and each waits for the one before.

A part is opened when it is first needed, in each process by itself and there by one thread, for which others wait: a
pool of threads asks for the first images of a part all at once. It is read at given places only, so threads share it. A
part that has been replaced since is opened again.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import os
import threading
from collections import deque
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relsim.data.parquet_pages import LONGEST_HEADER, Spans, byte_array_spans
from relsim.data.records import Status
from relsim.data.remote import is_remote, opened, read_range
from relsim.data.shard_rows import IMAGE
from relsim.errors import ImageError

_OPEN_PARTS = 128
_FETCHED_PARTS = 4  # parts at addresses that keep the images of a row group
_FETCHED_BYTES = 64 * 2**20  # of a row group that is fetched whole
_IMAGE_BYTES = f"{IMAGE}.bytes"


def text_file(source: Any) -> pq.ParquetFile:
    """A part whose columns of text are read; at an address columns that lie together are one request."""
    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=not isinstance(source, str))


def read_shard_image(part: str, row: int, *, max_bytes: int) -> bytes:
    """The original bytes of the image in a row of a part, counted from 0.

    Raises `ImageError`: with the row's own status and reason where it has no image, else with what is wrong.
    """
    try:
        version: tuple[int, ...] = ()  # at an address asked for once: a part that is finished stays as it is
        if not is_remote(part):
            info = os.stat(part)  # noqa: PTH116 - once for each image
            version = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
        with _table_lock:  # else threads that come at once would each make a part of their own
            found = _opened(part, version)
        return found.image(row, max_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(Status.MISSING, "the part that should hold it does not exist") from error
    except OSError as error:
        # pyarrow has no kind of its own for a file that is no Parquet any more.
        damaged = error.errno is None
        reason = "the part that should hold it is damaged" if damaged else (error.strerror or str(error)).lower()
        raise ImageError(Status.DAMAGED if damaged else Status.UNREADABLE, reason) from error
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise ImageError(Status.DAMAGED, "the part that should hold it is damaged") from error


class _OpenPart:
    """A part that images are read from: its footer, what its rows say, and, once they are found, their places.

    Making one reads nothing; it is looked at when the first image is asked for.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._looking = threading.Lock()  # threads that need the same part, or group, wait for one of them
        self._looked = False
        self._spans: dict[int, dict[int, tuple[int, int]] | None] = {}
        self._fetched: tuple[int, bytes] = (0, b"")  # where it lies in the file, and what
        self._kept = threading.local()

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def image(self, row: int, max_bytes: int) -> bytes:
        with self._looking:
            if not self._looked:
                self._look()
        if row >= len(self._states):
            raise ImageError(Status.MISSING, f"the part has {len(self._states):,} rows and none of number {row:,}")
        if self._states[row] != Status.OK.value:
            reason = self._reasons[row].as_py() or "it could not be downloaded"
            raise ImageError(Status(self._states[row]), reason)
        group = bisect.bisect_right(self._starts, row) - 1
        with self._looking:
            if group not in self._spans:
                self._spans[group] = self._find(group)
        spans = self._spans[group]
        offset, size = (0, 0) if spans is None else spans[row]
        data = self._decoded(group)[row - self._starts[group]].as_py()["bytes"] if spans is None else b""
        if max(size, len(data)) > max_bytes:
            reason = f"an image of {max(size, len(data)):,} bytes, more than the limit of {max_bytes:,}"
            raise ImageError(Status.TOO_LARGE, reason)
        data = data if spans is None else self._read(offset, size)
        if hashlib.sha256(data).hexdigest() != self._digests[row].as_py():
            raise ImageError(Status.DAMAGED, "its bytes are not those that were stored: the SHA-256 differs")
        return data

    def _look(self) -> None:
        if is_remote(self._path):
            self._at = functools.partial(read_range, self._path)
        elif not hasattr(self, "_descriptor"):  # it may be damaged, and looked at again
            self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            self._at = functools.partial(os.pread, self._descriptor)
        with opened(self._path) as source, text_file(source) as file:
            self._footer = file.metadata
            table = file.read(columns=["status", "reason", "sha256"], use_threads=False)
        self._states: list[str] = table["status"].to_pylist()
        self._reasons, self._digests = table["reason"].combine_chunks(), table["sha256"].combine_chunks()
        self._starts = [0]
        for group in range(self._footer.num_row_groups):
            self._starts.append(self._starts[-1] + self._footer.row_group(group).num_rows)
        self._looked = True

    def forget(self) -> None:
        """Drop what was fetched beforehand; it can be read again."""
        self._fetched = (0, b"")

    def _find(self, group: int) -> dict[int, tuple[int, int]] | None:
        """Places of the group's images by row, None if they are not stored plain."""
        metadata = self._footer.row_group(group)
        names = [metadata.column(index).path_in_schema for index in range(metadata.num_columns)]
        chunk = metadata.column(names.index(_IMAGE_BYTES))
        if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            return None
        start = chunk.data_page_offset
        if is_remote(self._path) and chunk.total_compressed_size <= _FETCHED_BYTES:
            self._fetch(start, chunk.total_compressed_size + LONGEST_HEADER)
        found: Spans | None = byte_array_spans(self._read, start, start + chunk.total_compressed_size)
        rows = range(self._starts[group], self._starts[group + 1])
        fine = [row for row in rows if self._states[row] == Status.OK.value]
        return None if found is None or len(found) != len(fine) else dict(zip(fine, found, strict=True))

    def _decoded(self, group: int) -> Any:
        """The column of a group as pyarrow decodes it; each thread keeps the last one."""
        if getattr(self._kept, "group", None) != group:
            self._kept.column = None
            with opened(self._path) as source, pq.ParquetFile(source) as file:
                table = file.read_row_group(group, columns=[IMAGE], use_threads=False)
            self._kept.column = table[IMAGE].combine_chunks()
            self._kept.group = group
        return self._kept.column

    def _fetch(self, start: int, size: int) -> None:
        """Keep this piece of the file, and of other parts the latest few."""
        self._fetched = (start, self._at(size, start))
        with _fetched_lock:
            if self in _fetched_parts:
                _fetched_parts.remove(self)
            while len(_fetched_parts) >= _FETCHED_PARTS:
                _fetched_parts.popleft().forget()
            _fetched_parts.append(self)

    def _read(self, offset: int, size: int) -> bytes:
        start, fetched = self._fetched
        if start <= offset and offset + size <= start + len(fetched):
            return fetched[offset - start : offset - start + size]
        data = self._at(size, offset)
        while len(data) < size and (more := self._at(size - len(data), offset + len(data))):
            data += more
        return data


_table_lock = threading.Lock()
_fetched_parts: deque[_OpenPart] = deque()
_fetched_lock = threading.Lock()


@functools.lru_cache(maxsize=_OPEN_PARTS)
def _opened(path: str, _version: tuple[int, ...]) -> _OpenPart:
    return _OpenPart(path)


def _begin_anew() -> None:
    """In a process that was forked: a lock that was held is held for ever, by a thread that is not there."""
    global _table_lock, _fetched_lock
    _table_lock, _fetched_lock = threading.Lock(), threading.Lock()
    _fetched_parts.clear()
    _opened.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
