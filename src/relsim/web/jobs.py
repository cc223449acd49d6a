"""Jobs: embedding and downloading that the page starts, stops and watches, in a folder that the operator named.

A job is a child that runs the command line itself, and its name is that of the folder that it fills, so to start it
again is to go on. Whatever else writes a table or a download there is seen as well, by the files that it writes.
Nobody names a path: sources are what lies in the folder of jobs, and the lists that the server shows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import final

from relsim.data.dataset import ImageDataset
from relsim.errors import RelsimError, SourceError
from relsim.vectors.contents import CONTENTS_NAME
from relsim.web.job_board import DONE, HIDDEN, Job, JobBoard, Verb
from relsim.web.job_record import JobRecord

MOST_RUNNING = 2
_LISTS = frozenset({".jsonl", ".json", ".parquet"})
_FRESH = 0.5  # seconds for which what was seen is told again
_PATIENCE = 5.0  # seconds that an interrupted job has to end; a kill costs it no more than the part that it is at
_FEWEST, _MOST, _STEPS = 8, 256, 100  # images that are stored together: a hundredth, within these bounds
_INTERRUPTED = frozenset({128 + signal.SIGINT, -signal.SIGINT})


@dataclass(frozen=True, slots=True)
class Source:
    """What can be embedded or downloaded, by its name, and which of the two."""

    name: str
    verbs: tuple[Verb, ...]


class UnknownJobError(Exception):
    """No job, source or axis is called that."""


class JobConflictError(Exception):
    """What was asked for cannot be done now."""


@final
class Jobs:
    """The jobs of a folder. A context: what runs here ends with it.

    `sources` are lists by name, beside what lies in the folder; `encoders` are specs by axis; `watched` are tables
    elsewhere, shown while somebody writes them. Raises `SourceError` for a folder that is not there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        encoders: Mapping[str, str],
        sources: Mapping[str, Path] | None = None,
        watched: Mapping[str, Path] | None = None,
    ) -> None:
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder; make it first, it will hold what jobs embed and download")
        self.folder = folder.absolute()
        self.encoders = dict(encoders)
        self._lists = dict(sources or {})
        self._board = JobBoard(self.folder, watched or {})
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._ends: dict[str, asyncio.Task[None]] = {}
        self._changing, self._looking = asyncio.Lock(), asyncio.Lock()
        self._changes = 0
        self._seen: tuple[int, float, list[Job]] = (-1, 0.0, [])  # at which change, when, what

    async def __aenter__(self) -> Jobs:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self._stop(name) for name in list(self._running)))
        await asyncio.gather(*self._ends.values())

    def sources(self) -> list[Source]:
        """What can be named as a source, in the order of names: lists can be downloaded, and all be embedded."""
        found = [Source(name, ("embed", "download") if path.is_file() else ("embed",)) for name, path in self._named()]
        return sorted(found, key=lambda source: source.name)

    async def look(self) -> list[Job]:
        """All jobs as they are now, those that go on first, then the latest."""
        async with self._looking:
            change, when, jobs = self._seen
            if change != self._changes or time.monotonic() - when >= _FRESH:
                change = self._changes
                jobs = await asyncio.to_thread(self._board.look, set(self._running))
                self._seen = (change, time.monotonic(), jobs)
            return jobs

    async def start(self, verb: Verb, source: str, axis: str | None) -> Job:
        """Begin a job, or go on with it. Raises `UnknownJobError`, `JobConflictError`, `RelsimError`."""
        async with self._changing:
            path = dict(self._named()).get(source)
            if path is None:
                raise UnknownJobError("nothing of that name can be embedded or downloaded here")
            if verb == "embed" and axis not in self.encoders:
                raise UnknownJobError(f"embed on one of these axes: {', '.join(self.encoders)}")
            if verb == "download" and not path.is_file():
                raise JobConflictError(f"{source} is no list of addresses, so there is nothing to download")
            if len(self._running) >= MOST_RUNNING:
                raise JobConflictError(f"{MOST_RUNNING} jobs run already; wait for one, or cancel it")
            name = f"{source.replace('/', '-')}.{axis if verb == 'embed' else 'images'}"
            known = JobRecord.load(self._board.record_path(name))
            if known is not None and known.source != source:
                raise JobConflictError(f"{name} is that of another source, {known.source}")
            if name in self._running or await asyncio.to_thread(self._board.busy, name):
                raise JobConflictError(f"{name} is being written already")
            total = await asyncio.to_thread(self._count, path) if verb == "embed" else None
            given = axis if verb == "embed" else None
            record = JobRecord(verb=verb, source=source, axis=given, total=total, started=_now())
            await asyncio.to_thread(record.save, self._board.record_path(name))
            await self._run(name, record, self._words(name, record, path))
        return await self.job(name)

    async def resume(self, name: str) -> Job:
        """Go on with a job that was started here. Errors are those of `start`."""
        known = name in await asyncio.to_thread(self._board.started)
        record = JobRecord.load(self._board.record_path(name)) if known else None
        if record is None:
            raise UnknownJobError("no job of that name was started here")
        return await self.start("embed" if record.verb == "embed" else "download", record.source, record.axis)

    async def cancel(self, name: str) -> Job:
        """Interrupt a job that runs here; what is finished is kept. Raises `UnknownJobError`, `JobConflictError`."""
        async with self._changing:
            if name not in self._running:
                job = await self.job(name)
                elsewhere = "runs in another process; stop it where it was started"
                raise JobConflictError(f"{name} {elsewhere if job.state == 'elsewhere' else 'has ended'}")
            path = self._board.record_path(name)
            record = JobRecord.load(path)
            if record is not None:
                await asyncio.to_thread(replace(record, cancelled=True).save, path)
            await self._stop(name)
        return await self.job(name)

    async def job(self, name: str) -> Job:
        """One job as it is now. Raises `UnknownJobError`."""
        self._changes += 1
        for job in await self.look():
            if job.name == name:
                return job
        raise UnknownJobError("no job has that name")

    def _named(self) -> Iterator[tuple[str, Path]]:
        """Sources by name. Lists of the server have a slash in it, which nothing in the folder has."""
        yield from ((f"data/{name}", path) for name, path in self._lists.items())
        for path in self._board.entries():
            if (path.is_dir() and not (path / CONTENTS_NAME).exists()) or path.suffix.lower() in _LISTS:
                yield path.name, path

    def _count(self, path: Path) -> int:
        try:
            return len(ImageDataset.open([path], same_id="refuse"))
        except RelsimError as error:
            raise SourceError(self._without_paths(str(error))) from error

    def _words(self, name: str, record: JobRecord, path: Path) -> list[str]:
        """The words of the command line."""
        words = [record.verb, str(path), "--out", str(self.folder / name), "--json"]
        if record.verb == "embed":
            rows = min(_MOST, max(_FEWEST, (record.total or 0) // _STEPS))
            words += ["--encoder", self.encoders[record.axis or ""], "--part-rows", str(rows)]
        return words

    async def _run(self, name: str, record: JobRecord, words: list[str]) -> None:
        log = (self.folder / HIDDEN / f"{name}.log").open("wb")
        with log:
            # In a session of its own: an interrupt from the terminal is the server's to pass on.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "relsim.web.tied", str(os.getpid()), *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        self._board.begin(name)
        self._ends[name] = asyncio.create_task(self._to_its_end(name, record, process))

    async def _to_its_end(self, name: str, record: JobRecord, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        log = self.folder / HIDDEN / f"{name}.log"
        told = await asyncio.to_thread(log.read_text, "utf-8", "replace") if log.exists() else ""
        failed = code not in DONE | _INTERRUPTED
        message = self._without_paths(_last_words(told)) if failed else None
        path = self._board.record_path(name)
        ended = replace(JobRecord.load(path) or record, ended=_now(), code=code, message=message)
        with suppress(SourceError):  # a full disk: the job is then told to have ended with the server
            await asyncio.to_thread(ended.save, path)
        self._running.pop(name, None)
        self._ends.pop(name, None)
        self._changes += 1

    async def _stop(self, name: str) -> None:
        """Interrupt a job, and kill it where it does not end in time."""
        process, end = self._running.get(name), self._ends.get(name)
        if process is None or end is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(asyncio.shield(end), _PATIENCE)
        except asyncio.TimeoutError:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await end

    def _without_paths(self, text: str) -> str:
        """What the command line says, without telling where things lie."""
        for path in (self.folder, *(path.absolute().parent for path in self._lists.values())):
            text = text.replace(f"{path}/", "").replace(str(path), ".")
        return text


def _last_words(told: str) -> str:
    """The line in which the command line says why it ended, else the last one that it said."""
    lines = [line for line in told.splitlines() if line.strip()]
    own = [line.removeprefix("relsim: ") for line in lines if line.startswith("relsim: ")]
    return (own or lines or ["it was killed"])[-1][:1_000]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
