"""The first stage: every row of the sources with what is known of its image, and which images are duplicates.

read.jsonl      what reading the images told; it grows, and a run that was ended goes on from it
images.jsonl    a row for each image of the sources, in order: its own fields, and those of `OWN`
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from relsim.captions.rows_file import RowsFile
from relsim.curation.stage import Counted, Watch
from relsim.data.curation.duplicates import find_duplicates
from relsim.data.curation.inventory import Inventory, Item, read_ahead, take_inventory
from relsim.data.dataset import ImageDataset
from relsim.data.facts import image_facts
from relsim.data.identity import printable
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shard_address import file_of, is_shard_folder
from relsim.errors import ImageError, SourceError
from relsim.fingerprint import Fingerprint

READ, IMAGES = "read.jsonl", "images.jsonl"
FACTS = ("width", "height", "format", "sha256", "phash")
OWN = ("source", "status", "reason", *FACTS, "size", "modified", "kept", "duplicate", "duplicate_of", "distance")
"""What rows say beside the published fields and beside the image's own others; `size` and `modified` only when read."""
ROWS_AT_ONCE = 64
_MADE_BY = Fingerprint.of({"facts": ", ".join(FACTS)})
_KIND = "facts of images"
_NOT_IN_A_NAME = str.maketrans(dict.fromkeys("/\\\0", "-"))


def list_sources(sources: Sequence[str | Path], image_folder: Path | None, out: Path) -> list[ImageRecord]:
    """The images of the sources, with ids that can name a file.

    An id that is a path gets its slashes replaced and a few digits of its digest. Raises `SourceError`, also where the
    folder of the results lies among the sources: the next run would take them for sources.
    """
    records = ImageDataset.open(sources, image_folder=image_folder, ids="stem").records
    root = out.resolve()
    folders = [Path(source).resolve() for source in sources if Path(source).is_dir()]
    if any(root.is_relative_to(folder) for folder in folders) or any(
        Path(record.source).is_relative_to(out.absolute()) for record in records
    ):
        raise SourceError(f"{printable(str(out))} lies in one of the sources; name a folder for the stages elsewhere")
    return [replace(record, image_id=_plain(record.image_id)) for record in records]


