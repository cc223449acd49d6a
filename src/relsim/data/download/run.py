"""A download from its list to its folder: `download` is what `relsim download` does, in one call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relsim.data.download import chart
from relsim.data.download.loop import Loop, Watcher, in_a_loop, jobs_of
from relsim.data.download.options import DownloadOptions
from relsim.data.download.placeholders import Placeholders
from relsim.data.download.store import Store
from relsim.data.download.summary import RunFigures, Summary, summarise, write_text
from relsim.data.manifest import ManifestRow
from relsim.errors import MissingExtraError

__all__ = ["INTERRUPTED", "Fetch", "Fetched", "Watcher", "download", "fetch_here"]

INTERRUPTED = "finished rows are kept, run it again to go on"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a call has fetched: rows, bytes of their bodies, and whether an interrupt ended it."""

    rows: int
    bytes: int
    interrupted: bool = False


Fetch = Callable[[Store, Sequence[int], DownloadOptions, Placeholders, Watcher | None], Fetched]
"""What fetches those rows of a list and keeps them in the store. Where and by how many is its own matter."""


def fetch_here(
    store: Store, todo: Sequence[int], options: DownloadOptions, placeholders: Placeholders, watcher: Watcher | None
) -> Fetched:
    """Fetch in this process."""
    loop = Loop(store, jobs_of(store.rows, todo, options), len(todo), options, placeholders, watcher)
    interrupted = in_a_loop(loop.to_the_end)
    return Fetched(loop.rows, loop.bytes, interrupted)


def download(
    rows: Sequence[ManifestRow],
    out: str | os.PathLike[str],
    options: DownloadOptions | None = None,
    *,
    name: str = "list",
    watcher: Watcher | None = None,
    fetch: Fetch = fetch_here,
) -> Summary:
    """Download the images of a list into a folder, or go on where an earlier call stopped, and account for every row.

    `name` says what list it is; `fetch` is what fetches. Raises `ShardError` for a folder of another list, one that
    another process writes, or a disk that is full; `SourceError` for options; `MissingExtraError`; and
    KeyboardInterrupt, after which the folder can be gone on with, as it can after any other end.
    """
    _require_aiohttp()
    given = options or DownloadOptions()
    placeholders = Placeholders.load(given.placeholders, keep=given.keep_placeholders)
    began = time.monotonic()
    with Store(Path(out), rows, name, given) as store:
        todo = store.begin(given.retry)
        if watcher is not None:
            watcher.started(len(todo), len(rows))
        fetched = fetch(store, todo, given, placeholders, watcher) if todo else Fetched(0, 0)
        if fetched.interrupted:
            raise KeyboardInterrupt(INTERRUPTED)
        figures = RunFigures(fetched.rows, fetched.bytes, time.monotonic() - began)
        summary = summarise(store, given.same_bytes, figures)
        write_text(store.folder / chart.FILE_NAME, chart.draw(summary))
        summary.save()
        store.finish()
    return summary


def _require_aiohttp() -> None:
    try:
        import aiohttp  # noqa: F401 - asked for before anything is touched
    except ImportError as error:
        raise MissingExtraError("aiohttp", "download", "downloading images") from error
