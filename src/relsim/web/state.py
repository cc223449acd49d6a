"""What the routes share: the library, the models, the queues before them, uploads, counters."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Literal, TypeAlias, TypeVar, final

from PIL import Image

from relsim.demo.collection import cache_folder
from relsim.encoders.base import Vectors
from relsim.errors import RelsimError
from relsim.web import heap
from relsim.web.batching import Batcher, Line
from relsim.web.ending import Ending, Workers
from relsim.web.explaining import Explainer, Shown, Why
from relsim.web.extras import Extras
from relsim.web.library import Library, Neighbour, Question
from relsim.web.mapping import MapMaker
from relsim.web.metrics import Metrics
from relsim.web.models import Models, PictureVectors
from relsim.web.pictures import Bounds, Pictures
from relsim.web.settings import ServerSettings
from relsim.web.thumbnails import Thumbnails
from relsim.web.uploads import Uploads

logger = logging.getLogger(__name__)
_DECODERS = 2
_LARGEST_FILE, _MOST_PIXELS = 256 * 2**20, 100_000_000  # of pictures that the operator has chosen to show
_FIRST_PAGE_SECONDS = 0.7
TIDIED = 15.0  # seconds between two times that free memory goes back to the system
_AT_ONCE = 2
_LAST_SECONDS = 1.0  # for a thread that works on at the end of the process, where nobody waits for its answer

Work: TypeAlias = Literal["spaces", "lists", "corrections", "results", "study", "jobs"]
_Result = TypeVar("_Result")


@final
class State:
    """Everything behind the routes. A context: its threads and processes end with it."""

    def __init__(
        self, library: Library, models: Models, settings: ServerSettings, extras: Extras | None = None
    ) -> None:
        self.library, self.models, self.settings = library, models, settings
        self.extras = extras or Extras()
        self.about = library.about()
        self.metrics = Metrics()
        self.metrics.images.set(len(library))
        self.pictures = Pictures(Bounds(_DECODERS, _LARGEST_FILE, _MOST_PIXELS, settings.decode_seconds))
        self.thumbnails = Thumbnails(self.pictures, settings.thumbnail_bytes, settings.waiting)
        self.uploads = Uploads(settings)
        self.map = MapMaker(library, cache_folder() / "maps")
        limits = {"most": settings.batch, "waiting": settings.waiting}
        self._searches: Batcher[Question, list[Neighbour]] = Batcher("search", library.search, **limits)
        self._pictures: Batcher[Image.Image, PictureVectors] = Batcher("pictures", models.pictures, **limits)
        self._sentences: Batcher[str, Vectors] = Batcher("sentences", models.sentences, **limits)
        self._reasons: Batcher[tuple[Shown, Shown], Why] = Batcher(
            "explain",
            Explainer(library, models, self.pictures.wait_for).explain,
            most=1,
            waiting=settings.explanations,
        )
        waiting: dict[Work, int] = dict.fromkeys(("spaces", "lists", "results", "jobs"), settings.readings)
        waiting |= dict.fromkeys(("corrections", "study"), settings.waiting)
        self.lines = {name: Line(name, at_once=_AT_ONCE, waiting=most) for name, most in waiting.items()}
        self._threads = Workers(_AT_ONCE * len(self.lines), "line")
        self._beforehand = Workers(1, "warm-up")
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.streams = 0  # answers that go on, such as events of jobs
        self.downloads = 0  # long lists on their way
        self.ending = Ending()  # they end when the server is told to
        self.has_process = False  # whether this process has no other work than this

    async def __aenter__(self) -> State:
        if self.extras.jobs is not None:
            await self._stack.enter_async_context(self.extras.jobs)
        for part in (self.pictures, self.uploads, self._searches, self._pictures, self._sentences, self._reasons):
            await self._stack.enter_async_context(part)
        self._tasks = [asyncio.create_task(work) for work in (self._warm_up(), self._tidy())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self.has_process:  # where it goes on it would wait for its threads in the end all the same
            for workers in self._workers:
                workers.patience = _LAST_SECONDS
        await self._stack.aclose()
        await self._threads.end()
        await self._beforehand.end()
        self.extras.close()

    @property
    def at_work(self) -> bool:
        """Whether threads are at work; after the end, those that were not waited for."""
        return any(workers.at_work for workers in self._workers)

    @property
    def _workers(self) -> list[Workers]:
        batchers: list[Batcher[Any, Any]] = [self._searches, self._pictures, self._sentences, self._reasons]
        return [*(batcher.thread for batcher in batchers), self._threads, self._beforehand]

    def count_waiting(self) -> None:
        """Bring the counters of the queues up to date."""
        batches = (self._searches, self._pictures, self._sentences, self._reasons)
        queues: list[Batcher[Any, Any] | Line | Thumbnails] = [*batches, self.thumbnails, *self.lines.values()]
        for queue in queues:
            self.metrics.waiting.labels(queue.name).set(queue.waiting)

    async def search(self, question: Question) -> list[Neighbour]:
        """The nearest images. Raises `BusyError`."""
        return await self._searches.ask(question)

    async def picture(self, image: Image.Image) -> PictureVectors:
        """Vectors of a picture. Raises `BusyError`."""
        return await self._pictures.ask(image)

    async def sentence(self, text: str) -> Vectors:
        """The vector of a sentence. Raises `BusyError`, and `SearchError` where the space has none."""
        return await self._sentences.ask(text)

    async def why(self, first: Shown, second: Shown) -> Why:
        """Why two pictures are alike. Raises `BusyError`, `SearchError` and `ImageError`."""
        return await self._reasons.ask((first, second))

    async def worked(self, kind: Work, work: Callable[[], _Result]) -> _Result:
        """The result of work in a thread, when its turn has come. Raises `BusyError`, and whatever it raises."""
        async with self.lines[kind]:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _before(self, work: Callable[[], Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._beforehand, work)

    async def _tidy(self) -> None:
        """Keep the process small. One that has other work keeps its memory as it likes."""
        while True:
            await asyncio.sleep(TIDIED)
            if self.has_process:
                await asyncio.to_thread(heap.give_back)

    async def _warm_up(self) -> None:
        """Make the search quick, load the models and look through lists while the first page is looked at.

        To import torch holds up all.
        """
        await asyncio.sleep(_FIRST_PAGE_SECONDS)
        await self._before(self.library.warm_up)
        try:
            await self._before(self.models.warm_up)
        except RelsimError as error:
            # Queries by id go on; whoever asks with a picture is told the same.
            logger.warning("no search by picture or sentence: %s", error)
        for data in self.extras.data.values():
            await self._before(data.facets)
        if self.has_process:
            # What is here now stays to the end. To look through it for garbage again and again would stop every answer
            # for a tenth of a second with 100,000 images.
            gc.collect()
            gc.freeze()
