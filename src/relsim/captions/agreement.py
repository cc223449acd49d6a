"""How well probabilities of Yes agree with labels: errors at a threshold, ranking, calibration, and which threshold.

Arrays are `labels` (N,) bool and `scores` (N,) from 0 to 1. A picture counts as Yes where its score reaches the
threshold. With TP, FP, FN and TN of right and wrong answers: precision TP / (TP + FP), recall TP / (TP + FN), F1 their
harmonic mean 2 TP / (2 TP + FP + FN), agreement (TP + TN) / N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relsim.evaluation.agreement import auc
from relsim.evaluation.statistics import wilson

BINS = 10
_SMALLEST = 1e-7  # a probability of 0 that is wrong would make the log loss infinite

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pictures by label and answer."""

    true_yes: int
    false_yes: int
    false_no: int
    true_no: int

    @classmethod
    def at(cls, labels: Labels, scores: Scores, threshold: float) -> Confusion:
        """Of scores that reach the threshold or not."""
        said = scores >= threshold
        pairs = ((labels & said), (~labels & said), (labels & ~said), (~labels & ~said))
        return cls(*(int(pair.sum()) for pair in pairs))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_yes + other.true_yes,
            self.false_yes + other.false_yes,
            self.false_no + other.false_no,
            self.true_no + other.true_no,
        )

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 where nothing is right."""
        both = 2 * self.true_yes + self.false_yes + self.false_no
        return 2 * self.true_yes / both if both else 0.0

    def to_json(self) -> dict[str, Any]:
        """Shares with Wilson's intervals of 95 % (null where nothing was said or labelled Yes), F1, and the counts."""
        said, labelled = self.true_yes + self.false_yes, self.true_yes + self.false_no
        total = said + self.false_no + self.true_no
        return {
            "precision": wilson(self.true_yes, said).to_json() if said else None,
            "recall": wilson(self.true_yes, labelled).to_json() if labelled else None,
            "f1": self.f1,
            "agreement": wilson(self.true_yes + self.true_no, total).to_json() if total else None,
            "confusion": asdict(self),
        }


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, the rule that chose it, and whether the rule could be kept."""

    value: float
    rule: str
    reached: bool = True


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures whose scores lie from `low` to `high`: how many, their mean score, and how many are labelled Yes."""

    low: float
    high: float
    count: int
    score: float
    yes: int


def choose_threshold(labels: Labels, scores: Scores, *, precision_at_least: float | None = None) -> Threshold:
    """The threshold of the best F1, or of the best recall among those whose precision is at least that.

    It lies halfway between two scores. Of equals the highest counts. Where no threshold is that precise, the most
    precise one is taken and `reached` is false.
    """
    values, true_yes, false_yes = _steps(labels, scores)
    middles = (values + np.append(values[1:], 0.0)) / 2
    precision = true_yes / (true_yes + false_yes)
    if precision_at_least is None:
        f1 = 2 * true_yes / (true_yes + false_yes + labels.sum())
        return Threshold(float(middles[np.argmax(f1)]), "best F1")
    rule = f"precision of at least {precision_at_least:g}"
    fine = np.flatnonzero(precision >= precision_at_least)
    if not len(fine):
        return Threshold(float(middles[np.argmax(precision)]), rule, reached=False)
    return Threshold(float(middles[fine[np.argmax(true_yes[fine])]]), rule)


def cross_fitted(labels: Labels, scores: Scores, *, precision_at_least: float | None = None) -> Confusion | None:
    """Errors at thresholds that were not chosen on the pictures they are measured on, None with one picture of a label.

    Each half of the pictures, both labels in equal parts, is measured at the threshold of the other half.
    """
    if min(labels.sum(), (~labels).sum()) < 2:
        return None
    halves = np.zeros(len(labels), bool)
    for places in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        halves[places[1::2]] = True
    total = Confusion(0, 0, 0, 0)
    for half in (halves, ~halves):
        threshold = choose_threshold(labels[~half], scores[~half], precision_at_least=precision_at_least)
        total += Confusion.at(labels[half], scores[half], threshold.value)
    return total


def average_precision(labels: Labels, scores: Scores) -> float:
    """Precision at each threshold, weighted by what recall gains there: the sum of (R_k - R_(k-1)) P_k."""
    _, true_yes, false_yes = _steps(labels, scores)
    gains = np.diff(np.append(0, true_yes)) / labels.sum()
    return float(gains @ (true_yes / (true_yes + false_yes)))


def brier(labels: Labels, scores: Scores) -> float:
    """Mean squared difference between score and label (G. W. Brier, 1950): 0 is perfect."""
    return float(np.mean((scores - labels) ** 2))


def log_loss(labels: Labels, scores: Scores) -> float:
    """Mean negative logarithm, in nats, of the probability that the label was given."""
    given = np.where(labels, scores, 1 - scores)
    return float(-np.log(np.maximum(given, _SMALLEST)).mean())


def reliability(labels: Labels, scores: Scores, *, bins: int = BINS) -> list[Bin]:
    """Pictures in `bins` equal ranges of score, those without pictures left out."""
    places = np.minimum((scores * bins).astype(int), bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        count, yes = int(inside.sum()), int(labels[inside].sum())
        found.append(Bin(place / bins, (place + 1) / bins, count, float(scores[inside].mean()), yes))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: difference of mean score and share of Yes in a bin, averaged over the pictures."""
    total = sum(bin_.count for bin_ in bins)
    return sum(abs(bin_.score * bin_.count - bin_.yes) for bin_ in bins) / total


def report(labels: ArrayLike, scores: ArrayLike, threshold: Threshold) -> dict[str, Any]:
    """All of the above for a threshold, ready for JSON. Raises `ValueError` where one of the labels is missing."""
    truth, given = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if truth.all() or not truth.any():
        raise ValueError("labels of both kinds are needed to measure agreement")
    bins = reliability(truth, given)
    return {
        **Confusion.at(truth, given, threshold.value).to_json(),
        "roc_auc": auc(given[truth], given[~truth]),
        "average_precision": average_precision(truth, given),
        "brier": brier(truth, given),
        "calibration_error": calibration_error(bins),
        "log_loss": log_loss(truth, given),
        "bins": [asdict(bin_) for bin_ in bins],
    }


def _steps(labels: Labels, scores: Scores) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Different scores, the highest first, and how many of each label reach each of them."""
    order = np.argsort(-scores, kind="stable")
    values = scores[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    true_yes = np.cumsum(labels[order])[ends]
    return values[ends], true_yes, ends + 1 - true_yes
