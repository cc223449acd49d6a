"""What `/metrics` counts as the time of an answer, and the form of the log."""

import asyncio
import json
import logging

import pytest

from relsim.web.metrics import JsonLine, Metrics, Watch

SCOPE = {"type": "http", "method": "GET", "client": ("127.0.0.1", 1)}
LASTING = 0.3  # seconds


def counted(kind):
    """Seconds that the histogram has after an answer of a kind whose body takes its time."""

    async def answer(scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await asyncio.sleep(LASTING)
        await send({"type": "http.response.body", "body": b"told"})

    async def take(message):
        sent.append(message)

    sent = []
    metrics = Metrics()
    asyncio.run(Watch(answer, metrics)(dict(SCOPE), None, take))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert metrics.registry.get_sample_value("relsim_requests_total", {"route": "none", "status": "200"}) == 1
    return metrics.registry.get_sample_value("relsim_request_seconds_sum", {"route": "none"})


def test_an_event_stream_is_answered_when_it_begins():
    assert counted(b"text/event-stream; charset=utf-8") < LASTING


@pytest.mark.parametrize("kind", [b"application/json", b"application/x-ndjson"])
def test_other_answers_are_counted_to_their_end(kind):
    assert counted(kind) >= LASTING


def test_a_warning_is_a_line_of_json():
    def line(fault=None):
        record = logging.LogRecord("x", logging.WARNING, __file__, 1, "no %s", ("model\nhere",), fault)
        return JsonLine().format(record)

    assert "\n" not in line()
    told = json.loads(line())
    assert (told["level"], told["message"]) == ("warning", "no model\nhere")
    assert "trace" not in told
    cause = ValueError("the cause")
    assert "ValueError: the cause" in json.loads(line((ValueError, cause, None)))["trace"]
