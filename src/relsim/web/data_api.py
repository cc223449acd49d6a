"""Lists of images: rows by filter, what the linter finds in captions, corrections by people, the corrected list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import islice
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from relsim.captions.anonymity import Verdict, check
from relsim.data.curation.corrections import LONGEST_CAPTION, InUseError, OutOfDateError
from relsim.data.identity import printable
from relsim.data.manifest import row_line
from relsim.data.records import ImageRecord
from relsim.errors import SourceError
from relsim.web.batching import BusyError
from relsim.web.data_forms import (
    LARGEST,
    Changed,
    Checked,
    Correction,
    Found,
    Listed,
    Row,
    Rows,
    Summary,
    TakeBack,
    Wanted,
)
from relsim.web.datasets import Dataset, Facets, Filter
from relsim.web.images_api import THUMBNAIL, Side, thumbnail_of
from relsim.web.library import Library
from relsim.web.state import State, Work

router = APIRouter(prefix="/api/data", tags=["data"])

MOST_DOWNLOADS = 8
_LINES_AT_ONCE = 500
_UNUSABLE, _STALE, _IN_USE, _NOT_STORED = 422, 409, 423, 507
_Result = TypeVar("_Result")


Number = Annotated[int, Query(ge=0, le=LARGEST)]
Caption = Annotated[str, Query(max_length=LONGEST_CAPTION, description="A caption.")]


@router.get("")
async def lists(request: Request) -> list[Listed]:
    """The lists that are shown here."""
    found = _state(request).extras.data
    return [Listed(name=name, rows=len(data), kind=data.inventory.kind) for name, data in found.items()]


@router.get("/lint")
async def lint(caption: Caption) -> Checked:
    """Whether a caption is anonymous, and what speaks against it."""
    verdict = check(caption)
    return Checked(anonymous=verdict.ok, findings=_findings(verdict))


@router.get("/{name}")
async def summary(request: Request, name: str) -> Summary:
    """What a list holds, and by what its rows can be filtered."""
    data, library = _named(request, name), _state(request).library
    return await _worked(request, "lists", lambda: summary_of(library, data, data.facets()))


@router.get("/{name}/rows")
async def rows(request: Request, name: str, asked: Annotated[Wanted, Query()]) -> Rows:
    """Rows that pass all filters."""
    data, library = _named(request, name), _state(request).library
    wanted = Filter(
        **asked.model_dump(include={"text", "status", "anonymous", "finding", "captioned", "corrected", "group"}),
        group_sizes=(asked.smallest, asked.largest),
        lengths=(asked.shortest, asked.longest),
    )

    def work() -> Rows:
        found = data.find(wanted)
        shown = [row_of(library, data, row) for row in found[asked.start : asked.start + asked.count]]
        return Rows(total=len(found), start=asked.start, rows=shown)

    return await _worked(request, "lists", work)


@router.get("/{name}/row")
async def one(request: Request, name: str, row: Number) -> Row:
    """One row by its number."""
    data, library = _named(request, name), _state(request).library
    number = _numbered(data, row)

    def work() -> Row:
        data.corrections.refresh()
        return row_of(library, data, number)

    return await _worked(request, "lists", work)


@router.get("/{name}/picture", **THUMBNAIL)
async def picture(request: Request, name: str, row: Number, side: Side = 192) -> Response:
    """A small picture of a row's image, as WebP."""
    data = _named(request, name)
    record = _picture(_state(request).library, data, _numbered(data, row))
    if record is None:
        raise HTTPException(404, "this row has no picture here")
    return await thumbnail_of(request, record, side)


@router.get("/{name}/changes")
async def changes(request: Request, name: str, row: Number) -> list[Changed]:
    """All changes of a row's caption, the first one first."""
    data = _named(request, name)
    number = _numbered(data, row)

    def work() -> list[Changed]:
        data.corrections.refresh()
        return changes_of(data, number)

    return await _worked(request, "lists", work)


@router.post("/{name}/changes", status_code=201)
async def correct(request: Request, name: str, change: Correction) -> Row:
    """Correct a caption; the answer comes when it is on the disk. 409: somebody else was first; 423: another server."""
    data, library = _named(request, name), _state(request).library
    number = _numbered(data, change.row)

    def work() -> Row:
        data.corrections.change(number, change.caption, was=change.was, who=change.who, now=_now())
        return row_of(library, data, number)

    return await _worked(request, "corrections", work)


