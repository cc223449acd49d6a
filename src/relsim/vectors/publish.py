"""Finish, then publish: how a file of a vector table appears on disk, and who may write.

A file is written under a temporary name, flushed to the disk and renamed; whoever looks sees the old file, or
the new one, and never a part of it. One process writes at a time: the right to write is a lock on the file
`.lock`, which the system takes back when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from relsim.errors import TableError
from relsim.files import FileInUseError, exclusive_lock, flush, temporary_beside

LOCK_NAME = ".lock"
_READ_BYTES = 2**20


@contextlib.contextmanager
def system_errors(action: str, path: Path) -> Iterator[None]:
    """Turn errors of the operating system into `TableError`s that name the action and the path."""
    try:
        yield
    except OSError as error:
        # pyarrow raises bare OSErrors whose text is the only place that holds the reason.
        reason = error.strerror or str(error)
        hint = {
            errno.ENOSPC: " Free some space or choose another place, then run again: finished parts are kept.",
            errno.EDQUOT: " Free some space or choose another place, then run again: finished parts are kept.",
            errno.EFBIG: " Choose a place that takes larger files, then run again: finished parts are kept.",
            errno.EACCES: " Choose a place that you may write to, or change the permissions.",
            errno.EROFS: " Choose a place that you may write to.",
        }.get(error.errno or 0, "")
        raise TableError(f"cannot {action} {path}: {reason}.{hint}") from error


def publish(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then put it in the place of `path`; a failure leaves `path` as it was."""
    with _finished(path, write) as temporary:
        temporary.replace(path)


def publish_hashed(folder: Path, stem: str, suffix: str, write: Callable[[Path], None]) -> tuple[str, int, str]:
    """Like `publish`, under a name that ends in the first 12 digits of the content's SHA-256.

    Returns the file's name, its size in bytes and its SHA-256.
    """
    with _finished(folder / (stem + suffix), write) as temporary:
        digest = hashlib.sha256()
        with temporary.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
            size = file.tell()
        name = f"{stem}-{digest.hexdigest()[:12]}{suffix}"
        temporary.replace(folder / name)
    return name, size, digest.hexdigest()


@contextlib.contextmanager
def _finished(path: Path, write: Callable[[Path], None]) -> Iterator[Path]:
    """A temporary file beside `path`, complete and on the disk, that the body renames; it never stays behind."""
    with temporary_beside(path) as temporary, system_errors("write", path):
        write(temporary)
        flush(temporary)
        yield temporary
        flush(path.parent)


def sha256_of(data: Any) -> str:
    """SHA-256 of a bytes-like object, in hex."""
    return hashlib.sha256(memoryview(data)).hexdigest()


class FolderLock:
    """The right to write into a folder, held by one open file at a time.

    `acquire` raises `TableError` if somebody else holds it. Dropping the object, `release` and the end of the
    process give it back.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: contextlib.ExitStack | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._held is not None

    def acquire(self) -> None:
        """Take the lock, without waiting for it."""
        if self.held:
            return
        path = self._folder / LOCK_NAME
        with contextlib.ExitStack() as stack, system_errors("write", path):
            try:
                stack.enter_context(exclusive_lock(path))
            except FileInUseError as error:
                raise TableError(
                    f"{self._folder} is being written by another process. One writer at a time: "
                    "wait until it has finished, or stop it; its lock ends with it."
                ) from error
            self._held = stack.pop_all()

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def __del__(self) -> None:
        self.release()
