"""The similarity space of a query: where pictures of the collection stand by look and by relation."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from relsim.figures.similarity_space import (
    SAMPLE,
    Scale,
    Space,
    SpaceSettings,
    axis_name,
    drawn_places,
    null_scores,
    space_of_drawn,
)
from relsim.figures.similarity_space import Query as Asked
from relsim.vectors.two_axis import TwoAxisHit
from relsim.web.library import Library, Question
from relsim.web.search_api import ImageId, UploadToken, asked
from relsim.web.state import State

router = APIRouter(prefix="/api", tags=["space"])

MOST_POINTS = SAMPLE


class SpaceAxis(BaseModel):
    """What an axis measures with, the least and greatest similarity on it, and whose share a percentile is."""

    name: str
    low: float
    high: float
    percentile_of: str


class SpacePoint(BaseModel):
    """A picture: its place, 0 to 1 on either axis, and its similarity to the query, -1 to 1, with percentiles."""

    id: str
    caption: str | None
    x: float
    y: float
    relation: float
    look: float
    relation_percentile: float
    look_percentile: float
    quadrant: str = Field(description="analogy, literal similarity, mere appearance or anomaly")


class SimilaritySpace(BaseModel):
    """A query and the pictures around it, best relation first. `collection` counts those they were drawn from."""

    kind: str = Field(description="image or upload")
    query: str
    caption: str | None = Field(description="of an image of the collection, where one is known")
    scale: Scale
    x: SpaceAxis = Field(description="look")
    y: SpaceAxis = Field(description="relation")
    collection: int
    points: list[SpacePoint]


@router.get("/space")
async def space(
    request: Request,
    image_id: ImageId = None,
    upload: UploadToken = None,
    scale: Annotated[
        Scale,
        Query(
            description="published: similarities stretched to 0 to 1; raw: the same places, similarities at the ticks; "
            "percentile: shares of less similar pictures."
        ),
    ] = "published",
    sample: Annotated[int, Query(ge=1, le=MOST_POINTS, description="How many pictures, drawn by a seed.")] = SAMPLE,
    seed: Annotated[int, Query(ge=0, lt=2**63, description="Which pictures are drawn.")] = 0,
) -> SimilaritySpace:
    """The similarity space of an image of the collection or of a received picture: exactly one of them."""
    state: State = request.app.state.relsim
    kind, name, question = await asked(state, image_id, upload, None, 0.5, 1)
    if question.look is None:
        raise HTTPException(422, "this collection has one axis; a similarity space needs that of looks as well")
    if len(state.library) == (1 if kind == "image" else 0):
        raise HTTPException(422, "there is no picture beside the query, so there is no space to show")
    settings = SpaceSettings(scale, sample, seed=seed)
    return await state.worked(
        "spaces", lambda: _told(state.library, kind, space_of(state.library, name, question, settings))
    )


def space_of(library: Library, name: str, question: Question, settings: SpaceSettings) -> Space:
    """The space of a question with vectors on both axes. Raises `ResultError` where nothing is beside the query."""
    tables = _tables(library)
    relation, look = library.scores(question)
    assert look is not None  # noqa: S101 - the question has a look, and so has the library
    rows = library.others(question.without)
    drawn = rows[drawn_places(len(rows), settings)]
    hits = [TwoAxisHit(library.ids[row], 0.0, float(relation[row]), float(look[row]), "", 0) for row in drawn]
    everything = look[rows].astype(np.float64), relation[rows].astype(np.float64)
    return space_of_drawn(Asked(name, ""), hits, everything, settings=settings, names=tables[0], nulls=tables[1])


@lru_cache(maxsize=4)
def _tables(library: Library) -> tuple[tuple[str, str], tuple[Any, Any]]:
    """Names of the axes of look and relation, and scores of unrelated pairs on them."""
    assert library.look is not None  # noqa: S101 - see `space_of`
    both = library.look, library.relation
    return (axis_name(both[0]), axis_name(both[1])), (null_scores(both[0]), null_scores(both[1]))


def _told(library: Library, kind: str, made: Space) -> SimilaritySpace:
    def axis(of: Any) -> SpaceAxis:
        return SpaceAxis(name=of.name, low=of.low, high=of.high, percentile_of=of.percentile_of)

    return SimilaritySpace(
        kind=kind,
        query=made.query.value,
        caption=library.caption(made.query.value) if kind == "image" else None,
        scale=made.settings.scale,
        x=axis(made.x),
        y=axis(made.y),
        collection=made.collection,
        points=[
            SpacePoint(
                id=point.image_id,
                caption=library.caption(point.image_id),
                x=point.x,
                y=point.y,
                relation=point.relational,
                look=point.attribute,
                relation_percentile=point.relational_percentile,
                look_percentile=point.attribute_percentile,
                quadrant=point.quadrant,
            )
            for point in made.points
        ],
    )
