"""A static site: the page itself with answers of its API that were recorded, so that it opens from a disk.

Files are what a browser takes from `file://`: classic scripts of data, pictures, and one page that holds the modules,
because modules in files of their own, and data that is fetched, are refused there.

    index.html       the page and its modules
    app.css, icon.svg
    data/index.js    which file holds which answer, which picture is which, and what each list holds
    data/0.js …      answers, loaded when they are needed
    data/list-…      rows of lists (`relsim.web.site_lists`)
    pictures/        thumbnails, named by their bytes

What needs a model or a server is left out: pictures and sentences of one's own, corrections. Of a collection, and of
a list, the first images and rows are taken, as many as the options say; the page and the summary tell of the rest.
Nothing tells where an image lies.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from relsim.errors import RelsimError
from relsim.files import drafted_folder
from relsim.web.app import STATIC, create_app
from relsim.web.datasets import Dataset
from relsim.web.extras import Extras
from relsim.web.library import Library
from relsim.web.models import Models
from relsim.web.results import Results
from relsim.web.site_files import Pictures, answer, json_of, write_script
from relsim.web.site_lists import CHUNK, folds, write_list
from relsim.web.site_sample import first_images

logger = logging.getLogger(__name__)

_PAGE = 200  # images in an answer, as the page asks for them
_CHUNK = 2**20  # characters of a file of answers, about
_STOPS = ("0", "0.5", "1")
_SCALES = ("published", "raw", "percentile")
_WAIT = 0.2  # seconds between questions whether the map is done
_IMPORT = re.compile(r'(from |import\(|import )"\./([\w-]+)\.js"')


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """How much goes into a site.

    The first images of the collection, matches of a picture, pictures with a space, pictures in a space, and the first
    rows of each list.
    """

    images: int = 5_000
    matches: int = 24
    spaces: int = 100
    points: int = 200
    rows: int = 10_000


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """What was written, and what was not: images and rows beyond the options; `missing` pictures cannot be shown."""

    images: int
    images_left_out: int
    runs: int
    lists: int
    rows: int
    rows_left_out: int
    spaces: int
    pictures: int
    missing: int
    bytes: int


def write_site(
    out: Path,
    library: Library,
    *,
    models: Models | None = None,
    results: Results | None = None,
    data: Mapping[str, Dataset] | None = None,
    options: SiteOptions | None = None,
    tick: Callable[[], None] = lambda: None,
) -> SiteSummary:
    """Write the site of a collection, of retrieval runs and of lists into a new folder, whole or not at all.

    `tick` is called once for each image, each query of a run and each row of a list. Raises `RelsimError`.
    """
    if out.exists():
        raise RelsimError(f"{out} is there already; name a folder that is not")
    given, extras = options or SiteOptions(), Extras(data=data or {}, results=results)
    try:
        with drafted_folder(out) as draft, first_images(library, given.images) as sample:
            site = _Site(draft, given, tick)
            asyncio.run(site.write(library, sample, models or Models(library), extras))
        rows = sum(found["listed"]["rows"] for found in site.lists)
        return SiteSummary(
            images=len(sample),
            images_left_out=len(library) - len(sample),
            runs=len(results.runs) if results else 0,
            lists=len(site.lists),
            rows=rows,
            rows_left_out=sum(map(len, extras.data.values())) - rows,
            spaces=site.spaces,
            pictures=len(site.pictures.files),
            missing=site.pictures.missing,
            bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        )
    except OSError as error:
        raise RelsimError(f"{out} cannot be written: {(error.strerror or str(error)).lower()}") from error


class _Site:
    """Asks the application, and writes what it answers."""

    def __init__(self, folder: Path, options: SiteOptions, tick: Callable[[], None]) -> None:
        (folder / "data").mkdir()
        self._folder, self._options, self._tick = folder, options, tick
        self._chunk: dict[str, str] = {}
        self._size = self._chunks = self.spaces = 0
        self._places: dict[str, int] = {}
        self._files: dict[str, list[str]] = {}
        self.pictures = Pictures(folder / "pictures")
        self.lists: list[dict[str, Any]] = []

    async def write(self, library: Library, sample: Library, models: Models, extras: Extras) -> None:
        """Write all of it: `sample` is what is shown of the library."""
        await _load(models)
        app = create_app(library, models, extras=extras)
        async with app.router.lifespan_context(app):
            keep = partial(self.pictures.keep, app)
            for number, data in enumerate(extras.data.values()):
                place = self._folder / "data" / f"list-{number}"
                rows = self._options.rows
                self.lists.append(await write_list(place, library, data, most=rows, keep=keep, tick=self._tick))
            if extras.results is not None:
                await self._record_results(app, extras.results)
            about = json.loads((await answer(app, "/api/collection", {}))[1])
            if sample is library:
                await self._record_collection(app, library)
        if sample is not library:
            app = create_app(sample, models)
            async with app.router.lifespan_context(app):
                about |= {"images": len(sample), "captions": sample.about()["captions"]}
                await self._record_collection(app, sample)
        self._close_chunk()
        about |= {"whole": len(library), "sentences": False, "limits": {**about["limits"], "upload_bytes": 0}}
        self._write_index(about, _stops(library))
        for name in ("app.css", "icon.svg"):
            shutil.copyfile(STATIC / name, self._folder / name)
        (self._folder / "index.html").write_text(_page(), encoding="utf-8")

    def _write_index(self, about: Mapping[str, Any], stops: list[str]) -> None:
        index = {
            "collection": about,
            "page": _PAGE,
            "stops": stops,
            "spaces": self.spaces,
            "places": self._places,
            "pictures": self._files,
            "lists": self.lists,
            "chunk": CHUNK,
            "folds": folds() if self.lists else {},
        }
        text = f"globalThis.relsimSite = {json_of(index)};\nrelsimSite.answers = {{}};\nrelsimSite.rows = {{}};\n"
        write_script(self._folder / "data" / "index.js", text)

    async def _record_collection(self, app: FastAPI, library: Library) -> None:
        for start in range(0, len(library), _PAGE):
            await self._record(app, "/api/images", {"start": start, "count": _PAGE})
        for place, image_id in enumerate(library.ids):
            await self._record_search(app, image_id, _stops(library))
            if library.look is not None and len(library) > 1 and place < self._options.spaces:
                self.spaces += 1
                for scale in _SCALES:
                    asked = {"id": image_id, "scale": scale}
                    await self._record(app, "/api/space", asked, sample=self._options.points)
            await self._keep(app, "/api/thumbnail", image_id)
            self._tick()
        # The map is made by a thread that tells how far it is only when it is asked.
        while (await answer(app, "/api/map", {}))[0] == 202:  # noqa: ASYNC110 - see above
            await asyncio.sleep(_WAIT)
        await self._record(app, "/api/map", {})

    async def _record_results(self, app: FastAPI, results: Results) -> None:
        await self._record(app, "/api/results", {})
        for number, run in enumerate(results.runs):
            place = f"/api/results/{number}"
            await self._record(app, place, {})
            ids: dict[str, None] = {}
            for at, query in enumerate(run.queries):
                await self._record(app, f"{place}/matches", {"queries": at})
                ids |= dict.fromkeys([query.id, *(match.id for some in query.matches for match in some)])
                self._tick()
            for image_id in ids:
                await self._keep(app, f"{place}/thumbnail", image_id)

    async def _record_search(self, app: FastAPI, image_id: str, stops: list[str]) -> None:
        """Keep what is most like an image at each stop of the slider as one answer, so that the index names it once."""
        asked = {"id": image_id, "count": self._options.matches}
        found = [await self._told(app, "/api/search", {**asked, "blend": stop}) for stop in stops]
        self._put("/api/search", {"id": image_id}, "{" + ",".join(map('"{}":{}'.format, stops, found)) + "}")

    async def _record(self, app: FastAPI, path: str, asked: Mapping[str, Any], **more: Any) -> None:
        """Keep an answer under what the page asks; `more` is asked besides."""
        self._put(path, asked, await self._told(app, path, {**asked, **more}))

    async def _told(self, app: FastAPI, path: str, asked: Mapping[str, Any]) -> str:
        status, body = await answer(app, path, asked)
        return body.decode() if status == 200 else json_of({"refused": json.loads(body)["detail"], "status": status})

    def _put(self, path: str, asked: Mapping[str, Any], told: str) -> None:
        key = json_of([path, sorted([name, str(value)] for name, value in asked.items())])
        self._places[key] = self._chunks
        self._chunk[key] = told
        self._size += len(key) + len(told)
        if self._size > _CHUNK:
            self._close_chunk()

    def _close_chunk(self) -> None:
        lines = ",\n".join(f"{json_of(key)}: {told}" for key, told in self._chunk.items())
        text = f"Object.assign(relsimSite.answers, {{\n{lines}\n}});\n"
        write_script(self._folder / "data" / f"{self._chunks}.js", text)
        self._chunk, self._size = {}, 0
        self._chunks += 1

    async def _keep(self, app: FastAPI, path: str, image_id: str) -> None:
        """Keep the thumbnails of a picture under the path that the page asks."""
        self._files[json_of([path, image_id])] = await self.pictures.keep(app, path, {"id": image_id})


async def _load(models: Models) -> None:
    """Load the models where they alone know percentiles: an answer that is recorded before has none."""
    if models.percentile("relation", 0.0) is not None:
        return
    try:
        await asyncio.to_thread(models.warm_up)
    except RelsimError as error:
        logger.warning("no percentiles beside scores: %s", error)


def _stops(library: Library) -> list[str]:
    return ["0.5"] if library.look is None else list(_STOPS)


def _page() -> str:
    """The page with its modules inside, each as an address of data that the others name."""
    modules = {path.stem: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js"))}
    modules["api"] = modules.pop("site-api")
    imports = {f"relsim/{name}": _address(_IMPORT.sub(r'\1"relsim/\2"', text)) for name, text in modules.items()}
    scripts = (
        '<script src="data/index.js"></script>\n'
        f'<script type="importmap">{json_of({"imports": imports})}</script>\n'
        '<script type="module">import "relsim/main";</script>\n</head>'
    )
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    page = re.sub(r'<link rel="modulepreload".*\n|<script type="module".*\n', "", page)
    page = re.sub(r"; the same answers are at <code>.*?</code>", "", page)
    return page.replace('"/static/', '"').replace("</head>", scripts)


def _address(module: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(module.encode()).decode()}"
