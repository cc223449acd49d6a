"""Reading a part of a vector table (`relsim.vectors.parts`): vectors where they lie, texts as they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.base import Vectors
from relsim.vectors.blocks import Indices
from relsim.vectors.parts import FIELD, FIXED_COLUMNS, FORMAT, VECTOR_PATH
from relsim.vectors.texts import KeptTexts, Texts, position

_NEXT_INT32 = b"\x15"
_DATA_PAGES = (0, 3)
_LONGEST_HEADER = 256
_MANY = 8
_AT_ONCE = 4_096


class PartReader:
    """A part in memory-mapped form. `data` is the whole file; it outlives the file's name.

    Texts of rows that are asked for by number stay in `kept` under the file's name; what is read as a whole does not.
    pyarrow's errors pass through; `relsim.vectors.part` turns them into `TableError`s that name the part.
    """

    def __init__(self, data: pa.Buffer, name: str, kept: KeptTexts) -> None:
        self._data = data
        self._file = pq.ParquetFile(pa.BufferReader(data))
        self._name, self._kept = name, kept

    @property
    def num_rows(self) -> int:
        """Number of rows, from the footer."""
        return int(self._file.metadata.num_rows)

    def ids(self) -> Iterator[list[str]]:
        """The column `image_id`, a row group at a time."""
        for group in range(self._file.metadata.num_row_groups):
            yield self._read(group, ["image_id"])["image_id"].to_pylist()
        _give_back_memory()

    def id(self, row: int) -> str:
        """The id of a row."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        inside = row - self._start(group)
        name: str = self._texts(group, ["image_id"])["image_id"][inside].as_py()
        return name

    def find(self, image_id: str) -> int | None:
        """The first row of this id, None for none. Row groups whose ids are all before or behind it are not read."""
        for group in range(self._file.metadata.num_row_groups):
            if self._may_hold(group, image_id):
                inside = position(self._read(group, ["image_id"])["image_id"], image_id)
                if inside is not None:
                    return self._start(group) + inside
        return None

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

    def records(self, rows: Sequence[int]) -> list[ImageRecord]:
        """The records of these rows, in the order asked for."""
        places: dict[int, list[int]] = {}
        for place, group in enumerate(np.searchsorted(self._ends, rows, side="right").tolist()):
            places.setdefault(group, []).append(place)
        found: dict[int, ImageRecord] = {}
        for group, some in places.items():
            insides = [rows[place] - self._start(group) for place in some]
            texts = self._texts(group, self._text_columns)
            found.update(zip(some, _records(texts, self._file.schema_arrow, insides), strict=True))
        return [found[place] for place in range(len(rows))]

    def all_records(self) -> Iterator[list[ImageRecord]]:
        """The records of all rows, some thousand at a time."""
        for group in range(self._file.metadata.num_row_groups):
            texts = self._read(group, self._text_columns)
            for start in range(0, len(texts["image_id"]), _AT_ONCE):
                some = {name: column.slice(start, _AT_ONCE) for name, column in texts.items()}
                yield _records(some, self._file.schema_arrow)
            _give_back_memory()

    def field(self, name: str) -> list[Any]:
        """What every row has in a field; None where it has none."""
        schema = self._file.schema_arrow
        columns = [field.name for field in schema if field.name not in FIXED_COLUMNS and _field_name(field) == name]
        values: list[Any] = [None] * self.num_rows
        for group in range(self._file.metadata.num_row_groups if columns else 0):
            for _, value, place in _field_values(self._read(group, columns), schema):
                values[self._start(group) + place] = value
            _give_back_memory()
        return values

    def failures(self) -> list[Failure]:
        """The rows of a file of failures."""
        failures = []
        for group in range(self._file.metadata.num_row_groups):
            texts = self._read(group, self._text_columns)
            records = _records(texts, self._file.schema_arrow)
            told = zip(records, texts["status"].to_pylist(), texts["reason"].to_pylist(), strict=True)
            failures += [Failure(record, Status(status), reason) for record, status, reason in told]
        _give_back_memory()
        return failures

    @cached_property
    def _ends(self) -> Indices:
        """The number of the row behind each row group."""
        groups = range(self._file.metadata.num_row_groups)
        ends: Indices = np.cumsum([self._file.metadata.row_group(group).num_rows for group in groups], dtype=np.int64)
        return ends

    def _start(self, group: int) -> int:
        return int(self._ends[group - 1]) if group else 0

    @property
    def _text_columns(self) -> list[str]:
        return [name for name in self._file.schema_arrow.names if name != "vector"]

    def _texts(self, group: int, names: Sequence[str]) -> Texts:
        """Columns that stay in memory."""

        def read(missing: Sequence[str]) -> Texts:
            texts = self._read(group, missing)
            _give_back_memory()
            return texts

        return self._kept.take(self._name, group, names, read)

    def _read(self, group: int, names: Sequence[str]) -> Texts:
        table = self._file.read_row_group(group, columns=list(names))
        return {name: _whole(table[name]) for name in names}

    def _may_hold(self, group: int, image_id: str) -> bool:
        """Whether a row group may have this id: the footer tells the least and the greatest."""
        metadata = self._file.metadata
        index = next(place for place in range(metadata.num_columns) if metadata.schema.column(place).path == "image_id")
        told = metadata.row_group(group).column(index).statistics
        if told is None or not told.has_min_max or not isinstance(told.min, str):
            return True
        return bool(told.min <= image_id <= told.max)

    def _find_vectors(self, group: int, count: int) -> int | None:
        """Where `count` plain float32 values end the vector chunk, or None if the layout is not the expected one."""
        metadata = self._file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        if VECTOR_PATH not in paths or not self._is_vector_type():
            return None
        index = paths.index(VECTOR_PATH)
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


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; a row group's is, unless it has 2 GiB of text, and would be copied to become so."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


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


def _records(texts: Texts, schema: pa.Schema, rows: Sequence[int] | None = None) -> list[ImageRecord]:
    ids, sources = _values(texts["image_id"], rows), _values(texts["source"], rows)
    fields: list[dict[str, Any]] = [{} for _ in ids]
    for name, value, place in _field_values(texts, schema, rows):
        fields[place][name] = value
    return [ImageRecord(image_id, source, found) for image_id, source, found in zip(ids, sources, fields, strict=True)]


def _field_values(texts: Texts, schema: pa.Schema, rows: Sequence[int] | None = None) -> Iterator[tuple[str, Any, int]]:
    for column in (name for name in texts if name not in FIXED_COLUMNS):
        field = schema.field(column)
        is_json = (field.metadata or {}).get(FORMAT) == b"json"
        for place, value in enumerate(_values(texts[column], rows)):
            if value is not None:
                yield _field_name(field), json.loads(value) if is_json else value, place


def _field_name(field: pa.Field) -> str:
    name: str = (field.metadata or {}).get(FIELD, field.name.encode()).decode()
    return name


def _values(column: pa.Array, rows: Sequence[int] | None) -> list[Any]:
    """Values of a column at these rows. `Array.take` would import all of pyarrow.compute in the middle of a query."""
    if rows is not None and len(rows) * _MANY < len(column):
        return [column[row].as_py() for row in rows]
    values: list[Any] = column.to_pylist()
    return values if rows is None else [values[row] for row in rows]
