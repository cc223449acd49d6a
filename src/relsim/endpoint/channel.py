"""The way to a server: requests that any thread may make, each of which ends in time, whatever the server does.

A read that must not take too long does not bound a server that sends a byte now and then, nor headers without an end.
Requests therefore run on an event loop, which can end them anywhere; the loop has a thread of its own, so that callers
need none and may have one.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Channel:
    """A client and the loop that it runs on, both of which end when nobody holds the channel any more. Thread-safe."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        # A daemon: an interrupted program does not wait for answers that are under way.
        threading.Thread(target=_run, args=(self._loop, client), name="endpoint-loop", daemon=True).start()
        weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop).atexit = False

    def completion(
        self, model: str, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], *, seconds: float
    ) -> str:
        """The body that a server answers with, as text. Raises the errors of openai, and `TimeoutError`.

        `seconds` are for all of it: finding the server, connecting, sending and the answer to its last byte.
        """
        asked = asyncio.wait_for(self._completion(model, messages, settings), seconds)
        running = asyncio.run_coroutine_threadsafe(asked, self._loop)
        try:
            return running.result()
        except asyncio.TimeoutError as error:
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        finally:
            running.cancel()  # of an interrupted caller; what has ended stays as it is

    async def _completion(self, model: str, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
        # Through extra_body, since servers know settings that the client does not.
        response = await self._client.chat.completions.with_raw_response.create(
            model=model,
            messages=messages,  # type: ignore[arg-type]  # one of its many dictionaries
            extra_body=dict(settings),
            timeout=None,
        )
        return response.http_response.text


def _run(loop: asyncio.AbstractEventLoop, client: AsyncOpenAI) -> None:
    """The thread of a loop, until it is stopped."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(client.close())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
