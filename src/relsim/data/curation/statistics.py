"""What is in a collection, in numbers: rows by status, sizes, formats, captions, hosts, repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from relsim.data.curation.inventory import Inventory, Item
from relsim.data.records import Status

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_SHOWN = 10
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Spread:
    """Count, sum and quantiles of some numbers. A quantile q is the smallest number that q of them do not exceed."""

    count: int
    total: int
    quantiles: dict[str, int]

    @classmethod
    def of(cls, values: Iterable[int]) -> Spread | None:
        """The spread of at least one number; None of none."""
        ordered = sorted(values)
        if not ordered:
            return None
        last = len(ordered) - 1
        # -(-x // 1) is the ceiling without a float's rounding at whole numbers of percent.
        places = {q: max(0, -(-round(q * 100) * len(ordered) // 100) - 1) for q in QUANTILES}
        quantiles = {f"{round(q * 100)}": ordered[min(place, last)] for q, place in places.items()}
        return cls(len(ordered), sum(ordered), quantiles)


@dataclass(frozen=True, slots=True)
class CaptionFacts:
    """Captions, cleaned: rows with one and without (absent or empty), different ones, and rows that repeat one.

    `quoted` have stray quotes in the list. `placeholders` is how many `{…}` a caption has, `commonest_placeholders` and
    `commonest` the most frequent with their counts. Lengths are in characters and in words.
    """

    present: int
    absent: int
    distinct: int
    repeating: int
    quoted: int
    without_placeholder: int
    characters: Spread | None
    words: Spread | None
    placeholders: Spread | None
    commonest: dict[str, int]
    commonest_placeholders: dict[str, int]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Facts of a collection; counts are of rows, the most frequent first.

    `statuses` is empty for a list that nobody has fetched. `repeated_ids` and `repeated_bytes` count rows that have an
    id, or the bytes, of an earlier one. `hosts` are the ten with the most rows, each with its rows and its images;
    `host_count` counts all. `stored_bytes` is the size of the files of a shard folder; `image_bytes` is known for
    images in files only.
    """

    name: str
    kind: str
    rows: int
    ids: int
    repeated_ids: int
    statuses: dict[str, int]
    http_codes: dict[str, int]
    formats: dict[str, int]
    repeated_bytes: int
    stored_bytes: int | None
    image_bytes: Spread | None
    width: Spread | None
    height: Spread | None
    pixels: Spread | None
    captions: CaptionFacts
    groups: int
    host_count: int
    hosts: dict[str, dict[str, int]]

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries, strings, numbers and None: ready for JSON."""
        return asdict(self)


def statistics_of(inventory: Inventory) -> Statistics:
    """The facts of a collection."""
    items = inventory.items
    images = [item for item in items if item.has_image]
    digests = Counter(item.sha256 for item in images)
    hosts = Counter(_host(item) for item in items if item.url is not None)
    arrived = Counter(_host(item) for item in images if item.url is not None)
    ids = {item.image_id for item in items}
    return Statistics(
        name=inventory.name,
        kind=inventory.kind,
        rows=len(items),
        ids=len(ids),
        repeated_ids=len(items) - len(ids),
        statuses=_counted(item.status.value for item in items if item.status is not None),
        http_codes=_counted(str(item.http_code) for item in items if item.http_code is not None),
        formats=_counted(item.format for item in images if item.format is not None),
        repeated_bytes=len(images) - len(digests),
        stored_bytes=inventory.stored_bytes,
        image_bytes=Spread.of(item.size for item in images if item.size is not None),
        width=Spread.of(item.width for item in images if item.width is not None),
        height=Spread.of(item.height for item in images if item.height is not None),
        pixels=Spread.of(item.width * item.height for item in images if item.width and item.height),
        captions=_captions(items),
        groups=len({item.group for item in items if item.group is not None}),
        host_count=len(hosts),
        hosts={name: {"rows": count, Status.OK.value: arrived[name]} for name, count in _counted_pairs(hosts)[:_SHOWN]},
    )


def captions_of(items: Sequence[Item]) -> list[str]:
    """The cleaned captions of the rows that have one, in order."""
    texts = ((item.clean_caption or "").strip() for item in items)
    return [text for text in texts if text]


def _captions(items: Sequence[Item]) -> CaptionFacts:
    present = captions_of(items)
    counts = Counter(present)
    marks = [_PLACEHOLDER.findall(text) for text in present]
    return CaptionFacts(
        present=len(present),
        absent=len(items) - len(present),
        distinct=len(counts),
        repeating=len(present) - len(counts),
        quoted=sum(item.clean_caption != item.caption for item in items),
        without_placeholder=sum(not found for found in marks),
        characters=Spread.of(map(len, present)),
        words=Spread.of(len(text.split()) for text in present),
        placeholders=Spread.of(map(len, marks)),
        commonest={text: count for text, count in _counted_pairs(counts)[:_SHOWN] if count > 1},
        commonest_placeholders=dict(_counted_pairs(Counter(mark for found in marks for mark in found))[:_SHOWN]),
    )


def _host(item: Item) -> str:
    try:
        return urlsplit(item.clean_url or "").hostname or "(no host)"
    except ValueError:  # such as brackets that never close
        return "(no host)"


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(_counted_pairs(Counter(values)))


def _counted_pairs(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
