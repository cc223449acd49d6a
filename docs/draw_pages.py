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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import ImageRecord
from relsim.demo.collection import DrawnCollection, drawn_collection
from relsim.evaluation.result_files import rankings, read_result
from relsim.evaluation.retrieval import run_retrieval
from relsim.evaluation.retrieval_choice import RetrievalSettings
from relsim.evaluation.retrieval_files import write_run
from relsim.evaluation.study import new_study, write_study
from relsim.vectors.table import VectorTable
from relsim.web.library import Library
from relsim.web.sitting import Sitting

PICTURES = Path(__file__).with_name("pictures")
SCENES, COLOURS = 258, 256
QUESTIONS = 12
JOB = 6_000  # pictures of the job that is shown: it must not end before it is seen
WIDTHS = {"wide": (1440, 900), "narrow": (360, 780)}
SHOWN = tuple(f"{view}-wide-light" for view in ("search", "why", "lasso", "results", "data"))
SHEETS = {"wide": (3, 600), "narrow": (8, 240)}
"""How many views stand side by side on a sheet, and how wide each is, in pixels."""
MARGIN, MARGIN_COLOUR = 12, (128, 128, 128)


def nothing(_: Page) -> None:
    """Look only."""


@dataclass(frozen=True, slots=True)
class View:
    """A place of the page, what is there when it is ready, what a person does there, and how they leave."""

    place: str
    ready: str
    act: Callable[[Page], None] = nothing
    leave: Callable[[Page], None] = nothing


def views(query: str) -> dict[str, View]:
    """Views by name."""
    asked = quote(query)
    search = f"#/search?id={asked}&blend=1"
    return {
        "start": View("", ".card img"),
        "search": View(search, ".card .bars"),
        "sentence": View("#/search?text=A+ring+of+{Objects}", ".card .bars"),
        "why": View(search, ".card .bars", why),
        "space": View(f"#/space?id={asked}", "canvas"),
        "lasso": View(f"#/space?id={asked}", "canvas", lasso, lambda page: page.keyboard.up("Shift")),
        "map": View("#/map", ".map-group", lambda page: page.wait_for_timeout(3_000)),  # its pictures come one by one
        "results": View("#/results", "main img"),
        "data": View("#/data", "main img"),
        "groups": View("#/data?show=groups", ".group img"),
        "review": View("#/data?row=1", "dialog .verdict"),
        "study": View("#/study", "main form"),
        "question": View("#/study", "main form", begin),
        "study-results": View("#/study/results", "table"),
        "jobs": View("#/jobs", "main form", start, cancel),
    }


def why(page: Page) -> None:
    """Compare the query with the first match, and ask why."""
    page.hover(".card")
    page.click(".card .beside")
    page.click("text=Why?")
    page.wait_for_selector(".heat", timeout=180_000)
    page.locator(".why h3").first.scroll_into_view_if_needed()
    page.locator("dialog").evaluate("dialog => dialog.scrollBy(0, 320)")


def lasso(page: Page) -> None:
    """Draw around what works alike and looks different."""
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    assert box is not None  # noqa: S101 - it is in view
    page.keyboard.down("Shift")
    rope = [(0.18, 0.2), (0.2, 0.07), (0.3, 0.055), (0.45, 0.06), (0.5, 0.2), (0.48, 0.45), (0.36, 0.48), (0.24, 0.42)]
    places = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in rope]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)


def begin(page: Page) -> None:
    """Give a name, and wait for the first question."""
    page.fill("#person", "Mary")
    page.keyboard.press("Enter")
    page.wait_for_function("() => [...document.querySelectorAll('.question img')].every(one => one.naturalWidth)")
    page.wait_for_selector(".question img")


def start(page: Page) -> None:
    """Start a job, or go on with it, and wait until it gets on."""
    page.select_option("#source", "photographs")
    page.click("main form button")
    page.wait_for_function("() => document.querySelector('.job.running .numbers')?.textContent.includes('left')")


def cancel(page: Page) -> None:
    """Cancel the job."""
    page.click("[data-does=cancel]")
    page.wait_for_selector(".job.cancelled", timeout=60_000)


def relation_of(record: ImageRecord) -> str:
    """Name of the relation that a drawn picture shows."""
    return str(record.fields["relation"])


def offered(folder: Path, library: Library, collection: DrawnCollection) -> list[str]:
    """Options of a server that shows everything: a list of pictures, a run of two methods, a study with answers."""
    records = list(library.records.values())
    groups = {relation: number for number, relation in enumerate(dict.fromkeys(map(relation_of, records)))}
    captions = {relation_of(record): str(record.fields["caption"]) for record in records}
    rows = [
        ManifestRow(record.image_id, None, captions[relation_of(record)], {"group": groups[relation_of(record)]})
        for record in records
    ]
    rows[1] = replace(rows[1], caption="A ring of red carrots around a plate")
    write_manifest(folder / "pictures.jsonl", rows)
    (folder / "run").mkdir()
    (folder / "work" / "photographs").mkdir(parents=True)
    for number in range(JOB):
        source = Path(records[number % len(records)].source)
        (folder / "work" / "photographs" / f"{number:05d}{source.suffix}").symlink_to(source)
    tables = {"logic": VectorTable.open(collection.relation), "look": VectorTable.open(collection.look)}
    write_run(
        folder / "run",
        run_retrieval(records, tables, settings=RetrievalSettings(queries=30, top_k=6, resamples=100)),
    )

    study = new_study(
        rankings(read_result(folder / "run" / "retrieval.json")), queries=QUESTIONS, answers_wanted=3, seed=3
    )
    write_study(folder / "study.json", study)
    sitting = Sitting.open(folder / "study.json")
    for number, question in enumerate(study.questions[:-2]):
        logic, look = ("left", "right") if question.left.method == "logic" else ("right", "left")
        for place, person in enumerate(("Ada", "Grace", "Emmy")):
            choice = (logic, logic, logic, look, "same")[(number + (place > 0 and number % 4 == 0)) % 5]
            now = datetime.now(timezone.utc)
            sitting.answers.record_answer(question.question_id, person, choice, now=now, seconds=2.5)
    options = ["--data", "pictures.jsonl", "--results", "run", "--study", "study.json", "--jobs", "work"]
    options.append("--study-results")
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
            for view, at in views(query).items():
                name = f"{view}-{width}-{scheme}"
                if only and name not in only:
                    continue
                page.goto("about:blank")
                page.goto(f"{address}/{at.place}")
                page.wait_for_selector(at.ready, timeout=180_000)
                with contextlib.suppress(Exception):  # a view that goes on asking is taken as it is
                    page.wait_for_load_state("networkidle", timeout=5_000)
                at.act(page)
                page.wait_for_timeout(600)
                yield name, page.screenshot()
                at.leave(page)
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
    # Maximum coverage keeps what is seldom; one step of k-means gives what is frequent its very colour back.
    few = image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
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
