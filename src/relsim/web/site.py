"""A static site: the page itself with answers of its API that were recorded, so that it opens from a disk.

Files are what a browser takes from `file://`: classic scripts of data, pictures, and one page that holds the modules,
because modules in files of their own, and data that is fetched, are refused there.

    index.html       the page and its modules
    app.css, icon.svg
    data/index.js    which file holds which answer, and which picture is which
    data/0.js …      answers, loaded when they are needed
    pictures/        thumbnails, named by their bytes

What needs a model or a server is left out: pictures and sentences of one's own. Nothing tells where an image lies.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI

from relsim.errors import RelsimError
from relsim.files import drafted_folder
from relsim.web.app import STATIC, create_app
from relsim.web.extras import Extras
from relsim.web.library import Library
from relsim.web.models import Models
from relsim.web.results import Results

SIDES = {"small": 192, "large": 384}
_PAGE = 200  # images in an answer, as the page asks for them
_CHUNK = 2**20  # characters of a file of answers, about
_STOPS = ("0", "0.5", "1")
_SCALES = ("published", "raw", "percentile")
_WAIT = 0.2  # seconds between questions whether the map is done
_IMPORT = re.compile(r'(from |import\(|import )"\./([\w-]+)\.js"')


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """How much of a collection goes into a site: matches of a picture, pictures with a space, pictures in a space."""

    matches: int = 24
    spaces: int = 100
    points: int = 200


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """What was written. `missing` counts pictures that cannot be shown."""

    images: int
    runs: int
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
    options: SiteOptions | None = None,
    tick: Callable[[], None] = lambda: None,
) -> SiteSummary:
    """Write the site of a collection and of retrieval runs into a new folder, whole or not at all.

    `tick` is called once for each image and each query of a run. Raises `RelsimError`.
    """
    if out.exists():
        raise RelsimError(f"{out} is there already; name a folder that is not")
    app = create_app(library, models, extras=Extras(results=results))
    try:
        with drafted_folder(out) as draft:
            site = _Site(draft, app, options or SiteOptions(), tick)
            asyncio.run(site.write(library, results))
        return SiteSummary(
            len(library),
            len(results.runs) if results else 0,
            site.spaces,
            len(site.files),
            site.missing,
            sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        )
    except OSError as error:
        raise RelsimError(f"{out} cannot be written: {(error.strerror or str(error)).lower()}") from error


class _Site:
    """Asks the application, and writes what it answers."""

    def __init__(self, folder: Path, app: FastAPI, options: SiteOptions, tick: Callable[[], None]) -> None:
        self._folder, self._app, self._options, self._tick = folder, app, options, tick
        self._chunk: dict[str, str] = {}
        self._size = self._chunks = self.spaces = self.missing = 0
        self._places: dict[str, int] = {}
        self._pictures: dict[str, str] = {}
        self.files: set[str] = set()

    async def write(self, library: Library, results: Results | None) -> None:
        for name in ("data", "pictures"):
            (self._folder / name).mkdir()
        async with self._app.router.lifespan_context(self._app):
            collection = await self._json("/api/collection", {})
            await self._record_collection(library)
            if results is not None:
                await self._record_results(results)
        self._close_chunk()
        about = {
            "collection": {**collection, "sentences": False, "limits": {**collection["limits"], "upload_bytes": 0}},
            "page": _PAGE,
            "stops": self._stops(library),
            "spaces": self.spaces,
            "places": self._places,
            "pictures": self._pictures,
        }
        text = f"globalThis.relsimSite = {_json(about)};\nrelsimSite.answers = {{}};\n"
        (self._folder / "data" / "index.js").write_text(text, encoding="utf-8")
        for name in ("app.css", "icon.svg"):
            shutil.copyfile(STATIC / name, self._folder / name)
        (self._folder / "index.html").write_text(_page(), encoding="utf-8")

    def _stops(self, library: Library) -> list[str]:
        return ["0.5"] if library.look is None else list(_STOPS)

    async def _record_collection(self, library: Library) -> None:
        for start in range(0, len(library), _PAGE):
            await self._record("/api/images", {"start": start, "count": _PAGE})
        for place, image_id in enumerate(library.ids):
            for stop in self._stops(library):
                asked = {"id": image_id, "blend": stop}
                await self._record("/api/search", asked, count=self._options.matches)
            if library.look is not None and len(library) > 1 and place < self._options.spaces:
                self.spaces += 1
                for scale in _SCALES:
                    await self._record("/api/space", {"id": image_id, "scale": scale}, sample=self._options.points)
            await self._keep("/api/thumbnail", image_id)
            self._tick()
        # The map is made by a thread that tells how far it is only when it is asked.
        while (await self._ask("/api/map", {}))[0] == 202:  # noqa: ASYNC110 - see above
            await asyncio.sleep(_WAIT)
        await self._record("/api/map", {})

    async def _record_results(self, results: Results) -> None:
        await self._record("/api/results", {})
        for number, run in enumerate(results.runs):
            place = f"/api/results/{number}"
            await self._record(place, {})
            ids: dict[str, None] = {}
            for at, query in enumerate(run.queries):
                await self._record(f"{place}/matches", {"queries": at})
                ids |= dict.fromkeys([query.id, *(match.id for some in query.matches for match in some)])
                self._tick()
            for image_id in ids:
                await self._keep(f"{place}/thumbnail", image_id)

    async def _record(self, path: str, asked: Mapping[str, Any], **more: Any) -> None:
        """Keep an answer under what the page asks; `more` is asked besides."""
        status, body = await self._ask(path, {**asked, **more})
        answer = body.decode() if status == 200 else _json({"refused": json.loads(body)["detail"], "status": status})
        key = _json([path, sorted([name, str(value)] for name, value in asked.items())])
        self._places[key] = self._chunks
        self._chunk[key] = answer
        self._size += len(key) + len(answer)
        if self._size > _CHUNK:
            self._close_chunk()

    def _close_chunk(self) -> None:
        lines = ",\n".join(f"{_json(key)}: {answer}" for key, answer in self._chunk.items())
        text = f"Object.assign(relsimSite.answers, {{\n{lines}\n}});\n"
        (self._folder / "data" / f"{self._chunks}.js").write_text(text, encoding="utf-8")
        self._chunk, self._size = {}, 0
        self._chunks += 1

    async def _keep(self, path: str, image_id: str) -> None:
        """Keep the thumbnails of a picture; a picture that cannot be shown has none."""
        for name, side in SIDES.items():
            status, body = await self._ask(path, {"id": image_id, "side": side})
            if status != 200:
                self.missing += 1
                return
            file = f"{hashlib.sha256(body).hexdigest()[:24]}.webp"
            if file not in self.files:
                (self._folder / "pictures" / file).write_bytes(body)
                self.files.add(file)
            self._pictures[_json([path, image_id, name])] = file

    async def _json(self, path: str, asked: Mapping[str, Any]) -> Any:
        return json.loads((await self._ask(path, asked))[1])

    async def _ask(self, path: str, asked: Mapping[str, Any]) -> tuple[int, bytes]:
        """Status and body of an answer of the application."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(asked).encode(),
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 0),
        }
        told: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            told.append(message)

        await self._app(scope, receive, send)
        return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


def _page() -> str:
    """The page with its modules inside, each as an address of data that the others name."""
    modules = {path.stem: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js"))}
    modules["api"] = modules.pop("site-api")
    imports = {f"relsim/{name}": _address(_IMPORT.sub(r'\1"relsim/\2"', text)) for name, text in modules.items()}
    scripts = (
        '<script src="data/index.js"></script>\n'
        f'<script type="importmap">{_json({"imports": imports})}</script>\n'
        '<script type="module">import "relsim/main";</script>\n</head>'
    )
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    page = re.sub(r'<link rel="modulepreload".*\n|<script type="module".*\n', "", page)
    page = re.sub(r"; the same answers are at <code>.*?</code>", "", page)
    return page.replace('"/static/', '"').replace("</head>", scripts)


def _address(module: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(module.encode()).decode()}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
