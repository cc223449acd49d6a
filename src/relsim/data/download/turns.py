"""Whose turn it is: rows in order, as many of one host at a time as are allowed, retries when their time has come.

A host that is full, or that has asked for a pause, holds back its own rows only. A row that waits for a retry holds no
place. A host that does not answer, or that wants to be left alone for long, is given up: each of its rows is tried
once, none again. Everything runs in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yarl import URL

LOOK_AHEAD = 4_096  # rows that wait for a full host while rows behind them go on
_EARLY = 0.05


@dataclass(slots=True, eq=False)
class Job:
    """A row to be fetched: its number and address (or why it has none), attempts made, seconds that they took."""

    row: int
    url: URL | None = None
    refusal: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    host: str = ""  # the one whose place the job holds; it moves with redirects


@dataclass(slots=True, eq=False)
class _Host:
    active: int = 0
    moving: deque[asyncio.Future[None]] = field(default_factory=deque)  # jobs under way, from other hosts
    waiting: deque[Job] = field(default_factory=deque)
    paused_until: float = 0.0
    paused: float = 0.0  # seconds altogether
    silent: int = 0  # attempts in a row that got no answer
    given_up: bool = False


class Turns:
    """Hands out jobs.

    `per_host` bounds the jobs of one host, `patience` the seconds that a host may pause in all, `silence` the attempts
    in a row that it may leave without an answer.
    """

    def __init__(self, jobs: Iterator[Job], *, per_host: int, patience: float, silence: int) -> None:
        self._fresh = jobs
        self._per_host = per_host
        self._patience = patience
        self._silence = silence
        self._hosts: dict[str, _Host] = {}
        self._ready: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []
        self._open = 0  # handed out, waiting or to be retried
        self._parked = 0
        self._exhausted = False
        self._idle: deque[asyncio.Future[None]] = deque()

    async def take(self) -> Job | None:
        """The next job, which holds a place at its host; None when there is none and none can come back."""
        loop = asyncio.get_running_loop()
        while (job := self._next()) is None:
            if self._exhausted and not self._open:
                self._wake(len(self._idle))
                return None
            change: asyncio.Future[None] = loop.create_future()
            self._idle.append(change)
            timer = None
            if self._later:
                timer = loop.call_later(max(0.0, self._later[0][0] - time.monotonic()), _resolve, change)
            try:
                await change
            finally:
                if timer is not None:
                    timer.cancel()
                with contextlib.suppress(ValueError):
                    self._idle.remove(change)
        return job

    def done(self, job: Job) -> None:
        """The job will not come back."""
        self.leave(job)
        self._open -= 1
        if not self._open:
            self._wake(len(self._idle))

    def leave(self, job: Job) -> None:
        """Give the job's place at its host to the next one."""
        name, job.host = job.host, ""
        host = self._hosts.get(name)
        if host is None:
            return
        host.active -= 1
        self._admit(host)
        if not (host.active or host.moving or host.waiting or host.paused or host.silent or host.given_up):
            del self._hosts[name]

    def retry(self, job: Job, seconds: float) -> None:
        """The job comes back after that time."""
        self.leave(job)
        heapq.heappush(self._later, (time.monotonic() + seconds, job.row, job))
        self._wake(1)  # to wait no longer than for this one

    def pause(self, name: str, seconds: float) -> bool:
        """Hold back the rows of a host for so long. False if it has used up its patience."""
        host = self._hosts.setdefault(name, _Host())
        now = time.monotonic()
        if host.paused >= self._patience:
            return False
        until = max(host.paused_until, now + seconds)
        host.paused += until - max(host.paused_until, now)
        host.paused_until = until
        # Timers may fire a little early.
        asyncio.get_running_loop().call_later(until - now + _EARLY, self._admit, host)
        return True

    def answered(self, name: str) -> None:
        """A host has answered, whatever it said."""
        if name in self._hosts:
            self._hosts[name].silent = 0

    def unanswered(self, name: str) -> None:
        """An attempt got no answer from a host."""
        self._hosts.setdefault(name, _Host()).silent += 1

    def give_up(self, name: str) -> None:
        """A host does not want to be asked again."""
        self._hosts.setdefault(name, _Host()).given_up = True

    def has_given_up(self, name: str) -> bool:
        """Whether rows of a host are not to be tried again: it wants that, or it has been silent too often."""
        host = self._hosts.get(name)
        return host is not None and (host.given_up or host.silent >= self._silence)

    async def move(self, job: Job, name: str) -> None:
        """Exchange the job's place for one at another host, to which its own has sent it; that may take a while."""
        self.answered(job.host)
        if name == job.host:
            return
        self.leave(job)
        host = self._hosts.setdefault(name, _Host())
        if self._full(host):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            host.moving.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    host.active -= 1
                    self._admit(host)
                raise
        else:
            host.active += 1
        job.host = name

    def _next(self) -> Job | None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        while self._ready:
            returning = self._ready.popleft()
            if self._seated(returning, first=True):
                return returning
        while self._parked < LOOK_AHEAD:
            job = next(self._fresh, None)
            if job is None:
                self._exhausted = True
                break
            self._open += 1
            if self._seated(job):
                return job
        return None

    def _seated(self, job: Job, *, first: bool = False) -> bool:
        """Give the job a place at its host, or let it wait there, as the first of all or the last."""
        if job.url is None:
            return True
        name = job.url.raw_host or ""
        host = self._hosts.setdefault(name, _Host())
        if self._full(host):
            (host.waiting.appendleft if first else host.waiting.append)(job)
            self._parked += 1
            return False
        host.active += 1
        job.host = name
        return True

    def _full(self, host: _Host) -> bool:
        return host.active >= self._per_host or host.paused_until > time.monotonic()

    def _admit(self, host: _Host) -> None:
        """Let in those who wait, as far as there are places: first those under way, each of which holds a worker.

        The others take their place when a worker takes them, for all workers may be waiting to move.
        """
        if self._full(host):
            return
        while host.moving and host.active < self._per_host:
            place = host.moving.popleft()
            if not place.done():
                host.active += 1
                place.set_result(None)
        for _ in range(min(self._per_host - host.active, len(host.waiting))):
            self._ready.append(host.waiting.popleft())
            self._parked -= 1
            self._wake(1)

    def _wake(self, count: int) -> None:
        while count and self._idle:
            change = self._idle.popleft()
            count -= not change.done()
            _resolve(change)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@contextlib.asynccontextmanager
async def cancelling(tasks: list[asyncio.Task[None]]) -> AsyncIterator[None]:
    """Tasks that do not outlive the body: whatever ends it, they are cancelled and waited for."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
