"""Ids of images: printable, and one for each file."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from relsim.errors import SourceError

_SURROGATE = range(0xD800, 0xE000)
_ESCAPED_BYTE = range(0xDC80, 0xDD00)  # PEP 383: how the file system's bytes 0x80 to 0xFF come into a string
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def printable(name: str) -> str:
    r"""The name with control characters, line separators and bytes that are not UTF-8 written as `\xff`."""
    if name.isprintable():
        return name
    raw = name.encode("utf-8", "surrogateescape" if _from_bytes(name) else "backslashreplace")
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(_escaped(sign) if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in text)


def unique_ids(names: Sequence[str], paths: Sequence[str], *, refuse: bool) -> list[str]:
    """Names made printable and unique: names that several files share get more of each file's path in front.

    `paths` are the absolute paths, all different. The result depends on the set of files only, not on its order.
    Raises SourceError if `refuse` and two files share a name, or if even whole paths look the same in print.
    """
    ids = [printable(name) for name in names]
    levels = [0] * len(ids)
    while clashes := _shared(ids):
        if refuse:
            first, second = sorted(paths[place] for place in clashes[0][:2])
            raise SourceError(
                f"two files would have the id {ids[clashes[0][0]]}: {printable(first)} and {printable(second)}; "
                "name one folder that holds both, so that ids are paths below it, or rename one"
            )
        grown = False
        for place in (place for group in clashes for place in group):
            longer = _longer(names[place], paths[place], levels[place] + 1)
            if longer is not None:
                levels[place] += 1
                ids[place] = printable(longer)
                grown = True
        if not grown:
            raise SourceError(f"two files have names that look the same in print ({ids[clashes[0][0]]}); rename one")
    return ids


def _shared(ids: Sequence[str]) -> list[list[int]]:
    if len(set(ids)) == len(ids):
        return []
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(ids):
        places[name].append(place)
    return [group for group in places.values() if len(group) > 1]


def _longer(name: str, path: str, level: int) -> str | None:
    """The name with `level` more parts of the path than it has, or None past the whole path.

    A stem is no part of its path: its first step is the file's whole name.
    """
    parts = [part for part in path.replace(os.sep, "/").split("/") if part]
    own = name.count("/") + 1 if parts and parts[-1] == name.rsplit("/", 1)[-1] else 0
    count = own + level
    return "/".join(parts[-count:]) if count <= len(parts) else None


def _from_bytes(name: str) -> bool:
    """Whether every lone surrogate in the name stands for a byte, as in names from the file system."""
    return all(ord(sign) in _ESCAPED_BYTE for sign in name if ord(sign) in _SURROGATE)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
