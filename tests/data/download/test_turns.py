"""Whose turn it is: order, the limit of each host, retries and pauses; no row is lost and none comes twice."""

import asyncio
import functools
import random
import time
from collections import Counter, defaultdict

from yarl import URL

from relsim.data.download.turns import LOOK_AHEAD, Job, Turns


def jobs(hosts):
    return iter([Job(row, URL(f"http://{host}/{row}")) for row, host in enumerate(hosts)])


def simulate(hosts, *, workers, per_host, work):
    """Hands all jobs to workers; gives the rows in order of their starts, and the most at a time of each host."""
    order, active, most = [], Counter(), defaultdict(int)

    async def worker(turns):
        while (job := await turns.take()) is not None:
            order.append(job.row)
            host = job.host
            active[host] += 1
            most[host] = max(most[host], active[host])
            await work(turns, job, functools.partial(active.subtract, [host]))

    async def main():
        turns = Turns(jobs(hosts), per_host=per_host, patience=10, silence=10)
        await asyncio.wait_for(asyncio.gather(*(worker(turns) for _ in range(workers))), 60)

    asyncio.run(main())
    return order, dict(most)


def test_rows_of_full_hosts_wait_and_others_go_on():
    hosts = ["busy"] * 40 + [f"host{number}" for number in range(20)]

    async def work(turns, job, left):
        await asyncio.sleep(0.02)
        left()
        turns.done(job)

    order, most = simulate(hosts, workers=10, per_host=3, work=work)
    assert sorted(order) == list(range(60))
    assert most["busy"] == 3
    assert order[:3] == [0, 1, 2]
    assert order[3:10] == list(range(40, 47))  # while three of the first host are under way
    busy = [row for row in order if row < 40]
    assert busy == sorted(busy)


def test_nothing_is_lost_whatever_jobs_do():
    """Retries, pauses, moves to other hosts and cancelled moves at random: every row ends once, limits hold."""
    random.seed(11)
    ended = Counter()

    async def work(turns, job, left):
        job.attempts += 1
        await asyncio.sleep(random.uniform(0, 0.004))
        if random.random() < 0.3:
            left()
            await turns.move(job, f"host{random.randrange(4)}")
            await asyncio.sleep(0.001)
        else:
            left()
        choice = random.random()
        if choice < 0.15 and job.attempts < 4:
            turns.pause(job.host, 0.01)
            turns.retry(job, 0.012)
        elif choice < 0.4 and job.attempts < 4:
            turns.retry(job, random.uniform(0, 0.01))
        else:
            if random.random() < 0.5:
                turns.leave(job)
            turns.done(job)
            ended[job.row] += 1

    hosts = [f"host{random.randrange(5)}" for _ in range(600)]
    _, most = simulate(hosts, workers=16, per_host=2, work=work)
    assert ended == Counter(range(600))
    assert max(most.values()) <= 2


def test_a_paused_host_holds_back_its_own_rows_only():
    started = {}

    async def work(turns, job, left):
        started[job.row] = time.monotonic()
        left()
        if job.row == 0:
            turns.pause(job.host, 0.4)
        turns.done(job)

    began = time.monotonic()
    simulate(["slow", "slow", "fast", "fast"], workers=1, per_host=5, work=work)
    assert started[1] - began >= 0.4
    assert started[2] < started[1]
    assert started[3] < started[1]


def test_a_long_list_of_one_host_is_not_read_at_once():
    read = []

    def many():
        for row in range(20_000):
            read.append(row)
            yield Job(row, URL.build(scheme="http", host="one", path=f"/{row}"))

    async def main():
        turns = Turns(many(), per_host=1, patience=1, silence=1)
        job = await turns.take()
        waiting = asyncio.create_task(turns.take())
        await asyncio.sleep(0.05)
        assert len(read) <= LOOK_AHEAD + 2
        turns.done(job)
        assert (await waiting).row == 1

    asyncio.run(main())


def test_a_host_is_given_up_after_silence_and_taken_back_when_it_answers():
    async def main():
        turns = Turns(jobs(["mute", "mute", "other"]), per_host=1, patience=1, silence=3)
        first = await turns.take()
        verdicts = []
        for _ in range(2):
            turns.unanswered("mute")
            verdicts.append(turns.has_given_up("mute"))
        turns.done(first)  # the count outlives the last job of a host
        second = await turns.take()
        turns.answered("mute")
        for _ in range(3):
            turns.unanswered("mute")
            verdicts.append(turns.has_given_up("mute"))
        await turns.move(second, "other")  # a redirect is an answer
        verdicts.append(turns.has_given_up("mute"))
        turns.give_up("other")
        turns.answered("other")
        return [*verdicts, turns.has_given_up("other"), turns.has_given_up("unknown")]

    assert asyncio.run(main()) == [False, False, False, False, True, False, True, False]


def test_silence_is_counted_from_one_job_of_a_host_to_the_next():
    async def main():
        turns = Turns(jobs(["mute"] * 4), per_host=1, patience=1, silence=3)
        verdicts = []
        while (job := await turns.take()) is not None:
            turns.unanswered(job.host)
            verdicts.append(turns.has_given_up(job.host))
            turns.done(job)
        return verdicts

    assert asyncio.run(main()) == [False, False, True, True]
