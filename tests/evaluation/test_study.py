"""Studies: balanced seeded questions, answers that survive a kill, shares, and agreement by published examples."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import combinations

import numpy as np
import pytest

from relsim.errors import ResultError
from relsim.evaluation.rater_agreement import fleiss_kappa, krippendorff_alpha
from relsim.evaluation.result_files import Ranked, Ranking, rankings, read_result
from relsim.evaluation.study import merged, new_study, read_study, write_study
from relsim.evaluation.study_answers import Answer, StudyAnswers, answers_csv
from relsim.evaluation.study_results import study_results

NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)
METHODS = ("a", "b", "c")


def run(queries=10, methods=METHODS, same=()):
    """Each method finds a picture of its own for each query, but for `same`, where a and b find one picture."""
    found = {}
    for method in methods:
        rows = []
        for query in range(queries):
            name = "shared" if query in same and method in "ab" else f"{method}{query}"
            rows.append(Ranking(f"q{query}", f"/q{query}.png", (Ranked(name, f"/{name}.png", 0.5, 1),)))
        found[method] = rows
    return found


@pytest.fixture
def study():
    return new_study(run(), seed=3)


@pytest.fixture
def store(study, tmp_path):
    return StudyAnswers(tmp_path / "study.sqlite", study)


def answer_all(store, people, choose):
    """Everybody answers what they are given until there is nothing left."""
    for number, person in enumerate(people):
        while (question := store.next_question(person)) is not None:
            now = NOW + timedelta(seconds=number)
            store.record_answer(question.question_id, person, choose(question, person), now=now)


def test_every_two_methods_are_asked_about_every_query(study):
    asked = Counter((question.query.image_id, question.methods) for question in study.questions)
    assert set(asked.values()) == {1}
    assert set(asked) == {(f"q{n}", frozenset(pair)) for n in range(10) for pair in combinations(METHODS, 2)}
    for question in study.questions:
        for side in (question.left, question.right):
            assert side.image_id == side.method + question.query.image_id[1:]


@pytest.mark.parametrize("queries", [9, 10])
@pytest.mark.parametrize("seed", range(4))
def test_each_method_of_a_pair_is_on_the_left_in_half_of_the_questions(queries, seed):
    study = new_study(run(queries), seed=seed)
    for first, second in study.pairs:
        mine = [question for question in study.questions if question.methods == {first, second}]
        lefts = Counter(question.left.method for question in mine)
        assert abs(lefts[first] - lefts[second]) == queries % 2


def test_the_same_seed_makes_the_same_questions_and_another_one_others():
    first, again, other = (new_study(run(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.digest != other.digest
    assert {q.query.image_id for q in new_study(run(), queries=3, seed=1).questions} <= {f"q{n}" for n in range(10)}


def test_one_method_against_the_others_leaves_out_the_pairs_without_it():
    study = new_study(run(), against="b")
    assert study.pairs == (("b", "a"), ("b", "c"))
    assert all("b" in question.methods for question in study.questions)
    assert len(study.questions) == 20


def test_where_both_found_the_same_picture_nothing_is_asked_and_it_is_counted():
    study = new_study(run(same=(2, 5, 7)))
    assert dict(zip(study.pairs, study.same, strict=True)) == {("a", "b"): 3, ("a", "c"): 0, ("b", "c"): 0}
    about = [q.query.image_id for q in study.questions if q.methods == {"a", "b"}]
    assert sorted(about) == ["q0", "q1", "q3", "q4", "q6", "q8", "q9"]


def test_a_study_reads_back_as_it_was_written(study, tmp_path):
    write_study(tmp_path / "study.json", study)
    assert read_study(tmp_path / "study.json") == study


def test_a_study_with_a_question_about_no_pair_is_refused(study, tmp_path):
    content = study.to_json()
    content["questions"][0]["left"]["method"] = "z"
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(ResultError, match="two methods that are no pair"):
        read_study(tmp_path / "study.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"found": run(methods=("a",))}, "compares methods"),
        ({"found": run(), "against": "z"}, "no method z"),
        ({"found": run(3, ("a", "b"), same=(0, 1, 2))}, "nothing to ask"),
        ({"found": run(), "answers_wanted": 0}, "at least 1"),
    ],
    ids=["one method", "unknown", "all the same", "no answers"],
)
def test_what_makes_no_study_is_refused(arguments, message):
    with pytest.raises(ResultError, match=message):
        new_study(**arguments)


def test_two_files_with_a_method_of_one_name_are_refused():
    with pytest.raises(ResultError, match="a method a;"):
        merged([run(), run()])


def test_published_files_make_studies(tmp_path):
    row = {"query_image_id": "q", "query_image_path": "/q.png", "top_k_image_paths": ["/x.png"], "top_k_scores": [0.5]}
    content = {method: [{**row, "top_k_image_ids": [f"{method}1"]}] for method in "ab"}
    (tmp_path / "retrieved_images.json").write_text(json.dumps(content))
    study = new_study(rankings(read_result(tmp_path)))
    (question,) = study.questions
    assert {question.left.image_id, question.right.image_id} == {"a1", "b1"}


def test_every_question_gets_the_answers_that_are_wanted_and_no_more(store, study):
    answer_all(store, "vwxyz", lambda _question, _person: "same")
    counts = Counter(answer.question_id for answer in store.answers())
    assert set(counts.values()) == {study.answers_wanted}
    assert len(counts) == len(study.questions)
    assert store.progress() == (90, 90)


def test_nobody_is_asked_twice_and_the_least_answered_come_first(store, study):
    seen = []
    for _ in study.questions:
        question = store.next_question("x")
        seen.append(question.question_id)
        store.record_answer(question.question_id, "x", "left", now=NOW)
    assert len(set(seen)) == len(study.questions)
    assert store.next_question("x") is None
    first = store.next_question("y")
    store.record_answer(first.question_id, "y", "left", now=NOW)
    counts = Counter(answer.question_id for answer in store.answers())
    assert counts[store.next_question("z").question_id] == 1


def test_people_who_come_together_see_different_questions(store):
    assert len({store.next_question(f"person {number}").question_id for number in range(12)}) > 6


def test_a_second_answer_takes_the_place_of_the_first(store, study):
    question = study.questions[0].question_id
    store.record_answer(question, "x", "left", now=NOW, seconds=1.5)
    store.record_answer(question, "x", "same", now=NOW + timedelta(seconds=9))
    assert store.answers() == [Answer(question, "x", "same", None, "2026-11-27T00:00:09+00:00")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question_id": "nowhere"}, "no question 'nowhere'"),
        ({"choice": "both"}, "'both' is no answer"),
        ({"person": ""}, "1 to 200 signs"),
        ({"person": "a\x1b[2J"}, "1 to 200 signs"),
        ({"seconds": float("nan")}, "no time"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_no_answer_is_refused_and_not_kept(store, study, change, message):
    given = {"question_id": study.questions[0].question_id, "person": "x", "choice": "left", "now": NOW, **change}
    with pytest.raises(ResultError, match=message):
        store.record_answer(**given)
    assert store.answers() == []


def test_answers_belong_to_the_questions_they_were_given_to(store, tmp_path):
    with pytest.raises(ResultError, match="answers to other questions"):
        StudyAnswers(store.path, new_study(run(), seed=4))
    assert StudyAnswers(store.path, store.study).answers() == []


def test_a_file_that_is_no_database_or_another_one_is_refused_and_left_alone(study, tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("no database " * 100)
    with pytest.raises(ResultError, match="cannot be read or written"):
        StudyAnswers(text, study)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    with pytest.raises(ResultError, match="something else"):
        StudyAnswers(other, study)
    with sqlite3.connect(other) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("photos",)]
    connection.close()


KILLED = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from relsim.evaluation.study import read_study
from relsim.evaluation.study_answers import StudyAnswers
store = StudyAnswers(Path(sys.argv[2]), read_study(Path(sys.argv[1])))
number = 0
while True:
    for question in store.study.questions:
        store.record_answer(question.question_id, f"p{number}", "left", now=datetime.now(timezone.utc))
        print(question.question_id, f"p{number}", flush=True)
    number += 1
"""


