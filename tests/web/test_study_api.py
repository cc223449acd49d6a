"""A study in the API: what people are asked, what is kept of their answers, and what nobody is told."""

import contextlib
import io
import json
import signal
import sqlite3
from collections import Counter
from datetime import datetime, timezone

import pytest
from PIL import Image

from relsim.errors import ResultError
from relsim.evaluation.study import read_study
from relsim.evaluation.study_answers import StudyAnswers
from relsim.evaluation.study_results import study_results
from relsim.web.sitting import Sitting


@pytest.fixture
def served(library, models):
    """`served(path)` gives a client of a server of its own that asks a study."""
    from starlette.testclient import TestClient

    from relsim.web.app import create_app
    from relsim.web.extras import Extras

    with contextlib.ExitStack() as stack:

        def start(path, *, results=True):
            app = create_app(library, models, extras=Extras(study=Sitting.open(path, results=results)))
            client = TestClient(app, base_url="http://localhost", headers={"x-relsim": "1"})
            return stack.enter_context(client)

        yield start


@pytest.fixture
def study_file(make_study, tmp_path):
    return make_study(tmp_path)


@pytest.fixture
def study(study_file):
    return read_study(study_file)


@pytest.fixture
def client(served, study_file):
    return served(study_file)


def following(client, person, **more):
    return client.get("/api/study/next", params={"person": person, **more}).json()


def answer(client, question, person, choice="left", **more):
    return client.post("/api/study/answers", json={"question": question, "person": person, "choice": choice, **more})


def test_what_is_offered_is_told(client, web, study):
    assert "study" in client.get("/api/collection").json()["offers"]
    told = client.get("/api/study").json()
    assert told == {"instruction": study.instruction, "questions": len(study.questions), "answers_wanted": 2}
    bare = web()
    assert "study" not in bare.get("/api/collection").json()["offers"]
    assert "--study" in bare.get("/api/study").json()["detail"]


def test_each_person_is_asked_everything_once_in_the_order_of_the_study(client, study, study_file):
    for person in ("Ada", "Grace"):
        turn, asked, then = following(client, person), [], None
        while turn["question"]:
            assert then in (None, turn["question"])  # what was told to come next came
            assert (turn["answered"], turn["left"]) == (len(asked), len(study.questions) - len(asked))
            asked.append(turn["question"])
            then = turn["then"]
            turn = answer(client, turn["question"], person, "same", seconds=1.5).json()
        assert sorted(asked) == sorted(question.question_id for question in study.questions)
    given = StudyAnswers(study_file.with_suffix(".sqlite"), study).answers()
    assert Counter(one.person for one in given) == {name: len(study.questions) for name in ("Ada", "Grace")}
    assert {(one.choice, one.seconds) for one in given} == {("same", 1.5)}
    assert following(client, "Late")["question"] is None  # all have the answers that were wanted


def test_questions_that_are_passed_over_come_later(client):
    first = following(client, "Ada")["question"]
    second = following(client, "Ada", passed=[first])
    assert second["question"] != first
    turn = answer(client, second["question"], "Ada", passed=[first]).json()
    assert turn["question"] not in (None, first)
    assert following(client, "Ada")["left"] == turn["left"] + 1


def test_a_second_answer_takes_the_place_of_the_first(client, study, study_file):
    question = following(client, "Ada")["question"]
    answer(client, question, "Ada", "left")
    answer(client, question, "Ada", "right")
    (kept,) = StudyAnswers(study_file.with_suffix(".sqlite"), study).answers()
    assert (kept.question_id, kept.choice) == (question, "right")


def test_nothing_that_people_are_sent_tells_a_method_or_an_image(client, study):
    secrets = {"alpha", "beta"} | {shown.image_id for one in study.questions for shown in (one.left, one.right)}
    secrets |= {one.query.path for one in study.questions}
    turn = following(client, "Ada")
    texts = [client.get("/api/study").text, json.dumps(turn), answer(client, turn["question"], "Ada").text]
    for place in ("query", "left", "right"):
        picture = client.get("/api/study/picture", params={"question": turn["question"], "place": place})
        texts.append(str(picture.headers))
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_pictures_stand_where_the_study_says(client, library, study):
    question = study.questions[0]
    for place, shown in (("query", question.query), ("left", question.left), ("right", question.right)):
        told = client.get("/api/study/picture", params={"question": question.question_id, "place": place})
        own = client.get("/api/thumbnail", params={"id": shown.image_id, "side": 384})
        assert told.content == own.content
        assert shown.image_id in library


