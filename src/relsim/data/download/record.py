"""`.download/run.json`: which list a folder is the download of, how, and what it is in the middle of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from relsim.data.cleaning import CAPTION_CLEAN, URL_CLEAN
from relsim.data.manifest import ManifestRow
from relsim.data.shard_contents import writing
from relsim.errors import ShardError
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.download_run/1"
_DERIVED = frozenset({CAPTION_CLEAN, URL_CLEAN})  # follow from the list


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry that has begun: the statuses that are tried again, and when it began. Rows fetched later are done."""

    statuses: tuple[str, ...]
    began: str

    @property
    def moment(self) -> datetime:
        """When it began."""
        return datetime.fromisoformat(self.began)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The list (`name`, `sha256`, `rows`) and what of the options decides what the folder holds."""

    name: str
    sha256: str
    rows: int
    layout: str
    reencode: str | None
    part_rows: int
    retry: Retry | None = None

    def save(self, path: Path) -> None:
        """Put this record in the place of the one at `path`. Raises `ShardError`."""
        with writing(path), temporary_beside(path) as temporary:
            temporary.write_text(json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)

    @classmethod
    def load(cls, path: Path) -> RunRecord | None:
        """The record at `path`, None if there is none. Raises `ShardError` for one that cannot be understood."""
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("schema") != SCHEMA:
                raise ValueError("of another version of relsim")  # noqa: TRY301 - one kind for all that is wrong
            retry = document.pop("retry")
            return cls(**document, retry=None if retry is None else Retry(tuple(retry["statuses"]), retry["began"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardError(f"cannot read {path}: {error}. Download into another folder") from error

    def check(self, other: RunRecord, folder: Path) -> None:
        """Refuse to go on with another list or layout. Raises `ShardError`."""
        if other.sha256 != self.sha256:
            raise ShardError(
                f"{folder} holds the download of another list ({self.name}, {self.rows:,} rows, sha256 "
                f"{self.sha256[:12]}), not of {other.name} ({other.rows:,} rows, sha256 {other.sha256[:12]}); "
                "name another folder"
            )
        ours, theirs = (self.layout, self.reencode), (other.layout, other.reencode)
        if ours != theirs:
            raise ShardError(f"{folder} was begun as {_layout(*ours)}; go on so, or name another folder")


def digest_of(rows: Iterable[ManifestRow]) -> str:
    """SHA-256 of the list: of its rows as JSON, one a line, as they are published."""
    digest = hashlib.sha256()
    for row in rows:
        entry = {name: value for name, value in row.to_dict().items() if name not in _DERIVED}
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()


def record_of(name: str, rows: Sequence[ManifestRow], layout: str, reencode: str | None, part_rows: int) -> RunRecord:
    """The record of a new download."""
    return RunRecord(name, digest_of(rows), len(rows), layout, reencode, part_rows)


def _layout(layout: str, reencode: str | None) -> str:
    return f"--layout {layout}" + (f" --reencode {reencode}" if reencode else "")
