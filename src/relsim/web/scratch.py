"""A temporary folder of a process; what killed ones have left is removed by the next one that makes its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from relsim.files import exclusive_lock, is_locked

_LOCK = "lock"
_YOUNG = 60.0  # seconds in which whoever has made the file of the lock gets to lock it


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A folder for the body alone, which has it locked where the system can; it is removed afterwards."""
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        try:
            held.enter_context(exclusive_lock(folder / _LOCK))
        except OSError:  # here nobody can tell whether a folder is in use
            pass
        else:
            _sweep(folder.parent, prefix)
        yield folder


def _sweep(place: Path, prefix: str) -> None:
    """Remove this user's folders that have a lock which nobody holds."""
    for folder in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # others tidy as well
            facts, made = folder.lstat(), (folder / _LOCK).lstat().st_mtime
            own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
            if own and time.time() - made > _YOUNG and not is_locked(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)
