"""Memory that is free in this process and that the C library keeps: it goes back to the system.

Each batch of questions needs tens of megabytes for a moment, in one thread or another. glibc has a heap for each thread
and gives back only what is free at its end, so the resident size would creep upwards under load, with nothing in it.
Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def have_few_heaps() -> bool:
    """Let all threads share two heaps from now on; False where that cannot be said."""
    library = _glibc()
    return library is not None and bool(library.mallopt(_ARENA_MAX, _ARENAS))


def give_back() -> bool:
    """Give free memory back to the system; False where that cannot be said, or there was none."""
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


@cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        library.malloc_trim.argtypes, library.malloc_trim.restype = [ctypes.c_size_t], ctypes.c_int
        library.mallopt.argtypes, library.mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
        return library if hasattr(library, "gnu_get_libc_version") else None
    except (AttributeError, OSError, TypeError):
        return None
