"""Where the values of a plain, uncompressed column of byte arrays lie in a Parquet file.

A column chunk is a row of pages, a page a header and a body. The header is a Thrift structure in compact form. The body
of a data page (version 1) of a nullable column without lists is: the length of the definition levels as four bytes, the
levels, then for each value its length as four bytes and the value; all numbers are little-endian.
Sources: parquet-format's README and parquet.thrift; Thrift's compact protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import count

Spans = list[tuple[int, int]]
Read = Callable[[int, int], bytes]
"""`read(offset, size)` gives so many bytes of a file, or fewer at its end."""

LONGEST_HEADER = 512
"""Bytes of a page header at most: images have no statistics, all else takes some 30."""
_DATA_PAGE = 0
_KIND, _STORED_SIZE = 1, 3
_BOOLEANS = (1, 2)
_BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _STRUCT = 3, 4, 5, 6, 7, 8, 12


def byte_array_spans(read: Read, start: int, end: int) -> Spans | None:
    """(offset, length) of every value of the chunk from `start` to `end`, in order.

    None if the chunk is laid out otherwise.
    """
    spans: Spans = []
    position = start
    try:
        while position < end:
            header, size = _page_header(read(position, LONGEST_HEADER))
            position += size
            stop = position + header[_STORED_SIZE]
            if header[_KIND] != _DATA_PAGE or stop > end:
                return None
            position += 4 + _uint32(read(position, 4))
            while position < stop:
                length = _uint32(read(position, 4))
                spans.append((position + 4, length))
                position += 4 + length
            if position != stop:
                return None
    except (struct.error, IndexError, KeyError, ValueError):
        return None
    return spans


def _uint32(data: bytes) -> int:
    number: int = struct.unpack("<I", data)[0]
    return number


def _page_header(data: bytes) -> tuple[dict[int, int], int]:
    """The whole numbers of a page header by the number of their field, and the header's size in bytes."""
    fields: dict[int, int] = {}
    return fields, _skip_struct(data, 0, fields)


def _skip_struct(data: bytes, position: int, fields: dict[int, int] | None) -> int:
    """The place behind a structure; its own whole numbers are put into `fields`."""
    number = 0
    while kind := data[position]:
        position += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, position = _zigzag(data, position)
        kind &= 15
        if kind in (_I16, _I32, _I64):
            value, position = _zigzag(data, position)
            if fields is not None:
                fields[number] = value
        elif kind == _STRUCT:
            position = _skip_struct(data, position, None)
        elif kind == _BINARY:
            length, position = _varint(data, position)
            position += length
        elif kind in (_BYTE, _DOUBLE):
            position += 1 if kind == _BYTE else 8
        elif kind not in _BOOLEANS:
            raise ValueError(f"a page header has no field of the kind {kind}")
    return position + 1


def _zigzag(data: bytes, position: int) -> tuple[int, int]:
    value, position = _varint(data, position)
    return (value >> 1) ^ -(value & 1), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the place behind it."""
    value = 0
    for shift in count(0, 7):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value, position
