"""A study: the next question for a person, their answers, and what all answers come to. Methods are never named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from relsim.errors import ResultError
from relsim.evaluation.study_results import study_results
from relsim.web.images_api import THUMBNAIL, Side, thumbnail_of
from relsim.web.sitting import Sitting, picture_of
from relsim.web.state import State, Work

router = APIRouter(prefix="/api/study", tags=["study"])

_CLOSED, _UNUSABLE, _NOT_STORED = 403, 422, 507
_MOST_PASSED = 200
_Result = TypeVar("_Result")


class About(BaseModel):
    """What people are asked, how many questions there are, and how many answers each shall get."""

    instruction: str
    questions: int
    answers_wanted: int


class Turn(BaseModel):
    """What a person sees next. `then` is likely to come after it, so that its pictures can be loaded before."""

    question: str | None
    then: str | None
    answered: int = Field(description="Questions that this person has answered.")
    left: int = Field(description="Questions that this person may still answer.")


class Given(BaseModel):
    """An answer; a second one of a person to a question takes the place of the first."""

    question: str = Field(max_length=64)
    person: str = Field(min_length=1, max_length=200)
    choice: Literal["left", "same", "right"]
    seconds: float | None = Field(None, ge=0, le=1e6, description="From seeing the question to the answer.")
    passed: list[str] = Field(default_factory=list, max_length=_MOST_PASSED, description="Questions not to ask now.")


class Share(BaseModel):
    """A mean over questions, and its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


class Agreement(BaseModel):
    """How far people agree beyond chance, None where that is not defined, and on how many questions it rests."""

    fleiss_kappa: float | None
    fleiss_questions: int
    krippendorff_alpha: float | None
    krippendorff_questions: int


class PairOfMethods(BaseModel):
    """Two methods: answers by what was chosen, and shares; `same_picture` counts queries that were not asked."""

    first: str
    second: str
    asked: int
    questions: int
    answers: int
    counts: dict[str, int]
    shares: dict[str, Share] | None
    agreement: Agreement
    same_picture: int


class Results(BaseModel):
    """What all answers come to: the document relsim.study_results/1."""

    document: str = Field(alias="schema")
    study: str
    people: int
    answers: int
    questions: int
    complete: int
    answers_wanted: int
    median_seconds: float | None
    left: Share | None
    agreement: Agreement
    pairs: list[PairOfMethods]
    seed: int


Person = Annotated[str, Query(min_length=1, max_length=200, description="Whatever tells people apart.")]
Passed = Annotated[list[str] | None, Query(max_length=_MOST_PASSED, description="Questions not to ask now.")]


@router.get("")
async def about(request: Request) -> About:
    """What people are asked."""
    study = _sitting(request).study
    return About(instruction=study.instruction, questions=len(study.questions), answers_wanted=study.answers_wanted)


@router.get("/next")
async def following(request: Request, person: Person, passed: Passed = None) -> Turn:
    """The next question for a person: of those they have not answered, one that has the fewest answers."""
    sitting = _sitting(request)
    return await _worked(request, "study", lambda: _turn(sitting, person, passed or ()))


@router.post("/answers", status_code=201)
async def answer(request: Request, given: Given) -> Turn:
    """Keep an answer; when this is answered it is on the disk. The next question comes with it."""
    sitting = _sitting(request)

    def work() -> Turn:
        now = datetime.now(timezone.utc)
        sitting.answers.record_answer(given.question, given.person, given.choice, now=now, seconds=given.seconds)
        return _turn(sitting, given.person, given.passed)

    return await _worked(request, "study", work)


@router.get("/picture", **THUMBNAIL)
async def picture(
    request: Request,
    question: Annotated[str, Query(max_length=64, description="A question by its id.")],
    place: Literal["query", "left", "right"],
    side: Side = 384,
) -> Response:
    """A picture of a question, as WebP; its address tells nothing of the method that found it."""
    found = _sitting(request).question(question)
    if found is None:
        raise HTTPException(404, "this study has no question of that id")
    try:
        return await thumbnail_of(request, picture_of(found, place), side)
    except HTTPException as error:
        # The collection may have what has gone from where the study saw it.
        shown = {"query": found.query, "left": found.left, "right": found.right}[place]
        state: State = request.app.state.relsim
        kept = state.library.record(shown.image_id)
        if error.status_code != 404 or kept is None:
            raise
        return await thumbnail_of(request, kept, side)


@router.get("/results", response_model_by_alias=True)
async def results(request: Request) -> Results:
    """Shares of answers for each two methods with 95 % intervals, and agreement.

    While the study goes on, only where the server was told to show them: who knows what others chose is not blind.
    """
    sitting = _sitting(request)

    def work() -> dict[str, Any]:
        return study_results(sitting.study, sitting.answers.answers()).to_json()

    found = Results.model_validate(await _worked(request, "results", work))
    if not sitting.results and found.complete < found.questions:
        raise HTTPException(_CLOSED, "the study goes on, and its results are closed until all questions are answered")
    return found


def _turn(sitting: Sitting, person: str, passed: Sequence[str]) -> Turn:
    left = sitting.answers.questions_left(person)
    skipped = set(passed)
    names = [question.question_id for question in left if question.question_id not in skipped]
    first, then = [*names[:2], None, None][:2]
    return Turn(question=first, then=then, answered=sitting.answers.answered(person), left=len(names))


async def _worked(request: Request, kind: Work, work: Callable[[], _Result]) -> _Result:
    """The result of work in a thread, its errors as answers."""
    state: State = request.app.state.relsim
    try:
        return await state.worked(kind, work)
    except ResultError as error:
        stored = not isinstance(error.__cause__, sqlite3.Error)
        raise HTTPException(_UNUSABLE if stored else _NOT_STORED, str(error)) from error


def _sitting(request: Request) -> Sitting:
    state: State = request.app.state.relsim
    if state.extras.study is None:
        raise HTTPException(404, "no study is shown here; start the server with --study")
    return state.extras.study
