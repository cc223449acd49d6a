"""`table.json`: what a vector table consists of. It is rewritten last, so it is what makes a change real.

    {"format": "relsim.vector_table", "version": 1, "dimension": 384, "rows": 512,
     "fingerprint": {"encoder": "relational", …},
     "parts":    [{"name": "000000", "file": "part-000000-1f2e….parquet", "rows": 256, "bytes": …, "sha256": "…"}, …],
     "failures": [{"name": "000000", "file": "failures-000000-77aa….parquet", "rows": 3, …}]}

The order of `parts` is the order of the rows. File names end in the first 12 digits of their SHA-256, so equal
rows make equal files under equal names, and a replaced part never shares a name with its predecessor.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from relsim.errors import TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors.publish import publish, system_errors

CONTENTS_NAME = "table.json"
FORMAT = "relsim.vector_table"
VERSION = 1
OWN_FILE = re.compile(r"(part|failures)-[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{12}\.parquet")


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One Parquet file of the table: its part name, file name, rows, size in bytes and SHA-256."""

    name: str
    file: str
    rows: int
    bytes: int
    sha256: str

    @classmethod
    def from_json(cls, value: Any) -> PartEntry:
        """Check one entry; raises ValueError that says what is wrong with it."""
        kinds = {"name": str, "file": str, "rows": int, "bytes": int, "sha256": str}
        if not isinstance(value, dict) or any(type(value.get(key)) is not kind for key, kind in kinds.items()):
            raise ValueError(f"an entry lacks one of {', '.join(kinds)}, or has it in another type: {value!r:.200}")
        if not OWN_FILE.fullmatch(value["file"]) or value["rows"] < 0 or value["bytes"] < 0:
            raise ValueError(f"an entry names no file of a table: {value!r:.200}")
        return cls(**{key: value[key] for key in kinds})


@dataclass(frozen=True, slots=True)
class Contents:
    """The facts of `table.json`. A change makes a new object; `save` makes it real."""

    dimension: int
    fingerprint: Fingerprint
    parts: tuple[PartEntry, ...] = ()
    failures: tuple[PartEntry, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return sum(part.rows for part in self.parts)

    @property
    def files(self) -> frozenset[str]:
        """Names of all files that belong to the table."""
        return frozenset(entry.file for entry in (*self.parts, *self.failures))

    def with_part(self, name: str, part: PartEntry | None, failures: PartEntry | None) -> Contents:
        """The contents with this part and these failures in place of whatever had the name."""
        return replace(self, parts=_put(self.parts, name, part), failures=_put(self.failures, name, failures))

    def exchanging(self, old: PartEntry, new: PartEntry) -> Contents:
        """The contents with a file in the place of another one."""
        parts, failures = (
            tuple(new if entry == old else entry for entry in entries) for entries in (self.parts, self.failures)
        )
        return replace(self, parts=parts, failures=failures)

    def save(self, folder: Path) -> None:
        """Put these contents in the place of the folder's `table.json`."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "dimension": self.dimension,
            "rows": self.rows,
            "fingerprint": self.fingerprint.to_dict(),
            "origin": dict(self.origin),
            "parts": [asdict(entry) for entry in self.parts],
            "failures": [asdict(entry) for entry in self.failures],
        }
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"

        def write(path: Path) -> None:
            path.write_bytes(text.encode())

        publish(folder / CONTENTS_NAME, write)

    @classmethod
    def load(cls, folder: Path) -> Contents:
        """Read `table.json`; raises `TableError` if it is absent, damaged or of a newer version."""
        path = folder / CONTENTS_NAME
        if not os.path.lexists(path):
            what = "does not exist" if not folder.exists() else f"holds no {CONTENTS_NAME}"
            raise TableError(f"{folder} is not a vector table: it {what}. Make one with: relsim embed … --out {folder}")
        with system_errors("read", path):
            data = path.read_bytes()
        try:
            return cls._parse(json.loads(data))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TableError(
                f"{path} is damaged: {error}. Restore it from a copy, or embed again into a new folder."
            ) from error

    @classmethod
    def _parse(cls, document: Any) -> Contents:
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f'it does not say "format": "{FORMAT}"')
        if document.get("version") != VERSION:
            raise TableError(
                f"table.json has version {document.get('version')!r}; this relsim reads version {VERSION}. "
                "Upgrade relsim to read the table."
            )
        dimension, facts = document.get("dimension"), document.get("fingerprint")
        if type(dimension) is not int or dimension < 1:
            raise ValueError(f"dimension is {dimension!r}, not a positive number")
        if not isinstance(facts, Mapping) or not all(
            value is None or isinstance(value, str | int | float) for value in facts.values()
        ):
            raise ValueError("fingerprint is not a flat set of facts")
        contents = cls(
            dimension=dimension,
            fingerprint=Fingerprint.of(facts),
            parts=tuple(PartEntry.from_json(value) for value in document["parts"]),
            failures=tuple(PartEntry.from_json(value) for value in document["failures"]),
            origin=_origin(document.get("origin", {})),
        )
        if document.get("rows") != contents.rows:
            raise ValueError(f"its parts sum up to {contents.rows} rows, but it says {document.get('rows')!r}")
        for entries in (contents.parts, contents.failures):
            if len({entry.name for entry in entries}) < len(entries):
                raise ValueError("a part is listed twice")
        return contents


def _origin(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"origin is {value!r:.100}, not an object")
    return value


def _put(entries: tuple[PartEntry, ...], name: str, entry: PartEntry | None) -> tuple[PartEntry, ...]:
    """A replaced entry keeps its place; a new one goes to the end; None removes it."""
    if entry is None:
        return tuple(old for old in entries if old.name != name)
    if any(old.name == name for old in entries):
        return tuple(entry if old.name == name else old for old in entries)
    return (*entries, entry)
