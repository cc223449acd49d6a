"""How often, how long and how fast questions may be asked, and when to give up."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of asking.

    `concurrency` questions are under way at once, `per_minute` are begun (without it as many as get answers). One try
    may take `timeout` seconds; there are `tries` of them, with pauses of `first_pause` seconds, doubled each time up to
    `longest_pause`, less a random part. A server that asks for a pause gets it, up to `longest_pause`. After `patience`
    questions in a row without any answer nothing more is asked.
    """

    concurrency: int = 4
    per_minute: float | None = None
    timeout: float = 120.0
    tries: int = 6
    first_pause: float = 1.0
    longest_pause: float = 60.0
    patience: int = 8

    def __post_init__(self) -> None:
        if min(self.concurrency, self.tries, self.patience) < 1:
            raise ValueError("concurrency, tries and patience are at least 1")
        if not self.timeout > 0 or (self.per_minute is not None and not self.per_minute > 0):
            raise ValueError("timeout and per_minute are above 0")
        if not 0 <= self.first_pause <= self.longest_pause:
            raise ValueError("first_pause is between 0 and longest_pause")

    def pause(self, tries: int, wanted: float | None, rng: random.Random) -> float | None:
        """Seconds to wait after so many tries, or None to give up; `wanted` is what the server asks for."""
        if tries >= self.tries or (wanted is not None and wanted > self.longest_pause):
            return None
        if wanted is not None:
            return wanted
        return min(self.longest_pause, self.first_pause * 2.0 ** (tries - 1)) * rng.uniform(0.5, 1.0)


class Pace:
    """The beginning of questions, in turn: `per_minute` apart, and not before the end of a pause. Thread-safe."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        """Return when the next question may begin, or when `stop` is set."""
        with self._lock:
            start = max(self._next, time.monotonic())
            self._next = start + self._gap
        stop.wait(max(0.0, start - time.monotonic()))

    def hold(self, seconds: float) -> None:
        """Let no question begin for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def wanted_pause(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for: a number, or a date as HTTP writes it; None without, or if it is neither.

    `now` is the time in seconds since 1970.
    """
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None
