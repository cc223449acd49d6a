"""A judge against a known truth: pairs that share a relation, a look, both or neither.

The pairs are those of triplets of `relsim.evaluation.triplets`:

    relation   anchor and positive of a conflict triplet: same relation, other look
    look       anchor and negative of it: same look, other relation
    both       anchor and positive of an aligned triplet
    neither    anchor and negative of it

A judge of relations puts `relation` and `both` above the others; one of looks puts `look` and `both` there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.data.records import ImageRecord
from relsim.errors import SourceError
from relsim.evaluation.agreement import auc, bootstrap_groups
from relsim.evaluation.judge import JudgedPair
from relsim.evaluation.judge_pairs import JudgePair
from relsim.evaluation.statistics import wilson
from relsim.evaluation.triplets import Triplet

SCHEMA = "relsim.judge_calibration/1"
KINDS = ("relation", "look", "both", "neither")
_SIDES = {"conflict": ("relation", "look"), "aligned": ("both", "neither")}
_AUCS = {
    "all": (("relation", "both"), ("look", "neither")),
    "conflict": (("relation",), ("look",)),
    "aligned": (("both",), ("neither",)),
    "look": (("look", "both"), ("relation", "neither")),
}
"""What each area compares. `look` is that of a judge of looks: 0.5 for one who passes them over."""


def calibration_pairs(triplets: Sequence[Triplet], records: Mapping[str, ImageRecord]) -> list[JudgePair]:
    """Two pairs of each conflict and each aligned triplet, with the kind as method and the triplet as query.

    Raises `SourceError` for a triplet whose image is not among `records`, and where there are no such triplets.
    """
    pairs = []
    for number, triplet in enumerate(triplets):
        if triplet.kind not in _SIDES:
            continue
        missing = [image_id for image_id in triplet.ids if image_id not in records]
        if missing:
            raise SourceError(f"triplet {number + 1:,} names the image {missing[0]}, which is not there")
        anchor = records[triplet.anchor]
        for kind, image_id in zip(_SIDES[triplet.kind], (triplet.positive, triplet.negative), strict=True):
            pairs.append(JudgePair(kind, f"{triplet.kind} {number}", anchor, records[image_id]))
    if not pairs:
        raise SourceError("there are no conflict and no aligned triplets to judge by")
    return pairs


def calibration(judged: Sequence[JudgedPair], *, seed: int = 0) -> dict[str, Any]:
    """The figures of the schema `relsim.judge_calibration/1`: accuracies by triplet and areas under ROC curves.

    A triplet counts 1 where the pair that shares the relation has the higher score, 1/2 where they are equal, with
    Wilson's interval; those of which a pair has no score are left out. Areas have bootstrap intervals over triplets.
    """
    scored = [item for item in judged if item.score is not None]
    kinds = np.array([item.pair.method for item in scored])
    scores = np.array([item.score for item in scored], np.float64)
    groups = [item.pair.query_id for item in scored]
    return {
        "accuracy": {name: _accuracy(scored, *sides) for name, sides in _SIDES.items()},
        "auc": {name: _area(kinds, scores, groups, *sides, seed=seed) for name, sides in _AUCS.items()},
        "left_out": len(judged) - len(scored),
    }


def _accuracy(scored: Sequence[JudgedPair], positive: str, negative: str) -> dict[str, float | int] | None:
    first, second = (
        {item.pair.query_id: float(item.score or 0) for item in scored if item.pair.method == kind}
        for kind in (positive, negative)
    )
    both = [query for query in first if query in second]
    points = sum((np.sign(first[query] - second[query]) + 1) / 2 for query in both)
    return wilson(float(points), len(both)).to_json() if both else None


def _area(
    kinds: NDArray[np.str_],
    scores: NDArray[np.float64],
    groups: Sequence[str],
    positive: Sequence[str],
    negative: Sequence[str],
    *,
    seed: int,
) -> dict[str, float | int] | None:
    first, second = np.isin(kinds, positive), np.isin(kinds, negative)
    if not first.any() or not second.any():
        return None
    used = np.flatnonzero(first | second)

    def area(rows: NDArray[np.int64]) -> float:
        chosen = used[rows]
        return auc(scores[chosen][first[chosen]], scores[chosen][second[chosen]])

    found = bootstrap_groups(area, [groups[row] for row in used.tolist()], seed=seed)
    return None if found is None else found.to_json()
