r"""One row of a shard, and its Parquet form: an input row of a list of images, with the image's original bytes.

The columns, in their order, are the fields of `ShardRow`; `image` is a struct of `bytes` and `path`, as Hugging Face
`datasets` stores images, and the schema's metadata tells `datasets` and the Hub's viewer so. What UTF-8 cannot hold is
written as `\udc80`. docs/formats.md has the format in full.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa

from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status
from relsim.errors import ShardError

SUFFIXES: Mapping[str, str] = {
    "PNG": "png",
    "JPEG": "jpg",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "JPEG2000": "jp2",
    "PPM": "ppm",
    "ICO": "ico",
    "QOI": "qoi",
    "HEIF": "heic",
}
"""Suffix of a file of each format, by the name that `relsim.data.images` gives it."""

IMAGE = "image"
_TYPES: Mapping[str, pa.DataType] = {
    "row": pa.int64(),
    "image_hash": pa.string(),
    "url_link": pa.string(),
    "caption": pa.string(),
    IMAGE: pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())]),
    "width": pa.int32(),
    "height": pa.int32(),
    "format": pa.string(),
    "sha256": pa.string(),
    "phash": pa.string(),
    "status": pa.string(),
    "reason": pa.string(),
    "http_code": pa.int16(),
    "seconds": pa.float32(),
    "fetched_at": pa.timestamp("us", tz="UTC"),
    "extra": pa.string(),
}
COLUMNS = tuple(_TYPES)
"""Names of the columns, in order."""
NEVER_NULL = ("row", "image_hash", "status")
_OF_AN_IMAGE = ("image", "width", "height", "format", "sha256", "phash")
_NOT_IN_A_NAME = str.maketrans(dict.fromkeys("/\\:\0", "_"))


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One row of the input list and what became of it.

    `row` is the place in the list, from 0. `image` holds the bytes as they were received; it and what follows from them
    (`width` and `height` in pixels, upright; `format`; `sha256`, 64 hex digits; `phash`, see
    `relsim.data.facts.perceptual_hash`) are there if and only if `status` is ok, but a reader may leave out columns.
    `reason` says why the status is another. `seconds` is what fetching took; `fetched_at` has a time zone. `extra`
    holds the fields of the list that have no column.
    """

    row: int
    image_hash: str
    status: Status
    url_link: str | None = None
    caption: str | None = None
    image: bytes | None = field(default=None, repr=False)
    width: int | None = None
    height: int | None = None
    format: str | None = None
    sha256: str | None = None
    phash: str | None = None
    reason: str | None = None
    http_code: int | None = None
    seconds: float | None = None
    fetched_at: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int, row: ManifestRow, status: Status, **columns: Any) -> ShardRow:
        """The row for the `number`-th row of a manifest, with further columns by name."""
        return cls(number, row.image_hash, status, row.url_link, row.caption, extra=row.extra, **columns)

    @property
    def manifest_row(self) -> ManifestRow:
        """The row of the list that this one came of."""
        return ManifestRow(self.image_hash, self.url_link, self.caption, self.extra)

    @property
    def path(self) -> str:
        """A name for the image's file: its hash, with what is no part of a plain name as `_`, and its format's suffix.

        A row whose format was not read, or is not known, has no suffix.
        """
        plain = printable(self.image_hash).translate(_NOT_IN_A_NAME)
        plain = "_" + plain[1:] if plain.startswith(".") else plain
        suffix = SUFFIXES.get(self.format or "")
        return plain if suffix is None else f"{plain}.{suffix}"


@cache
def schema() -> pa.Schema:
    """The Arrow schema of a part."""
    fields = [pa.field(name, kind, nullable=name not in NEVER_NULL) for name, kind in _TYPES.items()]
    features = {name: _feature(name, kind) for name, kind in _TYPES.items()}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def to_batch(rows: Sequence[ShardRow]) -> pa.RecordBatch:
    """The rows in Arrow's form. Raises `ShardError` naming a row that does not fit its columns."""
    for row in rows:
        _check(row)
    try:
        columns = [_image_column(rows) if name == IMAGE else _column(rows, name) for name in COLUMNS]
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ShardError(
            f"rows {rows[0].row:,} to {rows[-1].row:,} do not fit the columns of a shard: {error}"
        ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema())


def from_batch(batch: pa.RecordBatch) -> list[ShardRow]:
    """The rows of a batch that has `row`, `image_hash`, `status` and any of the other columns."""
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    if IMAGE in columns:
        columns[IMAGE] = [None if value is None else value["bytes"] for value in columns[IMAGE]]
    if "extra" in columns:
        columns["extra"] = [{} if value is None else json.loads(value) for value in columns["extra"]]
    columns["status"] = [_status(value) for value in columns["status"]]
    return [ShardRow(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def _check(row: ShardRow) -> None:
    where = f"row {row.row:,} ({printable(row.image_hash)})"
    given = [name for name in _OF_AN_IMAGE if getattr(row, name) is not None]
    if row.status is Status.OK:
        if len(given) < len(_OF_AN_IMAGE) or not row.image:
            missing = ", ".join(name for name in _OF_AN_IMAGE if not getattr(row, name))
            raise ShardError(f"{where} is ok and lacks {missing}; relsim.data.facts.image_facts gives them")
    elif given:
        raise ShardError(f"{where} is {row.status.value} and yet has {', '.join(given)}; only ok rows have an image")
    if row.fetched_at is not None and row.fetched_at.tzinfo is None:
        raise ShardError(f"{where}: fetched_at has no time zone")


def _column(rows: Sequence[ShardRow], name: str) -> pa.Array:
    values = [getattr(row, name) for row in rows]
    if name == "status":
        values = [value.value for value in values]
    elif name == "extra":
        values = [_json(value) for value in values]
    elif pa.types.is_string(_TYPES[name]):
        values = [_utf8(value) for value in values]
    return pa.array(values, _TYPES[name])


def _image_column(rows: Sequence[ShardRow]) -> pa.StructArray:
    kind = _TYPES[IMAGE]
    absent = [row.image is None for row in rows]
    data = pa.array([row.image for row in rows], pa.binary())
    paths = pa.array([None if row.image is None else row.path for row in rows], pa.string())
    return pa.StructArray.from_arrays([data, paths], fields=list(kind), mask=pa.array(absent))


def _json(extra: Mapping[str, Any]) -> str | None:
    if not extra:
        return None
    text = json.dumps(dict(extra), ensure_ascii=False, allow_nan=False)
    # Half of a surrogate pair is legal in JSON as an escape.
    return text if _is_utf8(text) else json.dumps(dict(extra), allow_nan=False)


def _utf8(text: str | None) -> str | None:
    return text if text is None or _is_utf8(text) else printable(text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _status(value: str) -> Status:
    try:
        return Status(value)
    except ValueError:
        raise ShardError(f"a row has the status {value!r}, which this version of relsim does not know") from None


def _feature(name: str, kind: pa.DataType) -> dict[str, str]:
    """What `datasets` calls the type of a column."""
    if name == IMAGE:
        return {"_type": "Image"}
    return {"dtype": "float32" if kind == pa.float32() else str(kind), "_type": "Value"}
