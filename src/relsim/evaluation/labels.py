"""Labels of pictures, and triplets made from them: for any manifest that tells which relation a picture shows.

Of a manifest's fields these are read: `relation`, or `group` where there is none; `family`; and `look`, whatever value
two pictures that look alike have in common (without it every picture looks like none of the others).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relsim.data.records import ImageRecord
from relsim.errors import SourceError
from relsim.evaluation.triplets import KINDS, Kind, Triplet

_TRIES = 32


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of one picture."""

    image_id: str
    relation: str
    family: str | None = None
    look: str | None = None


def labels_of(records: Sequence[ImageRecord]) -> list[Labels]:
    """The labels of those records that name a relation or a group, in order."""
    found = []
    for record in records:
        relation = relation_of(record)
        if relation is None:
            continue
        family, look = record.fields.get("family"), record.fields.get("look")
        found.append(
            Labels(
                record.image_id,
                relation,
                None if family is None else _text(family),
                None if look is None else _text(look),
            )
        )
    return found


def relation_of(record: ImageRecord, name: str | None = None) -> str | None:
    """The relation or the group that a record names, or the field of that name; None where it says nothing."""
    return first_label(record.fields, ("relation", "group") if name is None else (name,))


def first_label(fields: Mapping[str, object], names: Sequence[str]) -> str | None:
    """The first of these fields that says something, as text; None where none does."""
    return next((_text(value) for value in map(fields.get, names) if value is not None), None)


def triplets_from_labels(labels: Sequence[Labels], *, seed: int = 0, count: int = 1_000) -> list[Triplet]:
    """`count` triplets of each kind that the labels allow, the same for the same arguments.

    Anchors' relations take turns, so that a common relation does not decide the figure. Triplets may repeat where there
    are few pictures. Raises `SourceError` where not one can be made.
    """
    deck = _Deck(labels)
    triplets: list[Triplet] = []
    for kind in KINDS:
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        triplets += deck.triplets(kind, count, rng)
    if not triplets:
        raise SourceError(
            f"no triplets can be made of {len(labels):,} labelled pictures: "
            "there must be two relations, one of them with two pictures"
        )
    return triplets


class _Deck:
    """Pictures by relation and by look."""

    def __init__(self, labels: Sequence[Labels]) -> None:
        self._labels = list(labels)
        self._by_relation: defaultdict[str, list[int]] = defaultdict(list)
        self._by_look: defaultdict[str, list[int]] = defaultdict(list)
        for row, label in enumerate(self._labels):
            self._by_relation[label.relation].append(row)
            if label.look is not None:
                self._by_look[label.look].append(row)

    def triplets(self, kind: Kind, count: int, rng: np.random.Generator) -> list[Triplet]:
        """Up to `count` triplets of one kind; relations without any are passed over."""
        found: list[Triplet] = []
        relations = sorted(name for name, rows in self._by_relation.items() if len(rows) > 1)
        while relations and len(found) < count:
            fruitful = []
            for relation in relations:
                triplet = self._draw(kind, relation, rng)
                if triplet is not None:
                    fruitful.append(relation)
                    found.append(triplet)
            relations = fruitful
        return found[:count]

    def _draw(self, kind: Kind, relation: str, rng: np.random.Generator) -> Triplet | None:
        """A triplet of this kind and relation: a few anchors are tried, and of each all that fits it."""
        rows = self._by_relation[relation]
        for anchor in map(int, rng.choice(rows, _TRIES)):
            positive = self._pick(rng, self._positives(anchor, kind))
            negative = None if positive is None else self._negative(anchor, kind, rng)
            if positive is not None and negative is not None:
                first, second, third = (self._labels[row] for row in (anchor, positive, negative))
                return Triplet(first.image_id, second.image_id, third.image_id, kind, first.family, first.relation)
        return None

    def _positives(self, anchor: int, kind: Kind) -> list[int]:
        rows = self._by_relation[self._labels[anchor].relation]
        return [row for row in rows if row != anchor and self._alike(row, anchor) == (kind == "aligned")]

    def _negative(self, anchor: int, kind: Kind, rng: np.random.Generator) -> int | None:
        relation, look = self._labels[anchor].relation, self._labels[anchor].look
        if kind == "conflict":
            rows = [] if look is None else self._by_look[look]
            return self._pick(rng, [row for row in rows if self._labels[row].relation != relation])
        # Drawing beats listing: nearly every picture shows another relation.
        for row in rng.integers(0, len(self._labels), _TRIES):
            if self._labels[row].relation != relation and not self._alike(int(row), anchor):
                return int(row)
        others = (row for row, label in enumerate(self._labels) if label.relation != relation)
        return self._pick(rng, [row for row in others if not self._alike(row, anchor)])

    def _alike(self, first: int, second: int) -> bool:
        look = self._labels[first].look
        return look is not None and look == self._labels[second].look

    @staticmethod
    def _pick(rng: np.random.Generator, rows: Sequence[int]) -> int | None:
        return rows[int(rng.integers(len(rows)))] if rows else None


def _text(value: object) -> str:
    """A label as text; what is no text counts by its JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
