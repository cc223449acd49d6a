"""`shards.json`: what a shard folder consists of, and how its files are named.

The file names the parts with their rows and sizes, counts rows by status, and says what list the rows came of. It is
written last, so a folder without it is unfinished. docs/formats.md has every key.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from relsim.data.shard_address import CONTENTS_NAME
from relsim.errors import ShardError
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.shards/1"
_PART = re.compile(r"part-(\d{5,})\.parquet")
_KEPT = " Free some space or choose another place, then run again: finished parts are kept."
_HINTS = {
    errno.ENOSPC: _KEPT,
    errno.EDQUOT: _KEPT,
    errno.EACCES: " Choose a place that you may write to, or change the permissions.",
    errno.EROFS: " Choose a place that you may write to.",
}


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part: its file name, its rows and its size in bytes."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The facts of `shards.json`.

    `statuses` counts the rows of each status, the most frequent first. `origin` says what list the rows came of: its
    `name`, its `sha256` and whatever else is known of it; None where there was no list.
    """

    rows: int
    parts: tuple[PartEntry, ...]
    statuses: Mapping[str, int]
    about: str = "images"
    origin: Mapping[str, Any] | None = None

    def save(self, folder: Path) -> None:
        """Put these facts in the place of the folder's `shards.json`. Raises `ShardError`."""
        document = {"schema": SCHEMA, **asdict(self)}
        with writing(folder), temporary_beside(folder / CONTENTS_NAME) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(folder / CONTENTS_NAME)
            flush(folder)


def read_contents(folder: Path) -> Contents | None:
    """What `shards.json` says, None where there is none. Raises `ShardError` if it cannot be understood."""
    path = folder / CONTENTS_NAME
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ShardError(f"cannot read {path}: {error.strerror or error}") from error
    return parse_contents(data, str(folder))


def parse_contents(data: bytes, folder: str) -> Contents:
    """What the bytes of the `shards.json` of a folder say. Raises `ShardError` if they cannot be understood."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            schema = document.get("schema") if isinstance(document, dict) else None
            raise ValueError(f"its schema is {schema!r}, not {SCHEMA}")  # noqa: TRY301 - one kind for all that is wrong
        return _contents(document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ShardError(
            f"{folder}/{CONTENTS_NAME} is not that of a shard folder: {error}. Make it again with relsim download, or "
            "name another folder"
        ) from error


def part_name(number: int) -> str:
    """The file name of a part, counted from 0."""
    return f"part-{number:05d}.parquet"


def part_number(path: Path) -> int:
    """The number of a part, by its file name."""
    found = _PART.fullmatch(path.name)
    if found is None:
        raise ShardError(f"{path} has no name of a part; those are part-00000.parquet and so on")
    return int(found[1])


def parts_in(folder: Path) -> list[Path]:
    """Paths of all parts that lie in a folder, whether `shards.json` names them or not, in order of their numbers."""
    try:
        return sorted((path for path in folder.iterdir() if _PART.fullmatch(path.name)), key=part_number)
    except OSError as error:
        raise ShardError(f"cannot read {folder}: {error.strerror or error}") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system or pyarrow refuses while `path` is written into a `ShardError`."""
    try:
        yield
    except OSError as error:
        # pyarrow raises bare OSErrors whose text is the only place that holds the reason.
        reason = error.strerror or str(error)
        raise ShardError(f"cannot write {path}: {reason.lower()}.{_HINTS.get(error.errno or 0, '')}") from error


@contextlib.contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn what is wrong with a part into a `ShardError` that names it."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).strip().partition("\n")[0]
        raise ShardError(
            f"{path} is damaged: {reason}. Take it from another copy, or remove it and download its rows again"
        ) from error


def _contents(document: Mapping[str, Any]) -> Contents:
    parts = tuple(PartEntry(part["name"], part["rows"], part["bytes"]) for part in document["parts"])
    for part in parts:
        if type(part.rows) is not int or type(part.bytes) is not int or not _PART.fullmatch(part.name):
            raise ValueError(f"an entry of parts names none: {part}")
    if document["rows"] != sum(part.rows for part in parts):
        raise ValueError(f"it says {document['rows']} rows, and its parts have {sum(part.rows for part in parts)}")
    return Contents(document["rows"], parts, dict(document["statuses"]), document["about"], document["origin"])
