"""The end of a server: what has not arrived is given up, and no thread that works on is waited for without a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar, final

_Result = TypeVar("_Result")
_Given = ParamSpec("_Given")
_LOOK = 0.02  # seconds


class EndedError(Exception):
    """The server ends, and does not wait for this any more."""


@final
class Ending:
    """Whether the end has begun, and what is given up then. For one event loop."""

    def __init__(self) -> None:
        self.begun = False
        self._waited_for: set[asyncio.Future[Any]] = set()

    def begin(self) -> None:
        """Give up all that is waited for."""
        self.begun = True
        for future in list(self._waited_for):
            future.cancel()

    async def unless_begun(self, work: Awaitable[_Result], seconds: float | None = None) -> _Result:
        """The result of work. Raises `EndedError` once the end has begun, and `asyncio.TimeoutError`."""
        future = asyncio.ensure_future(work)
        if self.begun:
            future.cancel()
        self._waited_for.add(future)
        try:
            return await asyncio.wait_for(future, seconds)
        except asyncio.CancelledError:
            if self.begun:
                raise EndedError from None
            raise
        finally:
            self._waited_for.discard(future)


class Workers(ThreadPoolExecutor):
    """Threads whose end is waited for `patience` seconds; None: as long as their work takes."""

    def __init__(self, threads: int, name: str) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self.patience: float | None = None
        self._unfinished: set[Future[Any]] = set()

    def submit(self, fn: Callable[_Given, _Result], /, *args: _Given.args, **kwargs: _Given.kwargs) -> Future[_Result]:
        """Let a thread do that when it is free."""
        future = super().submit(fn, *args, **kwargs)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future

    @property
    def at_work(self) -> bool:
        """Whether a thread is not done with what it was given."""
        return bool(self._unfinished)

    async def end(self) -> None:
        """Begin nothing more, and wait for what goes on, which may need the event loop to come to its end."""
        self.shutdown(wait=False, cancel_futures=True)
        until = None if self.patience is None else time.monotonic() + self.patience
        while self.at_work and (until is None or time.monotonic() < until):  # noqa: ASYNC110 - threads tell no loop
            await asyncio.sleep(_LOOK)
