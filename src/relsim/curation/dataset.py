"""The last stages: which captions are anonymous, and the data set that a metric is trained on.

kept.jsonl, rejected.jsonl     rows of the captions; a rejected one says why in `rejected`, with the linter's findings
train.jsonl, held_out.jsonl    the data set: the published fields, and `group` where the source has one
images/                        its images, as links to the same bytes where the disk allows that, else as copies
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from relsim.captions.anonymity import check
from relsim.captions.group_files import findings_of
from relsim.curation.images import items_of
from relsim.curation.stage import Counted, Watch
from relsim.data.cleaning import clean_caption
from relsim.data.curation.inventory import Inventory, Item
from relsim.data.curation.splits import Split, split
from relsim.data.identity import printable
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.records import ImageRecord
from relsim.data.shard_address import split_address
from relsim.data.shard_rows import SUFFIXES
from relsim.errors import ImageError, SourceError
from relsim.evaluation.result_files import write_whole
from relsim.files import flush

KEPT, REJECTED = "kept.jsonl", "rejected.jsonl"
TRAIN, HELD_OUT = "train", "held_out"
IMAGES = "images"
RULES = ("anonymity.py", "contexts.py", "lexicon.py", "placeholders.py")
"""Modules of `relsim.captions` that decide what the linter finds."""
REPEATED = "said before"
TOGETHER = ("group", "near")
"""What keeps images in one part, beside equal ids, links and bytes. Captions repeat by design and do not."""
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES)


def linter_digest() -> str:
    """Digest of what verdicts depend on: the lists of words, and the source of the rules and of the cleaning."""
    package = resources.files("relsim")
    captions = package / "captions"
    words = sorted((captions / "words").iterdir(), key=lambda path: path.name)
    rules = [captions / name for name in RULES]
    total = hashlib.sha256()
    for path in (*(path for path in words if path.is_file()), *rules, package / "data" / "cleaning.py"):
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def make_verdicts(folder: Path, captions: Path) -> Counted:
    """Part the captions of a file into kept and rejected ones.

    A caption is rejected for what the linter finds first, or because another run said the same of that image.
    """
    kept: list[ManifestRow] = []
    rejected: list[ManifestRow] = []
    said: set[tuple[str, str]] = set()
    for row in read_manifest(captions):
        if row.caption is None:
            continue
        verdict = check(row.caption)
        own = {"anonymous": verdict.ok, "findings": findings_of(verdict)}
        key = (row.image_hash, clean_caption(row.caption))
        reason = verdict.findings[0].kind if verdict.findings else REPEATED if key in said else None
        said.add(key)
        judged = replace(row, extra={**row.extra, **own})
        if reason is None:
            kept.append(judged)
        else:
            rejected.append(replace(judged, extra={**judged.extra, "rejected": reason}))
    write_manifest(folder / KEPT, kept)
    write_manifest(folder / REJECTED, rejected)
    reasons = Counter(str(row.extra["rejected"]) for row in rejected)
    more = {"images": len({row.image_hash for row in kept})}
    total = len(kept) + len(rejected)
    return Counted([KEPT, REJECTED], "captions", total, len(kept), dict(reasons.most_common()), more)


def make_dataset(
    folder: Path,
    verdicts: Path,
    images: Path,
    records: Iterable[ImageRecord],
    *,
    held_out: float,
    seed: int,
    watch: Watch,
) -> Counted:
    """Write the data set from the kept captions in `verdicts` and the rows of the first stage in `images`."""
    facts = {item.image_id: item for item in items_of(read_manifest(images))}
    rows = read_manifest(verdicts)
    items = tuple(_item(number, row, facts[row.image_hash]) for number, row in enumerate(rows))
    made = split(Inventory("the kept captions", "folder", items), _shares(held_out), seed=seed, together=TOGETHER)
    for part, members in made.parts.items():
        write_manifest(folder / f"{part}.jsonl", (item.manifest_row for item in members))
    wanted = [record for record in records if record.image_id in {row.image_hash for row in rows}]
    _place_images(folder / IMAGES, wanted, facts, watch)
    results = [*(f"{part}.jsonl" for part in made.parts), IMAGES]
    return Counted(results, "captions", len(rows), len(rows), {}, {"dataset": _counts(made)})


def _counts(made: Split) -> dict[str, Any]:
    return {
        "sets": made.sets,
        "largest_set": made.largest,
        "parts": {
            part: {"images": len({item.image_id for item in members}), "captions": len(members)}
            for part, members in made.parts.items()
        },
    }


def _shares(held_out: float) -> dict[str, float]:
    return {TRAIN: 1 - held_out, HELD_OUT: held_out} if held_out else {TRAIN: 1.0}


def _item(number: int, row: ManifestRow, known: Item) -> Item:
    """The caption as a row of the data set, with what is known of its image."""
    group = known.extra.get("group")
    extra = {} if group is None else {"group": group}
    return replace(known, row=number, caption=clean_caption(row.caption or ""), extra=extra)


def _place_images(folder: Path, records: Sequence[ImageRecord], facts: Mapping[str, Item], watch: Watch) -> None:
    """Link or copy the images, each under its id and the suffix of its format. Raises `SourceError`."""
    try:
        folder.mkdir()
        with watch("placing images", len(records)) as advance:
            for record in records:
                name = f"{record.image_id}.{SUFFIXES[facts[record.image_id].format or 'PNG']}"
                _place(record, folder / name)
                advance(record)
        flush(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"the images cannot be placed in {folder}: {reason}") from error


def _place(record: ImageRecord, target: Path) -> None:
    if split_address(record.source) is None:
        try:
            os.link(os.path.realpath(record.source), target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            return
    try:
        data = read_bytes(record.source)
    except ImageError as error:
        raise SourceError(
            f"the image {printable(record.source)} was read before and cannot be read any more: {error.reason}; "
            "run again, so that it is left out"
        ) from error
    write_whole(target, data)
