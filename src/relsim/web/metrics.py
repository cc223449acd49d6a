"""What a server counts, for Prometheus, and its log: one line of JSON for each request, and for each warning.

Routes stand for paths, so that nobody can fill the memory with names of their own.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime, timezone
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from relsim.web.guard import App, Message, Receive, Scope, Send

log = logging.getLogger("relsim.web.requests")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        given: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("relsim_requests", "Requests by route and status.", ["route", "status"], **given)
        self.seconds = Histogram(
            "relsim_request_seconds", "Time from request to answer.", ["route"], buckets=_BUCKETS, **given
        )
        self.waiting = Gauge("relsim_waiting", "Questions that wait for a thread.", ["queue"], **given)
        self.refused = Counter(
            "relsim_busy", "Questions that were sent away because too many wait.", ["queue"], **given
        )
        self.images = Gauge("relsim_images", "Images of the collection.", **given)

    def text(self) -> bytes:
        """Everything in the format of Prometheus."""
        return generate_latest(self.registry)


class Watch:
    """An ASGI application around another, which counts and logs its requests.

    An event stream is answered when it begins, however long somebody listens; the log has how long.
    """

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size, answered = time.perf_counter(), 500, 0, 0.0

        async def sending(message: Message) -> None:
            nonlocal status, size, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                if _is_stream(message):
                    answered = time.perf_counter()
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            ended = time.perf_counter()
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe((answered or ended) - began)
            log.info("%s", _Line(scope, route, status, size, ended - began))


class JsonLine(logging.Formatter):
    """Writes what is logged otherwise, such as warnings, as a line of JSON, too; `trace` has where an error arose."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        facts = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["trace"] = self.formatException(record.exc_info)
        return json.dumps(facts)


def _is_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"]
    )


class _Line:
    """A line of the log; made only if somebody reads it."""

    def __init__(self, scope: Scope, route: str, status: int, size: int, seconds: float) -> None:
        self._facts = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "client": (scope.get("client") or ("", 0))[0],
            "method": scope["method"],
            "route": route,
            "status": status,
            "bytes": size,
            "milliseconds": round(1000 * seconds, 1),
        }

    def __str__(self) -> str:
        return json.dumps(self._facts)
