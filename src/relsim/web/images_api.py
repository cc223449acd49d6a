"""The collection itself: what it is, its images page by page, and small pictures of them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel

from relsim._version import __version__
from relsim.data.records import ImageRecord
from relsim.errors import ImageError
from relsim.web.search_api import LONGEST_SENTENCE, MOST_RESULTS, ImageId, UploadToken, known, told
from relsim.web.state import State
from relsim.web.thumbnails import MEDIA_TYPE, SIDES

router = APIRouter(prefix="/api", tags=["images"])

MOST_LISTED = 1_000
_KEPT_FOR = "private, max-age=86400"
THUMBNAIL: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": {MEDIA_TYPE: {}}}}}
"""How a route that answers with a thumbnail is described."""
Side = Annotated[int, Query(description=f"Longest side in pixels: one of {SIDES}.")]


class Axis(BaseModel):
    """What made the vectors of an axis."""

    encoder: str
    checkpoint: str | None
    dimension: int


class Axes(BaseModel):
    """The axes of a collection; `look` is None where it has one axis."""

    relation: Axis
    look: Axis | None


class Limits(BaseModel):
    """How much may be asked at once."""

    upload_bytes: int
    upload_pixels: int
    results: int
    sentence: int


class Collection(BaseModel):
    """What is served. `sentences` tells whether sentences can be searched for, `offers` what there is beside it."""

    name: str
    version: str
    images: int
    captions: int
    sentences: bool
    offers: list[str]
    axes: Axes
    limits: Limits


class Listed(BaseModel):
    """An image of the collection and its caption, where one is known."""

    id: str
    caption: str | None


class Page(BaseModel):
    """A part of the images in their order, and how many there are in all."""

    total: int
    start: int
    images: list[Listed]


@router.get("/collection")
async def collection(request: Request) -> Collection:
    """What is served here, and how much may be asked."""
    state: State = request.app.state.relsim
    given = state.settings
    return Collection(
        version=__version__,
        sentences=state.models.reads_sentences,
        offers=state.extras.offered,
        limits=Limits(
            upload_bytes=given.max_upload_bytes,
            upload_pixels=given.max_upload_pixels,
            results=MOST_RESULTS,
            sentence=LONGEST_SENTENCE,
        ),
        **state.about,
    )


@router.get("/images")
async def images(
    request: Request,
    start: Annotated[int, Query(ge=0, le=2**31, description="Place of the first, counted from 0.")] = 0,
    count: Annotated[int, Query(ge=1, le=MOST_LISTED, description="How many.")] = 100,
) -> Page:
    """Images of the collection in its order."""
    library = request.app.state.relsim.library
    some = library.ids[start : start + count]
    listed = [Listed(id=image_id, caption=library.caption(image_id)) for image_id in some]
    return Page(total=len(library), start=start, images=listed)


@router.get("/thumbnail", **THUMBNAIL)
async def thumbnail(
    request: Request,
    image_id: ImageId = None,
    upload: UploadToken = None,
    side: Side = 192,
) -> Response:
    """A small picture of an image of the collection, or of a received one, as WebP."""
    state: State = request.app.state.relsim
    _check_side(side)
    if upload is not None:
        kept = state.uploads.get(upload)
        if kept is None:
            raise HTTPException(404, "that picture is no longer here; bring it again")
        return _picture(request, kept.thumbnail)
    if image_id is None:
        raise HTTPException(422, "name an image by id or upload")
    record = state.library.record(known(state, image_id))
    assert record is not None  # noqa: S101 - it is known
    return await thumbnail_of(request, record, side)


async def thumbnail_of(request: Request, record: ImageRecord, side: int) -> Response:
    """The answer with a small picture of a record's image. Raises `HTTPException`."""
    state: State = request.app.state.relsim
    _check_side(side)
    try:
        data = await state.thumbnails.of(record, side)
    except ImageError as error:
        raise HTTPException(404, f"the picture cannot be shown: {told(error)}") from error
    return _picture(request, data)


def _check_side(side: int) -> None:
    if side not in SIDES:
        raise HTTPException(422, f"thumbnails come with sides of {', '.join(map(str, SIDES))} pixels")


def _picture(request: Request, data: bytes) -> Response:
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    headers = {"etag": tag, "cache-control": _KEPT_FOR}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=MEDIA_TYPE, headers=headers)
