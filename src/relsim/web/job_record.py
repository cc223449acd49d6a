"""What is kept of a job that was started from the page: `.jobs/NAME.json` in the folder of jobs (docs/formats.md)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from relsim.errors import SourceError
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.job/1"
VERBS = ("embed", "download")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What was asked for (`verb`, `source`, `axis`), how many images that is, and how it ended.

    `ended` and `code` are None while it goes on, and stay so where the server was killed meanwhile. Times are ISO 8601.
    """

    verb: str
    source: str
    axis: str | None
    total: int | None
    started: str
    ended: str | None = None
    code: int | None = None
    cancelled: bool = False
    message: str | None = None

    def save(self, path: Path) -> None:
        """Put this record in the place of the one at `path`. Raises `SourceError`."""
        try:
            path.parent.mkdir(exist_ok=True)
            with temporary_beside(path) as temporary:
                temporary.write_text(json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n", encoding="utf-8")
                flush(temporary)
                temporary.replace(path)
        except OSError as error:
            raise SourceError(f"the job cannot be kept: {(error.strerror or str(error)).lower()}") from error

    @classmethod
    def load(cls, path: Path) -> JobRecord | None:
        """The record at a path, None where there is none that can be understood."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("schema") != SCHEMA or document["verb"] not in VERBS:
                return None
            return cls(**document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
