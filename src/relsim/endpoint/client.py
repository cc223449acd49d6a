"""The client: one question or many, each asked until there is an answer, and never twice.

    endpoint = Endpoint("http://localhost:8000/v1", "qwen", cache=ReplyCache("replies"))
    reply = endpoint.ask([Message("user", (Picture(data), "What is this?"))])

A try may take `Policy.timeout` seconds, from finding the server to the last byte of its answer. Tried again, with
pauses: what took longer, cut connections, 408, 409, 425, 429 (after the pause that `Retry-After` asks for, and all
other questions wait as well) and 5xx. Not tried again: what the server rejects as it is. A key, an address or a model
that cannot be used ends everything with `EndpointError`.

The key is a secret: it is taken from the environment, sent, and blacked out wherever a server repeats it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib.util
import logging
import os
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from relsim.endpoint.cache import ReplyCache
from relsim.endpoint.channel import Channel
from relsim.endpoint.messages import Message, Question, as_question, as_sent, describe, request_key
from relsim.endpoint.pace import Pace, Policy, wanted_pause
from relsim.endpoint.replies import Reply, ReplyStatus, Usage, read_answer
from relsim.errors import EndpointError, MissingExtraError

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key, unless another is named."""

_NO_KEY = "none"  # servers of one's own ask for no key, and the client must send one
_TRIED_AGAIN = frozenset({408, 409, 425, 429})
_KEPT_OF_ERROR = 4_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Try:
    """How one try ended: with a body (`answer`), or with a fault that may pass or not."""

    status: ReplyStatus
    reason: str | None = None
    raw: str = ""
    again: bool = False
    pause: float | None = None


