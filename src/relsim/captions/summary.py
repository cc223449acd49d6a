"""What a set of captions is like: how many are anonymous, what the others name, and which say nearly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relsim.captions.anonymity import check
from relsim.captions.duplicates import THRESHOLD, near_duplicates
from relsim.evaluation.statistics import Estimate, wilson

MOST_COMPARED = 20_000
"""Near-duplicates are looked for among so many different captions at most: ten seconds on one core."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class CaptionSummary:
    """Facts of captions, repeated ones counted each time.

    `anonymous` is their share. `reasons` are kinds of findings (see `relsim.captions.anonymity`) with the captions that
    have one, `named` the ten words that most captions name. `near_duplicates` is how many different captions say nearly
    what an earlier one says, None where there were too many to compare; `alike` are the largest such groups.
    """

    captions: int
    anonymous: Estimate
    reasons: dict[str, int]
    named: dict[str, int]
    near_duplicates: int | None
    alike: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, captions: Sequence[str], *, threshold: float = THRESHOLD) -> CaptionSummary | None:
        """The facts of captions; None of none."""
        counts = Counter(captions)
        if not counts:
            return None
        anonymous = 0
        reasons: Counter[str] = Counter()
        named: Counter[str] = Counter()
        for caption, times in counts.items():
            verdict = check(caption)
            anonymous += times if verdict.ok else 0
            reasons.update(dict.fromkeys({item.kind for item in verdict.findings}, times))
            named.update(dict.fromkeys({item.word for item in verdict.findings if item.word}, times))
        different = list(counts)
        groups = None if len(different) > MOST_COMPARED else near_duplicates(different, threshold)
        largest = sorted(groups or [], key=lambda group: -len(group))[:_SHOWN]
        return cls(
            captions=len(captions),
            anonymous=wilson(anonymous, len(captions)),
            reasons=dict(_ordered(reasons)),
            named=dict(_ordered(named)[:_SHOWN]),
            near_duplicates=None if groups is None else sum(len(group) - 1 for group in groups),
            alike=tuple(tuple(different[place] for place in group[:_SHOWN]) for group in largest),
        )

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries, lists, strings, numbers and None: ready for JSON."""
        return {
            "captions": self.captions,
            "anonymous": self.anonymous.to_json(),
            "reasons": self.reasons,
            "named": self.named,
            "near_duplicates": self.near_duplicates,
            "alike": [list(group) for group in self.alike],
        }


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
