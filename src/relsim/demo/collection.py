"""A drawn collection with tables on both axes, kept in the user's cache, for whoever has no images yet."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relsim._version import __version__
from relsim.errors import RelsimError
from relsim.files import exclusive_lock
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES, embedded_folder

if TYPE_CHECKING:
    from relsim.demo.workshop import Watch

SCENES, TRIPLETS = 430, 20
_FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class DrawnCollection:
    """Where the tables of relation and of look are."""

    relation: Path
    look: Path


def drawn_collection(watch: Watch | None = None, *, scenes: int = SCENES, triplets: int = TRIPLETS) -> DrawnCollection:
    """The collection, from the cache, or drawn and embedded now: about 20 seconds. `watch` is as in `Workshop`.

    Its pictures are single scenes, and triplets of each kind, in which pictures differ in relation or in look alone.

    Another version of relsim, or other embedded checkpoints, get a collection of their own. Who comes while it is being
    made waits. Raises `RelsimError` where the cache cannot be written.
    """
    folder = cache_folder() / f"drawn-{_digest(scenes, triplets)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder.with_suffix(".lock"), wait=True):
            if not (folder / _FINISHED).exists():
                shutil.rmtree(folder, ignore_errors=True)
                _make(folder, scenes, triplets, watch)
                (folder / _FINISHED).touch()
    except OSError as error:
        raise RelsimError(
            f"the drawn collection cannot be kept in {folder.parent}: {(error.strerror or str(error)).lower()}; "
            "RELSIM_CACHE names another folder"
        ) from error
    return DrawnCollection(folder / "relation", folder / "look")


def cache_folder() -> Path:
    """Where relsim keeps what it can make again: $RELSIM_CACHE, else relsim in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("RELSIM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relsim"


def _make(folder: Path, scenes: int, triplets: int, watch: Watch | None) -> None:
    from relsim.demo.workshop import Size, Workshop  # brings torch along, which serving does not wait for

    made = Workshop(folder, Size(scenes=scenes, triplets=triplets), watch=watch)
    made.draw()
    made.embed()


def _digest(*size: int) -> str:
    """Of the version, the size, and every byte of both checkpoints' weights."""
    total = hashlib.sha256(repr((__version__, size)).encode())
    for name in (DEFAULT, DEFAULT_ATTRIBUTES):
        for path in sorted((embedded_folder(name) or Path()).glob("*.safetensors")):
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]
