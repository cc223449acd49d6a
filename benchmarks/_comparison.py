"""Figures of a comparison: what a round measured, medians over rounds, agreement of vectors, the printed table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_COSINE = 0.9999
"""What float32 vectors of both packages must reach on every image."""

COLUMNS = (
    "model",
    "precision",
    "published, images/s",
    "ours, images/s",
    "ratio (lowest to highest round)",
    "ratio of the fastest rounds",
    "target",
    "peak memory published / ours, MiB",
    "lowest cosine of the timed passes",
    "in float32",
)

NOISY_SPREAD = 1.5
"""Fastest over slowest round of one package, above which the machine was not quiet."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One worker's pass over the images. `vectors` has shape (N, 384)."""

    seconds: float
    cpu_seconds: float
    load_seconds: float
    peak_bytes: int
    versions: Mapping[str, str]
    vectors: NDArray[np.float64]

    @property
    def images_per_second(self) -> float:
        """Files read, decoded and embedded per second."""
        return len(self.vectors) / self.seconds


@dataclass(frozen=True, slots=True)
class Comparison:
    """All passes over one model. `exact` is the float32 pair (published, ours), a pair of its own for bf16 models."""

    model: str
    dtype: str
    target: float
    published: Sequence[Pass]
    ours: Sequence[Pass]
    exact: tuple[Pass, Pass]

    @property
    def ratios(self) -> list[float]:
        """Speed of ours over published, round by round."""
        pairs = zip(self.published, self.ours, strict=True)
        return [ours.images_per_second / published.images_per_second for published, ours in pairs]

    @property
    def fastest_ratio(self) -> float:
        """Ratio of the fastest rounds: other work on the machine only ever slows a round down."""
        return fastest(self.ours) / fastest(self.published)

    @property
    def is_noisy(self) -> bool:
        """Whether equal passes differ so much that something else must have used the processors."""
        return any(spread(passes) > NOISY_SPREAD for passes in (self.published, self.ours))

    @property
    def exact_cosine(self) -> float:
        """Lowest cosine over the images between both packages in float32."""
        return lowest_cosine(self.exact[0].vectors, self.exact[1].vectors)

    @property
    def agrees(self) -> bool:
        """Whether every float32 vector agrees; a NaN does not."""
        return self.exact_cosine >= MIN_COSINE

    def to_dict(self) -> dict[str, Any]:
        """Everything that was measured, ready for JSON."""
        published, ours = self.published[-1].vectors, self.ours[-1].vectors
        truth = self.exact[0].vectors
        return {
            "model": self.model,
            "dtype": self.dtype,
            "images": len(truth),
            "published": summary(self.published),
            "ours": summary(self.ours),
            "ratio": {
                "median": statistics.median(self.ratios),
                "rounds": self.ratios,
                "fastest": self.fastest_ratio,
                "noisy": self.is_noisy,
                "target": self.target,
                "met": statistics.median(self.ratios) >= self.target,
            },
            "lowest_cosine": {
                "float32": self.exact_cosine,
                "timed passes": lowest_cosine(published, ours),
                "published timed to published float32": lowest_cosine(published, truth),
                "ours timed to published float32": lowest_cosine(ours, truth),
                "between two different images": lowest_cosine_between_rows(truth),
            },
            "agrees": self.agrees,
        }


def summary(passes: Sequence[Pass]) -> dict[str, Any]:
    """Median speed over the rounds, largest peak memory, median time to load."""
    return {
        "images_per_second": statistics.median(one.images_per_second for one in passes),
        "rounds": [one.images_per_second for one in passes],
        "cpu_seconds_per_image": statistics.median(one.cpu_seconds / len(one.vectors) for one in passes),
        "peak_bytes": max(one.peak_bytes for one in passes),
        "load_seconds": statistics.median(one.load_seconds for one in passes),
        "versions": dict(passes[-1].versions),
    }


def fastest(passes: Sequence[Pass]) -> float:
    """Images per second of the fastest round."""
    return max(one.images_per_second for one in passes)


def spread(passes: Sequence[Pass]) -> float:
    """Fastest over slowest round."""
    return fastest(passes) / min(one.images_per_second for one in passes)


def lowest_cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Lowest cosine between equal rows of two (N, D) arrays; NaN if any row holds one."""
    if left.shape != right.shape:
        raise ValueError(f"vectors of shape {left.shape} and {right.shape} cannot be compared row by row")
    return float(np.min(np.sum(_unit(left) * _unit(right), axis=1)))


def lowest_cosine_between_rows(vectors: NDArray[np.float64]) -> float:
    """Lowest cosine between any two rows: how far apart this model puts different images."""
    unit = _unit(vectors)
    return float(np.min(unit @ unit.T))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def table(comparisons: Sequence[Comparison]) -> str:
    """The results as a Markdown table, one line per model."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    for one in comparisons:
        facts = one.to_dict()
        published, ours, cosine = facts["published"], facts["ours"], facts["lowest_cosine"]
        lines.append(
            f"| {one.model} | {one.dtype} | {published['images_per_second']:.2f} | {ours['images_per_second']:.2f} "
            f"| {facts['ratio']['median']:.2f} ({min(one.ratios):.2f} to {max(one.ratios):.2f}) "
            f"| {one.fastest_ratio:.2f} | {one.target:g} "
            f"| {published['peak_bytes'] / 2**20:.0f} / {ours['peak_bytes'] / 2**20:.0f} "
            f"| {cosine['timed passes']:.7f} | {cosine['float32']:.7f} |"
        )
    return "\n".join(lines)
