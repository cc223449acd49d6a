"""What is still to be done of the parts of a run, and which picture it is that kills workers.

A part whose worker dies is done again, once. If that worker dies as well, the pictures of the part are tried one at a
time: a picture that kills its worker alone, twice, is a failure from then on, and the part is done again without it,
in the batches of a part with a picture that cannot be used. Nothing here knows Ray.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, final

from relsim.data.identity import printable
from relsim.data.records import Failure, ImageRecord, Status
from relsim.errors import ClusterError

logger = logging.getLogger(__name__)

MOST_DEATHS = 2
"""Workers that may die of one part, or of one picture alone. A single death may come from outside."""
MOST_IN_A_ROW = 8
"""Workers, beside one for each place, that may die one after another while nothing at all is finished."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker takes at a time: a part, or one of its pictures on trial, whose result nobody wants.

    `known` are pictures of the part that are not to be read again.
    """

    part: int
    records: Sequence[ImageRecord]
    known: Mapping[str, Failure] = field(default_factory=dict)
    trial: bool = False

    def __str__(self) -> str:
        first, last = (printable(record.image_id) for record in (self.records[0], self.records[-1]))
        return f"the image {first}" if len(self.records) == 1 else f"the images {first} to {last}"


@dataclass(slots=True)
class _Part:
    """A part that is not finished."""

    records: Sequence[ImageRecord]
    deaths: int = 0
    tried: bool = False
    on_trial: dict[str, int] = field(default_factory=dict)
    """Workers that died of each picture which is tried alone."""
    known: dict[str, Failure] = field(default_factory=dict)


@final
class Ledger(Generic[T]):
    """Parts of a run: they are taken in order, done in any, and their results are given out in order.

    No part is taken from `parts` that is `ahead` or more beyond the first unfinished one. `workers` is how many work
    at a time: so many deaths at once, as of a machine that is lost, prove nothing.
    """

    def __init__(self, parts: Iterable[Sequence[ImageRecord]], *, ahead: int, workers: int) -> None:
        self._parts = enumerate(parts)
        self._ahead, self._most_in_a_row = ahead, MOST_IN_A_ROW + workers
        self._open: dict[int, _Part] = {}
        self._again: list[tuple[int, int, Task]] = []
        self._results: dict[int, T] = {}
        self._due = self._taken = self._put_back = self._in_a_row = 0

    def take(self, *, fresh: bool = False) -> Task | None:
        """What is to be done next, if there is anything now; `fresh` leaves what somebody died of to others."""
        if self._again:
            return None if fresh else heapq.heappop(self._again)[-1]
        if self._taken - self._due >= self._ahead or (following := next(self._parts, None)) is None:
            return None
        number, records = following
        self._taken = number + 1
        self._open[number] = _Part(records)
        return Task(number, records)

    def finished(self, task: Task, result: T) -> None:
        """A worker has done it."""
        self._in_a_row = 0
        if task.trial:
            self._end_trial(task)
        else:
            del self._open[task.part]
            self._results[task.part] = result

    def died(self, task: Task, status: Status = Status.ENCODER) -> None:
        """A worker died of it; `status` is that of a picture which turns out to be the reason.

        Raises `ClusterError` where trying again is in vain: workers die of anything, or of pictures together only.
        """
        self._in_a_row += 1
        if self._in_a_row > self._most_in_a_row:
            raise ClusterError(
                f"{self._in_a_row} workers died one after another, the last at {task}, and nothing was finished "
                "between. Finished parts are kept; look at the memory of the machines, then run it again to go on"
            )
        if task.trial:
            self._died_alone(task, status)
        else:
            self._died_of_part(task, status)

    def results(self) -> Iterator[T]:
        """Results whose turn it is."""
        while self._due in self._results:
            result = self._results.pop(self._due)
            self._due += 1
            yield result

    def _died_of_part(self, task: Task, status: Status) -> None:
        part = self._open[task.part]
        part.deaths += 1
        if part.deaths < MOST_DEATHS:
            self._put(task)
            return
        if part.tried:
            raise ClusterError(
                f"workers die of {task}, and of none of them alone. Finished parts are kept; look at the memory of "
                "the machines, make the batches smaller, then run it again to go on"
            )
        part.deaths, part.tried = 0, True
        if len(task.records) == 1:
            self._condemn(task, status)
            self._put(Task(task.part, part.records, part.known))
            return
        logger.warning("%d workers died of %s; they are tried one by one", MOST_DEATHS, task)
        part.on_trial = {record.image_id: 0 for record in task.records}
        for record in task.records:
            self._put(Task(task.part, [record], trial=True))

    def _died_alone(self, task: Task, status: Status) -> None:
        deaths = self._open[task.part].on_trial
        deaths[task.records[0].image_id] += 1
        if deaths[task.records[0].image_id] < MOST_DEATHS:
            self._put(task)
            return
        self._condemn(task, status)
        self._end_trial(task)

    def _condemn(self, task: Task, status: Status) -> None:
        (record,) = task.records
        did = "worked on" if status is Status.ENCODER else "read"
        reason = f"the process that {did} it, and no other image, died {MOST_DEATHS} times"
        self._open[task.part].known[record.image_id] = Failure(record, status, reason)

    def _end_trial(self, task: Task) -> None:
        part = self._open[task.part]
        del part.on_trial[task.records[0].image_id]
        if not part.on_trial:
            self._put(Task(task.part, part.records, part.known))

    def _put(self, task: Task) -> None:
        """To be done before any part that was not begun: what comes after it waits for it."""
        self._put_back += 1
        heapq.heappush(self._again, (task.part, self._put_back, task))