def test_an_answer_that_was_recorded_is_there_after_a_kill(study, tmp_path):
    write_study(tmp_path / "study.json", study)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "study.json"), str(tmp_path / "study.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = [process.stdout.readline().split() for _ in range(25)]
        os.kill(process.pid, signal.SIGKILL)
        told += [line.split() for line in process.stdout.read().splitlines()]
    store = StudyAnswers(tmp_path / "study.sqlite", study)
    kept = {(answer.question_id, answer.person) for answer in store.answers()}
    assert {tuple(pair) for pair in told} <= kept
    assert len(kept) - len(told) in (0, 1)  # one may have been recorded and not yet told
    store.record_answer(study.questions[0].question_id, "later", "same", now=NOW)
    assert len(store.answers()) == len(kept) + 1


def test_several_threads_lose_no_answer(store, study):
    def work(person):
        for question in study.questions:
            store.record_answer(question.question_id, person, "right", now=NOW)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.answers()) == 4 * len(study.questions)


def test_shares_are_means_over_questions_of_what_people_chose():
    study = new_study(run(4, ("a", "b")), answers_wanted=2)
    sides = {question.question_id: "left" if question.left.method == "a" else "right" for question in study.questions}
    other = {"left": "right", "right": "left"}
    ids = [question.question_id for question in study.questions]
    # For a: 2 of 2, 1 of 2, 0 of 3 (one of them same), none asked for the last.
    given = [
        (ids[0], "x", sides[ids[0]]),
        (ids[0], "y", sides[ids[0]]),
        (ids[1], "x", sides[ids[1]]),
        (ids[1], "y", other[sides[ids[1]]]),
        (ids[2], "x", other[sides[ids[2]]]),
        (ids[2], "y", other[sides[ids[2]]]),
        (ids[2], "z", "same"),
    ]
    answers = [Answer(question, person, choice, 2.0, NOW.isoformat()) for question, person, choice in given]
    found = study_results(study, answers)
    (pair,) = found.pairs
    assert (pair.asked, pair.questions, pair.counts) == (4, 3, (3, 1, 3))
    assert pair.shares["first"].value == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert pair.shares["same"].value == pytest.approx((0 + 0 + 1 / 3) / 3)
    assert pair.shares["second"].value == pytest.approx((0 + 1 / 2 + 2 / 3) / 3)
    assert (found.people, found.answers, found.complete, found.seconds) == (3, 7, 3, 2.0)
    # Kappa on the first two answers of each: pairs agree in 2 of 3 questions, shares of first and second are 1/2.
    assert pair.agreement.kappa == pytest.approx((2 / 3 - 1 / 2) / (1 - 1 / 2))


