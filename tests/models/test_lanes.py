"""Lanes: a batch in pieces side by side, put together in order."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from relsim.models.lanes import run_in_lanes, split_evenly, split_in_lanes
from relsim.models.pixels import Patches


def test_every_item_is_in_one_group():
    costs = np.random.default_rng(0).integers(1, 100, 50).tolist()
    groups = split_evenly(costs, 4)
    assert sorted(index for group in groups for index in group) == list(range(50))


def test_groups_cost_about_the_same():
    """The costliest first, each to the lightest group: no group is heavier than another by more than one item."""
    costs = np.random.default_rng(1).integers(1, 100, 50).tolist()
    sums = [sum(costs[i] for i in group) for group in split_evenly(costs, 4)]
    assert max(sums) - min(sums) <= max(costs)


def test_no_group_is_empty():
    assert split_evenly([5, 5], 4) == [[0], [1]]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def pictures(count):
    return [Patches(np.full((1 + number % 4, 12), number, np.uint8), (1, 1)) for number in range(count)]


def first_value(batch):
    return torch.tensor([[float(patches.pixels[0, 0])] for patches in batch])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 17])
def test_rows_come_back_in_order(three_threads, count):
    assert run_in_lanes(first_value, pictures(count)).flatten().tolist() == list(range(count))


@pytest.mark.parametrize(("threads", "count", "lanes"), [(4, 2, 1), (4, 3, 3), (4, 9, 4), (16, 15, 15), (16, 11, 1)])
def test_a_batch_a_little_smaller_than_the_cores_still_has_lanes(monkeypatch, threads, count, lanes):
    """Fifteen pictures of 448 pixels are a batch; on sixteen cores they are fifteen lanes and no product in common."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("relsim.models.lanes._pool", lambda _: ThreadPoolExecutor(1))
    assert len(split_in_lanes(first_value, pictures(count), [1] * count)) == lanes


def test_each_lane_has_one_thread_and_the_caller_keeps_its_own(three_threads):
    seen = {}

    def forward(batch):
        seen[threading.get_ident()] = torch.get_num_threads()
        return first_value(batch)

    for _ in range(5):
        run_in_lanes(forward, pictures(9))
    assert set(seen.values()) == {1}
    assert threading.get_ident() not in seen
    assert torch.get_num_threads() == 3


def test_an_error_in_a_lane_reaches_the_caller(three_threads):
    def forward(batch):
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        run_in_lanes(forward, pictures(5))
    assert run_in_lanes(first_value, pictures(5)).shape == (5, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_lanes_of_its_own(three_threads):
    """As readers of other libraries are: it has the parent's memory and none of its threads."""
    run_in_lanes(first_value, pictures(9))
    child = os.fork()
    if child == 0:
        os._exit(0 if run_in_lanes(first_value, pictures(9)).flatten().tolist() == list(range(9)) else 1)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for threads that it does not have")
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
