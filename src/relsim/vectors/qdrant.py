"""A vector table for Qdrant: a collection in a folder (the client's local mode), or on a server.

A point's id follows from its image's id, so a row that is sent twice is one point. Until its last row is there a
collection says that it is unfinished, and of which table: the same export goes on with it, and asks for each batch
which of its points are missing. So nothing that was written is ever removed, and no other collection is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from relsim.errors import MissingExtraError, TableError
from relsim.vectors.export import BATCH, FINGERPRINT_KEY, OnRow, batches
from relsim.vectors.view import Row, TableView

TABLE_KEY = "relsim.table"
COMPLETE_KEY = "relsim.complete"
NUMBERS = 200_000
"""Numbers of a batch at most: some 4 MB of JSON, where a server takes 32 MB unless it is told otherwise."""

_REFUSED = (401, 403)
_PASSING = frozenset({408, 425, 429})
_LONGEST_PAUSE = 120.0  # seconds, whatever a server asks for
_KEPT_OF_ERROR = 300

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer of a server may take, and the pauses before it is asked again; all in seconds."""

    timeout: int = 60
    pauses: tuple[float, ...] = (1, 2, 4, 8, 16, 30, 30)


PATIENCE = Patience()


def is_server(place: str) -> bool:
    """Whether a place is the URL of a server, and not a folder."""
    return place.startswith(("http://", "https://"))


def point_id(image_id: str) -> str:
    """The id of an image's point in Qdrant, which takes numbers and UUIDs only: UUID version 5, namespace URL."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, image_id))


def to_qdrant(
    table: TableView,
    place: str,
    name: str,
    *,
    key: str | None = None,
    patience: Patience = PATIENCE,
    on_row: OnRow | None = None,
) -> int:
    """Write a collection of this name into a folder, or into the server at a URL; how many points it has.

    A point's payload is `image_id`, `source` and `fields`. The collection's metadata has the fingerprint, which state
    of which table it is made of, and whether it is complete. `key` is the server's API key. Once rows are being sent,
    faults of the server that may pass are waited out. An export that ends early is gone on with by the same call.
    Raises `MissingExtraError`, and `TableError` for a name that is taken and for whatever goes wrong there.
    """
    client_class = _client_class()
    with _told(place, key), contextlib.closing(_client(client_class, place, key, patience)) as client:
        collection = _Collection(client, place, name, key, patience.pauses if is_server(place) else ())
        collection.begin(table)
        done = 0
        try:
            for rows in batches(table, min(BATCH, max(1, NUMBERS // table.dimension)), on_row):
                collection.put(rows)
                done += len(rows)
            return collection.finish(len(table))
        except _errors() as error:
            kept = f"{done:,} of {len(table):,} rows are in {name}; run it again to go on from there"
            raise TableError(f"Qdrant at {place} stopped: {_reason(error, key)}; {kept}.") from error


class _Collection:
    """One collection, asked by a client."""

    def __init__(self, client: Any, place: str, name: str, key: str | None, pauses: tuple[float, ...]) -> None:
        self._client = client
        self._place = place
        self._name = name
        self._key = key
        self._pauses = pauses
        self._begun = False

    def begin(self, table: TableView) -> None:
        """Make the collection, or find the one that an earlier export of this table left unfinished.

        Nothing is asked twice here: no row has been sent, so an address that is wrong is told at once.
        """
        from qdrant_client import models

        state = _state_of(table)
        self._begun = self._client.collection_exists(self._name)
        if not self._begun:
            self._client.create_collection(
                self._name,
                vectors_config=models.VectorParams(size=table.dimension, distance=models.Distance.COSINE),
                metadata={FINGERPRINT_KEY: table.fingerprint.to_dict(), TABLE_KEY: state, COMPLETE_KEY: False},
            )
        found = self._client.get_collection(self._name).config.metadata or {}
        if not self._begun and TABLE_KEY not in found:
            self._client.delete_collection(self._name)
            raise TableError(
                f"Qdrant at {self._place} keeps no metadata of a collection: version 1.16 or newer is needed."
            )
        if found.get(COMPLETE_KEY) is not False:
            raise TableError(
                f"{self._place} already has a collection {self._name}; choose another --name, or remove it first."
            )
        if found.get(TABLE_KEY) != state:
            raise TableError(
                f"{self._place} has a collection {self._name} that an export of another table, or of another state of "
                "this one, left unfinished; choose another --name, or remove it first."
            )

    def put(self, rows: Sequence[Row]) -> None:
        """Send those of these rows that are not there yet."""
        from qdrant_client import models

        ids = [point_id(row.image_id) for row in rows]
        there = self._present(ids) if self._begun else frozenset()
        new = [(at, row) for at, row in zip(ids, rows, strict=True) if at not in there]
        if not new:
            return
        points = models.Batch(
            ids=[at for at, _ in new],
            vectors=[row.vector.tolist() for _, row in new],
            payloads=[{"image_id": row.image_id, "source": row.source, "fields": dict(row.fields)} for _, row in new],
        )
        self._asked(lambda: self._client.upsert(self._name, points, wait=True))

    def finish(self, rows: int) -> int:
        """Count the points, and say that the collection is complete; how many there are."""
        count = int(self._asked(lambda: self._client.count(self._name, exact=True)).count)
        if count != rows:
            raise TableError(
                f"the collection {self._name} at {self._place} has {count:,} points where the table has {rows:,} rows: "
                "something else writes to it. Choose another --name, or remove it and run it again."
            )
        self._asked(lambda: self._client.update_collection(self._name, metadata={COMPLETE_KEY: True}))
        return count

    def _present(self, ids: list[str]) -> frozenset[str]:
        """Those of these ids that have a point."""
        found = self._asked(lambda: self._client.retrieve(self._name, ids, with_payload=False, with_vectors=False))
        return frozenset(str(point.id) for point in found)

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        """The answer to a question that may be asked twice; one that meets a passing fault is asked again."""
        for pause in self._pauses:
            try:
                return question()
            except _errors() as error:
                if not _may_pass(error):
                    raise
                waits = max(pause, min(getattr(error, "retry_after_s", 0), _LONGEST_PAUSE))
                _log.warning("Qdrant at %s: %s; trying again in %g s", self._place, _reason(error, self._key), waits)
                time.sleep(waits)
        return question()


def _client_class() -> Any:
    """The client, if there is one that knows of metadata."""
    purpose = "an export to Qdrant"
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise MissingExtraError("qdrant-client", "qdrant", purpose) from error
    if "metadata" not in inspect.signature(QdrantClient.create_collection).parameters:
        raise MissingExtraError("qdrant-client in version 1.16 or newer", "qdrant", purpose)
    return QdrantClient


def _client(client_class: Any, place: str, key: str | None, patience: Patience) -> Any:
    if not is_server(place):
        return client_class(path=place)
    parts = urlsplit(place)
    if key and parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        _log.warning("the key goes to %s without encryption; https:// hides it", parts.hostname)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of keys without encryption, which is said above and not on loopback
        # The check of the server's version warns from a thread; a server that does not understand says so itself.
        return client_class(url=place, api_key=key, timeout=patience.timeout, check_compatibility=False)


def _state_of(table: TableView) -> str:
    """A digest of the table's parts and fingerprint: equal ones hold equal rows."""
    return hashlib.sha256(json.dumps([table.fingerprint.digest, table.part_digests]).encode()).hexdigest()[:16]


