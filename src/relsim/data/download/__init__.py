"""Downloads that lose nothing: a list of addresses in, shards or files and a full account of every row out.

    run           the call; loop: what fetches, decodes and keeps in one process
    options       every limit and every choice
    policy        which addresses are fetched; connections and fetching hold to it at every hop
    robots        what X-Robots-Tag asks; outcomes: what an answer means, and whether to try again
    turns         whose turn it is; bodies: what has arrived so far
    decoding      processes that decode (worker); placeholders: pictures that stand in for one that is gone
    store         the folder: spool, record, parts, names, status_table
    summary       what it came to; chart: the same as a picture

Needs the extra `download` (aiohttp), which is loaded by the call and not by the import. The names below are looked up
when they are first used: the processes that decode are programs of this package too, and need none of the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relsim.data.download.options import DownloadOptions, parse_statuses
    from relsim.data.download.run import Watcher, download
    from relsim.data.download.summary import Duplicate, RunFigures, Summary

__all__ = [
    "DownloadOptions",
    "Duplicate",
    "RunFigures",
    "Summary",
    "Watcher",
    "download",
    "parse_statuses",
]

_HOME = {
    "DownloadOptions": "options",
    "Duplicate": "summary",
    "RunFigures": "summary",
    "Summary": "summary",
    "Watcher": "run",
    "download": "run",
    "parse_statuses": "options",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
