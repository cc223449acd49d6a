"""The answers of a study, in an SQLite file; safe against a kill at any moment, and for several processes at once.

    CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)
        schema  "relsim.study_answers/1"
        study   SHA-256 of the questions (`Study.digest`)
    CREATE TABLE answers (
        question_id TEXT NOT NULL,
        person      TEXT NOT NULL,        whatever tells people apart, such as a random cookie
        choice      TEXT NOT NULL,        left, same or right
        seconds     REAL,                 from seeing the question to the answer; null if not measured
        answered_at TEXT NOT NULL,        ISO 8601
        PRIMARY KEY (question_id, person)
    )

The journal is a write-ahead log (`-wal` and `-shm` lie beside the file while it is open), flushed at every answer: one
that was recorded is there after a kill or a power cut, and one that was not is not there in part. Each call opens a
connection of its own, so any thread may call.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from relsim.errors import ResultError
from relsim.evaluation.study import Question, Study

SCHEMA = "relsim.study_answers/1"
Choice = Literal["left", "same", "right"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
SUFFIX = ".sqlite"
_WAIT = 30.0  # seconds, for another writer
_LONGEST_NAME = 200
_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    question_id TEXT NOT NULL,
    person TEXT NOT NULL,
    choice TEXT NOT NULL CHECK (choice IN ('left', 'same', 'right')),
    seconds REAL,
    answered_at TEXT NOT NULL,
    PRIMARY KEY (question_id, person)
);
"""
_COLUMNS = (
    *("question_id", "query", "left_method", "left_image", "right_method", "right_image"),
    *("person", "choice", "chosen_method", "seconds", "answered_at"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said to one question."""

    question_id: str
    person: str
    choice: Choice
    seconds: float | None
    answered_at: str


class StudyAnswers:
    """The answers to a study. Raises `ResultError` for a file that belongs to another study, or is none."""

    def __init__(self, path: Path, study: Study) -> None:
        self.path, self.study = path, study
        self._questions = {question.question_id: question for question in study.questions}
        with self._open() as connection, connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and "about" not in tables:
                raise ResultError(f"{path} is a database of something else; name another file")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)
            facts = (("schema", SCHEMA), ("study", study.digest))
            connection.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", facts)
            known = dict(connection.execute("SELECT key, value FROM about"))
        if (known.get("schema"), known.get("study")) != (SCHEMA, study.digest):
            raise ResultError(f"{path} holds answers to other questions; name another file, or the study that it is of")

    def record_answer(
        self,
        question_id: str,
        person: str,
        choice: str,
        *,
        now: datetime,
        seconds: float | None = None,
    ) -> None:
        """Keep an answer; when this returns it is on the disk. A second one of a person takes the place of the first.

        Raises `ResultError` for an unknown question or choice.
        """
        if question_id not in self._questions:
            raise ResultError(f"there is no question {question_id!r} in this study")
        if choice not in CHOICES:
            raise ResultError(f"{choice!r} is no answer; known are {', '.join(CHOICES)}")
        if not person or len(person) > _LONGEST_NAME or not person.isprintable():
            raise ResultError(f"a person's name must have 1 to {_LONGEST_NAME} signs that can be printed")
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise ResultError(f"{seconds} seconds is no time")
        row = (question_id, person, choice, seconds, now.isoformat())
        with self._open() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", row)

    def next_question(self, person: str) -> Question | None:
        """The question with the fewest answers that this person has not answered, None when all have enough.

        Among equals, each person has an order of their own, so that people who come together see different ones.
        """
        return next(iter(self.questions_left(person)), None)

    def questions_left(self, person: str) -> list[Question]:
        """All questions that this person may answer, in the order in which they would be asked now."""
        with self._open() as connection:
            counts = Counter(dict(connection.execute("SELECT question_id, COUNT(*) FROM answers GROUP BY question_id")))
            rows = connection.execute("SELECT question_id FROM answers WHERE person = ?", (person,))
            done = {question_id for (question_id,) in rows}
        left = [
            question
            for question in self.study.questions
            if question.question_id not in done and counts[question.question_id] < self.study.answers_wanted
        ]
        return sorted(left, key=lambda question: (counts[question.question_id], self._turn(person, question)))

    def answered(self, person: str) -> int:
        """How many questions this person has answered."""
        with self._open() as connection:
            row = connection.execute("SELECT COUNT(*) FROM answers WHERE person = ?", (person,)).fetchone()
        return int(row[0])

    def answers(self) -> list[Answer]:
        """All answers, by question in the study's order, and within one in the order of time."""
        order = {question.question_id: place for place, question in enumerate(self.study.questions)}
        with self._open() as connection:
            rows = list(connection.execute("SELECT question_id, person, choice, seconds, answered_at FROM answers"))
        found = [Answer(*row) for row in rows if row[0] in order]
        return sorted(found, key=lambda answer: (order[answer.question_id], answer.answered_at, answer.person))

    def progress(self) -> tuple[int, int]:
        """Answers that count towards what is wanted, and how many are wanted in all."""
        wanted = self.study.answers_wanted
        given = Counter(answer.question_id for answer in self.answers())
        return sum(min(wanted, count) for count in given.values()), wanted * len(self.study.questions)

    def _turn(self, person: str, question: Question) -> bytes:
        return hashlib.sha256(f"{self.study.seed}\n{person}\n{question.question_id}".encode()).digest()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except sqlite3.Error as error:
            raise ResultError(f"the answers in {self.path} cannot be read or written: {error}") from error


def answers_csv(study: Study, answers: Sequence[Answer]) -> str:
    """The answers as CSV with a header, a line each; `chosen_method` is empty for same."""
    questions = {question.question_id: question for question in study.questions}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for answer in answers:
        question = questions[answer.question_id]
        chosen = {"left": question.left.method, "right": question.right.method}.get(answer.choice)
        writer.writerow(
            [
                *(answer.question_id, question.query.image_id),
                *(question.left.method, question.left.image_id, question.right.method, question.right.image_id),
                *(answer.person, answer.choice, chosen or ""),
                *("" if answer.seconds is None else f"{answer.seconds:.3f}", answer.answered_at),
            ]
        )
    return text.getvalue()


def by_question(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Answers by question, in their order."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        found[answer.question_id].append(answer)
    return dict(found)
