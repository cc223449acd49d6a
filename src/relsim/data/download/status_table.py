"""The table beside a folder of files: the columns of a shard without the bytes, and the name of each row's file.

Parts lie in `status/` and hold the same rows as the parts of a shard folder would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relsim.data.identity import printable
from relsim.data.shard_contents import reading, writing
from relsim.data.shard_rows import COLUMNS, IMAGE, NEVER_NULL, ShardRow, from_batch, schema
from relsim.files import flush, temporary_beside

FILE = "file"
_GROUP_ROWS = 10_000


@cache
def table_schema() -> pa.Schema:
    """The Arrow schema of the table: `file` stands in the place of `image`."""
    fields = [pa.field(FILE, pa.string()) if field.name == IMAGE else field for field in schema()]
    return pa.schema(fields)


def write_table_part(path: Path, rows: Iterable[ShardRow], name_of: Callable[[ShardRow], str]) -> None:
    """Write a part whole, in the place of one that has this name; `name_of` gives the file of an ok row."""
    with writing(path), temporary_beside(path) as temporary:
        with pq.ParquetWriter(temporary, table_schema(), compression="zstd") as writer:
            for group in _groups(rows):
                entries = [_entry(row, name_of) for row in group]
                writer.write_batch(pa.RecordBatch.from_pylist(entries, schema=table_schema()))
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)


def table_rows(path: Path, columns: Iterable[str] = ()) -> Iterator[ShardRow]:
    """The rows of a part, without images; `columns` is what is read beside row, id and status, all if it is empty."""
    wanted = [name for name in COLUMNS if name != IMAGE and (not columns or name in {*columns, *NEVER_NULL})]
    with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(columns=wanted, use_threads=False):
            yield from from_batch(batch)


def _groups(rows: Iterable[ShardRow]) -> Iterator[list[ShardRow]]:
    group: list[ShardRow] = []
    for row in rows:
        group.append(row)
        if len(group) == _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _entry(row: ShardRow, name_of: Callable[[ShardRow], str]) -> dict[str, Any]:
    entry: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS if name != IMAGE}
    entry |= {"status": row.status.value, "extra": json.dumps(dict(row.extra)) if row.extra else None}
    entry[FILE] = name_of(row) if row.sha256 is not None else None
    return {name: printable(value) if isinstance(value, str) else value for name, value in entry.items()}
