"""Names of files: which ids a list may have, and what the file of a row is called with --layout files.

Plain names, or plain names below plain folders (`group_3/8f14e45f`), and nothing else. In shards no file is named by an
id, so it may have dots, colons and backslashes there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from relsim.data.manifest import ManifestRow
from relsim.data.shard_rows import SUFFIXES

_LONGEST_NAME = 200  # bytes; file systems take 255, of which a suffix and a temporary name need some
_LONGEST_ID = 1_000
_NOT_IN_A_NAME = "\\:"
_SEPARATORS = re.compile(r"[/\\]")
_KNOWN_SUFFIXES = frozenset(SUFFIXES.values())
# What a download, or whoever packs its folder, writes there itself.
_OURS = frozenset({"status", "summary.json", "outcomes.svg", "shards.json"})


class NameTakenError(Exception):
    """In the place of an image's file, or of its folder, is something that is in the way."""


def name_of(row: ManifestRow) -> str:
    """The path of a row's file below the folder, without its suffix: its id, or what the list says of a seed group.

    The published folder of seed groups has `group_<number>/<image_hash>`, for one image may be in two groups.
    """
    file = row.extra.get("file")
    if row.extra.get("group") is None or not isinstance(file, str):
        return row.image_hash
    folder, slash, name = file.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def refusal_of_id(image_id: str) -> str | None:
    """Why a row with this id is refused in any layout, or None if it is not."""
    if not image_id:
        return "the id is empty"
    if (reason := _unusable(image_id)) is not None:
        return f"the id {reason}"
    if image_id[0] == "/" or ".." in _SEPARATORS.split(image_id):
        return "the id leads elsewhere"
    return None


def refusal_of(name: str, what: str = "the id") -> str | None:
    """Why a path without its suffix cannot name a file within a folder on every system, or None if it can."""
    if (reason := _unusable(name)) is not None:
        return f"{what} cannot name a file: it {reason}"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"{what} cannot name a file: it leads elsewhere"
        if part[0] == "." or part[-1] in " ." or any(sign in part for sign in _NOT_IN_A_NAME):
            return f"{what} cannot name a file on every system: it begins or ends with a dot, or has \\ or : in it"
        if len(part.encode()) > _LONGEST_NAME:
            return f"{what} cannot name a file: a part of it is longer than {_LONGEST_NAME} bytes"
    if "/" in name and name.partition("/")[0].casefold() in _OURS:
        return f"{what} cannot name a file: its folder would be in the place of what the download writes itself"
    return None


def refusals(rows: Sequence[ManifestRow], layout: Literal["shards", "files"]) -> dict[int, str]:
    """The rows that are refused for their id or the name of their file, with the reason.

    Among files also those whose name an earlier row has, and those whose folder would be in the place of another row's
    file, whichever comes first: `x.jpg/y` beside `x`. Names that differ in upper and lower case alone count as one,
    because some file systems take them for one.
    """
    found = {number: reason for number, row in enumerate(rows) if (reason := refusal_of_id(row.image_hash))}
    if layout == "files":
        found |= _unnamed([None if number in found else row for number, row in enumerate(rows)])
    return found


def _unusable(text: str) -> str | None:
    if not text.isprintable():
        return "has signs that cannot be printed"
    if len(text.encode()) > _LONGEST_ID:
        return f"is longer than {_LONGEST_ID:,} bytes"
    return None


def _unnamed(rows: Sequence[ManifestRow | None]) -> dict[int, str]:
    """The rows that cannot have a file, of those that have an id."""
    found: dict[int, str] = {}
    seen: dict[str, int] = {}  # and the first row of that name
    below: list[tuple[int, str, str]] = []  # those in folders
    for number, row in enumerate(rows):
        if row is None:
            continue
        name = name_of(row)
        by_id = name == row.image_hash
        what = "the id" if by_id else "the field file"
        if (reason := refusal_of(name, what)) is not None:
            found[number] = reason
        elif (first := seen.setdefault(name.casefold(), number)) != number:
            found[number] = f"row {first:,} has this {'id, and its file,' if by_id else 'file'} already"
        elif "/" in name:
            below.append((number, name, what))
    for number, name, what in below:
        for folder in _folders(name):
            stem, _, suffix = folder.casefold().rpartition(".")
            if suffix in _KNOWN_SUFFIXES and stem in seen:
                found[number] = f"{what} cannot name a file: its folder {folder} may be the file of row {seen[stem]:,}"
    return found


def _folders(name: str) -> Iterator[str]:
    """The folders in which a name is, from the outermost."""
    parts = name.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))
