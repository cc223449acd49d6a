"""What the captions of a run name: a captioner learns to name things from captions that do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from relsim.captions.anonymity import check
from relsim.data.identity import printable
from relsim.evaluation.statistics import Estimate, wilson

MOST_CHECKED = 10_000
"""Of more different captions so many are checked, evenly chosen: a few seconds at worst."""

_SHOWN = 100  # signs of the example


@dataclass(frozen=True, slots=True)
class CaptionLeaks:
    """How many of a run's different captions are not anonymous, and the first of those with what speaks against it.

    `captions` were checked, of `different` ones.
    """

    different: int
    captions: int
    leaks: int
    example: str | None = None

    @classmethod
    def of(cls, captions: Iterable[str]) -> CaptionLeaks:
        """Check captions, each once."""
        different = list(dict.fromkeys(captions))
        every = -(-len(different) // MOST_CHECKED) or 1
        verdicts = {caption: check(caption) for caption in different[::every]}
        leaking = [(caption, verdict) for caption, verdict in verdicts.items() if not verdict.ok]
        if not leaking:
            return cls(len(different), len(verdicts), 0)
        caption, verdict = leaking[0]
        first = verdict.findings[0]
        shown = caption if len(caption) <= _SHOWN else f"{caption[:_SHOWN]}…"
        return cls(len(different), len(verdicts), len(leaking), printable(f"{shown!r} ({first.word or first.kind})"))

    @property
    def rate(self) -> Estimate:
        """Their share, with Wilson's 95 % interval."""
        return wilson(self.leaks, self.captions)

    def to_json(self) -> dict[str, Any]:
        """The counts and the rate, as a checkpoint records them."""
        return {
            "different": self.different,
            "captions": self.captions,
            "leaks": self.leaks,
            "leak_rate": self.rate.to_json(),
        }

    def __str__(self) -> str:
        count = f"{self.captions:,} captions"
        if self.captions < self.different:
            count = f"{count} (checked of {self.different:,} different ones)"
        if not self.leaks:
            return f"none of {count} names things"
        verb = "name" if self.leaks > 1 else "names"
        return f"{self.leaks:,} of {count} {verb} things, e.g. {self.example}"
