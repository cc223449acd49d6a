"""Manifests: the published list of images, one JSON object a line.

    {"image_hash": "399f03d2…", "url_link": "https://…", "caption": "Growth of {Subject} over time"}

`image_hash` is a non-empty string and must be there. `url_link` and `caption` are strings or null and may be
absent (lists of random images carry no caption). Any other field is kept as it is, in its order. The file is
UTF-8; a byte order mark, CRLF and empty lines are accepted. Everything else (another kind of JSON value, a name
given twice in an object, NaN, a wrong type, bytes that are not UTF-8) is a bad line, reported with its number.

Captions and links are passed on exactly as written: stray quotes and `&amp;` are not repaired here.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relsim.data.identity import printable
from relsim.errors import SourceError
from relsim.files import flush, temporary_beside

_BAD_LINES_SHOWN = 5
_BOM = b"\xef\xbb\xbf"
_OPTIONAL_TEXT = ("url_link", "caption")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One image of a manifest. `extra` holds the fields that are not published ones, unchanged."""

    image_hash: str
    url_link: str | None = None
    caption: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The row as it is written: published fields first; an absent link or caption is left out."""
        row: dict[str, Any] = {"image_hash": self.image_hash}
        if self.url_link is not None:
            row["url_link"] = self.url_link
        if self.caption is not None:
            row["caption"] = self.caption
        return row | dict(self.extra)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not a row: its number, counted from 1, and what is wrong with it."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number:,}: {self.reason}"


def read_manifest(
    path: str | os.PathLike[str], *, on_bad_line: Callable[[BadLine], None] | None = None
) -> list[ManifestRow]:
    """All rows of a manifest, in order.

    Raises SourceError if the file cannot be read, or for bad lines: their count and the first five. With
    `on_bad_line` that function is called for each bad line instead, and the good rows are returned.
    """
    path = Path(path)
    rows: list[ManifestRow] = []
    bad: list[BadLine] = []
    report = bad.append if on_bad_line is None else on_bad_line
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(_BOM) if number == 1 else line
                if content.isspace() or not content:
                    continue
                try:
                    rows.append(_parse(content))
                except (ValueError, RecursionError) as error:
                    report(BadLine(number, _reason(error)))
    except OSError as error:
        raise SourceError(f"cannot read the manifest {printable(str(path))}: {_system_reason(error)}") from error
    if bad:
        raise SourceError(_bad_lines_message(path, bad))
    return rows


def write_manifest(path: str | os.PathLike[str], rows: Iterable[ManifestRow]) -> int:
    """Write `rows` to `path` and return their number.

    The file appears whole or not at all: rows go to a temporary name beside it, which is flushed to disk and
    then renamed. If `rows` raises, or the disk fills, an earlier file stays as it was. Raises SourceError for a
    row that `read_manifest` would refuse and for a target that cannot be written.
    """
    target = Path(path)
    count = 0
    try:
        with temporary_beside(target) as temporary:
            with temporary.open("xb") as file:
                for count, row in enumerate(rows, start=1):
                    file.write(row_line(row, count))
            flush(temporary)
            temporary.replace(target)
            flush(target.parent)
    except OSError as error:
        raise SourceError(f"cannot write the manifest {printable(str(path))}: {_system_reason(error)}") from error
    return count


def parse_row(value: dict[str, Any]) -> ManifestRow:
    """The row of a JSON object, of which the published names are taken out. Raises ValueError."""
    image_hash = value.pop("image_hash", None)
    if not isinstance(image_hash, str) or not image_hash:
        raise ValueError("image_hash must be there and be a string that is not empty")
    for name in _OPTIONAL_TEXT:
        text = value.get(name)
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{name} must be a string or null, not {kind_of(text)}")
    return ManifestRow(image_hash, value.pop("url_link", None), value.pop("caption", None), value)


def _parse(line: bytes) -> ManifestRow:
    value = _decoder().decode(line.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, not {kind_of(value)}")  # noqa: TRY004 - one kind for all bad lines
    return parse_row(value)


def row_line(row: ManifestRow, number: int) -> bytes:
    """The row as a line of a manifest; `number` is for the message of the SourceError that a bad row raises."""
    try:
        _check(row)
        try:
            return json.dumps(row.to_dict(), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except UnicodeEncodeError:
            # Half of a surrogate pair is legal in JSON as an escape, and cannot be written as UTF-8.
            return json.dumps(row.to_dict(), allow_nan=False).encode() + b"\n"
    except (ValueError, TypeError, RecursionError) as error:
        raise SourceError(f"row {number:,} cannot be written to a manifest: {_reason(error)}") from error


def _check(row: ManifestRow) -> None:
    taken = {"image_hash", *_OPTIONAL_TEXT} & set(row.extra)
    if taken:
        raise ValueError(f"extra may not name {', '.join(sorted(taken))}")
    parse_row(row.to_dict())


@functools.cache
def _decoder() -> json.JSONDecoder:
    """The strict decoder; json.loads would make one for every line, which takes a third of the time."""
    return json.JSONDecoder(object_pairs_hook=_unique_names, parse_constant=_no_constant)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(n for n in names if names.count(n) > 1)!r} occurs twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def kind_of(value: object) -> str:
    """What kind of JSON value this is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "null"
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), "a number")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 (byte {error.start + 1} of the line)"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)


def _bad_lines_message(path: Path, bad: list[BadLine]) -> str:
    shown = "; ".join(str(line) for line in bad[:_BAD_LINES_SHOWN])
    more = f"; and {len(bad) - _BAD_LINES_SHOWN:,} more" if len(bad) > _BAD_LINES_SHOWN else ""
    count = "1 bad line" if len(bad) == 1 else f"{len(bad):,} bad lines"
    return (
        f"{printable(str(path))} has {count}: {shown}{more}. "
        'Each line must be a JSON object with a string "image_hash"; repair or remove these lines'
    )


def _system_reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
