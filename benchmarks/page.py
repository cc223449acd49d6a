"""The page's server under load: many clients at once, a hundred thousand vectors on two axes, one machine.

    python benchmarks/page.py [--rows 100000] [--clients 50] [--seconds 60]

Each client asks for the neighbours of an image by its id, waits for the answer, and asks for the next, on a connection
that stays open; each tenth question is for a thumbnail. Clients and server share the cores. Vectors are random, of unit
length; pictures are one small file under many ids. Memory is the server's resident size, read each second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import aiohttp
import numpy as np
from PIL import Image

from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors.table import VectorTable

D, PART = 384, 10_000
PERCENTILES = (50, 95, 99)


def make_table(folder: Path, name: str, rows: int, picture: Path) -> Path:
    """A table of random unit vectors; all ids show one picture."""
    rng = np.random.default_rng([7, len(name)])
    with VectorTable.create(folder / name, Fingerprint.of({"encoder": name}), D) as table:
        for start in range(0, rows, PART):
            vectors = rng.standard_normal((min(PART, rows - start), D), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            records = [ImageRecord(f"image-{start + row:06d}", str(picture)) for row in range(len(vectors))]
            table.append(f"part-{start}", records, vectors)
    return folder / name


def start_server(relation: Path, look: Path) -> tuple[subprocess.Popen[str], str, float]:
    """The server, its address, and the seconds until its first page had come."""
    command = [sys.executable, "-m", "relsim", "serve", str(relation), "--attributes", str(look), "--port", "0"]
    began = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+", server.stdout.readline())
    assert found is not None
    return server, found.group(), began


async def first_page(address: str, began: float) -> float:
    """Seconds from the start to a page, the collection and the first pictures' ids."""
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/static/main.js", "/api/collection", "/api/images?count=200"):
            async with session.get(address + path) as answer:
                assert answer.status == 200
                await answer.read()
    return time.perf_counter() - began


async def load(
    address: str, rows: int, clients: int, seconds: float
) -> tuple[list[float], list[float], dict[int, int]]:
    """Seconds of each question by id, of each thumbnail, and how many answers had which status."""
    by_id: list[float] = []
    thumbnails: list[float] = []
    statuses: dict[int, int] = {}
    ends = time.perf_counter() + seconds

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        draw = random.Random(number)  # noqa: S311 - no secret
        asked = 0
        while time.perf_counter() < ends:
            name = quote(f"image-{draw.randrange(rows):06d}")
            asked += 1
            thumbnail = asked % 10 == 0
            path = (
                f"/api/thumbnail?id={name}" if thumbnail else f"/api/search?id={name}&blend={draw.choice((0, 0.5, 1))}"
            )
            began = time.perf_counter()
            async with session.get(address + path) as answer:
                await answer.read()
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
            (thumbnails if thumbnail else by_id).append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(number, session) for number in range(clients)))
    return by_id, thumbnails, statuses


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def watched(server: subprocess.Popen[str], work: asyncio.Task[object]) -> list[int]:
    """Resident bytes of the server, once a second until the work is done."""
    sizes = []
    while not work.done():
        sizes.append(resident(server.pid))
        await asyncio.sleep(1)
    return sizes


async def measure(
    server: subprocess.Popen[str], address: str, began: float, given: argparse.Namespace
) -> dict[str, object]:
    """Everything, as values for a table."""
    usable = await first_page(address, began)
    work = asyncio.create_task(load(address, given.rows, given.clients, given.seconds))
    sizes = await watched(server, work)
    by_id, thumbnails, statuses = await work
    half = len(sizes) // 2
    return {
        "first page, s after start": round(usable, 2),
        "questions by id": len(by_id),
        "a second": round(len(by_id) / given.seconds, 1),
        **{f"p{p}, ms": round(1000 * float(np.percentile(by_id, p)), 1) for p in PERCENTILES},
        "thumbnails, p95, ms": round(1000 * float(np.percentile(thumbnails, 95)), 1),
        "statuses": statuses,
        "MB, first half and second": [round(statistics.median(part) / 1e6) for part in (sizes[:half], sizes[half:])],
    }


def main() -> None:
    """Make the tables, start the server, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.effect_noise((224, 224), 60).convert("RGB").save(picture)
        tables = [make_table(Path(folder), name, given.rows, picture) for name in ("relation", "look")]
        server, address, began = start_server(tables[0], tables[1])
        try:
            print(json.dumps(asyncio.run(measure(server, address, began, given)), indent=2))
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)


if __name__ == "__main__":
    main()
