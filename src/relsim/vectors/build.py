r"""Filling a table from image records: resumable, and the same table however often it was interrupted.

The list of records is cut into parts of a fixed number; a part is embedded as a whole and stored under one name with
its failures, all or nothing. A part that a killed run left unfinished is embedded again from its beginning, in the
same batches, so the result equals that of a run that was never killed. Records whose id is in the table are skipped;
records that failed are tried again.

A table holds UTF-8, a file's name may be any bytes: what is no UTF-8 in a source or a field is stored as `\xff`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from relsim.data.identity import printable
from relsim.data.images import load_image
from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import AnyEncoder
from relsim.encoders.read_ahead import Load, PartEnd
from relsim.encoders.stream import (
    Encoded,
    Outcome,
    encode_parts,
    encode_records,
)
from relsim.fingerprint import Fingerprint
from relsim.models.memory import Halving
from relsim.vectors.table import VectorTable

PART_ROWS = 256
"""Records per part: what a killed run may have to do again."""
_FEW_PARTS = 16
_LOOSE_FILES = 256
"""So many are merged on the way: `table.json`, which is written at each part, has a line for each file."""

Progress = Callable[[Outcome], None]


@dataclass(slots=True)
class BuildSummary:
    """What became of the records: embedded now, there already, or failed (and why)."""

    total: int
    embedded: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        """Failures by status, most frequent first."""
        return dict(Counter(failure.status.value for failure in self.failures).most_common())


@dataclass(frozen=True, slots=True)
class EmbeddedPart:
    """What became of the records of one part; both kinds are in the order of the records."""

    records: Sequence[ImageRecord]
    encoded: list[Encoded]
    failures: list[Failure]


Engine = Callable[[Iterable[Sequence[ImageRecord]]], Iterator[EmbeddedPart]]
"""What embeds parts: in their order, one result for each. Where and by how many is its own matter."""


def fill_table(
    table: VectorTable,
    records: Sequence[ImageRecord],
    encoder: AnyEncoder,
    *,
    part_rows: int = PART_ROWS,
    workers: int | None = None,
    budget: int | None = None,
    on_outcome: Progress | None = None,
) -> BuildSummary:
    """Embed the records that the table lacks. Ids must be unique. Raises `FingerprintMismatchError`, `TableError`."""

    def here(parts: Iterable[Sequence[ImageRecord]]) -> Iterator[EmbeddedPart]:
        begun: deque[Sequence[ImageRecord]] = deque()  # the next part is read while the model runs on this one

        def noted() -> Iterator[Sequence[ImageRecord]]:
            for part in parts:
                begun.append(part)
                yield part

        found: list[Outcome] = []
        with closing(encode_parts(noted(), encoder, workers=workers, budget=budget)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, PartEnd):
                    yield _in_place(begun.popleft(), found)
                    found = []
                    continue
                found.append(outcome)
                if on_outcome is not None:
                    on_outcome(outcome)

    return fill_table_by(table, records, here, encoder.fingerprint, part_rows=part_rows)


def fill_table_by(
    table: VectorTable,
    records: Sequence[ImageRecord],
    engine: Engine,
    fingerprint: Fingerprint,
    *,
    part_rows: int = PART_ROWS,
) -> BuildSummary:
    """Like `fill_table`, the parts being embedded by an engine whose encoder has this fingerprint."""
    table.require_fingerprint(fingerprint)
    if any(record.image_id not in table for record in records):
        table.lock()  # a second writer is told now, not after its first part
    known = {failure.record.image_id: (failure.status, failure.reason) for failure in table.failures()}
    summary = BuildSummary(len(records))
    merged = False
    for part in engine(_missing(table, records, part_rows, summary)):
        summary.embedded += len(part.encoded)
        summary.failures += part.failures
        if part.encoded or any(known.get(f.record.image_id) != (f.status, _text(f.reason)) for f in part.failures):
            # Failures known already go along: the part may have the name of an earlier one, whose place it takes.
            _store(table, part)
            if table.loose_files > _LOOSE_FILES:
                table.compact()
                merged = True
    if merged or len(table.part_names) > _FEW_PARTS:
        table.compact()
    return summary


def embed_part(
    records: Sequence[ImageRecord],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int | None = None,
    load: Load = load_image,
    halving: Halving | None = None,
) -> EmbeddedPart:
    """Embed the records of one part, as `encode_records` does."""
    found = encode_records(records, encoder, workers=workers, budget=budget, load=load, halving=halving)
    return _in_place(records, found)


def _in_place(records: Sequence[ImageRecord], outcomes: Iterable[Outcome]) -> EmbeddedPart:
    place = {record.image_id: number for number, record in enumerate(records)}
    part = EmbeddedPart(records, [], [])
    for outcome in sorted(outcomes, key=lambda item: place[item.record.image_id]):
        if isinstance(outcome, Failure):
            part.failures.append(outcome)
        else:
            part.encoded.append(outcome)
    return part


def part_name(records: Sequence[ImageRecord]) -> str:
    """The name under which these records are stored: the same for the same ids in the same order."""
    digest = hashlib.sha256("\0".join(record.image_id for record in records).encode())
    return f"embedded-{digest.hexdigest()[:16]}"


def _missing(
    table: VectorTable, records: Sequence[ImageRecord], rows: int, summary: BuildSummary
) -> Iterator[Sequence[ImageRecord]]:
    """What the table lacks of each part, parts that it has apart; what it has is counted."""
    for start in range(0, len(records), rows):
        part = records[start : start + rows]
        todo = [record for record in part if record.image_id not in table]
        summary.skipped += len(part) - len(todo)
        if todo:
            yield todo


def _store(table: VectorTable, part: EmbeddedPart) -> None:
    vectors = (
        np.stack([item.vector for item in part.encoded]) if part.encoded else np.empty((0, table.dimension), np.float32)
    )
    stored = [_in_utf8(item.record) for item in part.encoded]
    failed = [_failure_in_utf8(failure) for failure in part.failures]
    table.append(part_name(part.records), stored, vectors.astype(np.float32), failed)


def _failure_in_utf8(failure: Failure) -> Failure:
    return replace(failure, record=_in_utf8(failure.record), reason=_text(failure.reason))


def _in_utf8(record: ImageRecord) -> ImageRecord:
    return replace(record, source=_text(record.source), fields=_text(dict(record.fields)))


def _text(value: Any) -> Any:
    """A JSON value whose strings UTF-8 can hold; those that it can hold are as they were."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return printable(value)
    if isinstance(value, dict):
        return {_text(name): _text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value
