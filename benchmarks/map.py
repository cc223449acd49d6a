"""How many frames a second the map has while it is moved, in Chromium.

    python benchmarks/map.py [--points 100000] [--seconds 4]

A server shows a table of so many ids; its map is made here (24 clouds of points), since the layout does not matter. A
mouse holds the map, and each frame moves it some pixels on, at several zooms: at 1 all points are in sight. Counted
are the frames that the browser asks for (at most 60 a second), the waits between two, and the time that all processes
of the browser take of the processors for one, which says the same on a busy machine. There is no GPU.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import CDPSession, Page, sync_playwright

from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors.table import VectorTable

GROUPS, D = 24, 8
ZOOMS = (1, 2, 8, 40)
MOVED = """async ([x, y, seconds]) => {
  const canvas = document.querySelector("canvas");
  const times = [];
  const began = performance.now();
  for (let step = 0; performance.now() - began < 1000 * seconds; step++) {
    const place = { clientX: x + 120 * Math.sin(step / 20), clientY: y + 120 * Math.cos(step / 20) };
    const event = { pointerId: 1, pointerType: "mouse", bubbles: true, ...place };
    canvas.dispatchEvent(new PointerEvent("pointermove", event));
    times.push(await new Promise(requestAnimationFrame));
  }
  return times.slice(1).map((time, at) => time - times[at]);
}"""


def make_table(folder: Path, points: int) -> Path:
    """A table of random vectors whose ids all show one of a few pictures."""
    rng = np.random.default_rng(0)
    pictures = [folder / f"{number}.png" for number in range(8)]
    for number, path in enumerate(pictures):
        Image.effect_noise((96, 96), 20 * number).convert("RGB").save(path)
    with VectorTable.create(folder / "table", Fingerprint.of({"encoder": "drawn"}), D) as table:
        records = [ImageRecord(f"image-{row:06d}", str(pictures[row % len(pictures)])) for row in range(points)]
        vectors = rng.standard_normal((points, D), np.float32)
        table.append("all", records, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return folder / "table"


def make_map(points: int) -> str:
    """A map of so many pictures in clouds, as `/api/map` gives it."""
    rng = np.random.default_rng(1)
    middles = rng.uniform(0.12, 0.88, (GROUPS, 2))
    group = rng.integers(GROUPS, size=points)
    places = np.clip(middles[group] + rng.normal(0, 0.05, (points, 2)), 0, 1).round(4)
    ids = [f"image-{row:06d}" for row in range(points)]
    groups = [
        {"label": None, "size": int((group == one).sum()), "x": x, "y": y, "nearest": ids[:3]}
        for one, (x, y) in enumerate(middles.tolist())
    ]
    columns = {"ids": ids, "x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "group": group.tolist()}
    return json.dumps({"schema": "relsim.map/1", **columns, "groups": groups})


def processor_time(session: CDPSession) -> float:
    """Seconds of all processes of the browser."""
    return sum(process["cpuTime"] for process in session.send("SystemInfo.getProcessInfo")["processInfo"])


def moved(page: Page, session: CDPSession, zoom: float, seconds: float) -> dict[str, float]:
    """Frames a second, waits and time of the processors for a frame, both in milliseconds, while the map is moved."""
    page.focus("canvas")
    page.keyboard.press("0")
    box = page.locator("canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    for _ in range(200):
        if float(page.get_attribute("canvas", "data-zoom") or 1) >= zoom:
            break
        page.mouse.wheel(0, -110)
        page.wait_for_timeout(60)
    page.wait_for_timeout(1_500)
    page.mouse.down()
    before = processor_time(session)
    waits = page.evaluate(MOVED, [x, y, seconds])
    took = processor_time(session) - before
    page.mouse.up()
    return {
        "frames a second": round(1000 / statistics.mean(waits), 1),
        "p95, ms": round(float(np.percentile(waits, 95)), 1),
        "longest, ms": round(max(waits), 1),
        "processor time a frame, ms": round(1000 * took / len(waits), 1),
    }


def main() -> None:
    """Make a table and a map, open the page, move."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("there is no Chromium on this machine; install one")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        table = make_table(Path(folder), given.points)
        command = [sys.executable, "-m", "relsim", "serve", str(table), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found is not None
            try:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                document = make_map(given.points)
                page.route("**/api/map?*", lambda route: route.fulfill(content_type="application/json", body=document))
                page.goto(f"{found.group()}/#/map")
                page.wait_for_selector("canvas[data-zoom]")
                session = browser.new_browser_cdp_session()
                results = {f"zoom {zoom}": moved(page, session, zoom, given.seconds) for zoom in ZOOMS}
                browser.close()
            finally:
                server.send_signal(signal.SIGINT)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