def _errors() -> tuple[type[Exception], ...]:
    """What the client raises: answers that it cannot use are AssertionErrors and ValueErrors."""
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException

    return ApiException, QdrantException, RuntimeError, ValueError, OSError, AssertionError


def _may_pass(error: Exception) -> bool:
    """Whether the same question may be answered later: not where the server says no, or says what is not understood."""
    code = getattr(error, "status_code", None)
    if code is not None:
        return code in _PASSING or code >= 500
    if hasattr(error, "retry_after_s"):
        return True
    return hasattr(error, "source") and not isinstance(error.source, ValueError)


def _reason(error: Exception, key: str | None) -> str:
    """What went wrong, in one line, without the key."""
    code = getattr(error, "status_code", None)
    source = getattr(error, "source", error)
    text = str(source).strip() or type(source).__name__
    if code is not None:
        body = bytes(getattr(error, "content", b"")).decode("utf-8", "replace")
        with contextlib.suppress(ValueError, TypeError, KeyError):
            body = str(json.loads(body)["status"]["error"])
        text = f"status {code}: {body}"
    if key:
        text = text.replace(key, "***")
    return " ".join(text.split())[:_KEPT_OF_ERROR]


@contextlib.contextmanager
def _told(place: str, key: str | None) -> Iterator[None]:
    """Turn errors of the client into `TableError`s that name the place and, where a key was refused, the option."""
    try:
        yield
    except _errors() as error:
        reason = _reason(error, key)
        if getattr(error, "status_code", None) in _REFUSED:
            refused = "refuses the key" if key else "asks for a key"
            raise TableError(
                f"Qdrant at {place} {refused} ({reason}); --api-key-env NAME names the environment variable that has "
                "the right one."
            ) from error
        raise TableError(f"Qdrant at {place} cannot be written: {reason}.") from error
