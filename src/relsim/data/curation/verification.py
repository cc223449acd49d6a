"""Are the bytes of a collection still what was recorded, and are they images?

Every image is read again and decoded whole. In a shard folder, and in the folder of a download with `--layout files`,
its SHA-256, size, format and perceptual hash are compared with what was recorded; so is `sha256` in a list that has it.
In any other folder nothing was recorded, and decoding is all that can be asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relsim.data.curation.inventory import Inventory, Item, Progress, read_ahead, take_inventory
from relsim.data.facts import image_facts
from relsim.data.images import DEFAULT_LIMITS, Limits, read_bytes
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shard_address import is_shard_folder
from relsim.errors import ImageError, ShardError

_FACTS = ("sha256", "width", "height", "format", "phash")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one row, or with a whole part (then `row` and `image_id` are None)."""

    source: str
    row: int | None
    image_id: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Rows in all, images read, their bytes, how many were compared with a digest, rows without an image by status."""

    name: str
    rows: int
    images: int
    bytes: int
    compared: int
    without_image: dict[str, int]
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "faults": [asdict(fault) for fault in self.faults]}


def verify(
    source: str | os.PathLike[str],
    *,
    image_folder: str | os.PathLike[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Read every image of a collection again. Raises SourceError for a source that cannot be listed.

    A damaged part of a shard folder is a fault, and the other parts are read.
    """
    if is_shard_folder(source):
        return _verify_shards(Path(source), limits, workers, progress)
    inventory = take_inventory(source, image_folder=image_folder, limits=limits, workers=workers, progress=progress)
    if inventory.kind == "files":
        return _verify_items(inventory, limits, workers, progress)
    return _verify_measured(inventory)


def _verify_shards(path: Path, limits: Limits, workers: int | None, progress: Progress | None) -> Verification:
    from relsim.data.shard_contents import read_contents

    contents = read_contents(path)
    faults: list[Fault] = []
    images = size = 0
    without: dict[str, int] = {}

    def rows() -> Iterator[tuple[str, Any]]:
        for part in contents.parts if contents is not None else ():
            try:
                yield from _rows_of_part(path / part.name, part.rows, part.bytes)
            except ShardError as error:
                faults.append(Fault(part.name, None, None, str(error)))

    bar = nullcontext(lambda _: None) if progress is None else progress(0 if contents is None else contents.rows)
    with bar as advance:
        for (name, row), problem in read_ahead(rows(), lambda pair: _row_problem(pair[1], limits), workers=workers):
            if problem is not None:
                faults.append(Fault(name, row.row, row.image_hash, problem))
            advance(problem and Failure(ImageRecord(row.image_hash, name), Status.DAMAGED, problem))
            if row.status is Status.OK:
                images, size = images + 1, size + len(row.image or b"")
            else:
                without[row.status.value] = without.get(row.status.value, 0) + 1
    total = 0 if contents is None else contents.rows
    return Verification(str(path), total, images, size, images, without, tuple(faults))


def _rows_of_part(path: Path, rows: int, size: int) -> Iterator[tuple[str, Any]]:
    from relsim.data.shard_rows import COLUMNS
    from relsim.data.shards import part_rows

    try:
        found = path.stat().st_size
    except OSError as error:
        raise ShardError(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if found != size:
        raise ShardError(f"has {found:,} bytes, and shards.json says {size:,}")
    count = 0
    for row in part_rows(path, COLUMNS):
        count += 1
        yield path.name, row
    if count != rows:
        raise ShardError(f"has {count:,} rows, and shards.json says {rows:,}")


def _row_problem(row: Any, limits: Limits) -> str | None:
    if row.status is not Status.OK:
        return None if row.image is None else f"is {row.status.value} and has an image all the same"
    if row.image is None:
        return "is ok and has no image"
    return _problem(row.image, {name: getattr(row, name) for name in _FACTS}, limits)


def _problem(data: bytes, recorded: dict[str, Any], limits: Limits) -> str | None:
    """What is wrong with the bytes of an image whose facts were recorded; facts that are None were not."""
    try:
        facts = image_facts(data, limits=limits)
    except ImageError as error:
        return f"{error.reason} ({error.status})"
    for name in _FACTS:
        now, then = getattr(facts, name), recorded[name]
        if then is not None and now != then:
            return f"its {name} is {now}, and {then} was recorded"
    return None


def _verify_items(inventory: Inventory, limits: Limits, workers: int | None, progress: Progress | None) -> Verification:
    """Images in files, with facts that were recorded when they were fetched."""

    def work(item: Item) -> tuple[int, str | None]:
        try:
            data = read_bytes(item.source or "", limits=limits)
        except ImageError as error:
            return 0, f"{error.reason} ({error.status})"
        return len(data), _problem(data, {name: getattr(item, name) for name in _FACTS}, limits)

    stored = [item for item in inventory.items if item.has_image]
    faults: list[Fault] = []
    size = 0
    bar = nullcontext(lambda _: None) if progress is None else progress(len(stored))
    with bar as advance:
        for item, (count, problem) in read_ahead(stored, work, workers=workers):
            size += count
            if problem is not None:
                faults.append(Fault(item.source or "", item.row, item.image_id, problem))
            advance(problem and Failure(ImageRecord(item.image_id, ""), Status.DAMAGED, problem))
    return Verification(
        inventory.name, len(inventory.items), len(stored), size, len(stored), _without(inventory), tuple(faults)
    )


def _verify_measured(inventory: Inventory) -> Verification:
    """Images that were read for the inventory; a list may have recorded their digests."""
    faults: list[Fault] = []
    compared = 0
    for item in inventory.items:
        if item.status is None:
            continue
        recorded = item.extra.get("sha256")
        if not item.has_image:
            faults.append(Fault(item.source or "", item.row, item.image_id, f"{item.reason} ({item.status.value})"))
        elif isinstance(recorded, str):
            compared += 1
            if recorded != item.sha256:
                problem = f"its sha256 is {item.sha256}, and {recorded} was recorded"
                faults.append(Fault(item.source or "", item.row, item.image_id, problem))
    images = [item for item in inventory.items if item.has_image]
    size = sum(item.size or 0 for item in images)
    without = {"not_fetched": sum(item.status is None for item in inventory.items)}
    return Verification(
        inventory.name,
        len(inventory.items),
        len(images),
        size,
        compared,
        {name: count for name, count in without.items() if count},
        tuple(faults),
    )


def _without(inventory: Inventory) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in inventory.items:
        if not item.has_image:
            name = "not_fetched" if item.status is None else item.status.value
            counts[name] = counts.get(name, 0) + 1
    return counts
