r"""Answers that were paid for, one file each, so that the same question is never asked twice.

`<folder>/<first two digits>/<key>.json`:

    {"schema": "relsim.reply/1", "key": "…", "endpoint": "https://…/v1", "request": {…}, "raw": "{\"choices\": …}",
     "asked": "2026-11-27T10:00:00+00:00", "seconds": 2.31}

`raw` is the body as the server sent it, `request` what was asked, with pictures by their SHA-256. A file is written
under a temporary name and renamed, so several processes may share a folder.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from relsim.endpoint.replies import Reply, read_answer
from relsim.errors import EndpointError
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.reply/1"

_log = logging.getLogger(__name__)


class ReplyCache:
    """A folder of answers. Thread-safe."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """Where the answer of that key is kept."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str, *, of_use: Callable[[Reply], bool] | None = None) -> Reply | None:
        """The answer that is kept, or None; one that cannot be read is logged and counts as none.

        With `of_use` only an answer of which that is true counts.
        """
        try:
            entry = json.loads(self.path(key).read_text(encoding="utf-8"))
            if entry["schema"] == SCHEMA and entry["key"] == key and isinstance(entry["raw"], str):
                asked, seconds = str(entry["asked"]), float(entry["seconds"])
                reply = read_answer(key, entry["raw"], asked=asked, seconds=seconds, kept=True)
                return reply if of_use is None or of_use(reply) else None
            fault = f"it is of another kind than {SCHEMA}"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            fault = f"{type(error).__name__}: {error}"
        _log.warning("the kept answer %s is passed over: %s", self.path(key), fault)
        return None

    def put(self, reply: Reply, request: Mapping[str, Any], endpoint: str) -> None:
        """Keep an answer, on the disk when this returns. Raises `EndpointError`."""
        entry = {
            "schema": SCHEMA,
            "key": reply.key,
            "endpoint": endpoint,
            "request": request,
            "raw": reply.raw,
            "asked": reply.asked,
            "seconds": reply.seconds,
        }
        target = self.path(reply.key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary_beside(target) as temporary:
                temporary.write_text(json.dumps(entry, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")
                flush(temporary)
                temporary.replace(target)
            flush(target.parent)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise EndpointError(
                f"an answer cannot be kept in {self.folder} ({reason}), and asking on would pay for what is lost; "
                "make room or name another folder, and start again: what is kept is not asked again"
            ) from error
