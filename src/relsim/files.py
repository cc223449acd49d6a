"""Finish, then publish: a file is written under a temporary name, flushed to the disk and renamed.

Whoever looks sees the old file or the new one, never a part of it. Errors of the system pass through: what they mean is
for the caller to say.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, final

TEMPORARY_PREFIX = ".tmp-"
_PIECE = 65_536
_ATTEMPTS, _BETWEEN = 5, 0.01  # seconds; longer than anybody takes to ask whether a file is locked


class FileInUseError(OSError):
    """A file is locked by somebody else, in this process or another."""


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A free name beside `path`, for the body to write and rename; what is still there afterwards is removed."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name[:100]}-{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def drafted_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` for the body to fill; it gets that name when the body is done, else it is removed.

    Files are flushed first. `folder` must not exist.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        for path in draft.iterdir():
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes for its owner alone
            flush(path)
        flush(draft)
        draft.chmod(0o755)
        draft.rename(folder)
        flush(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def flush(path: Path) -> None:
    """Block until a file, or a folder's list of names, is on the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no handles of folders and writes renames through on its own.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock on a file, which is made where it is missing; the system takes it back however the process ends.

    Raises `FileInUseError` if it is held, unless told to `wait`. A system without flock is an `OSError` as well.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOLCK, "writing needs a system with flock (Linux, macOS)") from error
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if wait:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody else holds the exclusive lock on a file now; nobody does on one that cannot be opened."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        # Held for a moment only, and shared with others who ask: a writer who comes in that moment tries again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int, path: Path) -> None:
    """The lock on an open file, without waiting longer than for somebody who merely asks."""
    import fcntl

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt == _ATTEMPTS:
                raise FileInUseError(error.errno, error.strerror, str(path)) from error
            time.sleep(_BETWEEN)
        else:
            return


@final
class LineFile:
    """The only writer of a file of lines that grows, as a context; a missing file is made.

    Whole lines are added and flushed, so that a kill or a power cut leaves those of finished calls and at most a torn
    one, which `mend` takes away. Raises `FileInUseError` where somebody else writes it, and errors of the system.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = contextlib.ExitStack()
        self._file: FileIO | None = None
        self._end = 0

    def __enter__(self) -> LineFile:
        with contextlib.ExitStack() as held:
            held.enter_context(exclusive_lock(self.path))
            self._file = held.enter_context(self.path.open("ab", buffering=0))
            self._end = self.path.stat().st_size
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file = None
        self._held.close()

    def mend(self) -> int:
        """Take away what follows the last whole line; how many bytes that was."""
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            self._end = _end_of_lines(file, size)
            if self._end < size:
                file.truncate(self._end)
        return size - self._end

    def append(self, lines: bytes) -> None:
        """Add lines, all of them or none, and block until they are on the disk."""
        if self._file is None:
            raise ValueError(f"{self.path} is not open; use it as a context")
        view = memoryview(lines)
        try:
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):  # else the next writer takes away what is not whole
                self._file.truncate(self._end)
            raise
        self._end += len(lines)


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Where the last whole line of a file ends."""
    end = size
    while end:
        start = max(0, end - _PIECE)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
