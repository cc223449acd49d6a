"""Downloading on Ray: every host belongs to one worker, and one writer keeps the rows.

So the limits of a host (requests at a time, pauses, patience) hold as in one process, however many workers there are.
Only a redirect may lead a worker to a host that is another's; it then keeps the limits there by itself.

What a worker has finished is sent every second or every few megabytes to the process that was started, which stores it
as a download in one process does. A worker that dies loses what it had not sent: a new one gets the rows that are
missing. If the first process dies, its folder is gone on with by the next call.
"""

from __future__ import annotations

import pickle
import queue
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

from relsim.data.download.loop import Loop, Watcher, in_a_loop, jobs_of
from relsim.data.download.options import DownloadOptions
from relsim.data.download.placeholders import Placeholders
from relsim.data.download.run import Fetch, Fetched
from relsim.data.download.store import Store
from relsim.data.download.turns import Job
from relsim.data.records import Status
from relsim.distributed.cluster import Cluster, ray_package, translated
from relsim.errors import ClusterError, SourceError

MOST_DEATHS = 5
"""Workers that may die one after another without having finished a row."""

_SENT_BYTES, _SENT_SECONDS, _ON_THE_WAY = 8 * 2**20, 1.0, 4


@dataclass(slots=True)
class _Finished:
    """A row, its columns, its image, and the bytes of the body that came, kept or not."""

    row: int
    columns: Mapping[str, Any]
    image: bytes
    received: int = 0


def ray_fetch(cluster: Cluster) -> Fetch:
    """What fetches on the workers of a cluster, for `relsim.data.download.run.download`. Layout shards only.

    Raises `ClusterError` where workers die again and again; what a worker raises of relsim's errors comes as it is.
    """

    def fetch(
        store: Store, todo: Sequence[int], options: DownloadOptions, placeholders: Placeholders, watcher: Watcher | None
    ) -> Fetched:
        if options.layout != "shards":
            raise SourceError("several machines write no single files; take --layout shards with --engine ray")
        jobs = list(jobs_of(store.rows, todo, options))
        writer = _Writer(store, watcher)
        try:
            with translated(ray_package()):
                for finished in _finished(shares(jobs, cluster.workers), options, placeholders):
                    writer.keep(finished)
        except KeyboardInterrupt:
            return Fetched(writer.rows, writer.bytes, interrupted=True)
        return Fetched(writer.rows, writer.bytes)

    return fetch


def shares(jobs: Iterable[Job], count: int) -> list[list[Job]]:
    """The jobs of each of `count` workers, in order: all those of one host go to one of them. None is empty."""
    found: list[list[Job]] = [[] for _ in range(count)]
    for job in jobs:
        host = job.url.raw_host or "" if job.url is not None else ""
        found[zlib.crc32(host.encode()) % count].append(job)
    return [share for share in found if share]


@final
class _Writer:
    """Keeps what has been finished elsewhere."""

    def __init__(self, store: Store, watcher: Watcher | None) -> None:
        self._store, self._watcher = store, watcher
        self.rows = self.bytes = 0

    def keep(self, finished: _Finished) -> None:
        part = self._store.add(finished.row, finished.columns, [finished.image], len(finished.image))
        self.rows += 1
        self.bytes += finished.received
        if self._watcher is not None:
            self._watcher.finished(Status(finished.columns["status"]), finished.received)
        if part is not None:
            self._store.finish_part(part)


