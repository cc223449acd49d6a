"""What a retrieval run asks: its settings, the queries that they choose, and the pictures that cannot take part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shuffling import permutation
from relsim.errors import SearchError
from relsim.evaluation.retrieval_metrics import Settings
from relsim.evaluation.statistics import RESAMPLES
from relsim.vectors.query import asks_otherwise
from relsim.vectors.view import TableView

Ask = Callable[[Sequence[ImageRecord]], TableView]
"""Embeds queries; gives a table with their vectors, and with the failures."""
DEPTHS = (1, 5, 10)
_SAMPLE = 0


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """What is asked and how deep.

    `queries` is the size of a seeded sample, None for all; `query_ids` are the ids to ask for or to sample from, by
    default those that are no distractors. `distance` is in bits, 0 to 15. `label` is a manifest's field, by default
    `relation`, or `group` where there is none. `reference` is the method that the others are compared with; by default
    every two are. `resamples` belongs to the bootstrap.
    """

    queries: int | None = None
    query_ids: Sequence[str] | None = None
    top_k: int = 10
    seed: int = 0
    distance: int = 4
    label: str | None = None
    resamples: int = RESAMPLES
    reference: str | None = None

    @property
    def metrics(self) -> Settings:
        """Metrics at 1, 5, 10 and `top_k`."""
        return Settings(tuple(sorted({*DEPTHS, self.top_k})), seed=self.seed, resamples=self.resamples)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A query that was asked for and cannot be answered, and why."""

    image_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A picture that is not in the database: what failed, and under which encoders."""

    failure: Failure
    encoders: tuple[str, ...]


def asked_by(
    chosen: Sequence[str], records: Mapping[str, ImageRecord], tables: Mapping[str, TableView], ask: Mapping[str, Ask]
) -> tuple[list[str], dict[str, TableView], list[LeftOut]]:
    """The queries that all can embed, tables of those that are embedded otherwise, and the queries that are lost."""
    asked: dict[str, TableView] = {}
    lost: dict[str, LeftOut] = {}
    for name, table in tables.items():
        if not asks_otherwise(table):
            continue
        if name not in ask:
            raise SearchError(f"queries to {name} are embedded otherwise than its rows; nothing is given to embed them")
        asked[name] = ask[name]([records[image_id] for image_id in chosen])
        told = {failure.record.image_id: failure.reason for failure in asked[name].failures()}
        for image_id in chosen:
            if image_id not in asked[name]:
                lost.setdefault(
                    image_id, LeftOut(image_id, f"no query to {name}: {told.get(image_id, 'not embedded')}")
                )
    return [image_id for image_id in chosen if image_id not in lost], asked, list(lost.values())


def unusable_in(records: Sequence[ImageRecord], tables: Mapping[str, TableView]) -> list[Unusable]:
    """Pictures that lack a vector somewhere, with the first reason that a table knows."""
    known = {name: {failure.record.image_id: failure for failure in table.failures()} for name, table in tables.items()}
    found = []
    for record in records:
        lacking = [name for name, table in tables.items() if record.image_id not in table]
        if lacking:
            told = next((known[name][record.image_id] for name in lacking if record.image_id in known[name]), None)
            reason = f"the table {tables[lacking[0]].path} holds no such image_id"
            failure = Failure(record, Status.MISSING, reason) if told is None else told
            found.append(Unusable(failure, tuple(lacking)))
    return found


def choose(
    pool: Sequence[str], rows: Mapping[str, int], bad: Mapping[str, Failure], settings: RetrievalSettings
) -> tuple[list[str], list[LeftOut]]:
    """The ids that are asked, in order, and those that were named and cannot be.

    A sample takes ids in a seeded order of all that there are, so that a smaller one is the beginning of a larger one.
    """
    known = set(pool)
    named = pool if settings.query_ids is None else list(dict.fromkeys(settings.query_ids))
    usable, left_out = [], []
    for image_id in named:
        if image_id in known and image_id in rows:
            usable.append(image_id)
        elif settings.query_ids is not None:
            left_out.append(LeftOut(image_id, _why_not(image_id, known, rows, bad)))
    if settings.queries is None:
        return usable, left_out
    in_order = sorted(named)
    drawn = [in_order[place] for place in permutation(settings.seed, _SAMPLE, len(in_order)).tolist()]
    allowed = set(usable)
    return [image_id for image_id in drawn if image_id in allowed][: settings.queries], left_out


def _why_not(image_id: str, known: set[str], rows: Mapping[str, int], bad: Mapping[str, Failure]) -> str:
    if image_id in bad:
        return f"without a vector: {bad[image_id].status.value}, {bad[image_id].reason}"
    return (
        "a distractor, which is there to be found only" if image_id in rows and image_id not in known else "not there"
    )


def first_reason(bad: Mapping[str, Failure]) -> str:
    """How many pictures failed of what, and the first of them, for the end of a message."""
    if not bad:
        return ""
    reasons = Counter(failure.status.value for failure in bad.values())
    first = next(iter(bad.values()))
    counts = ", ".join(f"{count:,} {status}" for status, count in reasons.most_common())
    return f" ({counts}; the first is {first.record.image_id}: {first.reason})"
