"""What a published file was when it was first used, so that a change does not go unnoticed.

One record a file, `relsim/checksums/<name>.json` in the user's cache (`$XDG_CACHE_HOME`, else `~/.cache`):

    {"schema": "relsim.checksum/1", "sha256": "…", "bytes": 2796886, "origin": "…", "recorded": "2026-11-27"}
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from relsim.data.identity import printable
from relsim.errors import SourceError
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.checksum/1"


@dataclass(frozen=True, slots=True)
class Checksum:
    """Digest (64 hex digits) and size of a file, where it came from, and the day (ISO) on which that was recorded."""

    sha256: str
    bytes: int
    origin: str
    recorded: str


def cache_folder() -> Path:
    """Where relsim keeps what it can make again: `$XDG_CACHE_HOME/relsim`, else `~/.cache/relsim`."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / "relsim"


def check_file(path: Path, name: str, *, origin: str, today: date, accept: bool = False) -> tuple[Checksum, bool]:
    """The checksum of `path`, compared with the record of that `name` (a plain file name), and whether that is new.

    The first use makes the record; `accept` makes it again. Raises SourceError for a file that is not what the record
    says, with both digests and what accepts the change; and for one that cannot be read.
    """
    known = _read(name)
    now = Checksum(file_sha256(path), path.stat().st_size, origin, today.isoformat())
    if known is not None and known.sha256 == now.sha256:
        return known, False
    if known is not None and not accept:
        raise SourceError(
            f"{name} has changed since it was first used: on {known.recorded} its SHA-256 was {known.sha256} "
            f"({known.origin}), and {printable(str(path))} has {now.sha256}; if the change is meant, accept it with "
            "`relsim data show NAME --accept`"
        )
    _write(name, now)
    return now, True


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits. Raises SourceError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"cannot read {printable(str(path))}: {(error.strerror or str(error)).lower()}") from error
    return digest.hexdigest()


def _record(name: str) -> Path:
    return cache_folder() / "checksums" / f"{name}.json"


def _read(name: str) -> Checksum | None:
    try:
        value = json.loads(_record(name).read_text(encoding="utf-8"))
        if value.pop("schema") == SCHEMA:
            return Checksum(**value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"the record {_record(name)} cannot be read ({error}); remove it to make it again") from error
    raise SourceError(f"the record {_record(name)} is of another version; remove it to make it again")


def _write(name: str, checksum: Checksum) -> None:
    target = _record(name)
    text = json.dumps({"schema": SCHEMA, **asdict(checksum)}, indent=2) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
            flush(temporary)
            temporary.replace(target)
    except OSError as error:
        raise SourceError(f"the record {target} cannot be written: {(error.strerror or str(error)).lower()}") from error
