"""What the parts of a static site share: answers of the application, scripts of data, and pictures named by bytes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI

SIDES = (192, 384)
"""Longest sides in pixels in which each picture is kept."""


async def answer(app: FastAPI, path: str, asked: Mapping[str, Any]) -> tuple[int, bytes]:
    """Status and body of what the application answers to GET."""
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

    await app(scope, receive, send)
    return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


def json_of(value: Any) -> str:
    """A value as JSON that is short."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_script(path: Path, text: str) -> None:
    r"""Write a script. Half of a surrogate pair, which UTF-8 cannot hold, becomes its escape in JSON, `\ud83d`."""
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


class Pictures:
    """The folder of thumbnails. Each is named by its bytes, so that the same one is written once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.files: set[str] = set()
        self.missing = 0

    async def keep(self, app: FastAPI, path: str, asked: Mapping[str, Any]) -> list[str]:
        """Names of a picture's files in the order of `SIDES`; none for one that cannot be shown, which is counted."""
        # All sizes at once: pictures are made in processes of their own.
        made = await asyncio.gather(*(answer(app, path, {**asked, "side": side}) for side in SIDES))
        if any(status != 200 for status, _ in made):
            self.missing += 1
            return []
        found = []
        for _, body in made:
            name = f"{hashlib.sha256(body).hexdigest()[:24]}.webp"
            if name not in self.files:
                (self._folder / name).write_bytes(body)
                self.files.add(name)
            found.append(name)
        return found
