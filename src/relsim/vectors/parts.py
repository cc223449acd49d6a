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
from collections.abc import Iterator, Sequence
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
_VECTOR_PATH = "vector.list.element"
_FIELD, _FORMAT = b"relsim.field", b"relsim.format"
_NEXT_INT32 = b"\x15"
_DATA_PAGES = (0, 3)
_LONGEST_HEADER = 256
_MANY = 8
_FIXED_COLUMNS = ("image_id", "vector", "source", "status", "reason")


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


class PartReader:
    """A part in memory-mapped form. `data` is the whole file; it outlives the file's name.

    pyarrow's errors pass through; `relsim.vectors.table` turns them into `TableError`s that name the part.
    """

    def __init__(self, data: pa.Buffer) -> None:
        self._data = data
        self._file = pq.ParquetFile(pa.BufferReader(data))
        self._columns: pa.Table | None = None

    @property
    def num_rows(self) -> int:
        """Number of rows, from the footer."""
        return int(self._file.metadata.num_rows)

    def ids(self) -> list[str]:
        """The column `image_id`."""
        ids: list[str] = self._file.read(columns=["image_id"])["image_id"].to_pylist()
        _give_back_memory()
        return ids

    def blocks(self, dimension: int) -> list[Vectors]:
        """One read-only array of shape (rows, D) per row group: the file's own bytes where the layout allows it."""
        blocks = []
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            offset = self._find_vectors(group, rows * dimension)
            if offset is None:
                blocks.append(self.decode(group, dimension))
            else:
                block: Vectors = np.frombuffer(self._data, np.float32, rows * dimension, offset)
                blocks.append(block.reshape(rows, dimension))
        return blocks

    def decode(self, group: int, dimension: int) -> Vectors:
        """The vectors of one row group as pyarrow decodes them: a copy, whatever their layout."""
        column = self._file.read_row_group(group, columns=["vector"])["vector"]
        kind = column.type
        if not pa.types.is_fixed_size_list(kind) or kind.list_size != dimension or column.null_count:
            raise ValueError(f"its column vector is {kind}, not a fixed-size list of {dimension} float32 without nulls")
        values = pa.concat_arrays([chunk.flatten() for chunk in column.chunks])
        decoded: Vectors = np.ascontiguousarray(values.to_numpy(zero_copy_only=False), np.float32)
        return decoded.reshape(-1, dimension)

    def records(self, rows: Sequence[int] | None = None) -> list[ImageRecord]:
        """The records of these rows (of all rows if None), in the order asked for."""
        return _records(self._texts(), rows)

    def field(self, name: str) -> list[Any]:
        """What every row has in a field; None where it has none."""
        values: list[Any] = [None] * self.num_rows
        for _, value, place in _field_values(self._texts(), None, only=name):
            values[place] = value
        return values

    def failures(self) -> list[Failure]:
        """The rows of a file of failures."""
        texts = self._texts()
        states, reasons = texts["status"].to_pylist(), texts["reason"].to_pylist()
        return [
            Failure(record, Status(status), reason)
            for record, status, reason in zip(_records(texts), states, reasons, strict=True)
        ]

    def _texts(self) -> pa.Table:
        if self._columns is None:
            names = [name for name in self._file.schema_arrow.names if name != "vector"]
            self._columns = self._file.read(columns=names).combine_chunks()
            _give_back_memory()
        return self._columns

    def _find_vectors(self, group: int, count: int) -> int | None:
        """Where `count` plain float32 values end the vector chunk, or None if the layout is not the expected one."""
        metadata = self._file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        if _VECTOR_PATH not in paths or not self._is_vector_type():
            return None
        index = paths.index(_VECTOR_PATH)
        # With required lists of required items the only level is the one that every repeated column has.
        if metadata.schema.column(index).max_definition_level != 1:
            return None
        chunk = metadata.row_group(group).column(index)
        plain = chunk.compression == "UNCOMPRESSED" and set(chunk.encodings) <= {"PLAIN", "RLE"}
        if not plain or chunk.has_dictionary_page or chunk.num_values != count:
            return None
        end = chunk.data_page_offset + chunk.total_compressed_size
        offset = int(end - 4 * count)
        if end > self._data.size or offset <= chunk.data_page_offset or offset % 4:
            return None
        return offset if _is_one_page(self._data, chunk.data_page_offset, end) else None

    def _is_vector_type(self) -> bool:
        kind = self._file.schema_arrow.field("vector").type
        return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_float32(kind.value_type))


