"""What a study came to: for each two methods the shares of answers, and how far people agree.

People answer the same questions, so their answers are not independent: a share is the mean over questions of the share
within a question, and its 95 % interval is a bootstrap over questions. Agreement is Krippendorff's alpha over all
answers and Fleiss' kappa over the first answers of each question that has as many as were wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.evaluation.rater_agreement import fleiss_kappa, krippendorff_alpha
from relsim.evaluation.statistics import RESAMPLES, Estimate, bootstrap_mean
from relsim.evaluation.study import Study
from relsim.evaluation.study_answers import CHOICES, Answer, by_question

SCHEMA = "relsim.study_results/1"
_SHARES = ("first", "same", "second")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kappa and alpha, None where they are not defined, and the questions that each rests on."""

    kappa: float | None
    kappa_questions: int
    alpha: float | None
    alpha_questions: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "fleiss_kappa": self.kappa,
            "fleiss_questions": self.kappa_questions,
            "krippendorff_alpha": self.alpha,
            "krippendorff_questions": self.alpha_questions,
        }


@dataclass(frozen=True, slots=True)
class PairResult:
    """Two methods: questions with an answer, answers by what was chosen, shares with intervals, and agreement.

    `shares` is empty without answers. `same_picture` counts queries that were not asked since both found the same.
    """

    first: str
    second: str
    asked: int
    questions: int
    counts: tuple[int, int, int]
    shares: Mapping[str, Estimate]
    agreement: Agreement
    same_picture: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "asked": self.asked,
            "questions": self.questions,
            "answers": sum(self.counts),
            "counts": dict(zip(_SHARES, self.counts, strict=True)),
            "shares": {name: estimate.to_json() for name, estimate in self.shares.items()} or None,
            "agreement": self.agreement.to_json(),
            "same_picture": self.same_picture,
        }


@dataclass(frozen=True, slots=True)
class StudyResults:
    """The whole: pairs of methods, agreement over all questions (by left, same, right), and the side that is chosen.

    `left` is the share of the left one among answers for a side: 0.5 where the side makes no difference.
    """

    pairs: tuple[PairResult, ...]
    agreement: Agreement
    people: int
    answers: int
    complete: int
    questions: int
    answers_wanted: int
    left: Estimate | None
    seconds: float | None
    seed: int
    study: str

    def to_json(self) -> dict[str, Any]:
        """As the document `relsim.study_results/1`."""
        return {
            "schema": SCHEMA,
            "study": self.study,
            "people": self.people,
            "answers": self.answers,
            "questions": self.questions,
            "complete": self.complete,
            "answers_wanted": self.answers_wanted,
            "median_seconds": self.seconds,
            "left": None if self.left is None else self.left.to_json(),
            "agreement": self.agreement.to_json(),
            "pairs": [pair.to_json() for pair in self.pairs],
            "seed": self.seed,
        }

    def rows(self) -> list[list[str]]:
        """The readable table, header first."""
        rows = [["first", "95 % interval", "same", "second", "95 % interval", "answers", "alpha", "first : second"]]
        for pair in self.pairs:
            name = f"{pair.first} : {pair.second}"
            if not pair.shares:
                rows.append(["", "", "", "", "", "0", "", name])
                continue
            first, same, second = (pair.shares[share] for share in _SHARES)
            alpha = "" if pair.agreement.alpha is None else f"{pair.agreement.alpha:.2f}"
            rows.append(
                [
                    *(_percent(first), _range(first), _percent(same), _percent(second), _range(second)),
                    *(f"{sum(pair.counts):,}", alpha, name),
                ]
            )
        return rows


def study_results(
    study: Study, answers: Sequence[Answer], *, seed: int = 0, resamples: int = RESAMPLES
) -> StudyResults:
    """Count answers to the questions of a study. The same answers and seed give the same intervals."""
    grouped = by_question(answers)
    pairs = tuple(_pair(study, number, grouped, seed=seed, resamples=resamples) for number in range(len(study.pairs)))
    tables = {question_id: _by_side(some) for question_id, some in grouped.items()}
    sides = [table[[0, 2]] for table in tables.values() if table[0] + table[2]]
    lefts = [float(side[0] / side.sum()) for side in sides]
    measured = [answer.seconds for answer in answers if answer.seconds is not None]
    return StudyResults(
        pairs,
        _agreement(study, {question_id: [answer.choice for answer in some] for question_id, some in grouped.items()}),
        len({answer.person for answer in answers}),
        len(answers),
        sum(len(some) >= study.answers_wanted for some in grouped.values()),
        len(study.questions),
        study.answers_wanted,
        bootstrap_mean(lefts, seed=seed, resamples=resamples) if lefts else None,
        median(measured) if measured else None,
        seed,
        study.digest,
    )


def _pair(study: Study, number: int, grouped: Mapping[str, list[Answer]], *, seed: int, resamples: int) -> PairResult:
    first, second = study.pairs[number]
    mine = [question for question in study.questions if question.methods == {first, second}]
    chosen = {
        question.question_id: [
            _choice(answer, swapped=question.left.method == second) for answer in grouped[question.question_id]
        ]
        for question in mine
        if question.question_id in grouped
    }
    table = np.array([_counts(some) for some in chosen.values()], np.int64).reshape(-1, 3)
    shares: dict[str, Estimate] = {}
    if len(table):
        within = table / table.sum(axis=1, keepdims=True)
        shares = {
            name: bootstrap_mean(within[:, place], seed=seed, resamples=resamples) for place, name in enumerate(_SHARES)
        }
    won, same, lost = (int(count) for count in table.sum(axis=0))
    return PairResult(
        first, second, len(mine), len(chosen), (won, same, lost), shares, _agreement(study, chosen), study.same[number]
    )


def _choice(answer: Answer, *, swapped: bool) -> str:
    """The answer with the first method of the pair as if it stood on the left."""
    return {"left": "right", "right": "left"}.get(answer.choice, "same") if swapped else answer.choice


def _agreement(study: Study, chosen: Mapping[str, Sequence[str]]) -> Agreement:
    wanted = study.answers_wanted
    enough = [_counts(some[:wanted]) for some in chosen.values() if len(some) >= wanted]
    several = [_counts(some) for some in chosen.values() if len(some) >= 2]
    kappa = fleiss_kappa(enough) if enough and wanted >= 2 else None
    return Agreement(kappa, len(enough) if wanted >= 2 else 0, krippendorff_alpha(several), len(several))


def _by_side(answers: Sequence[Answer]) -> NDArray[np.int64]:
    return np.array(_counts([answer.choice for answer in answers]), np.int64)


def _counts(choices: Sequence[str]) -> list[int]:
    return [sum(one == choice for one in choices) for choice in CHOICES]


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} %"


def _range(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
