"""Searching: by an image of the collection, by a picture that somebody brings, by an anonymous sentence."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from relsim.data.records import Status
from relsim.errors import ImageError, SearchError
from relsim.web.library import Neighbour, Question
from relsim.web.state import State
from relsim.web.uploads import TooLargeError, TooSlowError

router = APIRouter(prefix="/api", tags=["search"])

MOST_RESULTS = 500
LONGEST_SENTENCE = 500
_LEFT, _SLOW, _LARGE, _UNUSABLE = 400, 408, 413, 422


class Match(BaseModel):
    """An image that was found. Scores are cosine similarities, -1 to 1.

    Percentiles are shares of unrelated pairs that score less; null where the encoder has no scores of such pairs.
    """

    id: str
    rank: int
    relation: float
    look: float | None
    relation_percentile: float | None
    look_percentile: float | None
    caption: str | None


class Recall(BaseModel):
    """The share of the true k nearest that an index found when it was built, over a sample of rows."""

    k: int
    queries: int
    seed: int
    value: float
    lowest: float


class Path(BaseModel):
    """How it was searched: `kind` is exact or that of an index, `why` tells what is out of the ordinary."""

    kind: str
    by_index: int = Field(description="rows that were looked for in the index")
    exactly: int = Field(description="rows that were compared one by one")
    recall: Recall | None
    why: str | None


class Matches(BaseModel):
    """What a search found, best first. `blend` is None where only one axis could count."""

    kind: str = Field(description="image, upload or text")
    query: str
    caption: str | None = Field(description="of an image of the collection, where one is known")
    blend: float | None
    path: Path
    matches: list[Match]


class Uploaded(BaseModel):
    """A picture that was received; `upload` names it in later questions until it is given up for others."""

    upload: str
    width: int
    height: int


class Pair(BaseModel):
    """How alike two pictures are on either axis."""

    relation: float
    look: float | None
    relation_percentile: float | None
    look_percentile: float | None
    captions: tuple[str | None, str | None]


ImageId = Annotated[str | None, Query(alias="id", max_length=4_096, description="An image of the collection.")]
UploadToken = Annotated[str | None, Query(max_length=64, description="A picture that was received.")]
Sentence = Annotated[str | None, Query(max_length=LONGEST_SENTENCE, description="An anonymous sentence.")]


@router.get("/search", response_model=Matches)
async def search(
    request: Request,
    image_id: ImageId = None,
    upload: UploadToken = None,
    text: Sentence = None,
    blend: Annotated[
        float,
        Query(ge=0, le=1, description="0: same look; 0.5: same logic; 1: same logic, different look."),
    ] = 0.5,
    count: Annotated[int, Query(ge=1, le=MOST_RESULTS, description="How many images.")] = 60,
) -> Response:
    """The nearest images to an image of the collection, a received picture, or a sentence: exactly one of them."""
    state: State = request.app.state.relsim
    kind, name, question = await asked(state, image_id, upload, text, blend, count)
    found = await state.search(question)
    answer = {
        "kind": kind,
        "query": name,
        "caption": state.library.caption(name) if kind == "image" else None,
        "blend": blend if question.look is not None else None,
        "path": state.library.path(question).to_json(),
        "matches": [_match(state, hit) for hit in found],
    }
    # Written as it is: to make models of so many matches and to check them takes as long as to find them.
    return Response(to_json(answer), media_type="application/json")


@router.post(
    "/uploads",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def receive(request: Request) -> Uploaded:
    """Receive a picture (the body of the request is the file) and make it ready for searching."""
    state: State = request.app.state.relsim
    try:
        async with state.uploads.receive(request.stream()) as image:
            upload = await state.uploads.keep(image, await state.picture(image))
    except ClientDisconnect:
        raise HTTPException(_LEFT, "the picture did not arrive") from None  # nobody reads it, but it is counted
    except TooSlowError:
        raise HTTPException(_SLOW, "the picture did not arrive in time") from None
    except TooLargeError as error:
        raise HTTPException(_LARGE, str(error)) from None
    except ImageError as error:
        raise HTTPException(_UNUSABLE, f"this picture cannot be used: {told(error)}") from error
    return Uploaded(upload=upload.token, width=upload.width, height=upload.height)


@router.get("/pair")
async def pair(
    request: Request,
    first: Annotated[str, Query(max_length=4_096, description="An image of the collection.")],
    image_id: ImageId = None,
    upload: UploadToken = None,
) -> Pair:
    """Scores of an image of the collection with another one, or with a received picture."""
    state: State = request.app.state.relsim
    kind, name, question = await asked(state, image_id, upload, None, 0.5, 1)
    relation, look = state.library.vectors(known(state, first))
    alike = float(relation @ question.relation)
    looks = None if look is None or question.look is None else float(look @ question.look)
    return Pair(
        relation=alike,
        look=looks,
        relation_percentile=state.models.percentile("relation", alike),
        look_percentile=None if looks is None else state.models.percentile("look", looks),
        captions=(state.library.caption(first), state.library.caption(name) if kind == "image" else None),
    )


async def asked(
    state: State, image_id: str | None, upload: str | None, text: str | None, blend: float, count: int
) -> tuple[str, str, Question]:
    """What kind of query was given, how it is called, and the question it makes. Raises `HTTPException`."""
    if sum(given is not None for given in (image_id, upload, text)) != 1:
        raise HTTPException(_UNUSABLE, "ask with exactly one of id, upload and text")
    if image_id is not None:
        relation, look = state.library.vectors(known(state, image_id))
        return "image", image_id, Question(relation, look, count, blend, without=image_id)
    if upload is not None:
        kept = state.uploads.get(upload)
        if kept is None:
            raise HTTPException(404, "that picture is no longer here; bring it again")
        return "upload", upload, Question(kept.vectors.relation, kept.vectors.look, count, blend)
    sentence = (text or "").strip()
    if not sentence:
        raise HTTPException(_UNUSABLE, "a sentence has at least one word")
    try:
        return "text", sentence, Question(await state.sentence(sentence), None, count, blend)
    except SearchError as error:
        raise HTTPException(_UNUSABLE, str(error)) from error


def told(error: ImageError) -> str:
    """Why an image cannot be used, with its status."""
    return f"{error.reason} ({Status(error.status).value})"


def known(state: State, image_id: str) -> str:
    """The id itself, if the collection has it. Raises `HTTPException`."""
    if image_id not in state.library:
        raise HTTPException(404, "this collection has no image of that id")
    return image_id


def _match(state: State, hit: Neighbour) -> dict[str, Any]:
    """The fields of a `Match`."""
    percentile = state.models.percentile
    return {
        "id": hit.image_id,
        "rank": hit.rank,
        "relation": hit.relation,
        "look": hit.look,
        "relation_percentile": percentile("relation", hit.relation),
        "look_percentile": None if hit.look is None else percentile("look", hit.look),
        "caption": state.library.caption(hit.image_id),
    }
