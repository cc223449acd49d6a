"""Pictures that people bring: received with limits, decoded in a process of its own, kept for a while in memory."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import final

from PIL import Image

from relsim.data.download.bodies import Body
from relsim.data.records import Status
from relsim.errors import ImageError
from relsim.web.batching import BusyError
from relsim.web.models import PictureVectors
from relsim.web.pictures import Bounds, Pictures
from relsim.web.scratch import scratch_folder
from relsim.web.settings import ServerSettings
from relsim.web.thumbnails import shrink

SHOWN_SIDE = 384
UPLOADS = "uploads"
PICTURES_IN_MEMORY = 4
"""Decoded pictures that are held at a time, of up to 256 MB each; others wait on the disk for their turn."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that somebody brought: its size, its vectors, and what the page shows of it."""

    token: str
    width: int
    height: int
    vectors: PictureVectors
    thumbnail: bytes


class TooLargeError(Exception):
    """A body has more bytes than it may."""


class TooSlowError(Exception):
    """A body did not arrive in time."""


@final
class Uploads:
    """Receives pictures, and keeps the last ones by a token that nobody can guess. A context."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._stack = AsyncExitStack()
        self._arriving = 0
        self._pixels = asyncio.Semaphore(PICTURES_IN_MEMORY)

    async def __aenter__(self) -> Uploads:
        given = self._settings
        self._folder = self._stack.enter_context(scratch_folder("relsim-uploads-"))
        bounds = Bounds(1, given.max_upload_bytes, given.max_upload_pixels, given.decode_seconds)
        self._pictures = await self._stack.enter_async_context(Pictures(bounds))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, token: str) -> Upload | None:
        """The upload of a token, None where it is unknown or has been given up for later ones."""
        return self._kept.get(token)

    @contextlib.asynccontextmanager
    async def receive(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[Image.Image]:
        """The picture of a request's body, which holds a place until the context ends.

        Raises `ImageError` where it cannot be used, `TooLargeError`, `TooSlowError`, `BusyError`.
        """
        if self._arriving >= self._settings.uploads_at_once:
            raise BusyError(UPLOADS)
        self._arriving += 1
        body = Body(self._folder)
        try:
            try:
                await asyncio.wait_for(self._fill(body, pieces), self._settings.upload_seconds)
            except asyncio.TimeoutError:
                raise TooSlowError from None
            async with self._pixels:
                yield await self._decoded(body)
        finally:
            body.close()
            self._arriving -= 1

    async def keep(self, image: Image.Image, vectors: PictureVectors) -> Upload:
        """Keep a picture under a new token; the oldest of too many goes."""
        token = secrets.token_urlsafe(16)
        shown = await self._pictures.in_thread(lambda: shrink(image, SHOWN_SIDE))
        upload = Upload(token, image.width, image.height, vectors, shown)
        self._kept[token] = upload
        while len(self._kept) > self._settings.uploads_kept:
            self._kept.popitem(last=False)
        return upload

    async def _fill(self, body: Body, pieces: AsyncIterator[bytes]) -> None:
        most = self._settings.max_upload_bytes
        async for piece in pieces:
            if body.size + len(piece) > most:
                raise TooLargeError(f"a body of more than {most:,} bytes")
            body.add(piece)
        body.finish()

    async def _decoded(self, body: Body) -> Image.Image:
        if body.size == 0:
            raise ImageError(Status.EMPTY, "no bytes arrived")
        return await self._pictures.decoded(body)
