"""A web server that misbehaves on demand, over real TLS and plain HTTP, as a program of its own.

    python hostile_server.py CERTIFICATE WRONG_CERTIFICATE    (PEM files with key and chain)

prints its addresses as JSON and serves until its input ends. What an address does is its first part:
`https://127.0.0.1:PORT/truncated/7.jpg` sends half of picture 7. Bodies are made from the address alone, so that two
runs get the same bytes. How often each address was asked for is counted; `/asked` gives the counts.
"""

import asyncio
import contextlib
import functools
import gzip
import io
import json
import os
import socket
import ssl
import struct
import sys
import zlib
from collections import Counter
from email.utils import formatdate
from time import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image


@functools.cache
def picture(number, width=120, height=80, format_name="JPEG"):
    """The bytes of a picture that no other number gives."""
    rng = np.random.default_rng([number, width, height])
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([(x * (1 + number % 5)) % 256, (y * (1 + number % 3)) % 256, (x + y + number) % 256], axis=-1)
    pixels = (smooth * 0.7 + rng.integers(0, 60, smooth.shape)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_name, quality=90)
    return buffer.getvalue()


def of_colour(colour, size=(60, 40), format_name="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format_name)
    return buffer.getvalue()


def png_of_size(width, height):
    """A PNG whose header tells of a picture that has no data."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def number_in(path):
    digits = "".join(sign for sign in path.rpartition("/")[2] if sign.isdigit())
    return int(digits or 0)


class HostileServer:
    """The server. `serve` prints its addresses: `https`, `http`, and `wrong`, whose certificate is of another name."""

    def __init__(self, *certificates):
        self._contexts = [None]
        for path in certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            self._contexts.append(context)
        self.asked = Counter()  # by path and query

    async def serve(self):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)  # clients that go away are what this server is for
        gzip_bomb()
        async with contextlib.AsyncExitStack() as stack:
            places = []
            for context in self._contexts:
                server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=context, backlog=1024)
                await stack.enter_async_context(server)
                scheme = "http" if context is None else "https"
                places.append(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            sys.stdout.write(json.dumps(dict(zip(("http", "https", "wrong"), places, strict=True))) + "\n")
            sys.stdout.flush()
            await loop.run_in_executor(None, sys.stdin.read)
            os._exit(0)  # whatever is still dripping

    async def _client(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode("latin-1")
                if target == "/asked":
                    await send(writer, json.dumps(self.asked).encode())
                    continue
                self.asked[target] += 1
                if not await self._answer(urlsplit(target), target, head, writer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _answer(self, url, target, head, writer):
        """Answer one request; False if the connection is to be closed."""
        kind = url.path.strip("/").partition("/")[0]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if kind.isdecimal():
            return await send(writer, b"" if kind == "204" else b"<html>sorry</html>", status=int(kind))
        action = getattr(self, f"_{kind.replace('-', '_').replace('.', '_')}", None)
        if action is None:
            return await send(writer, b"nothing here", status=404)
        return await action(writer, url.path, query, target)

    async def _ok(self, writer, path, query, target):
        names = {"png": "PNG", "webp": "WEBP", "gif": "GIF"}
        data = picture(number_in(path), format_name=names.get(path.rpartition(".")[2], "JPEG"))
        return await send(writer, data, kind="application/octet-stream")

    async def _slow(self, writer, path, query, target):
        await asyncio.sleep(float(query.get("s", "0.2")))
        return await send(writer, picture(number_in(path)))

    async def _same(self, writer, path, query, target):
        return await send(writer, picture(4242))

    async def _html(self, writer, path, query, target):
        return await send(writer, b"\n <!DOCTYPE html><html><body>The image is gone</body></html>", kind="image/jpeg")

    async def _text(self, writer, path, query, target):
        return await send(writer, b"GONE, SORRY. " * 40, kind="image/jpeg")

    async def _empty(self, writer, path, query, target):
        return await send(writer, b"")

    async def _damaged(self, writer, path, query, target):
        data = bytearray(picture(number_in(path), format_name="PNG"))
        data[len(data) // 2] ^= 0xFF
        return await send(writer, bytes(data))

    async def _truncated(self, writer, path, query, target):
        data = picture(number_in(path))
        return await send(writer, data[: len(data) // 2])

    async def _pixel(self, writer, path, query, target):
        return await send(writer, of_colour("white", (1, 1), "GIF"))

    async def _grey(self, writer, path, query, target):
        return await send(writer, of_colour("lightgrey"))

    async def _bomb_png(self, writer, path, query, target):
        return await send(writer, png_of_size(60_000, 60_000))

    async def _bomb_gz(self, writer, path, query, target):
        """64 MiB of zeros in 65 KB, after a JPEG's first bytes."""
        return await send(writer, gzip_bomb(), headers={"Content-Encoding": "gzip"})

    async def _gzipped(self, writer, path, query, target):
        return await send(writer, gzip.compress(picture(number_in(path))), headers={"Content-Encoding": "gzip"})

    async def _gzip_cut(self, writer, path, query, target):
        packed = gzip.compress(picture(number_in(path)))
        return await send(writer, packed[: len(packed) // 2], headers={"Content-Encoding": "gzip"})

    async def _brotli(self, writer, path, query, target):
        return await send(writer, b"\x0b\x02\x80", headers={"Content-Encoding": "br"})

    async def _robots(self, writer, path, query, target):
        return await send(writer, picture(number_in(path)), headers={"X-Robots-Tag": query["tag"]})

    async def _echo(self, writer, path, query, target):
        return await send(writer, b"x", headers={"X-Robots-Tag": "none"})

    async def _limited(self, writer, path, query, target):
        """429 or `code` for the first `fail` requests, with `after` (or as a `date`) as Retry-After; slow by `s`."""
        if self.asked[target] > int(query.get("fail", "1")):
            await asyncio.sleep(float(query.get("s", "0")))
            return await send(writer, picture(number_in(path)))
        after = query.get("after", "1")
        value = formatdate(time() + float(after), usegmt=True) if "date" in query else after
        return await send(writer, b"", status=int(query.get("code", "429")), headers={"Retry-After": value})

    async def _redirect(self, writer, path, query, target):
        return await send(writer, b"", status=int(query.get("code", "302")), headers={"Location": query["to"]})

    async def _hops(self, writer, path, query, target):
        left = number_in(path)
        place = f"/hops/{left - 1}" if left else "/ok/77.jpg"
        return await send(writer, b"", status=301, headers={"Location": place})

    async def _loop(self, writer, path, query, target):
        return await send(writer, b"", status=302, headers={"Location": "/loop/b" if path.endswith("a") else "/loop/a"})

    async def _nowhere(self, writer, path, query, target):
        return await send(writer, b"", status=302, headers={"Location": "http://[not an address"})

    async def _longer(self, writer, path, query, target):
        """Says more bytes than it sends."""
        data = picture(number_in(path))
        writer.write(header(200, len(data) + 1000) + data)
        await writer.drain()
        return False

    async def _cut(self, writer, path, query, target):
        """An answer of this `code` (with `to` and `after`, after `s`) that says more than it sends, and closes."""
        await asyncio.sleep(float(query.get("s", "0")))
        writer.write(header(int(query["code"]), 100, "text/html", told(query)) + b"sorr")
        await writer.drain()
        return False

    async def _mute(self, writer, path, query, target):
        """The same, but silent after its first bytes."""
        await self._cut(writer, path, query, target)
        await asyncio.sleep(60)
        return False

    async def _shorter(self, writer, path, query, target):
        """Says fewer bytes than it sends."""
        data = picture(number_in(path))
        half = len(data) // 2
        writer.write(header(200, half) + data[:half])
        if "at-once" not in target:
            await writer.drain()
            await asyncio.sleep(0.3)
        writer.write(data[half:])
        await writer.drain()
        return True

    async def _huge(self, writer, path, query, target):
        """Says that it has a terabyte."""
        writer.write(header(200, 2**40) + picture(1))
        await writer.drain()
        await asyncio.sleep(5)
        return False

    async def _endless(self, writer, path, query, target):
        """A body without a length that never ends."""
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + picture(1))
        # A connection that TLS has closed takes everything at once and says nothing: others must get their turn.
        while not writer.is_closing():
            writer.write(b"\0" * 65_536)
            await writer.drain()
            await asyncio.sleep(0)
        return False

    async def _drip(self, writer, path, query, target):
        """A byte now and then, forever."""
        writer.write(header(200, 10_000))
        for byte in picture(1):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)
        return False

    async def _head_drip(self, writer, path, query, target):
        """A header that never ends."""
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-A: b\r\n")
            await writer.drain()
            await asyncio.sleep(0.1)
        return False

    async def _silent(self, writer, path, query, target):
        await asyncio.sleep(60)
        return False

    async def _stalls(self, writer, path, query, target):
        """Half a body, then nothing."""
        data = picture(number_in(path))
        writer.write(header(200, len(data)) + data[: len(data) // 2])
        await writer.drain()
        await asyncio.sleep(60)
        return False

    async def _reset(self, writer, path, query, target):
        """Half a body, then a reset; whole after `fail` of these."""
        data = picture(number_in(path))
        if self.asked[target] > int(query.get("fail", "100")):
            return await send(writer, data)
        writer.write(header(200, len(data)) + data[: len(data) // 2])
        await writer.drain()
        await asyncio.sleep(0.05)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    async def _garbage(self, writer, path, query, target):
        writer.write(b"\x00\x01 this is no HTTP \xff\xfe\r\n\r\n")
        await writer.drain()
        return False


def told(query):
    """The headers that an address asks for: where `to`, and `after` how many seconds."""
    names = {"to": "Location", "after": "Retry-After"}
    return {name: query[key] for key, name in names.items() if key in query}


def header(status, length, kind="image/jpeg", headers=None):
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def send(writer, data, *, status=200, kind="image/jpeg", headers=None):
    writer.write(header(status, len(data), kind, headers) + data)
    await writer.drain()
    return True


@functools.cache
def gzip_bomb():
    packer = zlib.compressobj(6, wbits=31)
    parts = [packer.compress(b"\xff\xd8\xff\xe0")]
    parts += [packer.compress(b"\0" * 2**20) for _ in range(64)]
    return b"".join([*parts, packer.flush()])


if __name__ == "__main__":
    asyncio.run(HostileServer(*sys.argv[1:]).serve())
