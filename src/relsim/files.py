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
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"


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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileInUseError(error.errno, error.strerror, str(path)) from error
        yield
    finally:
        os.close(descriptor)