@router.post("/{name}/undo", status_code=201)
async def undo(request: Request, name: str, change: TakeBack) -> Row:
    """Take back the last change of a caption that stands, as far as what the list says."""
    data, library = _named(request, name), _state(request).library
    number = _numbered(data, change.row)

    def work() -> Row:
        data.corrections.undo(number, who=change.who, now=_now())
        return row_of(library, data, number)

    return await _worked(request, "corrections", work)


@router.get(
    "/{name}/corrected.jsonl",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
async def corrected(request: Request, name: str) -> Response:
    """The whole list as a manifest, with the captions as they stand now."""
    data, state = _named(request, name), _state(request)
    if state.downloads >= MOST_DOWNLOADS:
        raise BusyError("downloads")
    await _worked(request, "lists", data.corrections.refresh)
    headers = {"content-disposition": f'attachment; filename="{data.name.encode("ascii", "replace").decode()}.jsonl"'}
    return StreamingResponse(_lines(state, data), media_type="application/x-ndjson", headers=headers)


async def _lines(state: State, data: Dataset) -> AsyncIterator[bytes]:
    rows = enumerate(data.corrections.corrected(), start=1)

    def some() -> bytes:
        return b"".join(row_line(row, number) for number, row in islice(rows, _LINES_AT_ONCE))

    state.downloads += 1
    try:
        while piece := await asyncio.to_thread(some):
            yield piece
    finally:
        state.downloads -= 1


async def _worked(request: Request, kind: Work, work: Callable[[], _Result]) -> _Result:
    """The result of work in a thread, its errors as answers."""
    try:
        return await _state(request).worked(kind, work)
    except OutOfDateError as error:
        raise HTTPException(_STALE, str(error)) from error
    except InUseError as error:
        raise HTTPException(_IN_USE, str(error)) from error
    except SourceError as error:
        full = isinstance(error.__cause__, OSError)
        raise HTTPException(_NOT_STORED if full else _UNUSABLE, str(error)) from error


def _state(request: Request) -> State:
    state: State = request.app.state.relsim
    return state


def _named(request: Request, name: str) -> Dataset:
    found = _state(request).extras.data.get(name)
    if found is None:
        raise HTTPException(404, "no list of that name is shown here; start the server with --data")
    return found


def _numbered(data: Dataset, row: int) -> int:
    if row >= len(data):
        raise HTTPException(404, f"this list has {len(data):,} rows, counted from 0")
    return row


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _picture(library: Library, data: Dataset, row: int) -> ImageRecord | None:
    """The picture of a row: its own, or that of the collection which has its id."""
    return data.record(row) or library.record(data.items[row].image_id)


def _has_picture(library: Library, data: Dataset, row: int) -> bool:
    """Whether `_picture` has one, without reading what the collection knows of it."""
    return data.record(row) is not None or data.items[row].image_id in library


def _findings(verdict: Verdict | None) -> list[Found]:
    found = () if verdict is None else verdict.findings
    return [Found(start=item.start, end=item.end, kind=item.kind, word=item.word) for item in found]


def summary_of(library: Library, data: Dataset, facets: Facets) -> Summary:
    """What the rows hold that were counted: all, or the first ones."""
    pictures = sum(_has_picture(library, data, row) for row in range(facets.rows))
    return Summary(name=data.name, pictures=pictures, **asdict(facets))


def changes_of(data: Dataset, row: int) -> list[Changed]:
    """All changes of a row's caption, the first one first."""
    return [
        Changed(old=change.old, new=change.new, who=change.who, when=change.when, undo=change.undo)
        for change in data.corrections.history(row)
    ]


def row_of(library: Library, data: Dataset, row: int) -> Row:
    """A row as it stands, by its number."""
    item, verdict = data.items[row], data.verdict(row)
    return Row(
        row=row,
        id=printable(item.image_id),
        caption=data.caption(row),
        listed=item.clean_caption,
        anonymous=None if verdict is None else verdict.ok,
        findings=_findings(verdict),
        link=_link(item.clean_url),
        group=item.group,
        group_size=data.group_size(row),
        status=data.status(row),
        reason=item.reason,
        width=item.width,
        height=item.height,
        picture=_has_picture(library, data, row),
        changes=len(data.corrections.history(row)),
    )


def _link(url: str | None) -> str | None:
    """The address if a browser may open it: of http or https, and nothing that runs."""
    try:
        return url if url and urlsplit(url).scheme.lower() in ("http", "https") else None
    except ValueError:
        return None
