"""What a site without a server costs: time to write, bytes, and how soon its pages and searches are there in Chromium.

    python benchmarks/exported_site.py [--images 5000] [--rows 10000]

A collection of 100,000 random vectors over a few pictures and a list of 100,000 captions are cut to so many. The pages
are opened from the disk, with nothing in the browser's memory: until the first picture or row is there, until a search
in captions is answered for the first time (all rows are loaded) and once more.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors.table import VectorTable
from relsim.web.datasets import open_datasets
from relsim.web.library import Library
from relsim.web.site import SiteOptions, write_site

WHOLE, D, PICTURES, TIMES = 100_000, 32, 64, 5
WORDS = ("ring", "row", "growth", "{Objects}", "{Subject}", "inside", "around", "small", "red", "dog", "layers", "open")
SEARCH = """async (words) => {
  const told = document.querySelector(".told");
  const was = told.textContent;
  const began = performance.now();
  location.hash = `#/data?text=${words}`;
  while (told.textContent === was) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


def make_table(folder: Path) -> Path:
    """A table of random vectors whose ids all show one of a few pictures."""
    rng = np.random.default_rng(0)
    pictures = [folder / f"{number}.jpg" for number in range(PICTURES)]
    for path in pictures:
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize((1024, 768)).save(path)
    with VectorTable.create(folder / "table", Fingerprint.of({"encoder": "drawn"}), D) as table:
        records = [ImageRecord(f"image-{row:06d}", str(pictures[row % PICTURES])) for row in range(WHOLE)]
        vectors = rng.standard_normal((WHOLE, D), np.float32)
        table.append("all", records, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return folder / "table"


def make_list(folder: Path) -> Path:
    """A list of captions of 4 to 14 words."""
    chance = random.Random(0)  # noqa: S311 - a benchmark
    rows = (
        ManifestRow(
            f"{row:032x}", f"https://pictures.example/{row}.jpg", " ".join(chance.choices(WORDS, k=4 + row % 11))
        )
        for row in range(WHOLE)
    )
    write_manifest(folder / "captions.jsonl", rows)
    return folder / "captions.jsonl"


def opened(browser: Browser, address: str, ready: str) -> tuple[float, list[float]]:
    """Milliseconds until something is there, and, where that is a row, those of two searches."""
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(ready)
    shown = 1000 * (time.perf_counter() - began)
    searches = (
        [page.evaluate(SEARCH, words) for words in ("ring+dog", "growth+open")] if ready == "tr[data-row]" else []
    )
    page.close()
    return shown, searches


def main() -> None:
    """Write a site, open it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--rows", type=int, default=10_000)
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        parser.exit(1, "there is no Chromium on this machine; install one\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library, data = Library.open(make_table(folder)), open_datasets([make_list(folder)])
        began = time.perf_counter()
        made = write_site(
            folder / "site", library, data=data, options=SiteOptions(images=given.images, rows=given.rows)
        )
        print(f"written in {time.perf_counter() - began:.1f} s: {made}")
        index = (folder / "site" / "data" / "index.js").stat().st_size
        print(f"data/index.js: {index / 1000:,.0f} kB")
        address = (folder / "site" / "index.html").as_uri()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            pictures = [opened(browser, address, ".card img")[0] for _ in range(TIMES)]
            rows = [opened(browser, f"{address}#/data", "tr[data-row]") for _ in range(TIMES)]
            browser.close()
    print(f"first picture there after {statistics.median(pictures):.0f} ms")
    print(f"first row there after {statistics.median(one[0] for one in rows):.0f} ms")
    first, again = (statistics.median(one[1][place] for one in rows) for place in (0, 1))
    print(f"first search of {given.rows:,} captions {first:.0f} ms, the next {again:.0f} ms")


if __name__ == "__main__":
    main()
