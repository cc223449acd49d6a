"""A vector table for other search engines: LanceDB (a data set on disk) and Qdrant (a folder, or a server).

Rows go over in batches, so that a table of any size fits. Vectors stay as they are; ids, sources and fields go along,
and the fingerprint, by which vectors of another encoder can be told apart there too. What is there is not changed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
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

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in _batches(table, on_row):
            flat = pa.array(np.stack([row.vector for row in rows]).reshape(-1))
            columns = [
                pa.array([row.image_id for row in rows]),
                pa.FixedSizeListArray.from_arrays(flat, table.dimension),
                pa.array([row.source for row in rows]),
                pa.array([json.dumps(dict(row.fields), ensure_ascii=False) for row in rows]),
            ]
            yield pa.record_batch(columns, schema=schema)

    with _foreign(f"LanceDB in {folder}", (RuntimeError, ValueError, OSError)):
        base = lancedb.connect(str(folder))
        if (folder / f"{name}.lance").exists():
            raise TableError(f"{folder} already has a table {name}; choose another --name, or remove it there first.")
        written = base.create_table(name, data=pa.RecordBatchReader.from_batches(schema, batches()))
        return int(written.count_rows())


def to_qdrant(table: TableView, place: str, name: str, *, on_row: OnRow | None = None) -> int:
    """Write a Qdrant collection of this name into a folder, or into the server at a URL; how many points it has.

    A point's id is the UUID version 5 (namespace URL) of its `image_id`, its payload `image_id`, `source` and `fields`.
    The collection's metadata has the fingerprint. A failure removes what was written. Raises as `to_lancedb` does.
    """
    try:
        from qdrant_client import QdrantClient, models
        from qdrant_client.http.exceptions import ApiException
    except ImportError as error:
        raise MissingExtraError("qdrant-client", "qdrant", "an export to Qdrant") from error
    is_server = place.startswith(("http://", "https://"))
    with _foreign(f"Qdrant at {place}", (ApiException, RuntimeError, ValueError, OSError)):
        # The check of the server's version warns from a thread; a server that does not understand says so itself.
        client = QdrantClient(url=place, check_compatibility=False) if is_server else QdrantClient(path=place)
        with contextlib.closing(client):
            if client.collection_exists(name):
                raise TableError(f"{place} already has a collection {name}; choose another --name, or remove it first.")
            client.create_collection(
                name,
                vectors_config=models.VectorParams(size=table.dimension, distance=models.Distance.COSINE),
                metadata={FINGERPRINT_KEY: table.fingerprint.to_dict()},
            )
            try:
                for rows in _batches(table, on_row):
                    points = models.Batch(
                        ids=[point_id(row.image_id) for row in rows],
                        vectors=[row.vector.tolist() for row in rows],
                        payloads=[
                            {"image_id": row.image_id, "source": row.source, "fields": dict(row.fields)} for row in rows
                        ],
                    )
                    client.upsert(name, points)
                return int(client.count(name, exact=True).count)
            except BaseException:
                with contextlib.suppress(ApiException, OSError):
                    client.delete_collection(name)
                raise


def point_id(image_id: str) -> str:
    """The id of an image's point in Qdrant, which takes numbers and UUIDs only."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, image_id))


def _batches(table: TableView, on_row: OnRow | None) -> Iterator[list[Row]]:
    rows = table.rows()
    while batch := list(itertools.islice(rows, BATCH)):
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
        raise TableError(f"{what} cannot be written: {str(error)[:300]}") from error
