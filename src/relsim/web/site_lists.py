"""Lists of images in a static site: rows in files, which the page filters itself as the server would.

    data/list-0-0.js …    rows of the first list, `CHUNK` in each file, loaded when they are needed

A row is what the API tells of it without what is empty, with the names of its pictures and the changes of its caption.
Its number follows from its place. Corrections are shown as they stand; none can be made.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from relsim.web.data_api import changes_of, row_of, summary_of
from relsim.web.data_forms import Row
from relsim.web.datasets import Dataset
from relsim.web.library import Library
from relsim.web.site_files import json_of, write_script

CHUNK = 500
"""Rows in a file."""
Keep = Callable[[str, Mapping[str, Any]], Awaitable[list[str]]]
"""Asks for a picture at a path, keeps it in all sizes, and gives the names of its files."""


def folds() -> dict[str, str]:
    """What `str.casefold` makes of the signs that it does not only set in small letters, for a search in a browser."""
    signs = map(chr, range(sys.maxunicode + 1))
    return {sign: folded for sign in signs if (folded := sign.casefold()) != sign.lower()}


async def write_list(
    place: Path, library: Library, data: Dataset, *, most: int, keep: Keep, tick: Callable[[], None]
) -> dict[str, Any]:
    """Write the first rows of a list into files `PLACE-0.js` and so on; gives what the page knows of it beforehand.

    `keep` keeps the pictures that the API has at a path, and `tick` is called for each row. Raises `SourceError` for
    changes that are unusable.
    """
    data.corrections.refresh()
    rows = min(most, len(data))
    corrected = set(data.corrections.changed)
    for start in range(0, rows, CHUNK):
        lines = []
        for number in range(start, min(start + CHUNK, rows)):
            row = row_of(library, data, number)
            shown = await keep(f"/api/data/{data.name}/picture", {"row": number}) if row.picture else []
            lines.append(json_of(_packed(row, data, corrected=number in corrected, files=shown)))
            tick()
        name = f"{place.name}-{start // CHUNK}"
        text = ",\n".join(lines)
        write_script(place.with_name(f"{name}.js"), f"relsimSite.rows[{json_of(name)}] = [\n{text}\n];\n")
    summary = summary_of(library, data, data.facets_of(rows)).model_dump(mode="json")
    return {
        "listed": {"name": data.name, "rows": rows, "kind": data.inventory.kind},
        "summary": {**summary, "whole": len(data)},
        "files": place.name,
    }


def _packed(row: Row, data: Dataset, *, corrected: bool, files: list[str]) -> Mapping[str, Any]:
    """A row for a file. The page puts back what is left out: its number, what is empty, a caption that is as listed."""
    told = row.model_dump(mode="json", exclude={"row", "listed", "changes"}, exclude_none=True)
    packed = {
        name: value for name, value in told.items() if value != [] and (value is not False or name == "anonymous")
    }
    if row.listed != row.caption:
        packed["listed"] = row.listed
    if row.changes:
        packed["history"] = [change.model_dump(mode="json") for change in changes_of(data, row.row)]
    if corrected:
        packed["corrected"] = True
    if files:
        packed["files"] = files
    return packed
