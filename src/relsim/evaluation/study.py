"""A study: people see a query and what two methods found first for it, and say which works more alike, or neither.

`study.json` (schema `relsim.study/1`) holds the questions: which method stands on the left is drawn by the seed, and
each of two methods stands there in half of their questions, or one more. People never see the methods' names. Where
both methods found the same picture, or duplicates by id, there is nothing to ask; those are counted. The answers are in
an SQLite file beside it (see `relsim.evaluation.study_answers`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from relsim.data.shuffling import permutation
from relsim.errors import ResultError
from relsim.evaluation.result_files import Ranked, Ranking, ResultFile, require, write_json

SCHEMA = "relsim.study/1"
ANSWERS_WANTED = 3
INSTRUCTION = (
    "Which of the two pictures works more like the one above: the same logic, layout or idea, whatever it shows and "
    "whatever its colours? If both or neither, say same."
)
_QUERIES, _SIDES, _ORDER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a question, and for a match the method that found it."""

    image_id: str
    path: str
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and a match on the left and on the right. The id follows from all three and the methods."""

    question_id: str
    query: Shown
    left: Shown
    right: Shown

    @property
    def methods(self) -> frozenset[str | None]:
        """The two methods."""
        return frozenset((self.left.method, self.right.method))


@dataclass(frozen=True, slots=True)
class Study:
    """Questions in the order in which they are asked first, and what they were made from.

    `same` counts the queries of each two methods for which both found the same picture.
    """

    questions: tuple[Question, ...]
    pairs: tuple[tuple[str, str], ...]
    same: tuple[int, ...]
    answers_wanted: int = ANSWERS_WANTED
    seed: int = 0
    sources: tuple[str, ...] = ()
    instruction: str = INSTRUCTION

    @property
    def digest(self) -> str:
        """SHA-256 of the questions: answers belong to exactly these."""
        text = json.dumps([asdict(question) for question in self.questions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As the document `relsim.study/1`."""
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "answers_wanted": self.answers_wanted,
            "sources": list(self.sources),
            "instruction": self.instruction,
            "pairs": [
                {"first": first, "second": second, "same_picture": same}
                for (first, second), same in zip(self.pairs, self.same, strict=True)
            ],
            "questions": [
                {
                    "question_id": question.question_id,
                    "query": {"image_id": question.query.image_id, "path": question.query.path},
                    "left": asdict(question.left),
                    "right": asdict(question.right),
                }
                for question in self.questions
            ],
        }


def new_study(
    found: Mapping[str, Sequence[Ranking]],
    *,
    against: str | None = None,
    queries: int | None = None,
    answers_wanted: int = ANSWERS_WANTED,
    seed: int = 0,
    sources: Sequence[str] = (),
) -> Study:
    """Questions about every two methods, or about `against` and each other one (then that is the first of each pair).

    Of each two methods the queries that both answered are asked, or `queries` of them that have a question, drawn by
    the seed. Raises `ResultError` for fewer than two methods, or where there is nothing to ask.
    """
    if answers_wanted < 1 or (queries is not None and queries < 1):
        raise ResultError("a study needs at least 1 question for each two methods and 1 answer for each question")
    if against is not None and against not in found:
        raise ResultError(f"there is no method {against}; there are {', '.join(found)}")
    if len(found) < 2:
        raise ResultError(f"a study compares methods, and these files hold {', '.join(found) or 'none'}")
    if against is None:
        pairs = list(combinations(found, 2))
    else:
        pairs = [(against, other) for other in found if other != against]
    firsts = {method: _firsts(rankings) for method, rankings in found.items()}
    questions, same = [], []
    for number, pair in enumerate(pairs):
        asked, alike = _of_pair(pair, (firsts[pair[0]], firsts[pair[1]]), queries, seed, number)
        questions += asked
        same.append(alike)
    if not questions:
        raise ResultError("there is nothing to ask: no query was answered by two methods with different pictures")
    order = permutation(seed, _number(_ORDER, 0), len(questions)).tolist()
    shuffled = tuple(questions[place] for place in order)
    return Study(shuffled, tuple(pairs), tuple(same), answers_wanted, seed, tuple(sources))


