"""Questions to a table as people ask them: an id, an image file or an anonymous sentence; on one axis or two.

A query becomes a vector of the table's own space: an id has one already, an image goes through the encoder that made
the table (its fingerprint is checked), a sentence through the text encoder that the relational space was trained on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from relsim.data.images import read_image
from relsim.data.records import ImageRecord
from relsim.data.shard_address import file_of
from relsim.data.sources import IMAGE_SUFFIXES
from relsim.encoders.base import AnyEncoder, TextEncoder, Vectors, draft_of, query_side
from relsim.encoders.registry import encoder_of
from relsim.encoders.stream import encode_all, encode_images
from relsim.errors import ImageError, SearchError
from relsim.models.text_encoder import CaptionEncoder
from relsim.vectors.index_search import EXACT, SearchPath, VectorIndex
from relsim.vectors.search import TWO_AXES, Hit, Searcher
from relsim.vectors.two_axis import TwoAxisHit, TwoAxisSearcher
from relsim.vectors.view import TableView

LoadEncoder = Callable[[Mapping[str, Any]], AnyEncoder]
"""Makes the encoder of a table from the origin that the table recorded."""


class QueryKind(str, Enum):
    """What a query names."""

    ID = "id"
    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Query:
    """A query and what it is."""

    kind: QueryKind
    value: str

    @classmethod
    def parse(cls, value: str, table: TableView, kind: str | None = None) -> Query:
        """Take `kind` at its word, or find out: an id of the table, else an existing file, else a sentence.

        A sentence has a space or a {placeholder}; a lone word that names nothing is an error, not a search.
        """
        if kind is not None:
            try:
                return cls(QueryKind(kind), value)
            except ValueError:
                known = ", ".join(known.value for known in QueryKind)
                raise SearchError(f"{kind!r} is no kind of query; known are {known}") from None
        if value in table:
            return cls(QueryKind.ID, value)
        if _is_path(value):
            return cls(QueryKind.IMAGE, value)
        failed = table.failure(value)
        if failed is None and os.path.splitext(value)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122 - a sentence is no path
            raise SearchError(f"there is no file {value!r}; to search for it as a sentence, say --as text")
        if failed is None and re.search(r"\s|\{.+\}", value):
            return cls(QueryKind.TEXT, value)
        if failed is not None:
            return cls(QueryKind.ID, value)  # the search will say why this image has no vector
        raise SearchError(
            f"{value!r} is neither an id of {table.path} nor a file; to search for it as a sentence, say --as text"
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Matches, best first, what a person should know about them, and how they were looked for."""

    hits: list[Hit] | list[TwoAxisHit]
    path: SearchPath
    notes: tuple[str, ...] = ()


def search_table(
    table: TableView, query: Query, k: int = 10, load: LoadEncoder = encoder_of, *, index: VectorIndex | None = None
) -> Found:
    """The `k` images most similar to the query. Raises `SearchError`, `FingerprintMismatchError` or `ImageError`."""
    searcher = Searcher(table, index)
    if query.kind is QueryKind.ID and asks_otherwise(table):
        vector = _asked_vector(table, query.value, load)
        hits = searcher.by_vectors(vector, k, exclude=[query.value])[0]
    elif query.kind is QueryKind.ID:
        hits = searcher.by_id(query.value, k)
    else:
        hits = searcher.by_vector(_vector(table, query, load), k)
    return Found(hits, searcher.path(k))


def search_two_axes(
    relational: TableView,
    attributes: TableView,
    query: Query,
    k: int = 10,
    load: LoadEncoder = encoder_of,
    *,
    weight: float = 0.0,
    ceiling: float | None = None,
) -> Found:
    """The `k` images alike in relation and not in look: relation minus `weight` times look, look at most `ceiling`."""
    if query.kind is QueryKind.TEXT:
        raise SearchError("a sentence says nothing of looks: two axes need an id or an image as the query")
    searcher = TwoAxisSearcher(relational, attributes)
    notes: tuple[str, ...] = ()
    if missing := len(searcher.missing_attribute) + len(searcher.missing_relational):
        notes = (f"{missing:,} images stand in only one of the two tables and cannot be found",)
    path = SearchPath(EXACT, 0, len(searcher.ids), why=TWO_AXES)
    if query.kind is QueryKind.ID:
        return Found(searcher.by_id(query.value, k, weight=weight, ceiling=ceiling), path, notes)
    vectors = [_vector(table, query, load)[None] for table in (relational, attributes)]
    found = searcher.by_vectors(vectors[0], vectors[1], k, weight=weight, ceiling=ceiling)
    return Found(found[0], path, notes)


def asks_otherwise(table: TableView) -> bool:
    """Whether queries to a table are embedded by another encoder than its rows (see `QueryEncoder`)."""
    return "queries" in table.fingerprint.to_dict()


def _asked_vector(table: TableView, image_id: str, load: LoadEncoder) -> Vectors:
    """The vector (1, D) by which a picture of the table is looked for, where that is not the vector of its row."""
    row = table.known_row(image_id)
    encoder = load(table.origin)
    table.require_fingerprint(encoder.fingerprint)
    return encode_all(table.records([row]), query_side(encoder), workers=1)


def _vector(table: TableView, query: Query, load: LoadEncoder) -> Vectors:
    """The vector (D,) of an image or a sentence in the table's space."""
    if query.kind is QueryKind.IMAGE:
        return _image_vector(table, query.value, load)
    if table.fingerprint.to_dict().get("encoder") == "relational":
        encoder: TextEncoder = CaptionEncoder()
    else:
        loaded = load(table.origin)
        if not isinstance(loaded, TextEncoder):
            raise SearchError(f"{table.path} holds vectors of {loaded.name}, whose space has no sentences")
        encoder = loaded
    return encoder.encode_text([query.value])[0]  # type: ignore[no-any-return]  # numpy types an index as Any


def _image_vector(table: TableView, path: str, load: LoadEncoder) -> Vectors:
    try:
        record = ImageRecord(path, _expanded(path))
        image = read_image(record).image  # first: a bad file is told before the model is loaded, which can take minutes
        encoder = load(table.origin)
        table.require_fingerprint(encoder.fingerprint)
        if (draft := draft_of(query_side(encoder))) is not None:
            image = read_image(record, draft=draft).image
        return encode_images(query_side(encoder), [image])[0]  # type: ignore[no-any-return]  # numpy types an index as Any
    except ImageError as error:
        raise ImageError(error.status, f"{path}: {error.reason}") from error


def _is_path(value: str) -> bool:
    """Whether there is anything of this name, a broken link included; a sentence too long for a name is none.

    The address of a row of a shard counts where its part is there.
    """
    return os.path.lexists(file_of(_expanded(value)))


def _expanded(path: str) -> str:
    # Path.expanduser raises for the home folder of an unknown user.
    return os.path.expanduser(path)  # noqa: PTH111 - see above
