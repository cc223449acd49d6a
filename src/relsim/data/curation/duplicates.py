"""Duplicates in a collection: the same bytes, or pictures that look the same. They are listed and never deleted.

Images are joined into a cluster if their SHA-256 is equal, or if their perceptual hashes differ in at most `distance`
bits; clusters are the sets that this connects, so two images of one cluster may be further apart than that. Hashes of
pictures of one colour say nothing and count for nothing here. Of each cluster the image with the most pixels is kept,
of equally large ones one with a caption, then the first.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relsim.data.curation.inventory import Inventory, Item
from relsim.data.curation.near_duplicates import MAX_DISTANCE, Clusters, distinct_close_pairs, hashes_of
from relsim.data.facts import hamming_distance
from relsim.data.identity import printable
from relsim.data.manifest import write_manifest
from relsim.errors import SourceError
from relsim.files import flush, temporary_beside

DEFAULT_DISTANCE = 4
FLAT = frozenset({"0000000000000000", "8000000000000000"})
"""The hashes of pictures of one colour, which say nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one image of a cluster.

    `reason` of a dropped one is `exact` (the bytes of the one that is kept) or `near` (`distance` bits from the one
    that is kept, which may be more than was asked for where others lie between); of the kept one it is `best`.
    """

    image_id: str
    row: int
    cluster: int
    decision: str
    reason: str
    kept: str
    distance: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The images looked at, those without an image or hash, and a decision for each member of each cluster."""

    name: str
    rows: int
    images: int
    distance: int
    clusters: int
    exact: int
    near: int
    largest: int
    decisions: tuple[Decision, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "decisions": [asdict(decision) for decision in self.decisions]}


def find_duplicates(inventory: Inventory, *, distance: int = DEFAULT_DISTANCE) -> Duplicates:
    """Clusters of duplicates among the images of a collection, in the order of their first images.

    `distance` in bits is 0 to 15; 0 still joins pictures of equal hash. Raises SourceError for another distance and for
    a collection without images.
    """
    images = [item for item in inventory.items if item.has_image]
    if not images:
        raise SourceError(
            f"{printable(inventory.name)} has no images to compare: it is a list, or none arrived; download it first"
        )
    groups = [group for group in joined(images, distance).groups() if len(group) > 1]
    decisions = [
        decision
        for number, group in enumerate(groups)
        for decision in _decide(number, [images[place] for place in group])
    ]
    reasons = Counter(decision.reason for decision in decisions)
    return Duplicates(
        name=inventory.name,
        rows=len(inventory.items),
        images=len(images),
        distance=distance,
        clusters=len(groups),
        exact=reasons["exact"],
        near=reasons["near"],
        largest=max(map(len, groups), default=1),
        decisions=tuple(decisions),
    )


def joined(images: Sequence[Item], distance: int, clusters: Clusters | None = None) -> Clusters:
    """The images, by their places, joined where they are duplicates; into `clusters` if that is given."""
    if not 0 <= distance <= MAX_DISTANCE:
        raise SourceError(f"the distance is {distance} bits; name one from 0 (equal hashes) to {MAX_DISTANCE}")
    clusters = Clusters(len(images)) if clusters is None else clusters
    first: dict[str, int] = {}
    for place, item in enumerate(images):
        if item.sha256 is not None:
            clusters.join(first.setdefault(item.sha256, place), place)
    # One image for each hash is enough, or a thousand equal hashes would make half a million pairs.
    by_hash: dict[str, int] = {}
    for place, item in enumerate(images):
        if item.phash is not None and item.phash not in FLAT:
            clusters.join(by_hash.setdefault(item.phash, place), place)
    places = list(by_hash.values())
    for left, right, _ in distinct_close_pairs(hashes_of(by_hash), distance).tolist():
        clusters.join(places[left], places[right])
    return clusters


def write_decisions(path: str | os.PathLike[str], decisions: Iterable[Decision]) -> None:
    """Write decisions as JSON lines (`.jsonl`), else as tab-separated columns with a head; the file appears whole.

    Raises SourceError for a target that cannot be written.
    """
    target = Path(path)
    rows = [asdict(decision) for decision in decisions]
    if target.suffix.lower() == ".jsonl":
        lines = [json.dumps(row) for row in rows]
    else:
        names = list(Decision.__dataclass_fields__)
        lines = ["\t".join(names), *("\t".join(_cell(row[name]) for name in names) for row in rows)]
    try:
        with temporary_beside(target) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
            flush(temporary)
            temporary.replace(target)
            flush(target.parent)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SourceError(f"cannot write {printable(str(path))}: {reason}") from error


def write_kept(path: str | os.PathLike[str], inventory: Inventory, duplicates: Duplicates) -> int:
    """Write a manifest of the rows with an image that are not dropped, and return their number. Raises SourceError."""
    dropped = {decision.row for decision in duplicates.decisions if decision.decision == "drop"}
    return write_manifest(
        path, (item.manifest_row for item in inventory.items if item.has_image and item.row not in dropped)
    )


def _decide(cluster: int, members: Sequence[Item]) -> list[Decision]:
    best = min(members, key=lambda item: (-(item.width or 0) * (item.height or 0), not item.clean_caption, item.row))
    found = []
    for item in members:
        if item is best:
            decision, reason, distance = "keep", "best", 0
        else:
            decision = "drop"
            reason = "exact" if item.sha256 == best.sha256 else "near"
            distance = hamming_distance(item.phash, best.phash) if item.phash and best.phash else 0
        found.append(Decision(item.image_id, item.row, cluster, decision, reason, best.image_id, distance))
    return found


def _cell(value: Any) -> str:
    return printable(str(value))
