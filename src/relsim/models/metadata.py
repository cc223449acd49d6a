"""What a checkpoint says of itself in `relsim.json`. Read without torch, which a page of scores shall not wait for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relsim.errors import CheckpointError
from relsim.files import flush, temporary_beside

FORMAT_VERSION = 1
METADATA = "relsim.json"


def read_metadata(folder: Path) -> dict[str, Any]:
    """The content of `relsim.json`, empty where there is none. Raises `CheckpointError`, also for another version."""
    path = folder / METADATA
    metadata = read_json(path) if path.exists() else {}
    version = metadata.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format version {version}; this relsim reads {FORMAT_VERSION}: update relsim")
    return metadata


def read_null_distribution(folder: Path) -> Mapping[str, Any] | None:
    """The scores of unrelated pairs that a checkpoint carries; no weight is read. Raises `CheckpointError`."""
    return null_distribution_of(read_metadata(folder).get("null_distribution"), folder)


def write_null_distribution(folder: Path, null: Mapping[str, Any]) -> None:
    """Keep the scores of unrelated pairs in a checkpoint's `relsim.json`, in one step. Raises `CheckpointError`.

    A published checkpoint has no such file and gets one that says nothing else: what is not in it has its default.
    """
    metadata = {"format_version": FORMAT_VERSION, **read_metadata(folder), "null_distribution": dict(null)}
    null_distribution_of(metadata["null_distribution"], folder)
    path = folder / METADATA
    try:
        with temporary_beside(path) as temporary:
            temporary.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
            flush(folder)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error


def null_distribution_of(value: Any, folder: Path) -> dict[str, Any] | None:
    """Scores and the percentage of unrelated pairs below each, both ascending; None where there is none."""
    if not value:
        return None
    scores, percentiles = (
        (value.get(name) for name in ("scores", "percentiles")) if isinstance(value, dict) else ((), ())
    )
    fits = (
        isinstance(scores, list)
        and isinstance(percentiles, list)
        and len(scores) == len(percentiles) >= 2
        and all(type(number) in (int, float) for number in [*scores, *percentiles])
        and scores == sorted(scores)
        and percentiles == sorted(percentiles)
    )
    if not fits:
        raise CheckpointError(
            f"{folder / METADATA} has a null_distribution that cannot be used; it must hold scores and percentiles, "
            "two ascending lists of numbers of one length"
        )
    return dict(value)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `CheckpointError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold one JSON object")
    return content
