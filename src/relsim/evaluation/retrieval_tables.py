"""The tables of a retrieval run: each encoder embeds the collection once, and the next run finds that done.

    <folder>/<name>-<first 8 digits of the fingerprint>/    a vector table (see `relsim.vectors.table`)

Other weights, options or precision have another fingerprint and so a table of their own. Each row keeps what its vector
was made from, in the field `embedded_from`: `sha256:` and the SHA-256 of the picture's bytes, or `caption:` and that of
the caption where the encoder reads it in place of the picture. Where that is another one now, the row is embedded anew.
A picture whose file cannot be read any more keeps its row, since nothing tells of a change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relsim.data.identity import printable
from relsim.data.records import ImageRecord
from relsim.encoders.base import AnyEncoder, CaptionReader, RecordEncoder, query_side
from relsim.encoders.stream import Outcome
from relsim.errors import SourceError
from relsim.evaluation.encoder_specs import EncoderSpec
from relsim.evaluation.exclusions import Hashes, picture_hashes
from relsim.vectors.build import BuildSummary, fill_table
from relsim.vectors.publish import system_errors
from relsim.vectors.table import VectorTable
from relsim.vectors.view import TableView

Load = Callable[[EncoderSpec], tuple[AnyEncoder, Mapping[str, Any]]]
"""Makes the encoder of a spec, and what its table records of it (see `relsim.encoders.registry.origin_of`)."""
Progress = Callable[[str, int], AbstractContextManager[Callable[[Outcome], None]]]
"""`progress(name, total)` is a context that gives a function to call with each outcome."""

HASHES = "hashes.jsonl"
EMBEDDED_FROM = "embedded_from"
"""The field of a kept row that tells what its vector was made from."""
_OF_CAPTION = "caption:"

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Filled:
    """A table with a vector for every picture that its encoder can read, and what was done for that now.

    `changed` counts the rows that were embedded anew, because their picture or caption had changed.
    """

    table: VectorTable
    summary: BuildSummary
    changed: int = 0


def fill_tables(
    folder: Path,
    records: Sequence[ImageRecord],
    specs: Sequence[EncoderSpec],
    load: Load,
    *,
    hashes: Mapping[str, Hashes] | None = None,
    workers: int | None = None,
    progress: Progress,
) -> dict[str, Filled]:
    """A table for each spec, by its label. One encoder is in memory at a time.

    `hashes` tell which pictures have changed; without them they are taken, and kept in the folder.

    Raises `TableError`, `EncoderError`, and `SourceError` where the folder has tables of another collection.
    """
    if hashes is None:
        with system_errors("make", folder):
            folder.mkdir(parents=True, exist_ok=True)
        hashes = picture_hashes(records, folder / HASHES, workers=workers)
    found: dict[str, Filled] = {}
    for spec in specs:
        encoder, origin = load(spec)
        path = _place(folder, spec.label, encoder)
        with VectorTable.open_or_create(path, encoder.fingerprint, encoder.dimension, origin=origin) as table:
            refuse_others(table, records)
            told = _told(records, encoder, hashes)
            changed = _drop_changed(table, told)
            missing = sum(record.image_id not in table for record in told)
            with progress(spec.label, missing) as advance:
                summary = fill_table(table, told, encoder, workers=workers, on_outcome=advance)
        found[spec.label] = Filled(table, summary, changed)
        del encoder
    return found


def fill_queries(
    folder: Path,
    name: str,
    encoder: AnyEncoder,
    records: Sequence[ImageRecord],
    *,
    hashes: Mapping[str, Hashes],
    workers: int | None = None,
    progress: Progress,
) -> VectorTable:
    """A table of queries, embedded by the encoder's side for them (see `relsim.encoders.base.QueryEncoder`)."""
    asking = query_side(encoder)
    with VectorTable.open_or_create(_place(folder, name, asking), asking.fingerprint, asking.dimension) as table:
        told = _told(records, asking, hashes)
        _drop_changed(table, told)
        missing = sum(record.image_id not in table for record in told)
        with progress(f"queries to {name}", missing) as advance:
            fill_table(table, told, asking, workers=workers, on_outcome=advance)
    return table


