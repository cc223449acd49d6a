"""A triplet run: a labelled manifest and an encoder in, accuracies out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from relsim.data.records import Failure, ImageRecord
from relsim.data.shard_address import is_shard_folder
from relsim.encoders.base import AnyEncoder, AnyPairwise, query_side
from relsim.encoders.pairwise import measure_pairs
from relsim.encoders.stream import Outcome, encode_usable
from relsim.errors import SourceError
from relsim.evaluation.labels import labels_of, triplets_from_labels
from relsim.evaluation.triplets import (
    Triplet,
    TripletReport,
    pairs_of,
    read_triplets,
    score_triplets,
    score_triplets_by_distance,
)
from relsim.fingerprint import Fingerprint

MANIFEST, TRIPLETS = "manifest.jsonl", "triplets.jsonl"
COUNT = 1_000


@dataclass(frozen=True, slots=True)
class TripletRun:
    """What was measured, with which encoder, and the pictures that could not be used."""

    report: TripletReport
    fingerprint: Fingerprint
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a document of the schema `relsim.triplets/1`."""
        return {
            **self.report.to_json(),
            "failures": [
                {
                    "image_id": failure.record.image_id,
                    "source": failure.record.source,
                    "status": failure.status.value,
                    "reason": failure.reason,
                }
                for failure in self.failures
            ],
            "fingerprint": self.fingerprint.to_dict(),
        }


def find_manifest(place: Path) -> Path:
    """The manifest that a folder or the path of a file names: `manifest.jsonl`, or the only one there.

    A shard folder stands for its own rows, and `triplets.jsonl` for its folder. Raises `SourceError`.
    """
    if place.name == TRIPLETS and place.is_file():
        place = place.parent
    if is_shard_folder(place):
        return place
    if not place.is_dir():
        if not place.is_file():
            raise SourceError(f"{place}: no such file or folder; name a manifest (.jsonl) or the folder that holds it")
        return place
    if (place / MANIFEST).is_file():
        return place / MANIFEST
    found = sorted(path for path in place.glob("*.jsonl") if path.name != TRIPLETS)
    if len(found) != 1:
        holds = ", ".join(path.name for path in found) or "none"
        raise SourceError(f"{place} must hold {MANIFEST} or one manifest (.jsonl); it holds {holds}")
    return found[0]


def find_triplets(
    manifest: Path, records: Sequence[ImageRecord], *, count: int | None = None, seed: int = 0
) -> list[Triplet]:
    """The triplets beside a manifest, or in a shard folder, in `triplets.jsonl`.

    With `count`, or without that file, they are made from the labels.
    """
    beside = (manifest if manifest.is_dir() else manifest.parent) / TRIPLETS
    if count is None and beside.is_file():
        return read_triplets(beside)
    labels = labels_of(records)
    if not labels:
        raise SourceError(
            f"{manifest} names no relations (field relation or group), and there is no {TRIPLETS} beside it"
        )
    return triplets_from_labels(labels, count=COUNT if count is None else count, seed=seed)


def run_triplets(
    records: Sequence[ImageRecord],
    triplets: Sequence[Triplet],
    encoder: AnyEncoder,
    *,
    workers: int | None = None,
    budget: int | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> TripletRun:
    """Encode the pictures that the triplets name and score the triplets. Raises `SourceError` where none can be."""
    encoded = partial(encode_usable, workers=workers, budget=budget, on_outcome=on_outcome)
    vectors, failures = encoded(records_of(records, triplets), encoder)
    asking, anchors = query_side(encoder), None
    if asking is not encoder:
        named = {triplet.ids[0] for triplet in triplets}
        anchors, unanswered = encoded([record for record in records if record.image_id in named], asking)
        failures += unanswered
    return TripletRun(score_triplets(vectors, triplets, anchors), encoder.fingerprint, tuple(failures))


def measure_triplets(
    records: Sequence[ImageRecord],
    triplets: Sequence[Triplet],
    pairwise: AnyPairwise,
    *,
    workers: int | None = None,
    on_measured: Callable[[Any], None] | None = None,
) -> TripletRun:
    """The same by a measure of pairs; `on_measured` is called with each distance. Raises `SourceError`."""
    known = {record.image_id: record for record in records}
    wanted = distinct_pairs(records, triplets)
    found = measure_pairs(
        pairwise, [(known[one], known[other]) for one, other in wanted], workers=workers, on_measured=on_measured
    )
    measured = zip(wanted, found.distances, strict=True)
    distances = {pair: distance for pair, distance in measured if distance is not None}
    return TripletRun(score_triplets_by_distance(distances, triplets), pairwise.fingerprint, tuple(found.failures))


def distinct_pairs(records: Sequence[ImageRecord], triplets: Sequence[Triplet]) -> list[tuple[str, str]]:
    """The pairs that triplets ask for, each once; those with a picture that is not there are not among them."""
    known = {record.image_id for record in records}
    pairs = dict.fromkeys(pair for triplet in triplets for pair in pairs_of(triplet))
    return [pair for pair in pairs if known.issuperset(pair)]


def records_of(records: Sequence[ImageRecord], triplets: Sequence[Triplet]) -> list[ImageRecord]:
    """The records that a triplet names, in order."""
    named = {image_id for triplet in triplets for image_id in triplet.ids}
    return [record for record in records if record.image_id in named]
