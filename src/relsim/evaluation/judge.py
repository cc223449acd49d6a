"""Judging: a vision-language model rates how far two images share one logic, from 0 to 10.

Every pair is asked about in both orders (unless told otherwise) and as often as wanted. What several methods found is
asked about once. Questions go in an order that follows from the seed alone, so that methods, queries and orders are
mixed, and the model is told of nothing but the two pictures.

A pair has a score where every order has a rating: the mean over orders of the mean over repeats. Where an order has
none the pair has the status of its first rating without a score, since one order alone measures something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, Protocol

from relsim.data.images import decode_image, read_bytes
from relsim.data.records import ImageRecord
from relsim.data.shuffling import permutation
from relsim.endpoint.client import Endpoint
from relsim.endpoint.messages import MAX_SIDE, Message, Picture, Question
from relsim.endpoint.replies import Reply, ReplyStatus
from relsim.errors import ImageError
from relsim.evaluation.judge_pairs import JudgePair
from relsim.evaluation.judge_prompts import JudgePrompt
from relsim.evaluation.judge_replies import ScoreStatus, Verdict, read_reply

Order = Literal["query first", "match first"]
BOTH_ORDERS: tuple[Order, ...] = ("query first", "match first")


class Judge(Protocol):
    """Whom is asked: an `Endpoint`, or a model on this machine (`relsim.evaluation.judge_local`)."""

    @property
    def address(self) -> str:
        """Where it is, for the record."""

    @property
    def model(self) -> str:
        """Its name."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What goes into every request."""

    def ask_all(self, questions: Iterable[Question | Sequence[Message]]) -> Iterator[tuple[int, Reply]]:
        """The replies with the places of their questions, as they come."""

    def kept(self, asked: Question | Sequence[Message]) -> Reply | None:
        """The answer that is kept for a question, if there is one."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer about a pair; `reply` is None where nothing could be asked."""

    order: Order
    repeat: int
    verdict: Verdict
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A pair and its ratings, by order and repeat."""

    pair: JudgePair
    ratings: tuple[Rating, ...]

    @property
    def by_order(self) -> dict[Order, list[float]]:
        """The scores of each order that was asked, which may be none."""
        scores: dict[Order, list[float]] = {rating.order: [] for rating in self.ratings}
        for rating in self.ratings:
            if rating.verdict.score is not None:
                scores[rating.order].append(rating.verdict.score)
        return scores

    @property
    def score(self) -> float | None:
        """The mean over orders, or None where an order has no rating."""
        orders = self.by_order.values()
        return fmean(map(fmean, orders)) if all(orders) else None

    @property
    def verdict(self) -> Verdict:
        """The score, or the first rating without one in an order that has none."""
        score = self.score
        if score is not None:
            return Verdict(ScoreStatus.OK, score)
        empty = {order for order, scores in self.by_order.items() if not scores}
        return next(rating.verdict for rating in self.ratings if rating.order in empty)


@dataclass(frozen=True, slots=True)
class _Task:
    """One question: two records in the order in which they are shown."""

    first: ImageRecord
    second: ImageRecord
    repeat: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.first.source, self.second.source, self.repeat


def judge_pairs(
    pairs: Sequence[JudgePair],
    judge: Judge,
    prompt: JudgePrompt,
    *,
    orders: Sequence[Order] = BOTH_ORDERS,
    repeats: int = 1,
    seed: int = 0,
    max_side: int = MAX_SIDE,
    on_reply: Callable[[Verdict], None] = lambda _: None,
) -> list[JudgedPair]:
    """Every pair with its ratings, in order. Pictures are scaled to `max_side` pixels at most.

    Images that cannot be used are told by the status `bad_image`. `on_reply` is called with the end of each question.
    Raises `EndpointError`.
    """
    tasks = _tasks(pairs, orders, repeats)
    shuffled = [tasks[place] for place in permutation(seed, 0, len(tasks))]
    pictures = _Pictures(max_side)
    ended: dict[tuple[str, str, int], tuple[Verdict, Reply | None]] = {}
    asked: list[_Task] = []

    def questions() -> Iterator[Question]:
        for task in shuffled:
            try:
                question = pictures.question(task, judge, prompt)
            except ImageError as error:
                ended[task.key] = (Verdict(ScoreStatus.BAD_IMAGE, reason=error.reason), None)
                on_reply(ended[task.key][0])
                continue
            asked.append(task)
            yield question

    for number, reply in judge.ask_all(questions()):
        ended[asked[number].key] = (read_reply(reply), reply)
        on_reply(ended[asked[number].key][0])
    return [JudgedPair(pair, tuple(_ratings(pair, orders, repeats, ended))) for pair in pairs]


def count_questions(pairs: Sequence[JudgePair], *, orders: Sequence[Order] = BOTH_ORDERS, repeats: int = 1) -> int:
    """How many questions the pairs make."""
    return len(_tasks(pairs, orders, repeats))


def settle_json(
    endpoint: Endpoint, pairs: Sequence[JudgePair], prompt: JudgePrompt, *, max_side: int = MAX_SIDE
) -> tuple[Endpoint, Reply | None]:
    """The endpoint as it is, or without `response_format` where the server rejects the first question for it.

    With the answer that this took, if one was asked for; where either has a kept answer already, none is.
    """
    if "response_format" not in endpoint.settings:
        return endpoint, None
    plain = endpoint.with_settings(
        {name: value for name, value in endpoint.settings.items() if name != "response_format"}
    )
    pictures = _Pictures(max_side)
    for pair in pairs:
        try:
            question = pictures.question(_Task(pair.query, pair.match, 0), endpoint, prompt)
        except ImageError:
            continue
        for kept in (endpoint, plain):
            if kept.kept(question) is not None:
                return kept, None
        reply = endpoint.ask(question)
        if reply.status is not ReplyStatus.REJECTED:
            return endpoint, reply
        simpler = plain.ask(question)
        return (endpoint, None) if simpler.status is ReplyStatus.REJECTED else (plain, simpler)
    return endpoint, None


class _Pictures:
    """Questions about images, each of which is decoded once to know that it can be."""

    def __init__(self, max_side: int) -> None:
        self._max_side = max_side
        self._checked: dict[str, ImageError | None] = {}

    def question(self, task: _Task, judge: Judge, prompt: JudgePrompt) -> Question:
        """The question of a task. Raises `ImageError` where an image cannot be used and no answer is kept."""
        first, second = (Picture(read_bytes(record.source), self._max_side) for record in (task.first, task.second))
        question = Question(prompt.messages(first, second), task.repeat)
        if judge.kept(question) is None:
            self._check(first)
            self._check(second)
        return question

    def _check(self, picture: Picture) -> None:
        if picture.digest not in self._checked:
            self._checked[picture.digest] = None
            try:
                decode_image(picture.data)
            except ImageError as error:
                self._checked[picture.digest] = ImageError(error.status, error.reason)
        fault = self._checked[picture.digest]
        if fault is not None:
            raise fault


def _tasks(pairs: Sequence[JudgePair], orders: Sequence[Order], repeats: int) -> list[_Task]:
    """What is to be asked, each once however many methods found it, in an order that does not depend on methods."""
    tasks = [_task(pair, order, repeat) for pair in pairs for order in orders for repeat in range(repeats)]
    unique = {task.key: task for task in tasks}
    return [unique[key] for key in sorted(unique)]


def _task(pair: JudgePair, order: Order, repeat: int) -> _Task:
    two = (pair.query, pair.match) if order == "query first" else (pair.match, pair.query)
    return _Task(*two, repeat)


def _ratings(
    pair: JudgePair,
    orders: Sequence[Order],
    repeats: int,
    ended: Mapping[tuple[str, str, int], tuple[Verdict, Reply | None]],
) -> Iterator[Rating]:
    for order in orders:
        for repeat in range(repeats):
            yield Rating(order, repeat, *ended[_task(pair, order, repeat).key])
