"""The tables of a retrieval run: each encoder embeds the collection once, and the next run finds that done.

    <folder>/<name>-<first 8 digits of the fingerprint>/    a vector table (see `relsim.vectors.table`)

Other weights, options or precision have another fingerprint and so a table of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.data.identity import printable
from relsim.data.records import ImageRecord
from relsim.encoders.base import AnyEncoder, query_side
from relsim.encoders.stream import Outcome
from relsim.errors import SourceError
from relsim.evaluation.encoder_specs import EncoderSpec
from relsim.vectors.build import BuildSummary, fill_table
from relsim.vectors.table import VectorTable
from relsim.vectors.view import TableView

Load = Callable[[EncoderSpec], tuple[AnyEncoder, Mapping[str, Any]]]
"""Makes the encoder of a spec, and what its table records of it (see `relsim.encoders.registry.origin_of`)."""
Progress = Callable[[str, int], AbstractContextManager[Callable[[Outcome], None]]]
"""`progress(name, total)` is a context that gives a function to call with each outcome."""

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Filled:
    """A table with a vector for every picture that its encoder can read, and what was done for that now."""

    table: VectorTable
    summary: BuildSummary


def fill_tables(
    folder: Path,
    records: Sequence[ImageRecord],
    specs: Sequence[EncoderSpec],
    load: Load,
    *,
    workers: int | None = None,
    progress: Progress,
) -> dict[str, Filled]:
    """A table for each spec, by its label. One encoder is in memory at a time.

    Raises `TableError`, `EncoderError`, and `SourceError` where the folder has tables of another collection.
    """
    found: dict[str, Filled] = {}
    for spec in specs:
        encoder, origin = load(spec)
        path = _place(folder, spec.label, encoder)
        with VectorTable.open_or_create(path, encoder.fingerprint, encoder.dimension, origin=origin) as table:
            refuse_others(table, records)
            missing = sum(record.image_id not in table for record in records)
            with progress(spec.label, missing) as advance:
                summary = fill_table(table, records, encoder, workers=workers, on_outcome=advance)
        found[spec.label] = Filled(table, summary)
        del encoder
    return found


def fill_queries(
    folder: Path,
    name: str,
    encoder: AnyEncoder,
    records: Sequence[ImageRecord],
    *,
    workers: int | None = None,
    progress: Progress,
) -> VectorTable:
    """A table of queries, embedded by the encoder's side for them (see `relsim.encoders.base.QueryEncoder`)."""
    asking = query_side(encoder)
    with VectorTable.open_or_create(_place(folder, name, asking), asking.fingerprint, asking.dimension) as table:
        missing = sum(record.image_id not in table for record in records)
        with progress(f"queries to {name}", missing) as advance:
            fill_table(table, records, asking, workers=workers, on_outcome=advance)
    return table


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
