"""Two people's copies of a collection: which images differ, and why.

Images are compared by id; where an id comes more than once, the first row with an image counts. An image may differ in
several ways, each one entry:

    only_in_first, only_in_second    the id is missing on the other side
    status      only one side has the image, or they failed differently
    bytes       both have it, and its SHA-256 differs
    caption     the cleaned captions differ, or only one side has one
    url         the cleaned URLs differ

What a side does not know (a list has no status, a folder no URLs) is not compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from relsim.data.curation.inventory import Inventory, Item

KINDS = ("only_in_first", "only_in_second", "status", "bytes", "caption", "url")


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which an image differs, with what the first side and the second say; None is nothing."""

    image_id: str
    kind: str
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ids on each side and on both, ids that are equal in everything, and the differences in the order of the first."""

    first: str
    second: str
    ids_first: int
    ids_second: int
    shared: int
    equal: int
    counts: dict[str, int]
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "differences": [asdict(difference) for difference in self.differences]}


def compare(first: Inventory, second: Inventory) -> Comparison:
    """Compare two collections, image by image."""
    ours, theirs = first.by_id(), second.by_id()
    knows = {
        "caption": _knows(first, "caption") and _knows(second, "caption"),
        "url": _knows(first, "url") and _knows(second, "url"),
    }
    found: list[Difference] = []
    equal = 0
    for image_id, mine in ours.items():
        if image_id not in theirs:
            found.append(Difference(image_id, "only_in_first", _told(mine), None))
            continue
        ways = _ways(mine, theirs[image_id], knows)
        equal += not ways
        found += ways
    found += [
        Difference(image_id, "only_in_second", None, _told(item))
        for image_id, item in theirs.items()
        if image_id not in ours
    ]
    counts = Counter(difference.kind for difference in found)
    return Comparison(
        first=first.name,
        second=second.name,
        ids_first=len(ours),
        ids_second=len(theirs),
        shared=len(ours.keys() & theirs.keys()),
        equal=equal,
        counts={kind: counts[kind] for kind in KINDS if counts[kind]},
        differences=tuple(found),
    )


def _ways(mine: Item, theirs: Item, knows: dict[str, bool]) -> list[Difference]:
    ways: list[Difference] = []
    if mine.status is not None and theirs.status is not None and mine.status is not theirs.status:
        ways.append(Difference(mine.image_id, "status", _told(mine), _told(theirs)))
    if mine.has_image and theirs.has_image and mine.sha256 != theirs.sha256:
        ways.append(Difference(mine.image_id, "bytes", mine.sha256, theirs.sha256))
    if knows["caption"] and mine.clean_caption != theirs.clean_caption:
        ways.append(Difference(mine.image_id, "caption", mine.clean_caption, theirs.clean_caption))
    if knows["url"] and mine.clean_url != theirs.clean_url:
        ways.append(Difference(mine.image_id, "url", mine.clean_url, theirs.clean_url))
    return ways


def _knows(inventory: Inventory, name: str) -> bool:
    return any(getattr(item, name) is not None for item in inventory.items)


def _told(item: Item) -> str | None:
    """The status with its HTTP code or, in a list, nothing."""
    if item.status is None:
        return None
    return item.status.value if item.http_code is None else f"{item.status.value} ({item.http_code})"