def captions_read(table: TableView) -> tuple[int, int] | None:
    """How many captions of a table were given and how many written; None for a table that no captions made.

    None also for one that does not tell what its vectors were made from.
    """
    if "caption_field" not in table.fingerprint.to_dict():
        return None
    made_from = table.field(EMBEDDED_FROM)
    if any(one is None for one in made_from):
        return None
    given = sum(one.startswith(_OF_CAPTION) for one in made_from)
    return given, len(made_from) - given


def _told(records: Sequence[ImageRecord], encoder: AnyEncoder, hashes: Mapping[str, Hashes]) -> list[ImageRecord]:
    """The records, each with what its vector is made from, as far as that is known."""
    found = []
    for record in records:
        content = _content(record, encoder, hashes.get(record.image_id))
        found.append(record if content is None else replace(record, fields={**record.fields, EMBEDDED_FROM: content}))
    return found


def _content(record: ImageRecord, encoder: AnyEncoder, hashes: Hashes | None) -> str | None:
    """What a vector of this record depends on: a caption that is read in place of the picture, or the bytes.

    An encoder that reads records in ways of its own may use any field, so all of them count.
    """
    if isinstance(encoder, CaptionReader):
        caption = encoder.given_caption(record)
        if caption is not None:
            return f"{_OF_CAPTION}{_digest(caption)}"
    if hashes is None:
        return None
    if isinstance(encoder, RecordEncoder) and not isinstance(encoder, CaptionReader):
        return f"record:{_digest(json.dumps([hashes.sha256, dict(record.fields)], sort_keys=True, default=str))}"
    return f"sha256:{hashes.sha256}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _drop_changed(table: VectorTable, records: Sequence[ImageRecord]) -> int:
    """Remove the rows whose picture or caption is another one now, and those that do not tell; how many they were."""
    wanted = {
        record.image_id: record.fields[EMBEDDED_FROM]
        for record in records
        if EMBEDDED_FROM in record.fields and record.image_id in table
    }
    kept = table.records([table.positions[image_id] for image_id in wanted])
    changed = [one.image_id for one in kept if one.fields.get(EMBEDDED_FROM) != wanted[one.image_id]]
    return table.delete(changed) if changed else 0


def refuse_others(table: TableView, records: Sequence[ImageRecord]) -> None:
    """Refuse a table that was kept of another collection whose ids are the same. Raises `SourceError`."""
    wanted = {record.image_id: record.source for record in records if record.image_id in table}
    for kept in table.records([table.positions[image_id] for image_id in wanted]):
        # A table holds UTF-8, and what is none as its escape (see `relsim.vectors.build`).
        if kept.source not in (wanted[kept.image_id], printable(wanted[kept.image_id])):
            raise SourceError(
                f"{table.path} holds {kept.image_id} of another collection ({kept.source}, and not "
                f"{printable(wanted[kept.image_id])}); name another folder for tables"
            )


def _place(folder: Path, name: str, encoder: AnyEncoder) -> Path:
    return folder / f"{_UNFIT.sub('-', name)[:60].strip('-.')}-{encoder.fingerprint.digest[:8]}"


def records_of_tables(tables: Iterable[TableView]) -> list[ImageRecord]:
    """The pictures that tables hold, in order, with what the first of them knows of each."""
    found: dict[str, ImageRecord] = {}
    for table in tables:
        for record in table.records(range(len(table))):
            found.setdefault(record.image_id, record)
    return list(found.values())


def apart(collection: Sequence[ImageRecord], distractors: Sequence[ImageRecord]) -> list[ImageRecord]:
    """The distractors that are not files of the collection. Raises `SourceError` for an id that two files share."""
    known = {record.image_id: record.source for record in collection}
    sources = set(known.values())
    new = [record for record in distractors if record.source not in sources]
    for record in new:
        if record.image_id in known:
            raise SourceError(
                f"the id {record.image_id} names a picture of the collection ({known[record.image_id]}) and another "
                f"distractor ({record.source}); rename one of the two"
            )
    return new
