"""The loop that fetches rows, decodes what comes and keeps what became of each, in one process.

One event loop fetches, processes decode, threads write. Whatever happens to a row ends as a status and a reason; what
ends the loop is a disk that is full, a process that cannot be started, or an interrupt.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

from relsim.data.cleaning import url_to_use
from relsim.data.download.bodies import Body
from relsim.data.download.decoding import DecodeError, Decoders
from relsim.data.download.names import NameTakenError, refusals
from relsim.data.download.options import DownloadOptions
from relsim.data.download.outcomes import FetchError
from relsim.data.download.placeholders import Placeholders
from relsim.data.download.policy import Policy, RefusedError
from relsim.data.download.turns import Job, Turns, cancelling
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status

if TYPE_CHECKING:
    from relsim.data.download.fetching import Fetcher

_LONGEST_BACKOFF = 30.0
_SHORTEST_WAIT = 0.05
_YEAR = 31_536_000  # seconds; a server may ask for more digits than a reason should have


class Watcher(Protocol):
    """Is told how a download goes, from its event loop: what it does must be quick."""

    def started(self, todo: int, total: int) -> None:
        """`todo` of `total` rows are to be fetched."""

    def finished(self, status: Status, size: int) -> None:
        """A row is done; `size` is the number of bytes of its body."""


class Keeper(Protocol):
    """Where finished rows go: a `Store`, or what sends them to the process that has it."""

    @property
    def hidden(self) -> Path:
        """The folder of bodies that are too large for memory."""

    def add(self, row: int, facts: Mapping[str, Any], image: Iterable[bytes] = (), size: int = 0) -> int | None:
        """Keep a row; a number, if `finish_part` is to be called with it."""

    def publish_file(self, row: int, format_name: str, data: Iterable[bytes]) -> None:
        """Put an image under its name, for --layout files. Raises `NameTakenError`."""

    def finish_part(self, part: int) -> None:
        """Write what is whole now; it is called in a thread, once at a time."""


def jobs_of(rows: Sequence[ManifestRow], todo: Iterable[int], options: DownloadOptions) -> Iterator[Job]:
    """One job for each row; those that are refused have no address."""
    policy = policy_of(options)
    refused = refusals(rows, options.layout)
    for number in todo:
        row = rows[number]
        if number in refused:
            yield Job(number, refusal=refused[number])
            continue
        try:
            yield Job(number, policy.parse(url_to_use(row.url_link, row.extra)))
        except RefusedError as error:
            yield Job(number, refusal=str(error))


def policy_of(options: DownloadOptions) -> Policy:
    """Which addresses are fetched."""
    return Policy(allow_private=options.allow_private, allow_networks=options.allow_networks)


@final
class Loop:
    """Fetches `count` jobs, which are made as they are taken. `rows` and `bytes` say what is done by now."""

    def __init__(
        self,
        keeper: Keeper,
        jobs: Iterator[Job],
        count: int,
        options: DownloadOptions,
        placeholders: Placeholders,
        watcher: Watcher | None,
    ) -> None:
        self._keeper = keeper
        self._jobs = jobs
        self._count = count
        self._options = options
        self._placeholders = placeholders
        self._watcher = watcher
        self._policy = policy_of(options)
        self._jitter = random.Random()  # noqa: S311 - no secret
        self.rows = self.bytes = 0

    async def to_the_end(self) -> bool:
        """Fetch all rows; True if an interrupt came first, and what was in flight has been given up."""
        from relsim.data.download.connections import open_session
        from relsim.data.download.fetching import Fetcher

        given = self._options
        self._turns = Turns(self._jobs, per_host=given.per_host, patience=given.patience, silence=given.silence)
        self._writing = asyncio.Lock()
        count = min(self._options.workers, self._count)
        lookups = ThreadPoolExecutor(max_workers=count, thread_name_prefix="lookup")
        try:
            async with (
                _interrupt() as interrupted,
                Decoders(self._options) as decoders,
                open_session(self._options, self._policy, lookups) as session,
            ):
                fetcher = Fetcher(session, self._options, self._policy, self._placeholders, self._keeper.hidden)
                tasks = [asyncio.create_task(self._work(fetcher, decoders)) for _ in range(count)]
                async with cancelling(tasks):
                    everything: asyncio.Future[Any] = asyncio.gather(*tasks)
                    ends: set[asyncio.Future[Any]] = {everything, interrupted}
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    if everything.done():
                        everything.result()
                        return False
                    everything.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await everything
                    return True
        finally:
            # A lookup that hangs cannot be called back; nobody waits for it.
            lookups.shutdown(wait=False, cancel_futures=True)

    async def _work(self, fetcher: Fetcher, decoders: Decoders) -> None:
        while (job := await self._turns.take()) is not None:
            await self._attempt(job, fetcher, decoders)

    async def _attempt(self, job: Job, fetcher: Fetcher, decoders: Decoders) -> None:
        """Fetch a row once, and keep what became of it unless it is to be tried again."""
        if job.url is None:
            self._turns.done(job)
            await self._keep(job, Status.REFUSED, job.refusal)
            return
        job.attempts += 1
        began = time.monotonic()
        try:
            fetched = await fetcher.fetch(job.url, lambda host: self._turns.move(job, host))
        except FetchError as failure:
            job.seconds += time.monotonic() - began
            if not self._again(job, failure):
                self._turns.done(job)
                await self._keep(job, failure.status, self._reason(failure), failure.http_code)
            return
        job.seconds += time.monotonic() - began
        self._turns.answered(job.host)
        self._turns.leave(job)
        try:
            await self._judge(job, fetched.body, fetched.http_code, decoders)
        finally:
            fetched.body.close()
            self._turns.done(job)

    def _again(self, job: Job, failure: FetchError) -> bool:
        """Whether the row is tried again; then it comes back after a while. The host gets its verdict as well."""
        if failure.again and (failure.http_code is None or failure.status is Status.TIMEOUT):
            self._turns.unanswered(job.host)
        elif failure.http_code is not None:
            self._turns.answered(job.host)
        if self._asks_too_much(failure):
            self._turns.give_up(job.host)
        if not failure.again or job.attempts > self._options.retries or self._turns.has_given_up(job.host):
            return False
        if failure.wait is None:
            longest = min(self._options.backoff * 2 ** (job.attempts - 1), _LONGEST_BACKOFF)
            self._turns.retry(job, self._jitter.uniform(longest / 2, longest))
            return True
        if not self._turns.pause(job.host, failure.wait):
            return False
        self._turns.retry(job, max(failure.wait, _SHORTEST_WAIT))
        return True

    def _asks_too_much(self, failure: FetchError) -> bool:
        return failure.wait is not None and failure.wait > self._options.longest_wait

    def _reason(self, failure: FetchError) -> str:
        """The failure in words, with the wait that the server asks for if nobody will wait so long."""
        if failure.wait is None or not self._asks_too_much(failure):
            return failure.reason
        asked = f"{math.ceil(failure.wait):,} s" if failure.wait < _YEAR else "a year or more"
        return f"{failure.reason} and asks to wait {asked}"

    async def _judge(self, job: Job, body: Body, http_code: int, decoders: Decoders) -> None:
        """Decode what came and keep it, or say why it is no image."""
        if body.size == 0:
            await self._keep(job, Status.EMPTY, "the server sent no body", http_code)
            return
        try:
            decoded = await decoders.decode(body)
        except DecodeError as failure:
            await self._keep(job, failure.status, failure.reason, http_code, size=body.size)
            return
        reason = self._placeholders.of_image(decoded.facts, one_colour=decoded.one_colour)
        if reason is not None:
            await self._keep(job, Status.PLACEHOLDER, reason, http_code, size=body.size)
            return
        if self._options.layout == "files":
            pieces = [decoded.png] if decoded.png is not None else body.pieces()
            try:
                await asyncio.to_thread(self._keeper.publish_file, job.row, decoded.facts.format, pieces)
            except NameTakenError as error:
                await self._keep(job, Status.REFUSED, str(error), http_code, size=body.size)
                return
        await self._keep(job, Status.OK, None, http_code, facts=asdict(decoded.facts), size=body.size, body=body)

    async def _keep(
        self,
        job: Job,
        status: Status,
        reason: str | None,
        http_code: int | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        size: int = 0,
        body: Body | None = None,
    ) -> None:
        """Keep a finished row, and write its part if it was the last one."""
        columns = {
            "status": status.value,
            "reason": reason,
            "http_code": http_code,
            "seconds": round(job.seconds, 4) if job.attempts else None,
            "fetched_at": datetime.now(timezone.utc).isoformat(),
            **(facts or {}),
        }
        stored = body if self._options.layout == "shards" else None
        part = self._keeper.add(
            job.row, columns, stored.pieces() if stored is not None else (), stored.size if stored is not None else 0
        )
        self.rows += 1
        self.bytes += size
        if self._watcher is not None:
            self._watcher.finished(status, size)
        if part is not None:
            async with self._writing:
                await _to_its_end(asyncio.to_thread(self._keeper.finish_part, part))


@contextlib.asynccontextmanager
async def _interrupt() -> AsyncIterator[asyncio.Future[None]]:
    """A future that the first SIGINT resolves; a second one interrupts as usual. In the main thread only."""
    loop = asyncio.get_running_loop()
    happened: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        if not happened.done():
            happened.set_result(None)

    # A job in the background may have interrupts switched off, and then it is meant to.
    heard = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN
    if heard:
        loop.add_signal_handler(signal.SIGINT, resolve)
    try:
        yield happened
    finally:
        if heard:
            loop.remove_signal_handler(signal.SIGINT)
        happened.cancel()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work in a thread even when we are cancelled: it cannot be called back."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def in_a_loop(work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """Run it in a loop of its own, in a thread of its own where a loop is running here (as in a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()
