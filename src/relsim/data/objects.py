"""Lists of JSON objects, as one JSON list or one object a line, read entry by entry with the number of its line.

A byte order mark is accepted. An entry that is no object, that gives a name twice or holds NaN is reported and the rest
is read; where the syntax of a JSON list is broken nothing after that place can be trusted, which is a SourceError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from relsim.data.identity import printable
from relsim.data.manifest import BadLine, kind_of
from relsim.errors import SourceError

_SPACE = re.compile(r"[ \t\r\n]*")
_SHOWN = 5
_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}


def read_objects(path: Path, report: Callable[[BadLine], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object of the file with the line on which it begins, counted from 1. Raises SourceError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"cannot read {printable(str(path))}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{printable(str(path))} is not UTF-8 (byte {error.start + 1:,})") from error
    faults: list[str] = []
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda pairs: _unique(pairs, faults),
        parse_constant=lambda name: faults.append(f"{name} is not a JSON value"),
    )
    entries = _of_list(text, decoder, path) if text.lstrip().startswith("[") else _of_lines(text, decoder, report)
    for line, value in entries:
        fault, faults[:] = (faults[0] if faults else None), []
        if fault is not None:
            report(BadLine(line, fault))
        elif isinstance(value, dict):
            yield line, value
        else:
            report(BadLine(line, f"a JSON object is needed, not {kind_of(value)}"))


def refuse_bad_lines(path: Path, bad: Sequence[BadLine], needed: str) -> None:
    """Raise SourceError for bad entries, if there are any: their count and the first five."""
    if not bad:
        return
    shown = "; ".join(str(line) for line in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    count = "1 bad entry" if len(bad) == 1 else f"{len(bad):,} bad entries"
    raise SourceError(f"{printable(str(path))} has {count}: {shown}{more}. {needed}; repair or remove these")


def _of_list(text: str, decoder: json.JSONDecoder, path: Path) -> Iterator[tuple[int, Any]]:
    """The entries of one JSON list. The lines are counted as it goes."""
    place = _skip(text, _skip(text, 0) + 1)
    line, counted = 1, 0
    try:
        while text[place : place + 1] != "]":
            line, counted = line + text.count("\n", counted, place), place
            value, place = decoder.raw_decode(text, place)
            yield line, value
            place = _skip(text, place)
            if text[place : place + 1] == ",":
                place = _skip(text, place + 1)
            elif text[place : place + 1] != "]":
                raise json.JSONDecodeError("a comma or the end of the list is missing", text, place)  # noqa: TRY301
        if _skip(text, place + 1) != len(text):
            raise json.JSONDecodeError("something follows the end of the list", text, _skip(text, place + 1))  # noqa: TRY301
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{printable(str(path))} is not JSON from line {error.lineno:,}, column {error.colno} on: {error.msg}"
        ) from error
    except RecursionError as error:
        raise SourceError(f"{printable(str(path))} is nested too deeply from line {line:,} on") from error


def _of_lines(text: str, decoder: json.JSONDecoder, report: Callable[[BadLine], None]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, decoder.decode(line)
        except json.JSONDecodeError as error:
            report(BadLine(number, f"not JSON ({error.msg} at column {error.colno})"))
        except RecursionError:
            report(BadLine(number, "nested too deeply"))


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _unique(pairs: list[tuple[str, Any]], faults: list[str]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        faults.append(f"the name {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return value
