"""Why two pictures are alike: where the model looks, what the score depends on, and the captions near both."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from relsim.errors import ImageError, SearchError
from relsim.web.explaining import Shown, question_near
from relsim.web.search_api import ImageId, UploadToken, asked, told
from relsim.web.state import State

router = APIRouter(prefix="/api", tags=["search"])


class ExplainedPicture(BaseModel):
    """One of two pictures; its maps cover the part that the model sees."""

    width: int
    height: int
    seen: tuple[float, float, float, float] = Field(description="left, top, right, bottom as shares of the sides")
    attention: list[list[float]] = Field(description="rows of cells, as multiples of an even spread")
    occlusion: list[list[float]] = Field(description="rows of cells: falls of the similarity; below 0 it rose")
    agreement: float | None = Field(description="rank correlation of the two maps")
    caption: str | None = Field(description="of an image of the collection, where one is known")
    sentence: str | None = Field(description="the captioner's, where there is one")
    names: list[str] = Field(description="what makes the sentence not anonymous")


class Reasons(BaseModel):
    """Scores with percentiles, the query and then the other picture, and the nearest of `captions` captions."""

    relation: float
    relation_percentile: float | None
    look: float | None
    look_percentile: float | None
    pictures: tuple[ExplainedPicture, ExplainedPicture]
    shared: list[str]
    first: list[str]
    second: list[str]
    captions: int


@router.get("/explain")
async def explain(
    request: Request,
    other: Annotated[str, Query(max_length=4_096, description="An image of the collection.")],
    image_id: ImageId = None,
    upload: UploadToken = None,
) -> Reasons:
    """Why an image of the collection is like the query, another one or a received picture.

    It takes seconds, so few may wait at once. Of a received picture it is the kept one, at most 384 pixels long, that
    is looked into.
    """
    state: State = request.app.state.relsim
    kind, name, question = await asked(state, image_id, upload, None, 0.5, 1)
    kept = state.uploads.get(name) if kind == "upload" else None
    query = Shown(None if kept else name, kept.thumbnail if kept else None, question_near(question))
    _, _, asked_other = await asked(state, other, None, None, 0.5, 1)
    try:
        why = await state.why(query, Shown(other, None, question_near(asked_other)))
    except SearchError as error:
        raise HTTPException(422, str(error)) from error
    except ImageError as error:
        raise HTTPException(404, f"a picture cannot be read: {told(error)}") from error
    return Reasons.model_validate(asdict(why))
