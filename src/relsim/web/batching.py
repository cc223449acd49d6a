"""Questions that come at the same time are answered together: one thread works, and what arrives meanwhile waits.

Nothing waits for company. A question that finds the thread idle is answered at once, alone; those that come while
it works are its next batch. So a server under load works in full batches, and one that is not has no delay.

What cannot be answered together stands in a line (`Line`). Either has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from relsim.web.ending import Workers

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class BusyError(Exception):
    """As many questions wait as may."""


class Line:
    """A line before work of one kind, a context for each piece: `at_once` are worked on, `waiting` wait in order."""

    def __init__(self, name: str, *, at_once: int, waiting: int) -> None:
        self.name = name
        self.waiting = 0
        self._most = waiting
        self._places = asyncio.Semaphore(at_once)

    async def __aenter__(self) -> None:
        """Wait for a place. Raises `BusyError`."""
        if self._places.locked() and self.waiting >= self._most:
            raise BusyError(self.name)
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


class Batcher(Generic[Asked, Answer]):
    """Answers questions by `work`, at most `most` at a time, in order; at most `waiting` wait. A context.

    Where `work` fails on a batch, its questions are tried one by one, so that one of them costs only itself.
    """

    def __init__(
        self, name: str, work: Callable[[Sequence[Asked]], Sequence[Answer]], *, most: int, waiting: int
    ) -> None:
        self.name = name
        self._work = work
        self._most = most
        self._queue: asyncio.Queue[tuple[Asked, asyncio.Future[Answer]]] = asyncio.Queue(waiting)
        self.thread = Workers(1, name)
        self._task: asyncio.Task[None] | None = None
        self.batches = self.answered = 0

    async def __aenter__(self) -> Batcher[Asked, Answer]:
        self._task = asyncio.create_task(self._run(), name=self.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        while not self._queue.empty():
            self._queue.get_nowait()[1].cancel()
        await self.thread.end()

    @property
    def waiting(self) -> int:
        """Questions that wait now."""
        return self._queue.qsize()

    async def ask(self, question: Asked) -> Answer:
        """The answer to a question. Raises `BusyError`, or what `work` raises for this question."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((question, answer))
        except asyncio.QueueFull:
            raise BusyError(self.name) from None
        return await answer

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            # Whoever has gone away needs no answer.
            batch = [(question, answer) for question, answer in batch if not answer.done()]
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self.thread, self._work, [question for question, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the asker's
            if len(batch) > 1:
                for item in batch:
                    await self._answer([item])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        self.batches += 1
        self.answered += len(batch)
        for (_, answer), result in zip(batch, found, strict=True):
            if not answer.done():
                answer.set_result(result)
