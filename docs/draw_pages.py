"""Draw the pictures of the page: each view of a real server, light and dark, on a wide window and on a telephone.

    python docs/draw_pages.py --all FOLDER [--only NAME ...]
    python docs/draw_pages.py

The first writes every view to a folder, for looking at; the second writes those of docs/web.md to docs/pictures, in few
colours: some alone, and all on a sheet for each width and scheme. It needs Chromium. The collection is drawn; lists, a
run and a study are made of it, and a person has answered.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from relsim.data.manifest import ManifestRow, write_manifest
from relsim.demo.collection import DrawnCollection, drawn_collection
from relsim.evaluation.result_files import Ranked, Ranking
from relsim.evaluation.retrieval import run_retrieval
from relsim.evaluation.retrieval_choice import RetrievalSettings
from relsim.evaluation.retrieval_files import write_run
from relsim.evaluation.study import new_study, write_study
from relsim.vectors.table import VectorTable
from relsim.web.library import Library
from relsim.web.sitting import Sitting

PICTURES = Path(__file__).with_name("pictures")
SCENES, COLOURS = 258, 256
WIDTHS = {"wide": (1440, 900), "narrow": (360, 780)}
SHOWN = ("search-wide-light", "space-wide-light", "results-wide-light", "data-wide-light")
SHEETS = {"wide": (2, 720), "narrow": (5, 300)}
"""How many views stand side by side on a sheet, and how wide each is, in pixels."""
MARGIN, MARGIN_COLOUR = 12, (128, 128, 128)


def views(query: str) -> dict[str, tuple[str, str]]:
    """Places of the page by name, each with what is there when it is ready."""
    asked = quote(query)
    return {
        "start": ("", ".card img"),
        "search": (f"#/search?id={asked}&blend=1", ".card .bars"),
        "sentence": ("#/search?text=A+ring+of+{Objects}", ".card .bars"),
        "space": (f"#/space?id={asked}", "canvas"),
        "map": ("#/map", ".map-group"),
        "results": ("#/results", "main img"),
        "data": ("#/data", "main img"),
        "study": ("#/study", "main"),
        "study-results": ("#/study/results", "table"),
        "jobs": ("#/jobs", "main form"),
    }


def offered(folder: Path, library: Library, collection: DrawnCollection) -> list[str]:
    """Options of a server that shows everything: a list of pictures, a run of two methods, a study with answers."""
    records = list(library.records.values())
    rows = [ManifestRow(record.image_id, None, str(record.fields["caption"])) for record in records]
    rows[1] = replace(rows[1], caption="A ring of red carrots around a plate")
    write_manifest(folder / "pictures.jsonl", rows)
    (folder / "run").mkdir()
    (folder / "work").mkdir()
    tables = {"logic": VectorTable.open(collection.relation), "look": VectorTable.open(collection.look)}
    write_run(
        folder / "run",
        run_retrieval(records, tables, settings=RetrievalSettings(queries=30, top_k=6, resamples=100)),
    )

    def ranking(query: int, step: int) -> Ranking:
        hit = records[(20 + step * query) % len(records)]
        return Ranking(records[query].image_id, records[query].source, (Ranked(hit.image_id, hit.source, 0.5, 1),))

    runs = {name: [ranking(query, step) for query in range(1, 9)] for name, step in (("logic", 2), ("look", 5))}
    write_study(folder / "study.json", new_study(runs, answers_wanted=2, seed=3))
    sitting = Sitting.open(folder / "study.json")
    for number, question in enumerate(sitting.study.questions):
        for person in ("Ada", "Grace"):
            choice = ("left", "right", "same")[(number + len(person)) % 3]
            now = datetime.now(timezone.utc)
            sitting.answers.record_answer(question.question_id, person, choice, now=now, seconds=2.5)
    options = ["--data", "pictures.jsonl", "--results", "run", "--study", "study.json", "--jobs", "work"]
    return [option if option.startswith("--") else str(folder / option) for option in options]


@contextlib.contextmanager
def served(collection: DrawnCollection, options: list[str]) -> Iterator[str]:
    """The address of a running server."""
    command = [sys.executable, "-m", "relsim", "serve", str(collection.relation), "--attributes", str(collection.look)]
    command += ["--name", "drawn world", "--port", "0", *options]
    environment = {**os.environ, "RELSIM_CACHE": str(collection.relation.parents[1])}
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None  # noqa: S101 - it was asked for
        try:
            found = re.search(r"http://\S+", server.stdout.readline())
            if found is None:
                sys.exit("the server did not start; it says why above")
            yield found.group()
        finally:
            server.send_signal(signal.SIGINT)


def taken(browser: Browser, address: str, query: str, only: set[str]) -> Iterator[tuple[str, bytes]]:
    """Pictures of the views as PNG, by view, width and colours."""
    for width, (across, down) in WIDTHS.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": across, "height": down}, color_scheme=scheme)
            page = context.new_page()
            for view, (place, ready) in views(query).items():
                name = f"{view}-{width}-{scheme}"
                if only and name not in only:
                    continue
                page.goto("about:blank")
                page.goto(f"{address}/{place}")
                page.wait_for_selector(ready, timeout=180_000)
                with contextlib.suppress(Exception):  # a view that goes on asking is taken as it is
                    page.wait_for_load_state("networkidle", timeout=5_000)
                page.wait_for_timeout(600)
                yield name, page.screenshot()
            context.close()


def sheet(images: list[Image.Image], columns: int, width: int) -> Image.Image:
    """Pictures of one size side by side in rows."""
    height = round(images[0].height * width / images[0].width)
    rows = -(-len(images) // columns)
    size = (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    made = Image.new("RGB", size, MARGIN_COLOUR)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        place = (MARGIN + column * (width + MARGIN), MARGIN + row * (height + MARGIN))
        made.paste(image.resize((width, height), Image.Resampling.LANCZOS), place)
    return made


def keep(image: Image.Image, path: Path) -> None:
    """Write a picture in few colours."""
    few = image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # which keeps what is seldom
    few.save(path, optimize=True)


def main() -> None:
    """Make what is shown, serve it, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", metavar="FOLDER", type=Path)
    parser.add_argument("--only", metavar="NAME", nargs="+", help="with --all: views such as map-narrow-dark")
    given = parser.parse_args()
    if given.only and not given.all:
        parser.error("--only goes with --all")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("there is no Chromium on this machine; install one")
    out = given.all or PICTURES
    out.mkdir(parents=True, exist_ok=True)
    collection = drawn_collection(scenes=SCENES, triplets=4)
    library = Library.open(collection.relation, collection.look)
    query = next(name for name, record in library.records.items() if record.fields.get("relation") == "ring")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with served(collection, offered(Path(folder), library, collection)) as address:
            images = {
                name: Image.open(io.BytesIO(data)).convert("RGB")
                for name, data in taken(browser, address, query, set(given.only or ()))
            }
        browser.close()
    if given.all:
        for name, image in images.items():
            image.save(out / f"page-{name}.png")
        return
    for name in SHOWN:
        keep(images[name], out / f"page-{name}.png")
    for width, (columns, across) in SHEETS.items():
        for scheme in ("light", "dark"):
            chosen = [image for name, image in images.items() if name.endswith(f"-{width}-{scheme}")]
            keep(sheet(chosen, columns, across), out / f"pages-{width}-{scheme}.png")


if __name__ == "__main__":
    main()