class Endpoint:
    """A model behind an OpenAI-compatible endpoint. Thread-safe.

    `settings` go into every request as they are (`temperature`, `max_tokens`, `seed`, …). Without `key` none is sent.
    With `ask_again`, kept answers that are of no use (without the status `ok`, or for which a function of one's own is
    true) are asked for anew. With `api_version` the address is that of an Azure resource, `model` the name of a
    deployment there, and the key goes as Azure wants it. Raises `EndpointError` for an address that is none, and
    `MissingExtraError` without the package openai.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str | None = None,
        settings: Mapping[str, Any] | None = None,
        cache: ReplyCache | None = None,
        policy: Policy | None = None,
        ask_again: bool | Callable[[Reply], bool] = False,
        api_version: str | None = None,
    ) -> None:
        self.base_url = base_url
        self.model = model
        self.settings = dict({"temperature": 0} if settings is None else settings)
        self.cache = cache
        self.policy = policy or Policy()
        self._key = key
        self._of_use = use_of(ask_again)
        self.api_version = api_version
        self._pace = Pace(self.policy.per_minute)
        self._rng = random.Random(0)  # noqa: S311 - spreads pauses
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()
        self.address = _public(base_url)
        """The address without a name, password or query in it."""
        if importlib.util.find_spec("openai") is None:
            raise MissingExtraError("openai", "endpoint", "asking an endpoint")

    def with_settings(self, settings: Mapping[str, Any]) -> Endpoint:
        """The same endpoint, its answers and its limits, with other settings."""
        other = copy.copy(self)
        other.settings = dict(settings)
        return other

    def ask(self, asked: Question | Sequence[Message]) -> Reply:
        """The answer to one question, kept or new, or the reply that says why there is none.

        Raises `ImageError` for a picture that cannot be decoded, unless the answer is kept, and `EndpointError`.
        """
        return self._ask(asked, threading.Event())

    def ask_all(self, questions: Iterable[Question | Sequence[Message]]) -> Iterator[tuple[int, Reply]]:
        """The replies with the places of their questions, as they come.

        `questions` are taken one by one as places become free; an error that taking one raises ends everything, as does
        one of `ask`. `EndpointError` after `patience` questions in a row without an answer. Leaving the iterator stops
        asking; what is under way then is lost.
        """
        stop, done = threading.Event(), object()
        results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        numbered, turn = enumerate(questions), threading.Lock()

        def work() -> None:
            try:
                while not stop.is_set():
                    with turn:
                        question = next(numbered, None)
                    if question is None:
                        break
                    results.put((question[0], self._ask(question[1], stop)))
            except BaseException as error:  # noqa: BLE001 - raised again where the replies are read
                results.put(error)
            results.put(done)

        for number in range(self.policy.concurrency):
            # Daemons: an interrupted program does not wait for answers that are under way.
            threading.Thread(target=work, name=f"endpoint-{number}", daemon=True).start()
        try:
            yield from self._collect(results, done)
        finally:
            stop.set()

    def kept(self, asked: Question | Sequence[Message]) -> Reply | None:
        """The answer that is kept for a question, if there is one of use (or any, without `ask_again`)."""
        if self.cache is None:
            return None
        return self.cache.get(request_key(describe(asked, self.model, self.settings)), of_use=self._of_use)

    def _collect(self, results: queue.SimpleQueue[Any], done: object) -> Iterator[tuple[int, Reply]]:
        running, unanswered = self.policy.concurrency, 0
        while running:
            item = results.get()
            if item is done:
                running -= 1
                continue
            if isinstance(item, BaseException):
                raise item
            unanswered = 0 if item[1].status.answered else unanswered + 1
            yield item
            if unanswered >= self.policy.patience:
                raise EndpointError(
                    f"{self.address} gave no answer to {unanswered} questions in a row, the last time: "
                    f"{item[1].reason}; what it answered before is kept, so the same command goes on from there"
                )

    def _ask(self, asked: Question | Sequence[Message], stop: threading.Event) -> Reply:
        request = describe(asked, self.model, self.settings)
        key = request_key(request)
        with self._guard:
            turn = self._turns[key]
        with turn:  # the same question twice at once: the second one finds the first one's answer
            found = self.kept(asked)
            if found is not None:
                return found
            reply = self._tried(key, as_sent(as_question(asked).messages), stop)
            if self.cache is not None and reply.status.answered:
                self.cache.put(reply, request, self.address)
            return reply

    def _tried(self, key: str, body: list[dict[str, Any]], stop: threading.Event) -> Reply:
        """Send until there is an answer or nothing is left to try."""
        tries = 0
        while True:
            self._pace.wait(stop)
            if stop.is_set():
                return Reply(key, ReplyStatus.UNREACHABLE, "stopped")
            asked, started = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
            attempt = self._send(body)
            seconds = round(time.monotonic() - started, 3)
            if attempt.status is ReplyStatus.OK:
                return read_answer(key, attempt.raw, asked=asked, seconds=seconds)
            tries += 1
            pause = self.policy.pause(tries, attempt.pause, self._rng) if attempt.again else None
            if pause is None:
                reason = f"{attempt.reason} ({tries} tries)" if tries > 1 else attempt.reason
                return Reply(key, attempt.status, reason, raw=attempt.raw, asked=asked, seconds=seconds)
            _log.debug("%s; try %d follows in %.1f s", attempt.reason, tries + 1, pause)
            if attempt.status is ReplyStatus.RATE_LIMITED:
                self._pace.hold(pause)
            else:
                stop.wait(pause)

    def _send(self, body: list[dict[str, Any]]) -> _Try:
        """One try. Raises `EndpointError` for what no further try and no other question would mend."""
        import openai

        try:
            text = self._channel.completion(self.model, body, self.settings, seconds=self.policy.timeout)
            return _Try(ReplyStatus.OK, raw=self._blacked_out(text))
        except TimeoutError as error:
            return _Try(ReplyStatus.TIMEOUT, str(error), again=True)
        except openai.APIStatusError as error:
            return self._refused(error.status_code, error.response.text, error.response.headers)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            reason = " ".join(self._blacked_out(str(cause)).split()) or type(cause).__name__
            return _Try(ReplyStatus.UNREACHABLE, f"the connection failed: {reason}", again=True)
        except openai.OpenAIError as error:
            raise EndpointError(f"{self.address} cannot be asked: {self._blacked_out(str(error))}") from error

    def _refused(self, status: int, text: str, headers: Mapping[str, str]) -> _Try:
        raw = self._blacked_out(text)[:_KEPT_OF_ERROR]
        told = " ".join(raw.split())[:300] or "no reason given"
        if status in (401, 403):
            sent = "the key" if self._key else "to be asked without a key"
            raise EndpointError(
                f"{self.address} refuses {sent} (status {status}): {told}; the key comes from ${KEY_VARIABLE}, or from "
                "the variable that --key-variable names"
            )
        if status == 404:
            raise EndpointError(
                f"{self.address} has no chat completions, or no model {self.model!r} (status 404): {told}; "
                "the address usually ends in /v1, and that of an Azure resource in .openai.azure.com"
            )
        if status == 429 and "insufficient_quota" in raw:
            raise EndpointError(f"{self.address} has no credit left for this key: {told}")
        reason = f"status {status}: {told}"
        pause = wanted_pause(headers, time.time())
        if status == 429:
            return _Try(ReplyStatus.RATE_LIMITED, reason, raw, again=True, pause=pause)
        if status >= 500 or status in _TRIED_AGAIN:
            return _Try(ReplyStatus.SERVER_ERROR, reason, raw, again=True, pause=pause)
        return _Try(ReplyStatus.REJECTED, reason, raw)

    @functools.cached_property
    def _channel(self) -> Channel:
        from openai import AsyncAzureOpenAI, AsyncOpenAI

        # Its own retries would hide from the counts here what was asked how often.
        key, retries = self._key or _NO_KEY, 0
        if self.api_version is None:
            return Channel(AsyncOpenAI(base_url=self.base_url, api_key=key, max_retries=retries))
        address, version = self.base_url, self.api_version
        return Channel(AsyncAzureOpenAI(azure_endpoint=address, api_version=version, api_key=key, max_retries=retries))

    def _blacked_out(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def use_of(ask_again: bool | Callable[[Reply], bool]) -> Callable[[Reply], bool] | None:  # noqa: FBT001 - as given
    """Which kept answers count, by what is to be asked again; None where all do."""
    if callable(ask_again):
        again = ask_again
        return lambda reply: not again(reply)
    return (lambda reply: reply.status is ReplyStatus.OK) if ask_again else None


def key_of_environment(variable: str = KEY_VARIABLE) -> str | None:
    """The key that an environment variable holds, if any."""
    return os.environ.get(variable, "").strip() or None


def usage_of(replies: Iterable[Reply]) -> Usage:
    """The sum of what was asked now; kept answers cost nothing again."""
    total = Usage()
    for reply in replies:
        if not reply.kept:
            total += reply.usage
    return total


def _public(base_url: str) -> str:
    parts = None
    with contextlib.suppress(ValueError):
        parts = urlsplit(base_url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(f"{base_url!r} is no address of an endpoint; it looks like https://api.openai.com/v1")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
