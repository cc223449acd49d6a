"""Results: retrieval runs, what each method found for each query, and the pictures of both."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from relsim.web.images_api import THUMBNAIL, Side, thumbnail_of
from relsim.web.results import JUDGE, Results, Run
from relsim.web.state import State

router = APIRouter(prefix="/api/results", tags=["results"])

MOST_QUERIES = 100
Number = Annotated[int, Path(ge=0, le=10_000, description="Number of the run.")]


class _Form(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RunName(_Form):
    """A run: the end of its file's path, and what it holds."""

    name: str
    methods: list[str]
    queries: int
    judged: bool


class Match(_Form):
    """A picture that a method found; `score` is the method's own, `judged` a judge's, where there is one."""

    id: str
    rank: int
    score: float
    label: str | None
    relevant: bool | None
    judged: float | None


class QueryScores(_Form):
    """A query, and by measure a score for each method, in the order of the run's methods."""

    id: str
    label: str | None
    scores: dict[str, list[float | None]]


class Overview(BaseModel):
    """A run without its matches. `unmatched` counts scores of the judge that belong to other pictures than are here."""

    name: str
    methods: list[str]
    measures: list[str]
    means: dict[str, list[float | None]]
    judge: str | None
    unmatched: int
    queries: list[QueryScores]


class Answers(BaseModel):
    """Matches of a query, best first, for each method in the order of the run's methods."""

    query: int
    matches: list[list[Match]]


@router.get("")
async def runs(request: Request) -> list[RunName]:
    """The runs that are here, in their order."""
    return [
        RunName(name=run.name, methods=list(run.methods), queries=len(run.queries), judged=JUDGE in run.measures)
        for run in _results(request).runs
    ]


@router.get("/{number}")
async def overview(request: Request, number: Number) -> Overview:
    """A run: its methods, its measures, and the scores of every query."""
    state: State = request.app.state.relsim
    run = _run(request, number)
    return await state.worked("results", lambda: overview_of(run))


@router.get("/{number}/matches")
async def matches(
    request: Request,
    number: Number,
    queries: Annotated[
        str, Query(pattern=r"^\d{1,9}(,\d{1,9})*$", max_length=1_200, description="Places of queries, as 0,3,4.")
    ],
) -> list[Answers]:
    """What each method found for some queries."""
    run = _run(request, number)
    places = [int(place) for place in queries.split(",")]
    if len(places) > MOST_QUERIES:
        raise HTTPException(422, f"at most {MOST_QUERIES} queries at once")
    if any(place >= len(run.queries) for place in places):
        raise HTTPException(404, f"this run has {len(run.queries):,} queries")
    state: State = request.app.state.relsim
    return await state.worked("results", lambda: [answers_of(run, place) for place in places])


@router.get("/{number}/thumbnail", **THUMBNAIL)
async def thumbnail(
    request: Request,
    number: Number,
    image_id: Annotated[str, Query(alias="id", max_length=1_000, description="Id of a query or a match of the run.")],
    side: Side = 192,
) -> Response:
    """A small picture of a query or a match, as WebP."""
    state: State = request.app.state.relsim
    record = _results(request).picture(_run(request, number), image_id, state.library.record)
    if record is None:
        raise HTTPException(404, "the picture is neither in the collection nor in the folder of images")
    return await thumbnail_of(request, record, side)


def overview_of(run: Run) -> Overview:
    """A run as the page is told of it."""
    return Overview(
        name=run.name,
        methods=list(run.methods),
        measures=list(run.measures),
        means={measure: list(run.means(measure)) for measure in run.measures},
        judge=run.judge,
        unmatched=run.unmatched,
        queries=[QueryScores.model_validate(query) for query in run.queries],
    )


def answers_of(run: Run, place: int) -> Answers:
    """What each method found for the query at a place."""
    found = run.queries[place].matches
    return Answers(query=place, matches=[[Match.model_validate(one) for one in some] for some in found])


def _results(request: Request) -> Results:
    results: Results | None = request.app.state.relsim.extras.results
    if results is None:
        raise HTTPException(404, "this server was started without results")
    return results


def _run(request: Request, number: int) -> Run:
    found = _results(request).runs
    if number >= len(found):
        raise HTTPException(404, f"there are {len(found)} runs here, counted from 0")
    return found[number]
