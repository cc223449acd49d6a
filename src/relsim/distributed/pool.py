"""Workers of Ray: tasks that read pictures, and actors, each with a model of its own, that work on what was read.

Each actor has one task at work and one beside it, whose pictures Ray brings meanwhile. It does them in their order, so
the first one that is not done is what it died of. An actor for which nothing was read in time reads for itself, so
reading takes as many cores as it needs. Ray itself tries nothing again: that is the ledger's matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, final

from relsim.data.records import Failure, ImageRecord, Status
from relsim.distributed.cluster import Cluster, is_loss, ray_package
from relsim.distributed.ledger import Ledger, Task
from relsim.distributed.pictures import ReadPart
from relsim.errors import ClusterError

MOST_LOADS = 2
"""Workers, beside one for each place, that may die one after another while they load the model."""

_AT_ONCE = 2
"""Tasks that an actor has: one at work, one on its way."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Read = Callable[[Sequence[ImageRecord]], ReadPart]
"""How pictures are read for a worker. It is pickled."""


class Call(Protocol[T_co]):
    """How another process makes what works on a part. It is pickled: names and options, no model."""

    def load(self) -> Callable[[ReadPart], T_co]:
        """Load the model. What this raises ends the run."""


@dataclass(eq=False, slots=True)
class _Worker:
    """An actor, and what it was given, in order: references to the results, and the tasks with what was read.

    What it reads for itself, which is the first it has, comes with None.
    """

    actor: Any
    loading: Any
    given: deque[tuple[Any, Task, Any]] = field(default_factory=deque)


@final
class Pool(Generic[T]):
    """The tasks and actors of one run. Errors of a task come as Ray wraps them, for `cluster.translated`."""

    def __init__(self, ledger: Ledger[T], call: Call[T], cluster: Cluster, read: Read) -> None:
        self._ray = ray_package()
        self._ledger, self._call, self._cluster, self._read = ledger, call, cluster, read
        # Cores that read need not be where the models are. Each task takes a whole one: Ray ends idle processes beyond
        # its number of cores after a second, and starting others took a seventh of the work of two cores.
        self._reader = self._ray.remote(num_cpus=1, num_returns=2, max_retries=0)(_read).options(
            scheduling_strategy="SPREAD"
        )
        self._holder = self._ray.remote(num_cpus=1, num_gpus=int(cluster.gpu), max_restarts=0)(_ModelHolder)
        self._reading: dict[Any, tuple[Task, Any]] = {}
        self._ready: deque[tuple[Task, Any]] = deque()
        self._workers: list[_Worker] = []
        self._lost_loads = 0

    def go_on(self) -> bool:
        """Start what there is room for, and wait until something has ended; False if nothing is left to be done."""
        self._start()
        waited = [
            *(worker.given[0][0] for worker in self._workers if worker.given),
            *(worker.loading for worker in self._workers if worker.loading is not None),
            *self._reading,
        ]
        if not (self._reading or self._ready or any(worker.given for worker in self._workers)):
            return False
        (ended,), _ = self._ray.wait(waited, num_returns=1, fetch_local=False)
        if ended in self._reading:
            self._has_read(ended)
        else:
            worker = next(one for one in self._workers if one.loading == ended or _first(one) == ended)
            if worker.loading == ended:
                self._has_loaded(worker)
            else:
                self._has_worked(worker)
        return True

    def close(self) -> None:
        """End the actors. What is still being read is of no use to anybody and ends by itself."""
        if self._ray.is_initialized():  # else they have ended with it, as where somebody left early
            for worker in self._workers:
                self._ray.kill(worker.actor)
        self._workers.clear()

    def _start(self) -> None:
        while self._has_room() and (task := self._ledger.take()) is not None:
            marker, part = self._reader.remote(self._read, task.records, task.known)
            self._reading[marker] = task, part
        under_way = len(self._reading) + len(self._ready) + sum(len(worker.given) for worker in self._workers)
        while len(self._workers) < min(self._cluster.workers, under_way):
            actor = self._holder.options(scheduling_strategy="SPREAD").remote()
            self._workers.append(_Worker(actor, actor.load.remote(self._call)))
        loaded = [worker for worker in self._workers if worker.loading is None]
        while self._ready and loaded:
            worker = min(loaded, key=lambda one: len(one.given))
            if len(worker.given) == _AT_ONCE:
                break
            task, part = self._ready.popleft()
            worker.given.append((worker.actor.work.remote(part), task, part))
        for worker in loaded:
            if not worker.given and (task := self._ledger.take(fresh=True)) is not None:
                result = worker.actor.read_and_work.remote(self._read, task.records)
                worker.given.append((result, task, None))

    def _has_room(self) -> bool:
        """Whether something may be read: what nobody works on is kept in memory."""
        waiting = len(self._ready) < _AT_ONCE * self._cluster.workers
        return waiting and len(self._reading) < self._cluster.readers

    def _has_read(self, marker: Any) -> None:
        task, part = self._reading.pop(marker)
        try:
            self._ray.get(marker)
        except self._ray.exceptions.RayError as error:
            self._require_death(error)
            self._ledger.died(task, Status.DAMAGED)
        else:
            self._ready.append((task, part))

    def _has_loaded(self, worker: _Worker) -> None:
        try:
            self._ray.get(worker.loading)
        except self._ray.exceptions.RayError as error:
            self._require_death(error)
            self._lost_loads += 1
            if self._lost_loads > MOST_LOADS + self._cluster.workers:
                raise ClusterError(
                    f"{self._lost_loads} workers died one after another while they loaded the model. Finished parts "
                    "are kept; look at the memory of the machines, then run it again to go on"
                ) from error
            self._bury(worker)
        else:
            worker.loading, self._lost_loads = None, 0

    def _has_worked(self, worker: _Worker) -> None:
        result, task, _ = worker.given.popleft()
        try:
            found = self._ray.get(result)
        except self._ray.exceptions.RayError as error:
            self._require_death(error)
            if isinstance(error, self._ray.exceptions.RayActorError):
                self._bury(worker)
            self._ledger.died(task)
        else:
            self._ledger.finished(task, found)

    def _bury(self, worker: _Worker) -> None:
        """Give what a dead worker had not begun to others. It may only be out of reach: it is ended for good."""
        self._ray.kill(worker.actor)
        self._workers.remove(worker)
        self._ready.extendleft((task, part) for _, task, part in reversed(worker.given))

    def _require_death(self, error: BaseException) -> None:
        """Raise the error again where a program raised it, and no process or machine was lost."""
        if not is_loss(self._ray, error):
            raise error


def _first(worker: _Worker) -> Any:
    return worker.given[0][0] if worker.given else None


class _ModelHolder:
    """The model, in an actor of its own. It is loaded by a method, for then an error of it comes as it is."""

    def load(self, call: Call[Any]) -> None:
        self._work = call.load()

    def work(self, part: ReadPart) -> Any:
        return self._work(part)

    def read_and_work(self, read: Read, records: Sequence[ImageRecord]) -> Any:
        return self._work(read(records))


def _read(read: Read, records: Sequence[ImageRecord], known: Mapping[str, Failure]) -> tuple[None, ReadPart]:
    """That it was read, which is small, and what was read, which stays where it is until a worker takes it."""
    part = read([record for record in records if record.image_id not in known])
    # With the very records, by which stages know their failures.
    failed = {one.image_id: replace(known[one.image_id], record=one) for one in records if one.image_id in known}
    return None, replace(part, records=records, pictures={**part.pictures, **failed})
