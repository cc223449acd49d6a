"""What is a shard folder, and where an image lies in one.

An address is text: `/data/shards/part-00003.parquet#17` is row 17 of that part, counted from 0. It stands wherever the
path of an image file may stand. Nothing here needs pyarrow.
"""

from __future__ import annotations

import os
import re

CONTENTS_NAME = "shards.json"
"""The file by which a folder is a shard folder."""

_ADDRESS = re.compile(r"(.+\.parquet)#(\d{1,9})", re.DOTALL)


def is_shard_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a finished shard folder."""
    return os.path.isfile(os.path.join(path, CONTENTS_NAME))  # noqa: PTH113, PTH118 - Path raises where it may not look


def address(part: str, row: int) -> str:
    """The address of a row of a part."""
    return f"{part}#{row}"


def split_address(source: str) -> tuple[str, int] | None:
    """The part and the row of an address; None for any other path."""
    found = _ADDRESS.fullmatch(source)
    return None if found is None else (found[1], int(found[2]))


def file_of(source: str) -> str:
    """The path of the file that holds the bytes of a source: the part of an address, else the source itself."""
    place = split_address(source)
    return source if place is None else place[0]
