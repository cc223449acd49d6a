"""The application: routes, the guard before them, the page itself."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from relsim._version import __version__
from relsim.errors import RelsimError
from relsim.web import (
    data_api,
    explain_api,
    images_api,
    jobs_api,
    map_api,
    results_api,
    search_api,
    space_api,
    study_api,
)
from relsim.web.batching import BusyError
from relsim.web.extras import Extras
from relsim.web.guard import Guard
from relsim.web.library import Library
from relsim.web.metrics import Watch
from relsim.web.models import Models
from relsim.web.settings import ServerSettings
from relsim.web.state import State

STATIC = Path(str(files("relsim.web").joinpath("static")))
_READ = ["GET", "HEAD"]
_COME_BACK = "1"  # seconds
logger = logging.getLogger(__name__)


class Refusal(BaseModel):
    """Why there is no other answer. Values that are not as the document says are told one by one."""

    detail: str | list[dict[str, Any]] = Field(description="What is wrong, and what would have been acceptable.")


_REFUSED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "It cannot be asked so, by you, or now."},
    503: {"model": Refusal, "description": "What it needs is not there, such as a model that cannot be loaded."},
    507: {"model": Refusal, "description": "It could not be kept."},
}


def create_app(
    library: Library,
    models: Models | None = None,
    settings: ServerSettings | None = None,
    extras: Extras | None = None,
) -> FastAPI:
    """The page and the API of a library, and of what is offered beside it, as an ASGI application."""
    given = settings or ServerSettings()
    state = State(library, models or Models(library), given, extras)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with state:
            yield

    # The interactive pages of FastAPI load scripts from elsewhere; the document itself is at /api/openapi.json.
    app = FastAPI(
        title="relsim",
        version=__version__,
        summary="Relational visual similarity: images that work alike, whatever they look like.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=_REFUSED,
        lifespan=lifespan,
    )
    app.state.relsim = state
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(RelsimError, _lacking)
    for part in (search_api, explain_api, images_api, space_api, map_api, data_api, results_api, study_api, jobs_api):
        app.include_router(part.router)

    @app.api_route("/healthz", methods=_READ, include_in_schema=False)
    async def healthy() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.api_route("/metrics", methods=_READ, include_in_schema=False)
    async def metrics() -> Response:
        state.count_waiting()
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.api_route("/", methods=_READ, include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    # The last one added is the first to see a request: what is refused is counted, too.
    app.add_middleware(Guard, settings=given, ending=state.ending)
    app.add_middleware(Watch, metrics=state.metrics)
    return app


async def _unfit(_: Request, error: Any) -> Response:
    """What is wrong with each value, without the value itself: not all that JSON can hold can be sent back."""
    told = [{name: one[name] for name in ("type", "loc", "msg")} for one in error.errors()]
    body = json.dumps({"detail": told}, default=str)  # ASCII alone, half characters included
    return Response(body, status_code=422, media_type="application/json")


async def _lacking(_: Request, error: Any) -> JSONResponse:
    logger.warning("not answered: %s", error)
    return JSONResponse({"detail": f"this cannot be answered here: {type(error).__name__}"}, status_code=503)


async def _busy(request: Request, error: Any) -> JSONResponse:
    request.app.state.relsim.metrics.refused.labels(str(error)).inc()
    detail = f"too many questions wait ({error}); ask again in a moment"
    return JSONResponse({"detail": detail}, status_code=429, headers={"retry-after": _COME_BACK})