def _give_back_memory() -> None:
    """Decoding needs several times what it leaves, and the pool would keep it: 15 MB for 100,000 rows."""
    pa.default_memory_pool().release_unused()


def _is_one_page(data: pa.Buffer, start: int, end: int) -> bool:
    """Whether the data page whose header is at `start` reaches to `end`.

    The header is a Thrift structure in compact form that begins with three int32 fields: kind of page, size, size
    as stored. What follows them takes some ten bytes; with a second page much more than that would be left.
    """
    head = memoryview(data)[start : min(start + _LONGEST_HEADER, end)].tobytes()
    numbers, position = [], 0
    for _ in range(3):
        if head[position : position + 1] != _NEXT_INT32:
            return False
        number = shift = 0
        more = True
        while more and position + 1 < len(head):
            position += 1
            number |= (head[position] & 0x7F) << shift
            shift += 7
            more = bool(head[position] & 0x80)
        numbers.append(number >> 1)  # zigzag of a number that is never negative
        position += 1
    kind, _, stored = numbers
    return kind in _DATA_PAGES and 0 < end - stored - start < _LONGEST_HEADER


def _vector_type(dimension: int) -> pa.DataType:
    return pa.list_(pa.field("element", pa.float32(), nullable=False), dimension)


def _write_options(names: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "compression": {
            _VECTOR_PATH if name == "vector" else name: "NONE" if name == "vector" else "ZSTD" for name in names
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
    taken = set(_FIXED_COLUMNS)
    for name in dict.fromkeys(name for record in records for name in record.fields):
        values = [record.fields.get(name) for record in records]
        is_text = all(value is None or type(value) is str for value in values)
        column = name
        while column in taken or not column:
            column = f"field:{column}"
        taken.add(column)
        stored = values if is_text else [None if value is None else _to_json(value, name) for value in values]
        metadata = {_FIELD: name.encode(), _FORMAT: b"text" if is_text else b"json"}
        columns.append((pa.field(column, pa.string(), metadata=metadata), _strings(stored, f"the field {name}")))
    return columns


def _to_json(value: Any, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TableError(f"the field {name} cannot be stored as JSON: {error}. Give it as text instead.") from error


def _records(table: pa.Table, rows: Sequence[int] | None = None) -> list[ImageRecord]:
    ids, sources = _values(table, "image_id", rows), _values(table, "source", rows)
    fields: list[dict[str, Any]] = [{} for _ in ids]
    for name, value, place in _field_values(table, rows):
        fields[place][name] = value
    return [ImageRecord(image_id, source, found) for image_id, source, found in zip(ids, sources, fields, strict=True)]


def _field_values(
    table: pa.Table, rows: Sequence[int] | None, only: str | None = None
) -> Iterator[tuple[str, Any, int]]:
    for field in table.schema:
        if field.name in _FIXED_COLUMNS:
            continue
        metadata = field.metadata or {}
        name = metadata.get(_FIELD, field.name.encode()).decode()
        if only not in (None, name):
            continue
        is_json = metadata.get(_FORMAT) == b"json"
        for place, value in enumerate(_values(table, field.name, rows)):
            if value is not None:
                yield name, json.loads(value) if is_json else value, place


def _values(table: pa.Table, name: str, rows: Sequence[int] | None) -> list[Any]:
    """Values of a column at these rows. `Table.take` would import all of pyarrow.compute in the middle of a query."""
    column = table[name]
    if rows is not None and len(rows) * _MANY < len(column):
        return [column[row].as_py() for row in rows]
    values: list[Any] = column.to_pylist()
    return values if rows is None else [values[row] for row in rows]
