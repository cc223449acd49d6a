"""Walking folders and matching patterns in a fixed order, on any tree.

Loops of links, folders that may not be read and names in any bytes are taken as they come. Paths below a root are
tuples of names.
"""

# Plain strings: a collection has 100,000 names, and a Path for each costs more than the listing.
# ruff: noqa: PTH112, PTH116, PTH118

from __future__ import annotations

import fnmatch
import logging
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence

from relsim.errors import SourceError

_log = logging.getLogger(__name__)
_DIGITS = re.compile("([0-9]+)")
_WILDCARD = re.compile(r"[*?\[]")

Parts = tuple[str, ...]


def natural_key(parts: Parts) -> tuple[tuple[tuple[str | int, ...], ...], Parts]:
    """Sort key by which numbers within names count as numbers, folder by folder; equal values by spelling."""
    return tuple(
        # Splitting alternates text and digits, so that text is compared with text and numbers with numbers.
        tuple(int(piece) if place % 2 else piece for place, piece in enumerate(_DIGITS.split(name)))
        for name in parts
    ), parts


def files_below(root: str, *, depth: int | None = None) -> list[Parts]:
    """Every visible file below `root` in natural order; with `depth` 1 only those directly in it.

    Links to folders are followed after all real folders, and no folder is entered twice: loops end, and a file
    goes by its real name where it has one below the root. What is not a folder counts as a file, a broken link
    included. A folder below the root that cannot be read is logged and passed over; the root itself is a SourceError.
    """
    found: list[Parts] = []
    entered: set[tuple[int, int]] = set()
    real: deque[Parts] = deque([()])
    linked: deque[Parts] = deque()
    while real or linked:
        parts = real.popleft() if real else linked.popleft()
        folder = os.path.join(root, *parts)
        try:
            info = os.stat(folder)
            if (info.st_dev, info.st_ino) in entered:
                continue
            entered.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: natural_key((entry.name,)))
        except OSError as error:
            if not parts:
                raise SourceError(f"the folder {root!r} cannot be read: {_reason(error)}") from error
            _log.warning("passed over the folder %r: %s", folder, _reason(error))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = (*parts, entry.name)
            if not _is_folder(entry):
                found.append(path)
            elif depth is None or len(path) < depth:
                (linked if entry.is_symlink() else real).append(path)
    return sorted(found, key=natural_key)


def is_pattern(text: str) -> bool:
    """Whether the text has a wildcard in it."""
    return _WILDCARD.search(text) is not None


def matching_files(pattern: str) -> Iterator[tuple[str, str]]:
    """Files that a pattern matches, in natural order, as (path, path below the part without wildcards)."""
    pieces = pattern.replace(os.sep, "/").split("/")
    first = next(place for place, piece in enumerate(pieces) if is_pattern(piece))
    root = "/".join(pieces[:first]) or ("/" if first else ".")
    wanted = [piece for piece in pieces[first:] if piece]
    if wanted[-1] == "**":
        wanted.append("*")
    if not os.path.isdir(root):
        raise SourceError(f"the pattern {pattern!r} begins with {root!r}, which is not a folder")
    for parts in files_below(root, depth=None if "**" in wanted else len(wanted)):
        if fits(parts, wanted):
            yield os.path.join(root, *parts), "/".join(parts)


def fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a path fits, where `**` stands for any number of folders, none included."""
    reached = {0}
    for name in parts:
        reached = _through_stars(reached, wanted)
        reached = {
            place if wanted[place] == "**" else place + 1
            for place in reached
            if place < len(wanted) and (wanted[place] == "**" or fnmatch.fnmatch(name, wanted[place]))
        }
    return len(wanted) in reached


def _through_stars(reached: set[int], wanted: Sequence[str]) -> set[int]:
    """Add the places that follow a `**` which stands for no folder."""
    places = set(reached)
    for place, piece in enumerate(wanted):
        if piece == "**" and place in places:
            places.add(place + 1)
    return places


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
