"""Connections on which a client takes its time: how long the server waits for the head of a request, and then no more.

uvicorn limits only how long a connection may be silent between two requests. A client that sends a sign of its head now
and then, or goes on sending a body that has been refused, would keep its place for ever, and places are counted. Bodies
that are wanted have a limit of their own (`relsim.web.guard`, `relsim.web.uploads`).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


class Patient(H11Protocol):
    """A connection of uvicorn that waits `seconds` for a head to be whole, and for the rest of a refused body."""

    seconds: ClassVar[float] = 10.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A request that is whole, or goes on with its body, is left to the application; all else has its time."""
        super().data_received(data)
        if self._at_work:
            self._stop()
        else:
            self._wait()

    def on_response_complete(self) -> None:
        """An answer may come before the body that it refuses."""
        super().on_response_complete()
        if not self._at_work and self.conn.their_state is h11.SEND_BODY:
            self._wait()

    @property
    def _at_work(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's type leaves out the None that it begins with
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        # What came before does not buy more time.
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._at_work:
            self.transport.close()


def patient(seconds: float) -> type[Patient]:
    """The protocol with a limit of its own."""
    return type("Patient", (Patient,), {"seconds": seconds})
