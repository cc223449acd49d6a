"""A study that people answer on the page: its questions, its answers, its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relsim.data.records import ImageRecord
from relsim.evaluation.study import Question, Study, read_study
from relsim.evaluation.study_answers import SUFFIX, StudyAnswers


@dataclass(frozen=True, slots=True)
class Sitting:
    """A study with the store of its answers; `results` lets people see what others chose while it goes on."""

    study: Study
    answers: StudyAnswers
    results: bool = False

    @classmethod
    def open(cls, path: Path, *, results: bool = False) -> Sitting:
        """The study of a file; answers are in the file of its name beside it. Raises `ResultError`."""
        study = read_study(path)
        return cls(study, StudyAnswers(path.with_suffix(SUFFIX), study), results)

    def question(self, question_id: str) -> Question | None:
        """The question of that id."""
        return next((question for question in self.study.questions if question.question_id == question_id), None)


def picture_of(question: Question, place: str) -> ImageRecord:
    """The picture at a place (query, left or right) of a question, for reading."""
    shown = {"query": question.query, "left": question.left, "right": question.right}[place]
    # A NUL can be in no id of a collection, beside which thumbnails are kept.
    return ImageRecord(f"\0{question.question_id}\0{place}", shown.path)