def test_a_picture_that_has_gone_is_that_of_the_collection_or_told(served, study_file, library):
    content = json.loads(study_file.read_text())
    content["questions"][0]["left"]["path"] = "/gone.png"
    content["questions"][0]["right"] |= {"path": "/gone.png", "image_id": "gone"}
    study_file.write_text(json.dumps(content))
    client, asked = served(study_file), content["questions"][0]
    ask = {"question": asked["question_id"], "side": 96}
    left = client.get("/api/study/picture", params={**ask, "place": "left"})
    with Image.open(library.records[asked["left"]["image_id"]].source) as source:
        assert Image.open(io.BytesIO(left.content)).size == (96, 96 * source.height // source.width)
    right = client.get("/api/study/picture", params={**ask, "place": "right"})
    assert (right.status_code, "/gone" in right.text) == (404, False)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"question": "unknown", "person": "Ada", "choice": "left"}, 422),
        ({"person": "", "choice": "left"}, 422),
        ({"person": "A\nB", "choice": "left"}, 422),
        ({"person": "Ada", "choice": "both"}, 422),
        ({"person": "Ada", "choice": "left", "seconds": -1}, 422),
        ({"person": "Ada", "choice": "left", "passed": ["x"] * 201}, 422),
    ],
    ids=str,
)
def test_answers_that_make_no_sense_are_told_and_not_kept(client, study, content, status):
    told = client.post("/api/study/answers", json={"question": study.questions[0].question_id, **content})
    assert told.status_code == status
    assert told.json()["detail"]
    assert client.get("/api/study/results").json()["answers"] == 0


def test_an_answer_needs_the_header_of_a_change(client, study):
    client.headers.pop("x-relsim")
    assert answer(client, study.questions[0].question_id, "Ada").status_code == 403


def test_the_results_are_those_of_the_command_line(client, study, study_file):
    for number, question in enumerate(study.questions):
        for person in ("Ada", "Grace"):
            answer(client, question.question_id, person, ("left", "right", "same")[(number + len(person)) % 3])
    told = client.get("/api/study/results").json()
    store = StudyAnswers(study_file.with_suffix(".sqlite"), study)
    assert told == study_results(study, store.answers()).to_json()
    assert told["answers"] == 2 * len(study.questions)


def test_the_results_are_closed_until_all_is_answered(served, study, study_file):
    closed = served(study_file, results=False)
    last = study.questions[-1].question_id
    for question in study.questions:
        for person in ("Ada", "Grace"):
            if (question.question_id, person) != (last, "Grace"):
                answer(closed, question.question_id, person)
    told = closed.get("/api/study/results")
    assert (told.status_code, "pairs" in told.text, "alpha" in told.text) == (403, False, False)
    answer(closed, last, "Grace")
    assert closed.get("/api/study/results").json()["complete"] == len(study.questions)


def test_answers_to_other_questions_are_refused(study_file):
    Sitting.open(study_file)
    content = json.loads(study_file.read_text())
    content["questions"].pop()
    study_file.write_text(json.dumps(content))
    with pytest.raises(ResultError, match="answers to other questions"):
        Sitting.open(study_file)


def test_a_store_that_cannot_be_written_is_told(client, study, study_file):
    store = study_file.with_suffix(".sqlite")
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("DROP TABLE answers")
        connection.commit()
    told = answer(client, study.questions[0].question_id, "Ada")
    assert (told.status_code, "cannot be read or written" in told.json()["detail"]) == (507, True)


def test_a_kill_loses_no_answer_that_was_told(start_server, study_file, study):
    """A real server, killed between two answers; another one goes on."""
    with start_server("--study", str(study_file)) as server:
        turn, given = server.ask("/api/study/next", person="Ada")[1], []
        for choice in ("left", "same", "right"):
            body = json.dumps({"question": turn["question"], "person": "Ada", "choice": choice}).encode()
            given.append((turn["question"], choice))
            status, turn = server.ask("/api/study/answers", body, {"content-type": "application/json"})
            assert status == 201
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
    before = datetime.now(timezone.utc)
    with start_server("--study", str(study_file)) as server:
        again = server.ask("/api/study/next", person="Ada")[1]
    assert again == turn
    kept = StudyAnswers(study_file.with_suffix(".sqlite"), study).answers()
    assert {(one.question_id, one.choice) for one in kept} == set(given)
    assert all(datetime.fromisoformat(one.answered_at) < before for one in kept)
