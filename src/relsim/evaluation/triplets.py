"""Triplets: does an encoder put what shares the relation above what does not?

Anchor and positive share a relation, the negative shows another. What they look like makes the kind:

    conflict   the negative looks like the anchor, the positive does not: looks point the wrong way
    aligned    the positive looks like the anchor, the negative does not: looks point the right way
    control    neither does: looks say nothing

An encoder of looks fails conflict and passes aligned; an encoder of relations passes all three. A triplet counts 1
where cos(anchor, positive) > cos(anchor, negative), 1/2 where they are equal, else 0. A measure of pairs gives the two
distances instead, of which the smaller is the nearer.

Triplets are kept as JSON Lines; besides the keys of `Triplet` a line may have others, which are kept:

    {"anchor": "id", "positive": "id", "negative": "id", "kind": "conflict", "family": "nesting", "relation": "rings"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from relsim.encoders.base import Vectors
from relsim.errors import SourceError
from relsim.evaluation.statistics import Estimate, wilson
from relsim.files import flush, temporary_beside
from relsim.vectors.topk import exact_dots

Kind = Literal["conflict", "aligned", "control"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SCHEMA = "relsim.triplets/1"

_IDS = ("anchor", "positive", "negative")
_SCORED_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True)
class Triplet:
    """Three image ids, the kind of their looks, and the relation (and its family) that anchor and positive share."""

    anchor: str
    positive: str
    negative: str
    kind: Kind = "control"
    family: str | None = None
    relation: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, str, str]:
        """Anchor, positive and negative."""
        return self.anchor, self.positive, self.negative

    def to_dict(self) -> dict[str, Any]:
        """The triplet as it is written."""
        own = {name: getattr(self, name) for name in (*_IDS, "kind", "family", "relation")}
        return own | dict(self.extra)


def read_triplets(path: Path) -> list[Triplet]:
    """All triplets of a file, in order. Raises `SourceError` naming the first bad line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the triplets in {path} cannot be read: {error}") from error
    triplets = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                triplets.append(_triplet(json.loads(line)))
            except (TypeError, ValueError) as error:
                raise SourceError(f"{path}, line {number:,}: {error}") from error
    if not triplets:
        raise SourceError(f"{path} holds no triplets")
    return triplets


def write_triplets(path: Path, triplets: Iterable[Triplet]) -> None:
    """Write triplets, the whole file or nothing. Raises `SourceError`."""
    try:
        with temporary_beside(path) as temporary:
            with temporary.open("x", encoding="utf-8") as file:
                file.writelines(json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in triplets)
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    except OSError as error:
        raise SourceError(f"the triplets cannot be written to {path}: {error}") from error


