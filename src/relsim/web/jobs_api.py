"""Jobs: what can be started, what goes on, and how far it is, also as a stream of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter

from relsim.errors import RelsimError
from relsim.web.batching import BusyError
from relsim.web.job_board import Job, JobState, Verb
from relsim.web.jobs import JobConflictError, Jobs, UnknownJobError
from relsim.web.state import State

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

MOST_STREAMS = 64
_UNUSABLE, _CONFLICT = 422, 409
_PERIOD, _SILENCE = 0.5, 15.0  # seconds between two looks, and after which a stream shows that it lives


class JobFailures(BaseModel):
    """Images that share a status and a reason."""

    status: str
    reason: str
    count: int


class JobForm(BaseModel):
    """A job as it is now. Counts are of images, `rate` is images a second; None is what nobody knows.

    States: `running`; `elsewhere`, in a process that this server did not start; `finished`; `cancelled`; `failed`, for
    the reason in `message`; `ended`, with an earlier server; `idle`, a table or download that nobody writes.
    """

    name: str
    verb: Verb
    source: str | None
    axis: str | None
    state: JobState
    done: int
    total: int | None
    failed: int
    failures: list[JobFailures] = Field(description="The most frequent ones.")
    rate: float | None
    seconds_left: float | None
    started: str | None
    ended: str | None
    message: str | None
    resumable: bool


class SourceForm(BaseModel):
    """What can be embedded, or embedded and downloaded."""

    name: str
    verbs: list[Verb]


class Board(BaseModel):
    """All jobs, and what further ones can be made of. `axes` are those of the collection, whose encoders embed."""

    jobs: list[JobForm]
    sources: list[SourceForm]
    axes: list[str]


class Wanted(BaseModel):
    """What to do with which source; `axis` says with which encoder to embed."""

    verb: Verb
    source: str = Field(max_length=4_096)
    axis: Literal["relation", "look"] | None = None


JobName = Annotated[str, Path(max_length=4_096, description="A job by its name.")]
_FORMS = TypeAdapter(list[JobForm])


@router.get("")
async def board(request: Request) -> Board:
    """All jobs, and what can be started."""
    jobs, state = _jobs(request), request.app.state.relsim
    sources = await state.worked("jobs", jobs.sources)
    return Board(
        jobs=[_form(job) for job in await jobs.look()],
        sources=[SourceForm(name=source.name, verbs=list(source.verbs)) for source in sources],
        axes=list(jobs.encoders),
    )


@router.post("", status_code=201)
async def start(request: Request, wanted: Wanted) -> JobForm:
    """Begin a job, or go on with the one of the same name: it runs `relsim embed` or `relsim download`."""
    jobs = _jobs(request)
    return await _answered(request, lambda: jobs.start(wanted.verb, wanted.source, wanted.axis))


@router.post("/{name}/cancel")
async def cancel(request: Request, name: JobName) -> JobForm:
    """Interrupt a job; what is finished is kept. Answers when it has ended."""
    jobs = _jobs(request)
    return await _answered(request, lambda: jobs.cancel(name))


@router.post("/{name}/resume")
async def resume(request: Request, name: JobName) -> JobForm:
    """Go on with a job that was started here."""
    jobs = _jobs(request)
    return await _answered(request, lambda: jobs.resume(name))


_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "jobs"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"type": "array", "items": {"$ref": "#/components/schemas/JobForm"}},
        },
    },
}


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"itemSchema": _EVENT}}}},
)
async def events(request: Request) -> StreamingResponse:
    """All jobs as a server-sent event `jobs`, at once and whenever something has changed; it ends with the server."""
    jobs, state = _jobs(request), request.app.state.relsim
    if state.streams >= MOST_STREAMS:
        raise BusyError("jobs")
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_told(state, jobs), media_type="text/event-stream", headers=headers)


async def _told(state: State, jobs: Jobs) -> AsyncIterator[bytes]:
    state.streams += 1
    try:
        before, spoke = b"", time.monotonic()
        while not state.ending.begun:
            now = _FORMS.dump_json([_form(job) for job in await jobs.look()])
            if now != before:
                yield b"event: jobs\ndata: " + now + b"\n\n"
                before, spoke = now, time.monotonic()
            elif time.monotonic() - spoke > _SILENCE:
                yield b": still here\n\n"
                spoke = time.monotonic()
            await asyncio.sleep(_PERIOD)
    finally:
        state.streams -= 1


def _form(job: Job) -> JobForm:
    facts = asdict(job)
    progress = facts.pop("progress")
    progress.pop("busy")
    return JobForm(**facts, **progress)


async def _answered(request: Request, work: Callable[[], Awaitable[Job]]) -> JobForm:
    """A job, or why there is none, as an answer."""
    state: State = request.app.state.relsim
    try:
        async with state.lines["jobs"]:
            return _form(await work())
    except UnknownJobError as error:
        raise HTTPException(404, str(error)) from error
    except JobConflictError as error:
        raise HTTPException(_CONFLICT, str(error)) from error
    except RelsimError as error:
        raise HTTPException(_UNUSABLE, str(error)) from error


def _jobs(request: Request) -> Jobs:
    state: State = request.app.state.relsim
    if state.extras.jobs is None:
        raise HTTPException(404, "no jobs are run here; start the server with --jobs")
    return state.extras.jobs
