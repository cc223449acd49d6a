"""From the name of a checkpoint to a folder on this machine: a local one, an embedded one, or a repository on the Hub.

Only configuration, tokenizer and tensor files are fetched.
"""

from __future__ import annotations

import re
from pathlib import Path

from relsim.errors import CheckpointError
from relsim.hub import fetch_folder
from relsim.models.embedded import NAMES, embedded_folder

PATTERNS = ("*.json", "*.jinja", "*.txt", "*.safetensors")
"""Files that make a model; weights in pickles are not fetched."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve_folder(
    name: str | Path,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    also: tuple[str, ...] = (),
) -> Path:
    """The local folder for `name`; `also` names further files to fetch. Raises `CheckpointError`."""
    folder = Path(name).expanduser()
    if str(name) and folder.is_dir():
        return folder
    if str(name) and folder.exists():
        raise CheckpointError(f"{name} is a file; a checkpoint is a folder")
    embedded = embedded_folder(name)
    if embedded is not None:
        return embedded
    if not _HUB_ID.fullmatch(str(name)):
        raise CheckpointError(
            f"there is no folder {str(name)!r}; it is none of the embedded checkpoints ({', '.join(NAMES)}) "
            "and no Hub id of the form owner/name"
        )
    return fetch_folder(
        str(name),
        patterns=[*PATTERNS, *also],
        ignored=["*/*"],
        revision=revision,
        cache_dir=cache_dir,
        error=CheckpointError,
    )