def write_study(path: Path, study: Study) -> None:
    """Write `study.json`, whole or not at all. Raises `ResultError`."""
    write_json(path, study.to_json())


def read_study(path: Path) -> Study:
    """Read `study.json`. Raises `ResultError`."""
    return study_of(require(path, "study"))


def study_of(result: ResultFile) -> Study:
    """The study of a file. Raises `ResultError`."""
    content = result.content
    try:
        questions = tuple(
            Question(
                str(row["question_id"]),
                Shown(row["query"]["image_id"], row["query"]["path"]),
                Shown(**row["left"]),
                Shown(**row["right"]),
            )
            for row in content["questions"]
        )
        pairs = tuple((row["first"], row["second"]) for row in content["pairs"])
        same = tuple(int(row["same_picture"]) for row in content["pairs"])
        study = Study(
            questions, pairs, same, int(content["answers_wanted"]), int(content["seed"]), tuple(content["sources"]),
            content["instruction"],
        )  # fmt: skip
        _check(study)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{result.path} is no study: {type(error).__name__} {error}") from error
    return study


def _check(study: Study) -> None:
    known = {frozenset(pair) for pair in study.pairs}
    if len({question.question_id for question in study.questions}) < len(study.questions):
        raise ValueError("a question_id stands there twice")
    if any(question.methods not in known for question in study.questions):
        raise ValueError("a question is about two methods that are no pair")


def merged(runs: Sequence[dict[str, list[Ranking]]]) -> dict[str, list[Ranking]]:
    """The methods of several retrieval files. Raises `ResultError` for a name that two of them have."""
    found: dict[str, list[Ranking]] = {}
    for run in runs:
        for name, rankings in run.items():
            if name in found:
                raise ResultError(f"two files hold a method {name}; each must have a name of its own")
            found[name] = rankings
    return found


def _firsts(rankings: Sequence[Ranking]) -> dict[str, tuple[Ranking, Ranked]]:
    return {ranking.query_id: (ranking, ranking.matches[0]) for ranking in rankings if ranking.matches}


def _of_pair(
    pair: tuple[str, str],
    firsts: tuple[dict[str, tuple[Ranking, Ranked]], dict[str, tuple[Ranking, Ranked]]],
    wanted: int | None,
    seed: int,
    number: int,
) -> tuple[list[Question], int]:
    """The questions about two methods, and for how many queries both found the same picture."""
    common = sorted(firsts[0].keys() & firsts[1].keys())
    different = [name for name in common if firsts[0][name][1].image_id != firsts[1][name][1].image_id]
    order = permutation(seed, _number(_QUERIES, number), len(different)).tolist()
    drawn = [different[place] for place in order[:wanted]]
    swapped = permutation(seed, _number(_SIDES, number), len(drawn)).tolist()
    questions = []
    for place, name in enumerate(drawn):
        ranking = firsts[0][name][0]
        matches = [
            Shown(match.image_id, match.path, method)
            for method, (_, match) in zip(pair, (firsts[0][name], firsts[1][name]), strict=True)
        ]
        # The places are a permutation of 0 to n - 1, so half of them are odd.
        left, right = reversed(matches) if swapped[place] % 2 else matches
        query = Shown(ranking.query_id, ranking.query_path)
        questions.append(Question(_id(query, left, right), query, left, right))
    return questions, len(common) - len(different)


def _id(query: Shown, left: Shown, right: Shown) -> str:
    text = json.dumps([query.image_id, left.method, left.image_id, right.method, right.image_id])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _number(what: int, pair: int) -> int:
    """A stream of random numbers of its own for each use and pair."""
    return 3 * pair + what
