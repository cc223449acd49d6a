"""The page's server under load: many clients at once, a hundred thousand vectors on two axes, one machine.

    python benchmarks/page.py [--rows 100000] [--clients 50] [--seconds 60] [--rounds 3] [--spaces 100]

Each client asks for the neighbours of an image by its id, waits for the answer, and asks for the next, on a connection
that stays open; each tenth question is for a thumbnail, each hundredth for a similarity space. Clients and server share
the cores. Vectors are random, of unit length; pictures are one small file under many ids.

Memory is the server's own and that of its processes which decode, read each 5 s: what they have written (`RssAnon`),
and files that are mapped, whose pages the system may take back (`RssFile`). Rounds go on with the same server, and in
the first the cache of thumbnails fills (64 MiB), so what grows without end is seen in the last: the last line compares
the last halves of the last two rounds. The slope is the median of those between each two samples of a last half; memory
that is free goes back to the system now and then, so single samples go up and down.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import signal
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
SAMPLED = 5.0  # seconds


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


class Load:
    """What clients ask and how it went: seconds of each question by kind, and answers by status."""

    def __init__(self, rows: int, spaces: int) -> None:
        self._rows, self._spaces = rows, spaces
        self.seconds: dict[str, list[float]] = {"search": [], "thumbnail": [], "space": []}
        self.statuses: dict[int, int] = {}

    async def go(self, address: str, clients: int, seconds: float, seed: int) -> None:
        """Ask for so many seconds."""
        ends = time.perf_counter() + seconds
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            some = (self._client(session, address, random.Random(seed + one), ends) for one in range(clients))  # noqa: S311
            await asyncio.gather(*some)

    async def _client(self, session: aiohttp.ClientSession, address: str, draw: random.Random, ends: float) -> None:
        asked = draw.randrange(100)
        while time.perf_counter() < ends:
            asked += 1
            kind, path = self._question(asked, draw)
            began = time.perf_counter()
            async with session.get(address + path) as answer:
                await answer.read()
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            self.seconds[kind].append(time.perf_counter() - began)

    def _question(self, asked: int, draw: random.Random) -> tuple[str, str]:
        name = quote(f"image-{draw.randrange(self._rows):06d}")
        if self._spaces and asked % self._spaces == 5:
            return "space", f"/api/space?id={name}"
        if asked % 10 == 0:
            return "thumbnail", f"/api/thumbnail?id={name}"
        return "search", f"/api/search?id={name}&blend={draw.choice((0, 0.5, 1))}"

    def told(self, seconds: float) -> dict[str, object]:
        """As values for a table."""
        by_id = self.seconds["search"]
        others = {kind: values for kind, values in self.seconds.items() if kind != "search" and values}
        return {
            "questions by id": len(by_id),
            "a second": round(len(by_id) / seconds, 1),
            **{f"p{p}, ms": round(1000 * float(np.percentile(by_id, p)), 1) for p in PERCENTILES},
            **{
                f"{kind}s: how many, p50 and p95, ms": [
                    len(values),
                    *(round(1000 * float(np.percentile(values, p)), 1) for p in (50, 95)),
                ]
                for kind, values in others.items()
            },
            "statuses": self.statuses,
        }


def resident(process: int) -> tuple[float, float]:
    """MB that a process and its children have written, and MB of files that they have mapped."""
    found = []
    for one in (process, *children(process)):
        try:
            status = Path(f"/proc/{one}/status").read_text(encoding="ascii")
        except OSError:  # it has ended
            continue
        sizes = re.findall(r"Rss(?:Anon|File):\s+(\d+) kB", status)
        found.append([int(size) * 1024 / 1e6 for size in sizes])
    written, mapped = np.sum(found, axis=0)
    return float(written), float(mapped)


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    threads = Path(f"/proc/{process}/task").glob("*/children")
    return [int(one) for thread in threads for one in thread.read_text(encoding="ascii").split()]


async def watched(server: subprocess.Popen[str], work: asyncio.Task[None]) -> list[tuple[float, float]]:
    """What the server has resident, each five seconds until the work is done, and then once more."""
    sizes = [resident(server.pid)]
    while not work.done():
        await asyncio.wait([work], timeout=SAMPLED)
        sizes.append(resident(server.pid))
    return sizes


def slope(sizes: list[float]) -> float:
    """MB a minute by which the last half of the samples grows: the median of the slopes between each two."""
    half = sizes[len(sizes) // 2 :]
    pairs = itertools.combinations(enumerate(half), 2)
    return float(np.median([(then - now) / (late - early) for (early, now), (late, then) in pairs])) * 60 / SAMPLED


async def measure(
    server: subprocess.Popen[str], address: str, began: float, given: argparse.Namespace
) -> list[dict[str, object]]:
    """Everything, as values for a table, one for each round."""
    rounds: list[dict[str, object]] = [{"first page, s after start": round(await first_page(address, began), 2)}]
    await asyncio.sleep(given.wait)
    ends = []
    for number in range(given.rounds):
        load = Load(given.rows, given.spaces)
        work = asyncio.create_task(load.go(address, given.clients, given.seconds, 1_000 * number))
        sizes = await watched(server, work)
        await work
        written = [one for one, _ in sizes]
        ends.append(float(np.median(written[len(written) // 2 :])))
        rounds.append(
            {
                **load.told(given.seconds),
                "MB written, each 5 s": [round(one) for one in written],
                "MB of files mapped, first and last": [round(sizes[0][1]), round(sizes[-1][1])],
                "MB a minute, last half": round(slope(written), 1),
            }
        )
    if len(ends) > 1:
        rounds.append({"growth of the last round over the one before, %": round(100 * (ends[-1] / ends[-2] - 1), 2)})
    return rounds


def main() -> None:
    """Make the tables, start the server, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="loads of so many seconds, one after the other")
    parser.add_argument("--spaces", type=int, default=100, help="one of so many questions is for a space; 0 for none")
    parser.add_argument("--wait", type=float, default=10, help="seconds before the load, in which models are loaded")
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
