"""The web server of `benchmarks/download.py`: what becomes of a row follows from its number alone.

    python _download_server.py CERTIFICATE PIXELS    (a PEM file with key and chain; mean pixels of a picture)

prints its address as JSON and serves until its input ends. `/N/…` is row N. Each picture is one of 48 JPEG files with a
comment of its own, so that no two rows have the same bytes and none costs the server anything to make.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import ssl
import sys
from collections import Counter

import numpy as np

from _pictures import draw_picture

PICTURES = 48
# Per thousand rows; the rest are pictures.
SHARES = {
    "dead": 60,
    "redirect": 40,
    "html": 30,
    "slow": 20,
    "truncated": 15,
    "blocked": 15,
    "error": 5,
    "empty": 5,
    "robots": 10,
}
STATUS = {
    "dead": "dead",
    "redirect": "ok",
    "html": "not_image",
    "slow": "ok",
    "truncated": "truncated",
    "blocked": "blocked",
    "error": "error",
    "empty": "empty",
    "robots": "robots",
    "picture": "ok",
}


def kind_of(row: int) -> str:
    """What the server does for a row."""
    place = row * 7_919 % 1_000  # 7,919 is a prime, so that kinds are spread evenly
    for kind, share in SHARES.items():
        if place < share:
            return kind
        place -= share
    return "picture"


def expected(rows: int) -> dict[str, int]:
    """Rows of each status that a download of so many rows must end with."""
    return dict(Counter(STATUS[kind_of(row)] for row in range(rows)))


def pictures(pixels: int) -> list[bytes]:
    """The JPEG files: areas log-normal around the mean, quality 88, as in `_pictures`."""
    rng = np.random.default_rng([5, pixels])
    areas = rng.lognormal(0.0, 0.5, PICTURES)
    areas *= pixels / areas.mean()
    made = []
    for number, area in enumerate(areas):
        width = max(8, round(math.sqrt(area * 4 / 3)))
        picture = draw_picture(width, max(8, round(area / width)), np.random.default_rng([5, number]))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=88)
        made.append(buffer.getvalue())
    return made


class Server:
    """Answers requests over kept connections."""

    def __init__(self, certificate: str, pixels: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._pictures = pictures(pixels)

    async def serve(self) -> None:
        """Until the input ends."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)  # clients that are killed
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self._context, backlog=1024)
        address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sizes = [len(data) for data in self._pictures]
        print(json.dumps({"address": address, "mean_bytes": sum(sizes) / len(sizes)}), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        os._exit(0)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                row, _, rest = head.split(b" ", 2)[1].decode("latin-1").strip("/").partition("/")
                await self._answer(writer, int(row), followed=rest.startswith("followed"))
                await writer.drain()
                if b"connection: close" in head.lower():
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, row: int, *, followed: bool) -> None:
        kind = kind_of(row)
        if kind == "redirect" and not followed:
            send(writer, 302, b"", f"Location: /{row}/followed\r\n")
        elif kind in ("dead", "blocked", "error"):
            send(writer, {"dead": 404, "blocked": 403, "error": 500}[kind], b"<html>no</html>")
        elif kind == "html":
            send(writer, 200, b"<!DOCTYPE html><html>it was here</html>")
        elif kind == "empty":
            send(writer, 200, b"")
        else:
            if kind == "slow":
                await asyncio.sleep(0.2 + row % 10 / 10)
            data = self.picture(row)
            data = data[: len(data) * 2 // 3] if kind == "truncated" else data
            send(writer, 200, data, "X-Robots-Tag: noai\r\n" if kind == "robots" else "")

    def picture(self, row: int) -> bytes:
        """The picture of a row: its number is a JPEG comment right after the first marker."""
        data = self._pictures[row % PICTURES]
        comment = b"row %09d" % row
        return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def send(writer: asyncio.StreamWriter, code: int, body: bytes, more: str = "") -> None:
    """Write an answer."""
    head = f"HTTP/1.1 {code} Whatever\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    writer.write(head.encode() + body)


if __name__ == "__main__":
    asyncio.run(Server(sys.argv[1], int(sys.argv[2])).serve())
