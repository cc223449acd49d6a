"""The board of jobs: every job of a folder as it is now, from its record and from the files that it writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from relsim.data.identity import printable
from relsim.errors import RelsimError
from relsim.vectors.contents import CONTENTS_NAME
from relsim.web.job_record import JobRecord
from relsim.web.progress import Folder, Pace, Progress, folder_at

Verb = Literal["embed", "download"]
JobState = Literal["running", "elsewhere", "finished", "cancelled", "failed", "ended", "idle"]

HIDDEN = ".jobs"
GOING: frozenset[JobState] = frozenset({"running", "elsewhere"})
DONE = frozenset({0, 3})
"""Exit codes of a job that is done; with 3, some images could not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is now. `source` and `axis` are None where it was not started from the page.

    States: `running` here; `elsewhere`, in another process; `finished`; `cancelled` by a person; `failed`, for the
    reason in `message`; `ended`, because the server did; `idle`, where nobody knows more. Counts are of images, `rate`
    is images a second. What can be gone on with is `resumable`.
    """

    name: str
    verb: Verb
    state: JobState
    progress: Progress
    source: str | None = None
    axis: str | None = None
    rate: float | None = None
    seconds_left: float | None = None
    started: str | None = None
    ended: str | None = None
    message: str | None = None
    resumable: bool = False


@final
class JobBoard:
    """The jobs of a folder, looked at from one thread at a time.

    `watched` are tables elsewhere, by a name for each, which are shown while somebody writes them.
    """

    def __init__(self, folder: Path, watched: Mapping[str, Path]) -> None:
        self.folder = folder
        self._watched = dict(watched)
        self._folders: dict[str, tuple[Folder, Pace]] = {}
        self._last: dict[str, Progress] = {}

    def entries(self) -> list[Path]:
        """What lies in the folder under a name that can be told."""
        with suppress(OSError):
            return [path for path in self.folder.iterdir() if path.name[0] != "." and printable(path.name) == path.name]
        return []

    def started(self) -> set[str]:
        """Names of the jobs that were started here."""
        return {path.stem for path in (self.folder / HIDDEN).glob("*.json") if path.name[0] != "."}

    def record_path(self, name: str) -> Path:
        """Where the record of a job is."""
        return self.folder / HIDDEN / f"{name}.json"

    def busy(self, name: str) -> bool:
        """Whether a process writes into the folder of a job."""
        folder = folder_at(self.folder / name)
        return folder is not None and folder.look().busy

    def begin(self, name: str) -> None:
        """Measure the speed of a job anew."""
        self._folders.pop(name, None)

    def look(self, running: Collection[str]) -> list[Job]:
        """All jobs, those that go on first, then the latest; `running` are names of those that run here."""
        names = self.started() | {path.name for path in self.entries() if folder_at(path) is not None}
        found = [self._job(name, self.folder / name, running) for name in names]
        watched = [self._job(name, path, running) for name, path in self._watched.items()]
        found += [job for job in watched if job.state == "elsewhere"]
        found.sort(key=lambda job: job.name)
        found.sort(key=lambda job: job.started or "", reverse=True)
        return sorted(found, key=lambda job: job.state not in GOING)

    def _job(self, name: str, path: Path, running: Collection[str]) -> Job:
        record = JobRecord.load(self.record_path(name)) if path.parent == self.folder else None
        progress = self._progress(name, path, None if record is None else record.total)
        state = _state(name, record, progress, running)
        rate = None
        if state in GOING and name in self._folders:
            pace = self._folders[name][1]
            pace.at(progress.done)
            rate = pace.rate
        left = None if rate is None or progress.total is None else (progress.total - progress.done) / rate
        embeds = (path / CONTENTS_NAME).exists() or (record is not None and record.verb == "embed")
        job = Job(
            name=name,
            verb="embed" if embeds else "download",
            state=state,
            progress=progress,
            rate=rate,
            seconds_left=left,
        )
        if record is None:
            return job
        return replace(
            job,
            source=record.source,
            axis=record.axis,
            started=record.started,
            ended=record.ended,
            message=record.message if state == "failed" else None,
            resumable=state not in GOING | {"finished"},
        )

    def _progress(self, name: str, path: Path, total: int | None) -> Progress:
        """How far a job is; where its folder changes under our eyes, what was seen before."""
        nothing = Progress(0, total, 0, (), busy=False)
        if name not in self._folders:
            folder = folder_at(path)
            if folder is None:
                return nothing
            self._folders[name] = (folder, Pace())
        try:
            seen = self._folders[name][0].look()
        except (RelsimError, OSError):
            self._folders.pop(name)
            return self._last.get(name, nothing)
        known = total if seen.total is None else seen.total
        # A table may have rows of pictures that its source has no longer.
        self._last[name] = replace(seen, done=seen.done if known is None else min(seen.done, known), total=known)
        return self._last[name]


def _state(name: str, record: JobRecord | None, progress: Progress, running: Collection[str]) -> JobState:
    if name in running:
        return "running"
    if progress.busy:
        return "elsewhere"
    if record is None:
        return "idle"
    if record.code in DONE:
        return "finished"
    if record.cancelled:
        return "cancelled"
    return "failed" if record.message is not None else "ended"
