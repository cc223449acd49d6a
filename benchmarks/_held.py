"""Memory that a process holds, told apart: what is its own, and which pages of mapped files are resident. Linux.

Pages of files are copies of the disk that the system drops when it needs the room; a process's own memory is not.
The greatest resident memory that the system notes (`VmHWM`) has both, at whatever moment they were most together.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from relsim.web.heap import give_back

_PAUSE = 0.002  # between two looks, in seconds


def own_memory() -> int:
    """Bytes of anonymous memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon line: this benchmark needs Linux")


def settled() -> int:
    """Bytes of own memory when what is free in it has been given back, so that later needs do not hide in it."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    give_back()
    return own_memory()


def mapped_pages(folder: Path) -> int:
    """Resident bytes of mapped files of a folder, not of the folders in it."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            inside = Path(rest.split(maxsplit=4)[-1]).parent == folder
        elif inside and first == "Rss:":
            total += int(rest.split()[0]) * 1024
    return total


@dataclass
class Most:
    """The most bytes that were seen so far."""

    bytes: int


@contextlib.contextmanager
def watched() -> Iterator[Most]:
    """The greatest own memory of this process meanwhile, to within what comes and goes in 2 ms."""
    most, over = Most(own_memory()), threading.Event()

    def look() -> None:
        while not over.wait(_PAUSE):
            most.bytes = max(most.bytes, own_memory())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()
        most.bytes = max(most.bytes, own_memory())
