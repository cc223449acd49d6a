"""One part of a vector table: a Parquet file whose vectors can be used where they lie.

Columns: `image_id` (string), `vector` (fixed-size list of D float32, never null), `source` (string), then one
string column per field of the records. A field whose values are all text is stored as it is, any other as JSON;
the column's Arrow metadata says which (`relsim.format`) and keeps the field's name (`relsim.field`), for a name
that is taken gets the prefix `field:`. An absent field and a field that is None are both null.

Vectors are written plain, uncompressed and as one data page per row group, so that a row group's vectors are the
last rows * D * 4 bytes of their column chunk. Parquet allows a gap before a row group; it is used to start the
vectors at a multiple of 64 bytes. A reader that finds another layout decodes the column through pyarrow instead.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.base import Vectors
from relsim.errors import TableError

ROW_GROUP_BYTES = 64 * 2**20
"""Vectors of a row group. To write one takes seven times as much memory: levels, a page, and its copies."""

ALIGNMENT = 64
VECTOR_PATH = "vector.list.element"
FIELD, FORMAT = b"relsim.field", b"relsim.format"
FIXED_COLUMNS = ("image_id", "vector", "source", "status", "reason")


def rows_per_group(dimension: int) -> int:
    """Rows whose vectors fill one row group."""
    return max(1, ROW_GROUP_BYTES // (4 * dimension))


def write_part(path: Path, records: Sequence[ImageRecord], vectors: Vectors) -> None:
    """Write records and their vectors, shape (len(records), D) and C-contiguous, as a Parquet file."""
    dimension = vectors.shape[1]
    columns = _record_columns(records)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=_vector_type(dimension))
    columns.insert(1, (pa.field("vector", _vector_type(dimension), nullable=False), flat))
    table = _table(columns)
    options = _write_options(table.schema.names)
    step = rows_per_group(dimension)
    with pa.OSFile(str(path), "wb") as file, pq.ParquetWriter(file, table.schema, **options) as writer:
        for start in range(0, len(records), step):
            group = table.slice(start, step)
            ahead = _chunk_bytes(group.select(["image_id"])) + _bytes_before_vectors(group.num_rows, dimension)
            file.write(b"\0" * (-(file.tell() + ahead) % ALIGNMENT))
            writer.write_table(group, row_group_size=step)


def write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Write failures as a Parquet file: `image_id`, `source`, `status`, `reason` and the fields."""
    columns = _record_columns([failure.record for failure in failures])
    for position, name in enumerate(("status", "reason")):
        values = [Status(failure.status).value if name == "status" else failure.reason for failure in failures]
        columns.insert(2 + position, (pa.field(name, pa.string(), nullable=False), _strings(values, name)))
    table = _table(columns)
    pq.write_table(table, path, **_write_options(table.schema.names))


def _vector_type(dimension: int) -> pa.DataType:
    return pa.list_(pa.field("element", pa.float32(), nullable=False), dimension)


def _write_options(names: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "compression": {
            VECTOR_PATH if name == "vector" else name: "NONE" if name == "vector" else "ZSTD" for name in names
        },
        "use_dictionary": False,
        "write_statistics": ["image_id"],
        "data_page_size": 2**31 - 1,
    }
    # Newer pyarrow ends a page after 20,000 rows unless told otherwise; older ones do not know the option.
    if "max_rows_per_page" in inspect.signature(pq.ParquetWriter.__init__).parameters:
        options["max_rows_per_page"] = 2**31 - 1
    return options


def _chunk_bytes(column: pa.Table) -> int:
    """Bytes that a table of one column takes in a row group, headers included."""
    collected: list[Any] = []
    pq.write_table(
        column,
        pa.MockOutputStream(),
        row_group_size=max(1, column.num_rows),
        metadata_collector=collected,
        **_write_options(column.schema.names),
    )
    return int(collected[0].row_group(0).column(0).total_compressed_size)


@functools.lru_cache(maxsize=16)
def _bytes_before_vectors(rows: int, dimension: int) -> int:
    """Bytes of page header and levels ahead of the vectors in their column chunk; they depend on the shape only."""
    zeros = pa.array(np.zeros(rows * dimension, np.float32))
    field = pa.field("vector", _vector_type(dimension), nullable=False)
    column = pa.FixedSizeListArray.from_arrays(zeros, type=_vector_type(dimension))
    return _chunk_bytes(_table([(field, column)])) - 4 * rows * dimension


def _table(columns: list[tuple[pa.Field, pa.Array]]) -> pa.Table:
    return pa.Table.from_arrays(
        [array for _, array in columns],
        schema=pa.schema([field for field, _ in columns]),
    )


def _strings(values: Sequence[str | None], name: str) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeEncodeError) as error:
        bad = next((value for value in values if value is not None and not _is_utf8(value)), None)
        raise TableError(
            f"a value of {name} is not text that UTF-8 can hold: {bad!a:.200}. "
            "File names of undecodable bytes must be escaped before they are stored."
        ) from error


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _record_columns(records: Sequence[ImageRecord]) -> list[tuple[pa.Field, pa.Array]]:
    """Columns `image_id`, `source` and one per field, in order of first appearance."""
    columns = [
        (pa.field("image_id", pa.string(), nullable=False), _strings([r.image_id for r in records], "image_id")),
        (pa.field("source", pa.string(), nullable=False), _strings([r.source for r in records], "source")),
    ]
    taken = set(FIXED_COLUMNS)
    for name in dict.fromkeys(name for record in records for name in record.fields):
        values = [record.fields.get(name) for record in records]
        is_text = all(value is None or type(value) is str for value in values)
        column = name
        while column in taken or not column:
            column = f"field:{column}"
        taken.add(column)
        stored = values if is_text else [None if value is None else _to_json(value, name) for value in values]
        metadata = {FIELD: name.encode(), FORMAT: b"text" if is_text else b"json"}
        columns.append((pa.field(column, pa.string(), metadata=metadata), _strings(stored, f"the field {name}")))
    return columns


def _to_json(value: Any, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TableError(f"the field {name} cannot be stored as JSON: {error}. Give it as text instead.") from error