def _finished(
    work: Sequence[Sequence[Job]], options: DownloadOptions, placeholders: Placeholders
) -> Iterator[_Finished]:
    """What the workers finish, as it comes. One that dies is started anew with what it has left."""
    ray = ray_package()
    left = {number: {job.row: job for job in share} for number, share in enumerate(work)}
    deaths = dict.fromkeys(left, 0)
    streams: dict[Any, tuple[int, Any]] = {}

    def start(number: int) -> None:
        actor = ray.remote(num_cpus=1)(_Downloader).remote()
        method = actor.fetch.options(num_returns="streaming", _generator_backpressure_num_objects=_ON_THE_WAY)
        # With the actor, for one that nobody holds is ended.
        streams[method.remote(list(left[number].values()), options, placeholders)] = number, actor

    for number in left:
        start(number)
    while streams:
        (stream,), _ = ray.wait(list(streams), num_returns=1)
        number, _ = streams[stream]
        try:
            finished: list[_Finished] = pickle.loads(ray.get(next(stream)))  # noqa: S301 - of a worker of this run
        except (StopIteration, ray.exceptions.RayActorError) as end:
            del streams[stream]
            if left[number]:
                deaths[number] += 1
                if deaths[number] > MOST_DEATHS:
                    raise ClusterError(
                        f"{deaths[number]} workers died one after another, and none of them finished a row. Finished "
                        "rows are kept; look at the memory of the machines, then run it again to go on"
                    ) from end
                start(number)
            continue
        deaths[number] = 0
        for one in finished:
            # The worker before may have sent a row that it did not know to have arrived.
            if left[number].pop(one.row, None) is not None:
                yield one


class _Downloader:
    """What fetches, in a process of its own."""

    def fetch(self, jobs: Sequence[Job], options: DownloadOptions, placeholders: Placeholders) -> Iterator[bytes]:
        """Finished rows, some at a time, pickled."""
        with TemporaryDirectory(prefix="relsim-download-") as folder:
            outbox = Outbox(Path(folder))
            loop = Loop(outbox, iter(jobs), len(jobs), options, placeholders, outbox)
            thread = threading.Thread(target=outbox.close_after, args=(loop,), daemon=True)
            thread.start()
            for finished in outbox:
                yield pickle.dumps(finished)
            thread.join()


@final
class Outbox:
    """A keeper and watcher of a `Loop` which passes on what is kept; a loop that is too quick for the reader waits."""

    def __init__(self, hidden: Path) -> None:
        self.hidden = hidden
        self._filling: list[_Finished] = []
        self._size, self._began = 0, time.monotonic()
        self._full: deque[list[_Finished]] = deque()
        self._sent: queue.Queue[list[_Finished] | BaseException | None] = queue.Queue(maxsize=1)
        self._last: _Finished | None = None

    def add(self, row: int, facts: Mapping[str, Any], image: Iterable[bytes] = (), size: int = 0) -> int | None:
        """Keep a row; a number, if it is time to pass on."""
        self._last = _Finished(row, dict(facts), b"".join(image))
        self._filling.append(self._last)
        self._size += size
        if self._size < _SENT_BYTES and time.monotonic() - self._began < _SENT_SECONDS:
            return None
        self._full.append(self._filling)  # here, in the loop's own thread, so that no row falls between two lists
        self._filling, self._size, self._began = [], 0, time.monotonic()
        return 0

    def publish_file(self, row: int, format_name: str, data: Iterable[bytes]) -> None:  # noqa: ARG002 - see below
        """No file is written here: `ray_fetch` refuses that layout."""
        raise SourceError("an outbox writes no files")

    def finish_part(self, part: int) -> None:  # noqa: ARG002 - a keeper's parts have numbers
        """Pass on what is full, as soon as the reader has taken what was passed on before."""
        self._sent.put(self._full.popleft())

    def started(self, todo: int, total: int) -> None:
        """Nobody is told here."""

    def finished(self, status: Status, size: int) -> None:  # noqa: ARG002 - the row has it
        """The bytes that came for the row that was kept last."""
        if self._last is not None:
            self._last.received = size

    def close_after(self, loop: Loop) -> None:
        """Run the loop to its end, then pass on what is left, or what went wrong."""
        try:
            in_a_loop(loop.to_the_end)
        except BaseException as error:  # noqa: BLE001 - it is raised where the rows are read
            self._sent.put(error)
            return
        self._sent.put(self._filling)
        self._sent.put(None)

    def __iter__(self) -> Iterator[list[_Finished]]:
        while (finished := self._sent.get()) is not None:
            if isinstance(finished, BaseException):
                raise finished
            if finished:
                yield finished
