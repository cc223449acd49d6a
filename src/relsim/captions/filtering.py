"""Records in, probabilities and failures out, in order; and the manifest of them, which goes on after a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from relsim.captions.interesting import DEFAULT_BATCH, InterestingFilter
from relsim.captions.rows_file import RowsFile, check_source, head_of
from relsim.data.identity import printable
from relsim.data.images import load_image
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.read_ahead import Load
from relsim.encoders.stream import encode_records
from relsim.errors import SourceError
from relsim.fingerprint import Fingerprint
from relsim.models.memory import Halving

KIND = "scores of a filter"
ROWS_AT_ONCE = 64
"""Rows that are written and flushed together; what a kill may cost, beside the pictures that are on their way."""

_OWN = ("source", "status", "reason", "score", "kept")


@dataclass(frozen=True, slots=True)
class Scored:
    """One record, its probability of Yes to six digits, and whether that reaches the threshold."""

    record: ImageRecord
    score: float
    kept: bool


Outcome: TypeAlias = Scored | Failure

OutcomeEngine = Callable[[Sequence[ImageRecord]], Iterator[Outcome]]
"""What judges records, in order. Where and by how many is its own matter."""


@dataclass(frozen=True, slots=True)
class FilterResult:
    """A row for each record, in order, and how many of them were in the file before."""

    rows: list[ManifestRow]
    there: int

    @property
    def kept(self) -> list[ManifestRow]:
        """The rows that reach the threshold."""
        return [row for row in self.rows if row.extra["kept"]]

    @property
    def failures(self) -> list[ManifestRow]:
        """The rows of images that could not be used."""
        return [row for row in self.rows if row.extra["status"] != Status.OK.value]

    @property
    def reasons(self) -> dict[str, int]:
        """Failures by status, the most frequent first."""
        return dict(Counter(str(row.extra["status"]) for row in self.failures).most_common())


def filter_records(
    records: Iterable[ImageRecord],
    interesting: InterestingFilter,
    *,
    threshold: float | None = None,
    batch_size: int = DEFAULT_BATCH,
    workers: int | None = None,
    load: Load = load_image,
    halving: Halving | None = None,
) -> Iterator[Outcome]:
    """One outcome per record, in order. Nothing about one picture ends the stream.

    Without `threshold` that of the filter counts. `workers` threads read pictures by `load` (default: one per core, at
    most 16). `halving` keeps beyond this call that a batch did not fit into memory. Raises `MemoryShortageError`.
    """
    limit = interesting.threshold if threshold is None else threshold
    listed = list(records)
    places = {id(record): place for place, record in enumerate(listed)}
    early: dict[int, Outcome] = {}  # a window's outcomes come by size
    due = 0
    budget, halving = interesting.budget(batch_size), halving or batch_halving()
    for found in encode_records(listed, interesting, workers=workers, budget=budget, load=load, halving=halving):
        outcome: Outcome = found if isinstance(found, Failure) else _scored(found.record, found.vector[0].item(), limit)
        early[places[id(found.record)]] = outcome
        while due in early:
            yield early.pop(due)
            due += 1


def batch_halving() -> Halving:
    """What halves the batches of one run of a filter when one does not fit into memory."""
    return Halving("a smaller batch (--batch-size)")


def filter_to_file(
    records: Sequence[ImageRecord],
    interesting: InterestingFilter,
    path: str | Path,
    *,
    threshold: float | None = None,
    batch_size: int = DEFAULT_BATCH,
    kept_only: bool = False,
    workers: int | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> FilterResult:
    """Write a manifest with a row for each record; records that have one there are passed over, failed ones too.

    With `kept_only` the manifest `<name>.jsonl` is written at the end with the rows that are kept, and all rows are in
    `<name>.all.jsonl`, which a later call goes on from. `on_outcome` is called with each new outcome. Raises
    `SourceError` if the file was begun with other settings, is being written, or cannot be.
    """
    limit = interesting.threshold if threshold is None else threshold

    def here(missing: Sequence[ImageRecord]) -> Iterator[Outcome]:
        return filter_records(missing, interesting, threshold=limit, batch_size=batch_size, workers=workers)

    facts = interesting.fingerprint
    return filter_to_file_by(records, here, facts, limit, path, kept_only=kept_only, on_outcome=on_outcome)


def filter_to_file_by(
    records: Sequence[ImageRecord],
    engine: OutcomeEngine,
    fingerprint: Fingerprint,
    threshold: float,
    path: str | Path,
    *,
    kept_only: bool = False,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> FilterResult:
    """Like `filter_to_file`, by an engine whose filter has this fingerprint, and which keeps from `threshold` on."""
    path = Path(path)
    if kept_only and head_of(path).exists():
        raise SourceError(f"{printable(str(path))} holds the rows of all images; write the kept ones to another file")
    made_by = Fingerprint.of({**fingerprint.to_dict(), "threshold": threshold})
    remedy = "Write to another file, or remove this one. A threshold alone needs no new run: `score` has what it takes."
    with RowsFile(all_rows_of(path) if kept_only else path, KIND, made_by, remedy=remedy) as file:
        found = {row.image_hash: row for row in file.rows}
        missing = [record for record in records if not _is_there(record, found, file.path)]
        added: list[ManifestRow] = []
        try:
            for outcome in engine(missing):
                added.append(row_of(outcome))
                if len(added) == ROWS_AT_ONCE:
                    file.append(added)
                    added = []
                if on_outcome is not None:
                    on_outcome(outcome)
        finally:
            file.append(added)  # also of a run that is interrupted
        found |= {row.image_hash: row for row in file.rows[len(found) :]}
    result = FilterResult([found[record.image_id] for record in records], len(records) - len(missing))
    if kept_only:
        write_manifest(path, result.kept)
    return result


def row_of(outcome: Outcome) -> ManifestRow:
    """The record's own fields, and `source`, `status`, `reason`, `score` and `kept`; of a failure no score."""
    record = outcome.record
    extra = {name: value for name, value in record.fields.items() if name not in ("url_link", "caption", *_OWN)}
    if isinstance(outcome, Failure):
        own: dict[str, Any] = {
            "status": outcome.status.value,
            "reason": printable(outcome.reason),
            "score": None,
            "kept": False,
        }
    else:
        own = {"status": Status.OK.value, "reason": None, "score": outcome.score, "kept": outcome.kept}
    extra |= {"source": printable(record.source), **own}
    return ManifestRow(record.image_id, record.fields.get("url_link"), record.fields.get("caption"), extra)


def all_rows_of(path: Path) -> Path:
    """Where all rows are while `path` gets those that are kept."""
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.all.jsonl")


def _scored(record: ImageRecord, probability: float, threshold: float) -> Scored:
    # As it is written, so that `kept` follows from `score`; the rest of a float's digits depends on the batch.
    score = float(f"{probability:.6g}")
    return Scored(record, score, score >= threshold)


def _is_there(record: ImageRecord, found: dict[str, ManifestRow], path: Path) -> bool:
    row = found.get(record.image_id)
    if row is None:
        return False
    check_source(row, record, path)
    return True