def listing_digest(records: Iterable[ImageRecord]) -> str:
    """SHA-256 of what is known of images before they are read: ids, places, fields, sizes and times of change."""
    digest = hashlib.sha256()
    for record in records:
        what = [record.image_id, printable(record.source), *_stamp(record), dict(record.fields)]
        digest.update(json.dumps(what, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def make_images(
    folder: Path, records: Sequence[ImageRecord], shards: Iterable[str | Path], dedup: str, watch: Watch
) -> Counted:
    """Write the two files. `shards` are folders whose facts are taken as their download recorded them."""
    items = _read(folder / READ, records, _recorded(shards), watch)
    if dedup == "exact":
        items = [replace(item, phash=None) for item in items]
    found = {}
    if dedup != "none" and any(item.has_image for item in items):
        duplicates = find_duplicates(Inventory("the sources", "folder", tuple(items)))
        found = {decision.row: decision for decision in duplicates.decisions if decision.decision == "drop"}
    rejected: Counter[str] = Counter()
    rows = []
    for item, read in zip(items, read_manifest(folder / READ), strict=True):
        decision = found.get(item.row)
        own = {name: read.extra[name] for name in OWN if name in read.extra and name not in ("size", "modified")}
        own |= {"kept": item.has_image and decision is None}
        own |= {"duplicate": None, "duplicate_of": None, "distance": None}
        if decision is not None:
            own |= {"duplicate": decision.reason, "duplicate_of": decision.kept, "distance": decision.distance}
            rejected[f"{decision.reason} duplicate"] += 1
        elif not item.has_image:
            rejected[str(own["status"])] += 1
        rows.append(replace(read, extra={**_others(read.extra), **own}))
    write_manifest(folder / IMAGES, rows)
    kept = len(rows) - rejected.total()
    return Counted([IMAGES], "images", len(rows), kept, dict(rejected.most_common()))


def kept_records(folder: Path, records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """The images that the first stage hands on, with the digest of their bytes among the fields."""
    rows = {row.image_hash: row for row in read_manifest(folder / IMAGES)}
    return [
        replace(record, fields={**_others(record.fields), "sha256": rows[record.image_id].extra["sha256"]})
        for record in records
        if rows[record.image_id].extra["kept"]
    ]


def items_of(rows: Iterable[ManifestRow]) -> list[Item]:
    """Rows of this stage as an inventory has them."""
    return [
        Item(
            row.image_hash,
            number,
            row.url_link,
            row.caption,
            _others(row.extra),
            Status(row.extra["status"]),
            **{name: row.extra[name] for name in FACTS},
        )
        for number, row in enumerate(rows)
    ]


def _read(path: Path, records: Sequence[ImageRecord], recorded: dict[str, Item], watch: Watch) -> list[Item]:
    """Read what `path` does not tell yet, and leave there the rows of these records, in order."""
    with RowsFile(path, _KIND, _MADE_BY) as file:
        found = {_key(row): row for row in file.rows}
        stamps = {record.image_id: _stamp(record) for record in records}

        def key(record: ImageRecord) -> tuple[Any, ...]:
            return (record.image_id, printable(record.source), *stamps[record.image_id])

        missing = [record for record in records if key(record) not in found]
        added: list[ManifestRow] = []
        with watch("reading", len(missing)) as advance:
            try:
                for record, facts in read_ahead(missing, lambda record: _facts(record, recorded)):
                    advance(facts)
                    added.append(_row(record, facts, stamps[record.image_id]))
                    if len(added) == ROWS_AT_ONCE:
                        file.append(added)
                        added = []
            finally:
                file.append(added)  # also of a run that is interrupted
        found |= {_key(row): row for row in file.rows}
        # The source's own fields are of the list and may have changed since the image was read.
        rows = [_row(record, found[key(record)].extra, stamps[record.image_id]) for record in records]
        if rows != file.rows:
            write_manifest(path, rows)
    return items_of(rows)


def _facts(record: ImageRecord, recorded: dict[str, Item]) -> Any:
    known = recorded.get(record.source)
    if known is not None and known.has_image:
        return {"status": Status.OK.value, "reason": None, **{name: getattr(known, name) for name in FACTS}}
    try:
        facts = image_facts(read_bytes(record.source))
    except ImageError as error:
        return Failure(record, Status(error.status), error.reason)
    return {"status": Status.OK.value, "reason": None, **{name: getattr(facts, name) for name in FACTS}}


def _row(record: ImageRecord, facts: Any, stamp: tuple[int | None, int | None]) -> ManifestRow:
    if isinstance(facts, Failure):
        facts = {"status": facts.status.value, "reason": printable(facts.reason), **dict.fromkeys(FACTS)}
    own = {name: facts[name] for name in ("status", "reason", *FACTS)}
    extra = {
        **_others(record.fields),
        "source": printable(record.source),
        **own,
        "size": stamp[0],
        "modified": stamp[1],
    }
    return ManifestRow(record.image_id, record.fields.get("url_link"), record.fields.get("caption"), extra)


def _key(row: ManifestRow) -> tuple[Any, ...]:
    return (row.image_hash, *(row.extra[name] for name in ("source", "size", "modified")))


def _others(fields: Any) -> dict[str, Any]:
    """The image's own fields that are neither published nor ours."""
    return {name: value for name, value in fields.items() if name not in ("url_link", "caption", *OWN)}


def _stamp(record: ImageRecord) -> tuple[int | None, int | None]:
    """Size and time of change (ns) of the file that holds the image; None of one that cannot be looked at."""
    try:
        found = os.stat(file_of(record.source))  # noqa: PTH116 - a source may be any bytes
    except (OSError, ValueError):
        return None, None
    return found.st_size, found.st_mtime_ns


def _recorded(shards: Iterable[str | Path]) -> dict[str, Item]:
    """What downloads recorded of their images, by address."""
    folders = [Path(folder).absolute() for folder in shards if is_shard_folder(folder)]
    return {item.source: item for folder in folders for item in take_inventory(folder).items if item.source}


def _plain(image_id: str) -> str:
    """The id where it can name a file, else one that is made of it."""
    plain = image_id.translate(_NOT_IN_A_NAME).lstrip(".") or "image"
    return image_id if plain == image_id else f"{plain}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"
