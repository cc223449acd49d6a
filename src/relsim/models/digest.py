"""Digests of weights, so that a vector can tell which network made it.

A tensor counts by name, type, shape and content, whatever file or shard it stands in. Content up to 1 MiB (any LoRA
matrix, any projection) is read whole; of a larger tensor 16 evenly spaced runs of 4 KiB are read, the first and the
last among them, so that a 16 GB model takes a second. Training changes every run of a tensor; a change of a single
value elsewhere in a large tensor goes unseen, which this digest accepts: it tells networks apart, it does not detect
tampering.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from relsim.errors import CheckpointError

_WHOLE, _RUNS, _RUN = 1024 * 1024, 16, 4 * 1024


def digest_files(folder: Path, pattern: str = "*.safetensors") -> str:
    """Digest of all tensors in the files of a folder that fit `pattern`, 16 hex digits."""
    entries: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for path in sorted(folder.glob(pattern)):
        start, header = _header(path)
        entries.update({name: (path, start, entry) for name, entry in header.items()})
    total = hashlib.sha256()
    for name in sorted(entries):
        path, start, entry = entries[name]
        begin, end = entry["data_offsets"]
        _describe(total, name, entry["dtype"], entry["shape"])
        with path.open("rb") as file:
            for offset, length in _samples(end - begin):
                file.seek(start + begin + offset)
                total.update(file.read(length))
    return total.hexdigest()[:16]


def count_weights(folder: Path, pattern: str = "*.safetensors", *, without: tuple[str, ...] = ()) -> int:
    """Numbers in the tensors of a folder's files that fit `pattern`, except names with one of `without` in them."""
    return sum(
        math.prod(entry["shape"])
        for path in folder.glob(pattern)
        for name, entry in _header(path)[1].items()
        if not any(part in name for part in without)
    )


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Digest of tensors in memory, every value read, 16 hex digits."""
    from safetensors.torch import save

    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(hashlib.sha256(save({name: tensors[name].contiguous()})).digest())
    return total.hexdigest()[:16]


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Offset of the data and the tensors' entries of a safetensors file."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} cannot be read as safetensors: its header is no object")
    return 8 + length, {name: entry for name, entry in header.items() if name != "__metadata__"}


def _samples(size: int) -> list[tuple[int, int]]:
    if size <= _WHOLE:
        return [(0, size)]
    step = (size - _RUN) / (_RUNS - 1)
    return [(round(run * step), _RUN) for run in range(_RUNS)]


def _describe(total: Any, name: str, dtype: str, shape: list[int]) -> None:
    total.update(json.dumps([name, dtype, shape]).encode())
