"""Parts of a collection, such as train and test, between which nothing leaks.

Rows that belong together come into one part: those of one seed group, those with the same caption, the same id, URL or
bytes, and pictures that look the same. Which part that is follows from the seed and from the ids of the rows that
belong together, and from nothing else: each set has a number from 0 to 1, the SHA-256 of the seed and its least id, and
the parts divide that range in their order. So rows that are appended and belong to none of the others move none of
them. The shares are met as well as chance meets them: of n sets, the deviation is about sqrt(share (1 - share) / n).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.data.curation.duplicates import DEFAULT_DISTANCE, joined
from relsim.data.curation.inventory import Inventory, Item
from relsim.data.curation.near_duplicates import Clusters
from relsim.data.identity import printable
from relsim.data.manifest import write_manifest
from relsim.errors import SourceError
from relsim.files import drafted_folder

SCHEMA = "relsim.split/1"
RULES = ("group", "caption", "near")
"""What keeps rows together, beside equal ids, URLs and bytes, which always do."""
_TOTAL_TOLERANCE = 1e-6
_FORBIDDEN = set('/\\\0:*?"<>|')


@dataclass(frozen=True, slots=True)
class Split:
    """Rows by part, how many sets of rows that belong together there are, and the size of the largest.

    `left_out` are rows that a download has no image for.
    """

    name: str
    seed: int
    shares: dict[str, float]
    together: tuple[str, ...]
    distance: int
    parts: dict[str, tuple[Item, ...]]
    sets: int
    largest: int
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """The facts of the split, with counts in the place of the rows: ready for JSON."""
        return {
            "source": self.name,
            "seed": self.seed,
            "together": list(self.together),
            "distance": self.distance,
            "sets": self.sets,
            "largest_set": self.largest,
            "left_out": self.left_out,
            "parts": {part: {"share": self.shares[part], "rows": len(rows)} for part, rows in self.parts.items()},
        }


def parse_shares(text: str) -> dict[str, float]:
    """`train=0.9,test=0.1` as shares by name. Raises SourceError unless names are plain and shares add up to 1."""
    shares: dict[str, float] = {}
    for piece in text.split(","):
        name, equals, number = piece.strip().partition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not equals or not name or set(name) & _FORBIDDEN or name.startswith(".") or not 0 < share <= 1:
            raise SourceError(
                f"{piece.strip()!r} is not a part; write name=share with a share above 0: train=0.9,test=0.1"
            )
        if name in shares:
            raise SourceError(f"the part {name} is named twice")
        shares[name] = share
    if abs(sum(shares.values()) - 1) > _TOTAL_TOLERANCE:
        raise SourceError(f"the shares add up to {sum(shares.values()):g}; they must add up to 1")
    return shares


def split(
    inventory: Inventory,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    together: Sequence[str] = RULES,
    distance: int = DEFAULT_DISTANCE,
) -> Split:
    """Divide the rows of a collection; of a download those with an image. `together` names some of `RULES`.

    `distance` is that of `relsim.data.curation.duplicates`; a list without images has no near-duplicates. Raises
    SourceError.
    """
    unknown = set(together) - set(RULES)
    if unknown:
        raise SourceError(f"nothing is kept together by {', '.join(sorted(unknown))}; there is {', '.join(RULES)}")
    items = [item for item in inventory.items if item.status is None or item.has_image]
    if not items:
        raise SourceError(f"{printable(inventory.name)} has no rows to split")
    sets = _connected(items, together, distance).groups()
    names = list(shares)
    parts: dict[str, list[Item]] = {name: [] for name in names}
    for members in sets:
        least = min(items[place].image_id for place in members)
        part = _part(unit(seed, least), shares)
        parts[part] += [items[place] for place in members]
    return Split(
        name=inventory.name,
        seed=seed,
        shares=dict(shares),
        together=tuple(together),
        distance=distance,
        parts={name: tuple(sorted(rows, key=lambda item: item.row)) for name, rows in parts.items()},
        sets=len(sets),
        largest=max(map(len, sets)),
        left_out=len(inventory.items) - len(items),
    )


def write_split(folder: str | os.PathLike[str], made: Split) -> None:
    """Write `<part>.jsonl` for each part, and `split.json`, into a new folder, which appears whole.

    Raises SourceError, also if the folder exists.
    """
    target = Path(folder)
    if target.exists():
        raise SourceError(f"{printable(str(folder))} exists already; name a new folder, or remove that one")
    try:
        with drafted_folder(target) as draft:
            for part, items in made.parts.items():
                write_manifest(draft / f"{part}.jsonl", (item.manifest_row for item in items))
            document = {"schema": SCHEMA, **made.to_dict()}
            (draft / "split.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SourceError(
            f"cannot write {printable(str(folder))}: {(error.strerror or type(error).__name__).lower()}"
        ) from error


def unit(seed: int, image_id: str) -> float:
    """A number from 0 (included) to 1 (excluded): the first 53 bits of the SHA-256 of `<seed>:<image_id>`."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _part(place: float, shares: Mapping[str, float]) -> str:
    reached = 0.0
    for name, share in shares.items():
        reached += share
        if place < reached:
            return name
    return next(reversed(list(shares)))  # shares that add up to a little less than 1


def _connected(items: Sequence[Item], together: Sequence[str], distance: int) -> Clusters:
    clusters = Clusters(len(items))
    first: dict[tuple[str, str], int] = {}
    for place, item in enumerate(items):
        keys = [("id", item.image_id), ("url", item.clean_url), ("bytes", item.sha256)]
        if "group" in together:
            keys.append(("group", item.group))
        if "caption" in together and item.clean_caption:
            keys.append(("caption", " ".join(item.clean_caption.split()).casefold()))
        for kind, value in keys:
            if value is not None:
                clusters.join(first.setdefault((kind, value), place), place)
    if "near" in together:
        joined(items, distance, clusters)
    return clusters
