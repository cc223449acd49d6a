"""What a download came to: counts that follow from the folder, and the speed of the run that finished it.

`Summary.to_dict()` is `summary.json` and what `--json` prints (docs/formats.md, relsim.download/1).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relsim.data.cleaning import url_to_use
from relsim.data.download.outcomes import may_come_back
from relsim.data.download.store import Store
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status
from relsim.data.shard_contents import writing
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.download/1"
FILE_NAME = "summary.json"
_HOSTS_SHOWN = 50
_GROUPS_SHOWN = 100
_IDS_SHOWN = 5
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Bytes that came for many ids: their digest, the number of ids, and the first five of them."""

    sha256: str
    ids: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What this run did: rows that it finished, bytes that it received, seconds that it took."""

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The figures with their rates."""
        seconds = max(self.seconds, 1e-9)
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows / seconds, 2),
            "megabytes_per_second": round(self.bytes / _MB / seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """All rows of a finished download by status, by code and by host, and the last run.

    `codes` counts answers by their code, `none` where there was no answer. `hosts` gives rows and ok rows of the 50
    hosts with the most rows. `duplicates` are the most frequent bytes that are under as many ids as is flagged.
    """

    folder: Path
    name: str
    sha256: str
    layout: str
    rows: int
    statuses: Mapping[str, int]
    codes: Mapping[str, int]
    hosts: Mapping[str, tuple[int, int]]
    host_count: int
    duplicates: tuple[Duplicate, ...]
    bytes: int
    run: RunFigures

    @property
    def ok(self) -> int:
        """Rows that have an image."""
        return self.statuses.get(Status.OK.value, 0)

    @property
    def may_come_back(self) -> dict[str, int]:
        """Rows by status that another run may get, the likeliest status first (see `relsim.data.download.outcomes`)."""
        return may_come_back(self.statuses, self.codes)

    def to_dict(self) -> dict[str, Any]:
        """The document relsim.download/1."""
        return {
            "schema": SCHEMA,
            "folder": str(self.folder),
            "list": {"name": self.name, "sha256": self.sha256},
            "layout": self.layout,
            "rows": self.rows,
            "statuses": dict(self.statuses),
            "codes": dict(self.codes),
            "hosts": {name: {"rows": rows, "ok": ok} for name, (rows, ok) in self.hosts.items()},
            "host_count": self.host_count,
            "duplicates": [
                {"sha256": item.sha256, "ids": item.ids, "first": list(item.first)} for item in self.duplicates
            ],
            "bytes": self.bytes,
            "run": self.run.to_dict(),
        }

    def save(self) -> None:
        """Write `summary.json`. Raises `ShardError`."""
        write_text(self.folder / FILE_NAME, json.dumps(self.to_dict(), indent=2) + "\n")


def summarise(store: Store, same_bytes: int, run: RunFigures) -> Summary:
    """Count the rows of a store whose parts are all there, and flag rows that share their bytes with many ids.

    Parts whose reasons change by that are written again.
    """
    statuses: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    hosts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    digests: Counter[bytes] = Counter()
    flagged: list[int] = []
    for row in store.finished_rows(("http_code", "sha256", "reason")):
        ok = row.status is Status.OK
        statuses[row.status.value] += 1
        codes["none" if row.http_code is None else str(row.http_code)] += 1
        host = hosts[host_of(store.rows[row.row])]
        host[0] += 1
        host[1] += ok
        if ok and row.sha256 is not None:
            digests[bytes.fromhex(row.sha256)] += 1
            if row.reason is not None:
                flagged.append(row.row)
    duplicates = _flag(store, {digest for digest, rows in digests.items() if rows >= same_bytes}, flagged, same_bytes)
    most = sorted(hosts.items(), key=lambda item: (-item[1][0], item[0]))
    return Summary(
        folder=store.folder,
        name=store.record.name,
        sha256=store.record.sha256,
        layout=store.record.layout,
        rows=len(store.rows),
        statuses=dict(sorted(statuses.items(), key=lambda item: (-item[1], item[0]))),
        codes=dict(sorted(codes.items())),
        hosts={name: (rows, ok) for name, (rows, ok) in most[:_HOSTS_SHOWN]},
        host_count=len(hosts),
        duplicates=tuple(duplicates[:_GROUPS_SHOWN]),
        bytes=store.stored_bytes(),
        run=run,
    )


def host_of(row: ManifestRow) -> str:
    """The host that a row's address names, `none` where there is none."""
    try:
        return urlsplit((url_to_use(row.url_link, row.extra) or "").strip()).hostname or "none"
    except ValueError:
        return "none"


def write_text(path: Path, text: str) -> None:
    """Write a file whole. Raises `ShardError`."""
    with writing(path), temporary_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)


def _flag(store: Store, candidates: set[bytes], flagged: Sequence[int], same_bytes: int) -> list[Duplicate]:
    """Give rows with bytes of many ids a reason, take it from rows that have it no longer, and list the bytes."""
    if not candidates and not flagged:
        return []
    ids: defaultdict[bytes, dict[str, None]] = defaultdict(dict)
    members: defaultdict[bytes, list[tuple[int, str | None]]] = defaultdict(list)
    for row in store.finished_rows(("sha256", "reason")):
        if row.sha256 is not None and (digest := bytes.fromhex(row.sha256)) in candidates:
            ids[digest][row.image_hash] = None
            members[digest].append((row.row, row.reason))
    changes: dict[int, str | None] = dict.fromkeys(flagged)
    for digest, rows in members.items():
        count = len(ids[digest])
        reason = f"the same bytes are under {count:,} ids" if count >= same_bytes else None
        for number, before in rows:
            if reason == before:
                changes.pop(number, None)
            else:
                changes[number] = reason
    _write_reasons(store, changes)
    found = [
        Duplicate(digest.hex(), len(names), tuple(names)[:_IDS_SHOWN])
        for digest, names in ids.items()
        if len(names) >= same_bytes
    ]
    return sorted(found, key=lambda item: (-item.ids, item.sha256))


def _write_reasons(store: Store, changes: Mapping[int, str | None]) -> None:
    for part in sorted({row // store.record.part_rows for row in changes}):
        store.finish_part(part, changes)


def outcome_lines(statuses: Mapping[str, int], total: int) -> Iterable[tuple[str, int, float]]:
    """Status, rows and share of all rows, the most frequent first."""
    for name, rows in statuses.items():
        yield name, rows, rows / max(total, 1)
