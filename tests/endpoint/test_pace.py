"""Pauses and limits, without a server."""

import random
import threading
import time

import pytest

from relsim.endpoint.pace import Pace, Policy, wanted_pause

NOW = 1_700_000_000.0  # 14 November 2023, 22:13:20 UTC


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.25", 0.25),
        ("-5", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert wanted_pause({"retry-after": value}, NOW) == seconds


def test_without_retry_after_no_pause_is_wanted():
    assert wanted_pause({}, NOW) is None


def test_pauses_double_up_to_the_longest_less_at_most_a_half():
    policy, rng = Policy(tries=8, first_pause=1.0, longest_pause=10.0), random.Random(1)
    pauses = [policy.pause(tries, None, rng) for tries in range(1, 8)]
    full = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(pauses, full, strict=True))
    assert policy.pause(8, None, rng) is None


def test_the_pause_that_is_wanted_is_made_unless_it_is_too_long():
    policy, rng = Policy(longest_pause=10.0), random.Random(1)
    assert policy.pause(1, 7.0, rng) == 7.0
    assert policy.pause(1, 10.5, rng) is None


def test_a_stop_ends_the_waiting():
    pace, stop = Pace(None), threading.Event()
    pace.hold(60.0)
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    pace.wait(stop)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"tries": 0},
        {"patience": 0},
        {"timeout": 0.0},
        {"per_minute": 0.0},
        {"first_pause": -1.0},
        {"first_pause": 70.0},
    ],
)
def test_limits_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Policy(**wrong)
