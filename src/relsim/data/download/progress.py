"""How far a download is, from what its folder holds while another process writes into it.

Nothing is locked and nothing changed: parts are read when they change, spools from where the last look ended.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from relsim.data.download.record import Retry, RunRecord
from relsim.data.download.spool import facts_after
from relsim.data.download.status_table import table_rows
from relsim.data.download.store import HIDDEN, RECORD, TABLE, is_due
from relsim.data.records import Status
from relsim.data.shard_contents import part_name, parts_in
from relsim.data.shard_writing import LOCK_NAME
from relsim.errors import ShardError
from relsim.files import is_locked

_SPOOL = "*.spool"
_COLUMNS = ("reason", "fetched_at")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row: its status, why, and when, where that is known."""

    status: str
    reason: str | None
    fetched: datetime | None


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """A list of `total` rows called `name`: finished rows by status, and by status and reason those without an image.

    Rows that a retry has still to try again are not finished. `busy` tells whether a process writes now.
    """

    name: str
    total: int
    statuses: Mapping[str, int]
    failures: Mapping[tuple[str, str], int]
    busy: bool

    @property
    def done(self) -> int:
        """Rows that are finished."""
        return sum(self.statuses.values())


@final
class DownloadFolder:
    """The folder of a download, to be looked at again and again. Not for several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts: dict[str, tuple[tuple[int, int], dict[int, Outcome]]] = {}
        self._spools: dict[str, tuple[tuple[int, int], dict[int, Outcome]]] = {}

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is that of a download, begun or finished."""
        return (path / HIDDEN / RECORD).is_file()

    def look(self) -> DownloadProgress:
        """How far it is now. Raises `ShardError` where the folder cannot be read."""
        record = RunRecord.load(self.path / HIDDEN / RECORD)
        if record is None:
            raise ShardError(f"{self.path} is not the folder of a download; begin one with relsim download")
        # Before the parts: a spool that becomes a part meanwhile is then counted as what it was.
        spools = dict(self._each_spool())
        parts = dict(self._each_part(record.layout == "files"))
        found: Counter[tuple[str, str]] = Counter()
        for name in {*parts, *spools}:
            # A row of the spool takes the place of the row that the part has.
            outcomes = {**parts.get(name, {}), **spools.get(name, {})}
            found.update(_finished(outcomes, record.retry))
        statuses: Counter[str] = Counter()
        for (status, _), rows in found.items():
            statuses[status] += rows
        failures = {kind: rows for kind, rows in found.most_common() if kind[0] != Status.OK.value}
        busy = is_locked(self.path / LOCK_NAME)
        return DownloadProgress(record.name, record.rows, dict(statuses.most_common()), failures, busy)

    def _each_spool(self) -> Iterator[tuple[str, dict[int, Outcome]]]:
        there = sorted((self.path / HIDDEN).glob(_SPOOL))
        self._spools = {path.name: self._spools[path.name] for path in there if path.name in self._spools}
        for path in there:
            # A file that is no longer there has become a part.
            with contextlib.suppress(FileNotFoundError):
                inode = path.stat().st_ino
                known, rows = self._spools.get(path.name, ((inode, 0), {}))
                if known[0] != inode or path.stat().st_size < known[1]:
                    known, rows = (inode, 0), {}
                added, end = facts_after(path, known[1])
                rows.update({facts["row"]: _of_facts(facts) for facts in added})
                self._spools[path.name] = ((inode, end), rows)
                yield part_name(int(path.stem.removeprefix("part-"))), rows

    def _each_part(self, files: bool) -> Iterator[tuple[str, dict[int, Outcome]]]:  # noqa: FBT001 - a private step
        folder = self.path / TABLE if files else self.path
        for path in parts_in(folder) if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                stamp = (path.stat().st_mtime_ns, path.stat().st_size)
                known = self._parts.get(path.name)
                if known is None or known[0] != stamp:
                    rows = {
                        row.row: Outcome(row.status.value, row.reason, row.fetched_at)
                        for row in table_rows(path, _COLUMNS)
                    }
                    known = self._parts[path.name] = (stamp, rows)
                yield path.name, known[1]


def _finished(outcomes: Mapping[int, Outcome], retry: Retry | None) -> Counter[tuple[str, str]]:
    """Finished rows by status and reason; an image has no reason, whatever was noted beside it."""
    return Counter(
        (one.status, "" if one.status == Status.OK.value else one.reason or "")
        for one in outcomes.values()
        if not is_due(one.status, one.fetched, retry)
    )


def _of_facts(facts: Mapping[str, Any]) -> Outcome:
    return Outcome(facts["status"], facts.get("reason"), datetime.fromisoformat(facts["fetched_at"]))
