"""Two people's copies of a collection: which images differ, and why.

Images are compared by id; where an id comes more than once, the first row with an image counts. An image may differ in
several ways, each one entry:

    only_in_first, only_in_second    the id is missing on the other side
    status      only one side has the image, or they failed differently
    bytes       both have it, and its SHA-256 differs
    caption     the cleaned captions differ, or only one side has one
    url         the cleaned URLs differ

What a side does not know (a list has no status, a folder no URLs) is not compared.

`why` tells more: of a status the reasons; of bytes format, size in pixels and, where it is known, in bytes of either
side, and by the perceptual hashes whether it is the same picture: up to 4 bits of 64 differ, as for duplicates.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from relsim.data.curation.duplicates import DEFAULT_DISTANCE, FLAT
from relsim.data.curation.inventory import Inventory, Item
from relsim.data.facts import hamming_distance

KINDS = ("only_in_first", "only_in_second", "status", "bytes", "caption", "url")


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which an image differs, with what the first side and the second say, and why; None is nothing."""

    image_id: str
    kind: str
    first: str | None
    second: str | None
    why: str | None = None


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
        ways.append(Difference(mine.image_id, "status", _told(mine), _told(theirs), _reasons(mine, theirs)))
    if mine.has_image and theirs.has_image and mine.sha256 != theirs.sha256:
        ways.append(Difference(mine.image_id, "bytes", mine.sha256, theirs.sha256, _looks(mine, theirs)))
    if knows["caption"] and mine.clean_caption != theirs.clean_caption:
        ways.append(Difference(mine.image_id, "caption", mine.clean_caption, theirs.clean_caption))
    if knows["url"] and mine.clean_url != theirs.clean_url:
        ways.append(Difference(mine.image_id, "url", mine.clean_url, theirs.clean_url))
    return ways


def _knows(inventory: Inventory, name: str) -> bool:
    return any(getattr(item, name) is not None for item in inventory.items)


def _reasons(mine: Item, theirs: Item) -> str | None:
    """The reasons of the sides that give one."""
    sides = {"first": mine.reason, "second": theirs.reason}
    return "; ".join(f"{side}: {reason}" for side, reason in sides.items() if reason) or None


def _looks(mine: Item, theirs: Item) -> str | None:
    """What either side's image is, and whether it is the same picture."""
    sides = [f"{side}: {facts}" for side, item in (("first", mine), ("second", theirs)) if (facts := _facts(item))]
    if mine.phash is not None and theirs.phash is not None and not {mine.phash, theirs.phash} & FLAT:
        bits = hamming_distance(mine.phash, theirs.phash)
        same = "the same picture" if bits <= DEFAULT_DISTANCE else "another picture"
        sides.append(f"{same} ({bits} {'bit' if bits == 1 else 'bits'})")
    return "; ".join(sides) or None


def _facts(item: Item) -> str:
    pixels = None if item.width is None or item.height is None else f"{item.width} x {item.height}"
    size = None if item.size is None else f"{item.size:,} bytes"
    return ", ".join(fact for fact in (item.format, pixels, size) if fact)


def _told(item: Item) -> str | None:
    """The status with its HTTP code or, in a list, nothing."""
    if item.status is None:
        return None
    return item.status.value if item.http_code is None else f"{item.status.value} ({item.http_code})"
