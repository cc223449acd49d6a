"""The map of the collection: made when it is first asked for, told how far it is meanwhile."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field

from relsim.web.mapping import STEPS
from relsim.web.state import State

router = APIRouter(prefix="/api", tags=["map"])


class MapGroup(BaseModel):
    """Pictures that belong together; (x, y) is where the one nearest to their middle is.

    `label` is the anonymous caption of the picture nearest to the middle that has one, null where none near it has.
    """

    label: str | None
    size: int
    x: float
    y: float
    nearest: list[str] = Field(description="ids of the pictures nearest to the middle, the nearest first")


class CollectionMap(BaseModel):
    """The i-th picture of the collection has `ids[i]`, stands at (`x[i]`, `y[i]`), 0 to 1, in group `group[i]`."""

    schema_name: str = Field(alias="schema")
    ids: list[str]
    x: list[float]
    y: list[float]
    group: list[int]
    groups: list[MapGroup] = Field(description="the largest first")


class Making(BaseModel):
    """How far the map is: the step that is under way, counted from 1, what it does, and seconds since the start."""

    step: int
    steps: int
    doing: str
    seconds: float


@router.get("/map", responses={200: {"model": CollectionMap}, 202: {"model": Making}}, response_model=None)
async def collection_map(request: Request) -> Response:
    """The map of the collection; 202 while it is made, which the first who asks starts."""
    state: State = request.app.state.relsim
    maker = state.map
    document = maker.ask()
    if document is not None:
        return Response(document, media_type="application/json")
    if maker.failure is not None:
        raise HTTPException(500, f"the map cannot be made ({maker.failure})")
    making = Making(step=maker.step + 1, steps=len(STEPS), doing=STEPS[maker.step], seconds=round(maker.seconds, 1))
    return Response(making.model_dump_json(), 202, media_type="application/json")
