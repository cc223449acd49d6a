"""Pictures in files that others made, decoded in processes of their own with limits of time, memory and pixels.

A file that is made to hang or to burst takes nothing else along: none is decoded in the process of the server. The
processes are those of downloads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar, final

from PIL import Image

from relsim.data.download.bodies import Body
from relsim.data.download.decoding import DecodeError, Decoders
from relsim.data.download.options import DownloadOptions
from relsim.data.images import Limits, read_bytes
from relsim.data.records import ImageRecord
from relsim.errors import ImageError

_Result = TypeVar("_Result")


@final
@dataclass(frozen=True, slots=True)
class Bounds:
    """Processes that decode, and what they may be given: bytes of a file, pixels of a picture, seconds for each."""

    processes: int
    max_bytes: int
    max_pixels: int
    seconds: float


@final
class Pictures:
    """A few processes that decode, a context of one event loop.

    A picture that cannot be used is an `ImageError`; `RelsimError` where no process can be started.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._limits = Limits(max_bytes=bounds.max_bytes, max_pixels=bounds.max_pixels)
        self._decoders = Decoders(
            DownloadOptions(
                decoders=bounds.processes,
                decode_timeout=bounds.seconds,
                max_bytes=bounds.max_bytes,
                max_pixels=bounds.max_pixels,
            )
        )
        # Files are read when their turn has come: they may be large.
        self._places = asyncio.Semaphore(bounds.processes)
        self._threads = ThreadPoolExecutor(bounds.processes, thread_name_prefix="pictures")
        self._stack = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Pictures:
        self._loop = asyncio.get_running_loop()
        await self._stack.enter_async_context(self._decoders)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._threads.shutdown(cancel_futures=True)

    async def decoded(self, body: Body, *, side: int | None = None) -> Image.Image:
        """The picture of a file's bytes, upright and in RGB, its longest side at most `side`."""
        try:
            return await self._decoders.pixels(body, side=side)
        except DecodeError as error:
            raise ImageError(error.status, error.reason) from error

    async def of(self, record: ImageRecord, *, side: int | None = None) -> Image.Image:
        """The picture of a record."""
        async with self._places:
            data = await self.in_thread(lambda: read_bytes(record.source, limits=self._limits))
            return await self.decoded(Body.of(data), side=side)

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """The result of work beside the event loop; there are as many threads as processes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def wait_for(self, record: ImageRecord) -> Image.Image:
        """The picture of a record, for threads other than that of the event loop."""
        assert self._loop is not None  # noqa: S101 - it is entered
        return asyncio.run_coroutine_threadsafe(self.of(record), self._loop).result()
