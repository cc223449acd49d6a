"""A vector table for other search engines: LanceDB, a data set on disk, and what an export to any of them needs.

Rows go over in batches, so that a table of any size fits. Vectors stay as they are; ids, sources and fields go along,
and the fingerprint, by which vectors of another encoder can be told apart there too. What is there is not changed.
Qdrant is in `relsim.vectors.qdrant`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from relsim.errors import MissingExtraError, TableError
from relsim.vectors.view import Row, TableView

BATCH = 512
FINGERPRINT_KEY = "relsim.fingerprint"
OnRow = Callable[[object], None]


def to_lancedb(table: TableView, folder: Path, name: str, *, on_row: OnRow | None = None) -> int:
    """Write a LanceDB table of this name below `folder`; how many rows it has.

    Columns: `image_id`, `vector`, `source`, and `fields`, a JSON object. The schema's metadata has the fingerprint.
    Raises `MissingExtraError`, and `TableError` for a name that is taken.
    """
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtraError("lancedb", "lancedb", "an export to LanceDB") from error
    schema = pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), table.dimension)),
            pa.field("source", pa.string(), nullable=False),
            pa.field("fields", pa.string(), nullable=False),
        ],
        metadata={FINGERPRINT_KEY: json.dumps(table.fingerprint.to_dict(), ensure_ascii=False)},
    )

    ours: list[BaseException] = []  # what went wrong on this side; LanceDB would make a text of it

    def record_batches() -> Iterator[pa.RecordBatch]:
        with _noted(ours):
            yield from records()

    def records() -> Iterator[pa.RecordBatch]:
        for rows in batches(table, BATCH, on_row):
            flat = pa.array(np.stack([row.vector for row in rows]).reshape(-1))
            columns = [
                pa.array([row.image_id for row in rows]),
                pa.FixedSizeListArray.from_arrays(flat, table.dimension),
                pa.array([row.source for row in rows]),
                pa.array([json.dumps(dict(row.fields), ensure_ascii=False) for row in rows]),
            ]
            yield pa.record_batch(columns, schema=schema)

    place = folder / f"{name}.lance"
    with _foreign(f"LanceDB in {folder}", (RuntimeError, ValueError, OSError)):
        base = lancedb.connect(str(folder))
        _remove_unfinished(place)
        if place.exists():
            raise TableError(f"{folder} already has a table {name}; choose another --name, or remove it there first.")
        try:
            written = base.create_table(name, data=pa.RecordBatchReader.from_batches(schema, record_batches()))
            return int(written.count_rows())
        except BaseException:
            _remove_unfinished(place)
            if ours:
                raise ours[0] from None
            raise


def _remove_unfinished(place: Path) -> None:
    """Remove the files of a LanceDB table of which no version was ever finished: the rest of an export that ended."""
    if place.is_dir() and not any(place.glob("_versions/*")) and all(entry.name == "data" for entry in place.iterdir()):
        shutil.rmtree(place)


@contextlib.contextmanager
def _noted(raised: list[BaseException]) -> Iterator[None]:
    """Note what is raised within, but for the end of a generator that nobody reads to its end."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:
        raised.append(error)
        raise


def batches(table: TableView, size: int, on_row: OnRow | None) -> Iterator[list[Row]]:
    """All rows in lists of `size`, the last one shorter; `on_row` is told of each when its list has been used."""
    rows = table.rows()
    while batch := list(itertools.islice(rows, size)):
        yield batch
        for row in batch:
            if on_row is not None:
                on_row(row)


@contextlib.contextmanager
def _foreign(what: str, errors: tuple[Any, ...]) -> Iterator[None]:
    """Turn errors of another library into `TableError`s that name it and its place."""
    try:
        yield
    except errors as error:
        raise TableError(f"{what} cannot be written: {' '.join(str(error).split())[:300]}") from error
