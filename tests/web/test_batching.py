"""Questions that are answered together."""

import asyncio
import threading

import pytest

from relsim.web.batching import Batcher, BusyError


def squares(batches):
    def work(numbers):
        batches.append(list(numbers))
        return [number**2 for number in numbers]

    return work


def test_each_question_gets_its_answer_and_those_that_wait_are_answered_together():
    batches, held, entered = [], threading.Event(), threading.Event()

    def work(numbers):
        entered.set()
        held.wait(10)
        return squares(batches)(numbers)

    async def ask():
        async with Batcher("squares", work, most=4, waiting=20) as batcher:
            first = asyncio.create_task(batcher.ask(1))
            await asyncio.to_thread(entered.wait, 10)
            rest = [asyncio.create_task(batcher.ask(number)) for number in range(2, 9)]
            await asyncio.sleep(0)
            assert batcher.waiting == 7
            held.set()
            return await asyncio.gather(first, *rest)

    assert asyncio.run(ask()) == [number**2 for number in range(1, 9)]
    assert batches == [[1], [2, 3, 4, 5], [6, 7, 8]]


def test_more_than_may_wait_are_sent_away_and_the_others_answered():
    held = threading.Event()

    def work(numbers):
        held.wait(10)
        return list(numbers)

    async def ask():
        async with Batcher("slow", work, most=1, waiting=3) as batcher:
            tasks = [asyncio.create_task(batcher.ask(number)) for number in range(9)]
            await asyncio.sleep(0.05)
            held.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(ask())
    busy = [answer for answer in answers if isinstance(answer, BusyError)]
    assert len(busy) == 9 - 3 - len([answer for answer in answers[3:] if not isinstance(answer, BusyError)])
    assert answers[:3] == [0, 1, 2]
    assert str(busy[0]) == "slow"


def test_a_question_that_fails_costs_only_itself():
    def work(numbers):
        return [10 // number for number in numbers]

    async def ask():
        async with Batcher("divide", work, most=8, waiting=8) as batcher:
            return await asyncio.gather(*map(batcher.ask, (1, 0, 5)), return_exceptions=True)

    one, error, two = asyncio.run(ask())
    assert (one, two) == (10, 2)
    assert isinstance(error, ZeroDivisionError)


def test_whoever_has_gone_away_is_not_worked_for():
    batches, held, entered = [], threading.Event(), threading.Event()

    def work(numbers):
        entered.set()
        held.wait(10)
        return squares(batches)(numbers)

    async def ask():
        async with Batcher("squares", work, most=4, waiting=20) as batcher:
            first = asyncio.create_task(batcher.ask(1))
            await asyncio.to_thread(entered.wait, 10)
            gone, stays = asyncio.create_task(batcher.ask(2)), asyncio.create_task(batcher.ask(3))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            held.set()
            return await first, await stays

    assert asyncio.run(ask()) == (1, 9)
    assert batches == [[1], [3]]


def test_the_end_of_the_context_ends_those_who_wait():
    held, entered = threading.Event(), threading.Event()

    def work(numbers):
        entered.set()
        held.wait(10)
        return list(numbers)

    async def ask():
        async with Batcher("slow", work, most=1, waiting=9) as batcher:
            tasks = [asyncio.create_task(batcher.ask(number)) for number in range(3)]
            await asyncio.to_thread(entered.wait, 10)
            held.set()
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]

    asyncio.run(ask())
