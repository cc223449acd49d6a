"""The published `.npz` of vectors, both ways.

    embeddings   (N, D) float32          image_ids   (N,) text          captions   (N,) text, "" for none
    url_links    (N,) text, optional     model_type  text, optional     fingerprint  JSON text, ours

Nothing is unpickled. Published files may hold text as object arrays, which numpy stores as a pickle; their strings
are read by `relsim.vectors.object_strings`, which builds no objects. We write Unicode arrays. The table keeps
captions and links as the fields `caption` and `url_link`, the names of the published manifest.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relsim.data.records import ImageRecord
from relsim.encoders.base import Vectors
from relsim.errors import TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors.checks import check_rows, check_same_fingerprint
from relsim.vectors.object_strings import read_object_strings
from relsim.vectors.publish import publish, system_errors
from relsim.vectors.table import VectorTable
from relsim.vectors.view import TableView

_REWRITE = "Rewrite it with numpy: np.savez(path, captions=np.array([str(c) for c in captions]), …)"


@dataclass(frozen=True, slots=True)
class NpzVectors:
    """What a `.npz` holds: N ids, (N, D) vectors, N captions; links, kind of model and fingerprint if it has them."""

    image_ids: tuple[str, ...]
    vectors: Vectors
    captions: tuple[str, ...]
    url_links: tuple[str, ...] | None = None
    model_type: str | None = None
    fingerprint: Fingerprint | None = None


def read_npz(path: str | os.PathLike[str]) -> NpzVectors:
    """Read a published file or one of ours. Raises `TableError` for anything else."""
    file = Path(path)
    with system_errors("read", file), file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise TableError(f"{file} is not a .npz file. Give one that numpy.savez wrote.")
    try:
        with system_errors("read", file), np.load(file, allow_pickle=False) as archive:
            return _read(archive)
    except (ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = f"it has no array {error}" if isinstance(error, KeyError) else str(error)
        raise TableError(
            f"{file} cannot be read as vectors: {reason}. It needs embeddings (N, D) and image_ids."
        ) from error


def write_npz(path: str | os.PathLike[str], table: TableView, *, model_type: str | None = None) -> None:
    """Write all rows of a table as the published `.npz`, with the fingerprint as an extra key. Failures stay behind."""
    rows = table.records(range(len(table)))
    arrays: dict[str, Any] = {
        "embeddings": table.vectors,
        "image_ids": _unicode([record.image_id for record in rows]),
        "captions": _unicode([_text(record, "caption") for record in rows]),
    }
    links = [_text(record, "url_link") for record in rows]
    if any(links):
        arrays["url_links"] = _unicode(links)
    if model_type is not None:
        arrays["model_type"] = np.array(model_type)
    arrays["fingerprint"] = np.array(json.dumps(table.fingerprint.to_dict(), ensure_ascii=False))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(stream, **arrays)

    publish(Path(path), write)


def import_npz(
    path: str | os.PathLike[str],
    table: str | os.PathLike[str],
    *,
    fingerprint: Fingerprint | None = None,
    normalise: bool = False,
) -> VectorTable:
    """Make a new table of a `.npz`.

    A file without a fingerprint needs the caller to state it; otherwise its vectors are marked as of an unknown
    encoder and compare with no other table. `normalise` divides rows by their length, which a table needs to be 1.
    """
    content = read_npz(path)
    if fingerprint is not None and content.fingerprint is not None:
        check_same_fingerprint(Path(path), content.fingerprint, fingerprint)
    unknown = Fingerprint.of({"encoder": "unknown", "source": Path(path).name})
    vectors = content.vectors
    if normalise:
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        vectors = (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    links: Sequence[str] = content.url_links or [""] * len(content.image_ids)
    records = []
    for image_id, caption, link in zip(content.image_ids, content.captions, links, strict=True):
        fields = {name: value for name, value in (("caption", caption), ("url_link", link)) if value}
        records.append(ImageRecord(image_id, link, fields))
    check_rows(records, vectors, vectors.shape[1])  # before anything is made
    made = VectorTable.create(table, fingerprint or content.fingerprint or unknown, vectors.shape[1])
    try:
        made.append("imported", records, vectors)
    finally:
        made.close()
    return made


def _read(archive: Any) -> NpzVectors:
    vectors = archive["embeddings"]
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ValueError(f"embeddings have shape {vectors.shape} and type {vectors.dtype}")
    count = len(vectors)
    model_type = _strings(archive, "model_type", None) if "model_type" in archive else None
    facts = _strings(archive, "fingerprint", 1)[0] if "fingerprint" in archive else None
    return NpzVectors(
        image_ids=_strings(archive, "image_ids", count),
        vectors=np.ascontiguousarray(vectors, np.float32),
        captions=_strings(archive, "captions", count) if "captions" in archive else ("",) * count,
        url_links=_strings(archive, "url_links", count) if "url_links" in archive else None,
        model_type=model_type[0] if model_type else None,
        fingerprint=None if facts is None else Fingerprint.of(dict(json.loads(facts))),
    )


def _strings(archive: Any, name: str, count: int | None) -> tuple[str, ...]:
    """An array of text or of whole numbers, as strings; `count` None means any number of them."""
    try:
        array = archive[name]
    except ValueError:
        # numpy refuses object arrays; they are looked at without its unpickler.
        try:
            with archive.zip.open(f"{name}.npy") as stream:
                strings = read_object_strings(stream)
        except ValueError as error:
            raise ValueError(
                f"{name} is not stored as plain text ({error}), and a pickle, which could run any program, is not "
                f"loaded. {_REWRITE}"
            ) from error
    else:
        if array.dtype.kind not in "Uiu":
            raise ValueError(f"{name} has type {array.dtype}, not text")
        strings = tuple(str(value) for value in array.reshape(-1).tolist())
    if count is not None and len(strings) != count:
        raise ValueError(f"{name} has {len(strings)} entries for {count} vectors")
    return strings


def _unicode(values: Sequence[str]) -> Any:
    return np.array(values, dtype=str) if values else np.zeros(0, "U1")


def _text(record: ImageRecord, name: str) -> str:
    value = record.fields.get(name, "")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