@dataclass(frozen=True, slots=True)
class TripletReport:
    """Accuracies with 95 % Wilson intervals: of each kind, and within a kind of each family and each relation.

    `missing` counts the triplets left out because a picture of theirs has no vector.
    """

    kinds: Mapping[str, Estimate]
    families: Mapping[str, Mapping[str, Estimate]]
    relations: Mapping[str, Mapping[str, Estimate]]
    missing: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a document of the schema `relsim.triplets/1`: a flat list of accuracies, whole kinds first."""
        entries = [_entry(kind, None, None, estimate) for kind, estimate in self.kinds.items()]
        for kind, part in self.families.items():
            entries += [_entry(kind, family, None, estimate) for family, estimate in part.items()]
        for kind, part in self.relations.items():
            entries += [_entry(kind, None, relation, estimate) for relation, estimate in part.items()]
        return {"schema": SCHEMA, "accuracy": entries, "missing": self.missing}

    def rows(self, by: Literal["family", "relation"] = "family") -> list[list[str]]:
        """The readable table, header first: a row for each kind and, under it, for each family or relation.

        Columns: share in percent, its interval, number of triplets, kind, and name.
        """
        parts = self.families if by == "family" else self.relations
        table = [["accuracy", "95 % interval", "triplets", "kind", by]]
        for kind, whole in self.kinds.items():
            table.append([*_cells(whole), kind, "all"])
            table += [[*_cells(estimate), kind, name] for name, estimate in parts[kind].items()]
        return table


def score_triplets(
    vectors: Mapping[str, NDArray[np.float32]],
    triplets: Sequence[Triplet],
    anchors: Mapping[str, NDArray[np.float32]] | None = None,
) -> TripletReport:
    """Accuracies of vectors (D,) of unit length by image id. Triplets that lack a vector are left out and counted.

    `anchors` are the vectors of anchors, where they are not those of `vectors`. Raises `SourceError` where no triplet
    is left.
    """
    asked = vectors if anchors is None else anchors
    usable = [
        triplet
        for triplet in triplets
        if triplet.ids[0] in asked and all(image_id in vectors for image_id in triplet.ids[1:])
    ]
    if not usable:
        raise SourceError(f"none of the {len(triplets):,} triplets has a vector for each of its three pictures")
    return _report(usable, triplet_points(vectors, usable, asked), len(triplets) - len(usable))


def score_triplets_by_distance(
    distances: Mapping[tuple[str, str], float], triplets: Sequence[Triplet]
) -> TripletReport:
    """Accuracies of distances by the ids of anchor and other. Triplets that lack one are left out and counted.

    Raises `SourceError` where no triplet is left.
    """
    usable = [triplet for triplet in triplets if all(pair in distances for pair in pairs_of(triplet))]
    if not usable:
        raise SourceError(f"none of the {len(triplets):,} triplets has a distance for both of its pairs")
    near, far = np.array([[distances[pair] for pair in pairs_of(triplet)] for triplet in usable]).T
    return _report(usable, (np.sign(far - near) + 1) / 2, len(triplets) - len(usable))


def pairs_of(triplet: Triplet) -> tuple[tuple[str, str], tuple[str, str]]:
    """Anchor and positive, anchor and negative."""
    return (triplet.anchor, triplet.positive), (triplet.anchor, triplet.negative)


def _report(usable: Sequence[Triplet], points: NDArray[np.float64], missing: int) -> TripletReport:
    grouped: dict[str, list[int]] = {}
    for number, triplet in enumerate(usable):
        grouped.setdefault(triplet.kind, []).append(number)
    kinds = [kind for kind in KINDS if kind in grouped]
    return TripletReport(
        {kind: wilson(float(points[grouped[kind]].sum()), len(grouped[kind])) for kind in kinds},
        {kind: _by(usable, points, grouped[kind], lambda triplet: triplet.family) for kind in kinds},
        {kind: _by(usable, points, grouped[kind], lambda triplet: triplet.relation) for kind in kinds},
        missing,
    )


def triplet_points(
    vectors: Mapping[str, NDArray[np.float32]],
    triplets: Sequence[Triplet],
    anchors: Mapping[str, NDArray[np.float32]] | None = None,
) -> NDArray[np.float64]:
    """1, 1/2 or 0 for each triplet (n,), all of whose pictures must have a vector. Two encoders' points make pairs.

    Dot products are in float64 and depend on nothing but the two vectors, so equal vectors tie exactly.
    """
    points = np.empty(len(triplets))
    for start in range(0, len(triplets), _SCORED_AT_ONCE):
        part = triplets[start : start + _SCORED_AT_ONCE]
        anchor, positive, negative = (
            _stack(vectors if place or anchors is None else anchors, ids)
            for place, ids in enumerate(zip(*(triplet.ids for triplet in part), strict=True))
        )
        margin = exact_dots(anchor, positive) - exact_dots(anchor, negative)
        points[start : start + len(part)] = (np.sign(margin) + 1) / 2
    return points


def _stack(vectors: Mapping[str, NDArray[np.float32]], ids: Sequence[str]) -> Vectors:
    return np.stack([np.asarray(vectors[image_id], np.float32) for image_id in ids])


def _by(
    triplets: Sequence[Triplet],
    points: NDArray[np.float64],
    chosen: Sequence[int],
    name_of: Callable[[Triplet], str | None],
) -> dict[str, Estimate]:
    """Accuracy of each named part of the chosen triplets, by name; those without a name count nowhere here."""
    parts: dict[str, list[int]] = {}
    for number in chosen:
        name = name_of(triplets[number])
        if name is not None:
            parts.setdefault(name, []).append(number)
    return {name: wilson(float(points[parts[name]].sum()), len(parts[name])) for name in sorted(parts)}


def _triplet(value: Any) -> Triplet:
    if not isinstance(value, dict):
        raise TypeError("a JSON object is needed")
    for name in _IDS:
        if not isinstance(value.get(name), str) or not value[name]:
            raise ValueError(f"{name} must be there and be an image id")
    for name in ("family", "relation"):
        if not isinstance(value.get(name), (str, type(None))):
            raise TypeError(f"{name} must be a string or null")
    kind = value.get("kind", "control")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; known are {', '.join(KINDS)}")
    extra = {name: item for name, item in value.items() if name not in (*_IDS, "kind", "family", "relation")}
    anchor, positive, negative = (value[name] for name in _IDS)
    return Triplet(anchor, positive, negative, kind, value.get("family"), value.get("relation"), extra)


def _entry(kind: str, family: str | None, relation: str | None, estimate: Estimate) -> dict[str, Any]:
    return {"kind": kind, "family": family, "relation": relation, **estimate.to_json()}


def _cells(estimate: Estimate) -> list[str]:
    interval = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
    return [f"{100 * estimate.value:.1f} %", interval, f"{estimate.count:,}"]
