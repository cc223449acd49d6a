"""What is done again after a worker died, what is blamed for it, and how far ahead anything is taken."""

import pytest

from relsim.data.records import ImageRecord, Status
from relsim.distributed.ledger import MOST_DEATHS, MOST_IN_A_ROW, Ledger
from relsim.errors import ClusterError

WORKERS = 2


def part(*names):
    return [ImageRecord(name, f"/{name}.png") for name in names]


@pytest.fixture
def ledger():
    def make(*parts, ahead=10):
        return Ledger(map(list, parts), ahead=ahead, workers=WORKERS)

    return make


def names(task):
    return "".join(record.image_id for record in task.records)


def work(ledger, deadly, *, status=Status.ENCODER):
    """What one worker after another does and gives; one dies of each task for which `deadly` is true."""
    done, given = [], []
    while (task := ledger.take()) is not None:
        done.append(names(task))
        if deadly({record.image_id for record in task.records} - task.known.keys()):
            ledger.died(task, status)
        else:
            ledger.finished(task, (names(task), dict(task.known)))
        given += ledger.results()
    return done, given


def test_results_come_in_order_whatever_is_finished_first(ledger):
    ledger = ledger(part("a"), part("b"), part("c"))
    first, second, third = (ledger.take() for _ in range(3))
    assert ledger.take() is None
    ledger.finished(third, "C")
    ledger.finished(second, "B")
    assert list(ledger.results()) == []
    ledger.finished(first, "A")
    assert list(ledger.results()) == ["A", "B", "C"]


def test_what_somebody_died_of_is_left_to_others(ledger):
    ledger = ledger(part("a"), part("b"))
    ledger.died(ledger.take(fresh=True))
    assert ledger.take(fresh=True) is None
    assert [names(ledger.take()), names(ledger.take(fresh=True))] == ["a", "b"]


def test_no_more_parts_are_taken_than_lie_ahead_of_the_first_unfinished_one(ledger):
    taken = []
    ledger = ledger(*(part(str(number)) for number in range(100)), ahead=4)
    ledger._parts = ((number, taken.append(number) or records) for number, records in ledger._parts)
    tasks = [ledger.take() for _ in range(10)]
    assert taken == [0, 1, 2, 3]
    assert tasks[4:] == [None] * 6
    ledger.finished(tasks[1], "")
    assert list(ledger.results()) == []
    assert ledger.take() is None
    ledger.finished(tasks[0], "")
    assert len(list(ledger.results())) == 2
    assert [names(ledger.take()), names(ledger.take()), ledger.take()] == ["4", "5", None]


def test_a_part_is_done_again_as_a_whole_after_one_death(ledger):
    ledger, deaths = ledger(part("a", "b"), part("c")), iter([True, False, False])
    done, given = work(ledger, lambda _: next(deaths))
    assert done == ["ab", "ab", "c"]
    assert given == [("ab", {}), ("c", {})]


def test_a_picture_that_kills_alone_is_a_failure_and_the_others_stay_together(ledger):
    done, given = work(ledger(part(*"abc"), part(*"de")), lambda there: "b" in there)
    assert done == ["abc", "abc", "a", "b", "c", "b", "abc", "de"]
    (first, known), second = given
    assert (first, second) == ("abc", ("de", {}))
    assert list(known) == ["b"]
    assert known["b"].record.source == "/b.png"
    assert known["b"].status is Status.ENCODER
    assert known["b"].reason == "the process that worked on it, and no other image, died 2 times"


def test_several_pictures_of_a_part_may_kill_also_where_they_are_read(ledger):
    _, given = work(ledger(part(*"abcd")), lambda there: bool({"a", "d"} & there), status=Status.DAMAGED)
    ((_, known),) = given
    assert sorted(known) == ["a", "d"]
    assert {(failure.status, failure.reason) for failure in known.values()} == {
        (Status.DAMAGED, "the process that read it, and no other image, died 2 times")
    }


def test_a_part_of_one_picture_is_no_further_tried(ledger):
    done, given = work(ledger(part("a")), bool)
    assert done == ["a"] * (MOST_DEATHS + 1)
    assert list(given[0][1]) == ["a"]


def test_pictures_that_kill_only_together_end_the_run_by_name(ledger):
    with pytest.raises(ClusterError, match=r"die of the images a to c, and of none of them alone.*batches smaller"):
        work(ledger(part(*"abc")), lambda there: len(there) > 1)


def test_workers_that_die_of_anything_end_the_run_by_name(ledger):
    told = f"^{MOST_IN_A_ROW + WORKERS + 1} workers died one after another, the last at the image .*run it again"
    with pytest.raises(ClusterError, match=told):
        work(ledger(part(*"abcdefghijkl")), bool)


def test_deaths_between_which_something_is_finished_are_no_end(ledger):
    parts = [part(f"{number}a", f"{number}b") for number in range(3 * MOST_IN_A_ROW)]
    _, given = work(ledger(*parts), lambda there: any(name.endswith("b") for name in there))
    assert [list(known) for _, known in given] == [[f"{number}b"] for number in range(len(parts))]
