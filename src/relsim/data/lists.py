"""Published lists of images in any of their forms, as rows of a manifest.

    *.jsonl      a manifest, or seed groups one a line
    *.json       a JSON list of either
    *.parquet    a table with the manifest's columns, as the Hub stores it

What is wrong with one entry is reported with its line (in a table: with its row), and the rest is read. Captions and
links are kept raw and cleaned beside it (`relsim.data.cleaning`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from relsim.data.cleaning import cleaned
from relsim.data.identity import printable
from relsim.data.manifest import BadLine, ManifestRow, parse_row, read_manifest
from relsim.data.objects import read_objects, refuse_bad_lines
from relsim.data.seed_groups import is_seed_group, read_seed_groups
from relsim.errors import SourceError

SUFFIXES = (".jsonl", ".json", ".parquet")
_NEEDED = 'an entry is an object with a string "image_hash"'


def read_list(
    path: str | os.PathLike[str], *, on_bad_line: Callable[[BadLine], None] | None = None
) -> list[ManifestRow]:
    """All rows of a list, in order; those of a seed group carry its number in `group`.

    Raises SourceError if the file cannot be read or has another suffix, or for bad entries: their count and the first
    five. With `on_bad_line` that function is called for each bad entry instead, and the good rows are returned.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SourceError(f"{printable(str(path))} is not a list of images; name a file that ends in {_or(SUFFIXES)}")
    if suffix == ".parquet":
        rows = _of_table(path, on_bad_line)
    elif holds_groups(path):
        rows = [row for group in read_seed_groups(path, on_bad_line=on_bad_line) for row in group.rows()]
    elif suffix == ".jsonl":
        rows = read_manifest(path, on_bad_line=on_bad_line)
    else:
        rows = _of_json(path, on_bad_line)
    return [cleaned(row) for row in rows]


def holds_groups(path: Path) -> bool:
    """Whether the first object of the file is a seed group; the first one that is whole decides."""
    if path.suffix.lower() == ".json":
        first = next((entry for _, entry in read_objects(path, lambda _: None)), {})
        return is_seed_group(first)
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    value = json.loads(line.decode("utf-8-sig"))
                except (ValueError, RecursionError):
                    continue
                return isinstance(value, dict) and is_seed_group(value)
    except OSError as error:
        raise SourceError(f"cannot read {printable(str(path))}: {(error.strerror or str(error)).lower()}") from error
    return False


def _of_json(path: Path, on_bad_line: Callable[[BadLine], None] | None) -> list[ManifestRow]:
    rows: list[ManifestRow] = []
    bad: list[BadLine] = []
    report = bad.append if on_bad_line is None else on_bad_line
    for line, entry in read_objects(path, report):
        try:
            rows.append(parse_row(entry))
        except ValueError as error:
            report(BadLine(line, str(error)))
    refuse_bad_lines(path, bad, _NEEDED)
    return rows


def _of_table(path: Path, on_bad_line: Callable[[BadLine], None] | None) -> list[ManifestRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[ManifestRow] = []
    bad: list[BadLine] = []
    report = bad.append if on_bad_line is None else on_bad_line
    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if "image_hash" not in file.schema_arrow.names:
                raise SourceError(f"{printable(str(path))} has no column image_hash, so it is not a list of images")
            for batch in file.iter_batches(use_threads=False):
                for entry in batch.to_pylist():
                    number += 1
                    try:
                        rows.append(parse_row(entry))
                    except ValueError as error:
                        report(BadLine(number, str(error)))
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"cannot read {printable(str(path))}: {error}") from error
    refuse_bad_lines(path, bad, _NEEDED)
    return rows


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
