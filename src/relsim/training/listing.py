"""What training data may be listed in, and the rows of each image: manifests, shard folders, lists of seed groups."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relsim.data.dataset import ImageDataset
from relsim.data.identity import printable
from relsim.data.lists import holds_groups
from relsim.data.manifest import ManifestRow, read_manifest
from relsim.data.records import ImageRecord, Status
from relsim.data.seed_groups import read_seed_groups
from relsim.data.seed_images import SeedImages
from relsim.data.shard_address import is_shard_folder
from relsim.errors import SourceError

if TYPE_CHECKING:
    from relsim.data.shards import ShardFolder

_log = logging.getLogger(__name__)
_SHOWN = 3

Seeds = dict[str, tuple[str, str | Path]]
"""The caption of each seed group that was read, and the list that it is in."""


def listed(
    manifest: str | Path, image_folder: str | Path | None, seeds: Seeds
) -> tuple[Sequence[ImageRecord], Mapping[str, Sequence[ManifestRow]]]:
    """The images of a manifest, a shard folder or a list of seed groups, and the rows of each by its id.

    `seeds` holds the seed groups of the lists before it, and gets those of this one. Raises `SourceError`.
    """
    if is_shard_folder(manifest):
        from relsim.data.shards import ShardFolder

        return _usable(ShardFolder.open(manifest))
    if Path(manifest).suffix.lower() not in (".jsonl", ".json"):
        raise _no_manifest(manifest)
    if holds_groups(Path(manifest)):
        return _seeds(Path(manifest), image_folder, seeds)
    if Path(manifest).suffix.lower() != ".jsonl":
        raise _no_manifest(manifest)
    records = ImageDataset.open([manifest], image_folder=image_folder).records
    grouped = _by_image(read_manifest(manifest))
    return records, dict(zip((record.image_id for record in records), grouped.values(), strict=True))


def _no_manifest(path: str | Path) -> SourceError:
    return SourceError(
        f"{printable(str(path))} is no manifest; name a file *.jsonl with one image a line, a list of seed groups "
        "(*.json, *.jsonl) or a shard folder"
    )


def _seeds(
    path: Path, image_folder: str | Path | None, seeds: Seeds
) -> tuple[Sequence[ImageRecord], Mapping[str, Sequence[ManifestRow]]]:
    """The images of a list of seed groups; how many groups have none is logged."""
    groups = read_seed_groups(path, image_folder=image_folder)
    for group in groups:
        caption, other = seeds.setdefault(str(group.index), (group.caption_clean, path))
        if caption != group.caption_clean:
            raise SourceError(
                f"{printable(str(path))}: group {group.index} has another caption than group {group.index} of "
                f"{printable(str(other))}; give groups numbers of their own (index_group)"
            )
    empty = [group.index for group in groups if not group.images]
    if len(empty) == len(groups):
        raise SourceError(
            f"no group of {printable(str(path))} has images; name the folder that holds theirs (data.image_folder)"
        )
    if empty:
        shown = ", ".join(map(str, empty[:_SHOWN]))
        _log.warning("%s: %d of %d groups have no images: %s", path, len(empty), len(groups), shown)
    by_url = any(image.path is None for group in groups for image in group.images)
    beside = path.parent / "images"
    found = SeedImages((image_folder or (beside if beside.is_dir() else path.parent)) if by_url else None)
    records = {record.image_id: record for group in groups for record in found.records(group)}
    return list(records.values()), _by_image(row for group in groups for row in group.rows())


def _usable(shards: ShardFolder) -> tuple[Sequence[ImageRecord], Mapping[str, Sequence[ManifestRow]]]:
    """The images of a shard folder that were downloaded; how many were not is logged."""
    rows = sorted(shards.rows(("url_link", "caption", "extra")), key=lambda row: row.row)
    fine = {row.image_hash for row in rows if row.status is Status.OK}
    left_out = Counter(row.status.value for row in rows if row.image_hash not in fine)
    if left_out:
        counts = ", ".join(f"{count:,} {status}" for status, count in left_out.most_common())
        _log.warning("%s: %d rows without an image are left out: %s", shards.path, left_out.total(), counts)
    if not fine:
        raise SourceError(f"the shard folder {printable(str(shards.path))} has no row with an image")
    # One record for each id, in the order of the list, as the rows are grouped; the dataset's ids are made printable.
    grouped = _by_image(row.manifest_row for row in rows)
    images = zip(ImageDataset.open([shards.path]).records, grouped.items(), strict=True)
    usable = [(record, group) for record, (name, group) in images if name in fine]
    return [record for record, _ in usable], {record.image_id: group for record, group in usable}


def _by_image(rows: Iterable[ManifestRow]) -> dict[str, list[ManifestRow]]:
    grouped: dict[str, list[ManifestRow]] = {}
    for row in rows:
        grouped.setdefault(row.image_hash, []).append(row)
    return grouped
