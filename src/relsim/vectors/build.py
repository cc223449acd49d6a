r"""Filling a table from image records: resumable, and the same table however often it was interrupted.

The list of records is cut into parts of a fixed number; a part is embedded as a whole and stored under one name with
its failures, all or nothing. A part that a killed run left unfinished is embedded again from its beginning, in the
same batches, so the result equals that of a run that was never killed. Records whose id is in the table are skipped;
records that failed are tried again.

A table holds UTF-8, a file's name may be any bytes: what is no UTF-8 in a source or a field is stored as `\xff`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from relsim.data.identity import printable
from relsim.data.records import Failure, ImageRecord
from relsim.encoders.base import AnyEncoder
from relsim.encoders.stream import DEFAULT_BUDGET, Encoded, Outcome, encode_records
from relsim.vectors.table import VectorTable

PART_ROWS = 256
"""Records per part: what a killed run may have to do again."""
_FEW_PARTS = 16

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


def fill_table(
    table: VectorTable,
    records: Sequence[ImageRecord],
    encoder: AnyEncoder,
    *,
    part_rows: int = PART_ROWS,
    workers: int | None = None,
    budget: int = DEFAULT_BUDGET,
    on_outcome: Progress | None = None,
) -> BuildSummary:
    """Embed the records that the table lacks. Ids must be unique. Raises `FingerprintMismatchError`, `TableError`."""
    table.require_fingerprint(encoder.fingerprint)
    if any(record.image_id not in table for record in records):
        table.lock()  # a second writer is told now, not after its first part
    known = {failure.record.image_id: (failure.status, failure.reason) for failure in table.failures()}
    summary = BuildSummary(len(records))
    for part in _parts(records, part_rows):
        todo = [record for record in part if record.image_id not in table]
        summary.skipped += len(part) - len(todo)
        if not todo:
            continue
        encoded, failures = _embed(todo, encoder, workers, budget, on_outcome)
        summary.embedded += len(encoded)
        summary.failures += failures
        if encoded or any(known.get(f.record.image_id) != (f.status, _text(f.reason)) for f in failures):
            # Failures known already go along: the part may have the name of an earlier one, whose place it takes.
            vectors = np.stack([item.vector for item in encoded]) if encoded else np.empty((0, encoder.dimension))
            stored = [_in_utf8(item.record) for item in encoded]
            failed = [_failure_in_utf8(failure) for failure in failures]
            table.append(part_name(todo), stored, vectors.astype(np.float32), failed)
    if len(table.part_names) > _FEW_PARTS:
        table.compact()
    return summary


def part_name(records: Sequence[ImageRecord]) -> str:
    """The name under which these records are stored: the same for the same ids in the same order."""
    digest = hashlib.sha256("\0".join(record.image_id for record in records).encode())
    return f"embedded-{digest.hexdigest()[:16]}"


def _parts(records: Sequence[ImageRecord], rows: int) -> Iterator[Sequence[ImageRecord]]:
    return (records[start : start + rows] for start in range(0, len(records), rows))


def _embed(
    records: Sequence[ImageRecord],
    encoder: AnyEncoder,
    workers: int | None,
    budget: int,
    on_outcome: Progress | None,
) -> tuple[list[Encoded], list[Failure]]:
    """Outcomes of a part, each kind in the order of the records."""
    place = {record.image_id: number for number, record in enumerate(records)}
    encoded: list[Encoded] = []
    failures: list[Failure] = []
    for outcome in encode_records(records, encoder, workers=workers, budget=budget):
        if isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            encoded.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)
    encoded.sort(key=lambda item: place[item.record.image_id])
    failures.sort(key=lambda item: place[item.record.image_id])
    return encoded, failures


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