def test_people_who_always_prefer_one_method_are_found_out(store, study):
    rank = {"a": 0, "b": 1, "c": 2}
    answer_all(store, "xyz", lambda q, _person: "left" if rank[q.left.method] < rank[q.right.method] else "right")
    found = study_results(study, store.answers())
    for pair in found.pairs:
        assert pair.counts == (30, 0, 0)
        assert (pair.shares["first"].value, pair.shares["first"].low, pair.shares["first"].high) == (1, 1, 1)
        assert pair.agreement.kappa is None  # all answers are one category
    assert found.agreement.kappa == found.agreement.alpha == 1
    assert found.left.value == pytest.approx(0.5)


def test_an_interval_over_questions_is_wider_than_one_over_answers_that_repeat_each_other():
    """Twenty people who always agree on a question say no more than one."""
    study = new_study(run(30, ("a", "b")), answers_wanted=20, seed=0)
    by_question = {q.question_id: ("left", "right")[place % 2] for place, q in enumerate(study.questions)}
    answers = {
        people: [Answer(q, f"p{n}", side, None, f"{n:02d}") for q, side in by_question.items() for n in range(people)]
        for people in (1, 20)
    }
    one, twenty = (study_results(study, some).pairs[0].shares["first"] for some in answers.values())
    assert (one.value, one.low, one.high) == (twenty.value, twenty.low, twenty.high)
    assert one.high - one.low > 0.25


def test_no_answers_give_no_shares(study):
    found = study_results(study, [])
    assert [(pair.shares, pair.counts) for pair in found.pairs] == [({}, (0, 0, 0))] * 3
    assert (found.agreement.kappa, found.agreement.alpha, found.left) == (None, None, None)


def test_answers_are_written_as_csv_with_the_method_that_was_chosen(store, study):
    question = study.questions[0]
    store.record_answer(question.question_id, "x, the first", "right", now=NOW, seconds=1.25)
    (row,) = csv.DictReader(answers_csv(study, store.answers()).splitlines())
    assert row["person"] == "x, the first"
    assert (row["choice"], row["chosen_method"], row["seconds"]) == ("right", question.right.method, "1.250")
    assert (row["left_image"], row["right_image"]) == (question.left.image_id, question.right.image_id)


# The much-copied worked example of Fleiss' kappa: ten subjects, fourteen raters, five categories; P = 0.378, E = 0.213,
# kappa = 0.210.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_kappa_is_that_of_the_worked_example():
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)


# K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section C: four observers, twelve units, five
# values, some missing; nominal alpha = 0.743.
KRIPPENDORFF = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def test_krippendorffs_alpha_is_that_of_the_worked_example():
    assert {len(row) for row in KRIPPENDORFF} == {12}
    counts = [[unit.count(str(value)) for value in range(1, 6)] for unit in zip(*KRIPPENDORFF, strict=True)]
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)


def test_both_are_zero_for_chance_and_one_for_full_agreement():
    rng = np.random.default_rng(0)
    chance = rng.multinomial(4, [0.5, 0.3, 0.2], size=20_000)
    assert fleiss_kappa(chance) == pytest.approx(0, abs=0.02)
    assert krippendorff_alpha(chance) == pytest.approx(0, abs=0.02)
    agreed = [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert fleiss_kappa(agreed) == krippendorff_alpha(agreed) == 1


def test_both_are_undefined_where_all_say_the_same():
    assert fleiss_kappa([[3, 0], [3, 0]]) is None
    assert krippendorff_alpha([[3, 0], [3, 0]]) is None
    assert krippendorff_alpha([[1, 0], [0, 1]]) is None


def test_kappa_refuses_questions_with_different_numbers_of_answers():
    with pytest.raises(ValueError, match="the same number of answers"):
        fleiss_kappa([[3, 0], [1, 1]])
