"""From manifests to samples, and the order in which training visits them.

A manifest is the published one (`image_hash, url_link, caption`; see `relsim.data.manifest`), or a shard folder, which
holds the rows of one together with their images; there rows without an image are left out. Three more fields are
understood, all optional:

    captions    further captions of the image, a list of texts; each visit takes one of all its captions
    group       a text or whole number; images of one group share their logic
    relation    a text; the relation that the image shows, where it is known

An image that several rows name is one sample with all of their captions.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relsim.data.dataset import ImageDataset
from relsim.data.identity import printable, unique_ids
from relsim.data.manifest import ManifestRow, read_manifest
from relsim.data.records import ImageRecord, Status
from relsim.data.shard_address import is_shard_folder
from relsim.data.shuffling import permutation, random_numbers
from relsim.errors import SourceError, TrainingError

if TYPE_CHECKING:
    from relsim.data.shards import ShardFolder

_log = logging.getLogger(__name__)

Rows = NDArray[np.int64]
_SHOWN = 3
_PARAPHRASE = 1 << 63  # apart from every number of an epoch


@dataclass(frozen=True, slots=True)
class Sample:
    """One image to learn from: where it is, what it may be called (at least one caption), and what it shows."""

    image_id: str
    source: str
    captions: tuple[str, ...]
    group: str | None = None
    relation: str | None = None


def read_samples(manifests: Sequence[str | Path], image_folder: str | Path | None = None) -> list[Sample]:
    """The images of several manifests and shard folders in order, each once. No image is opened.

    `image_folder` is as in `relsim.data.dataset.ImageDataset.open`. Raises `SourceError` for a bad manifest, for rows
    without a caption, and for fields of the wrong kind.
    """
    found: dict[str, Sample] = {}
    for manifest in manifests:
        records, rows_of = _listed(manifest, image_folder)
        for record in records:
            sample = _sample(record.image_id, record.source, rows_of[record.image_id], manifest)
            known = found.get(record.source)
            found[record.source] = sample if known is None else _joined(known, sample, manifest)
    samples = list(found.values())
    ids = unique_ids([sample.image_id for sample in samples], [sample.source for sample in samples], refuse=False)
    return [replace(sample, image_id=image_id) for sample, image_id in zip(samples, ids, strict=True)]


def hold_out(image_ids: Sequence[str], fraction: float) -> tuple[Rows, Rows]:
    """Rows to train on and rows held out, both ascending.

    An image's side follows from its id alone, so it stays there when others come or go. About `fraction` of the images
    is held out; if `fraction` is positive and there are two, at least one is and at least one is not.
    """
    places = np.array([_unit(image_id) for image_id in image_ids])
    held = places < fraction
    if fraction > 0 and len(places):
        held[np.argmin(places)] = True
        held[np.argmax(places)] = False
    return np.flatnonzero(~held), np.flatnonzero(held)


class Order:
    """Shuffled batches of rows 0 to `length` - 1: batch k follows from the seed and k alone, so any k is a start.

    Epochs are permutations, one after the other, and the row of all epochs is cut into batches of `batch_size`: every
    batch is full, and within an epoch each row comes once. (The published loader ends each epoch with a smaller batch,
    which has fewer negatives.) The batch at a seam holds the end of one epoch and the beginning of the next; from
    2 * `batch_size` rows on no row is in it twice. Raises `TrainingError` if the rows do not fill one batch.
    """

    def __init__(self, seed: int, length: int, batch_size: int) -> None:
        if length < batch_size:
            raise TrainingError(
                f"{length:,} pictures do not fill a batch of {batch_size:,}; lower optimizer.batch_size or add pictures"
            )
        self.seed, self.length, self.batch_size = seed, length, batch_size
        self._permutation = functools.lru_cache(maxsize=2)(self._epoch)

    def batch(self, step: int) -> Rows:
        """Rows (batch_size,) of the step, counted from 0."""
        epoch, start = divmod(step * self.batch_size, self.length)
        rows = self._permutation(epoch)[start : start + self.batch_size]
        if len(rows) < self.batch_size:
            rows = np.concatenate([rows, self._permutation(epoch + 1)[: self.batch_size - len(rows)]])
        return rows

    def paraphrases(self, step: int, counts: Sequence[int] | Rows) -> Rows:
        """For each place of the step's batch one number below its count (how many captions its row has)."""
        draws = random_numbers(self.seed, _PARAPHRASE + step, self.batch_size)
        return (draws % np.asarray(counts, np.uint64)).astype(np.int64)

    def steps(self, epochs: float) -> int:
        """Full batches in so many epochs, at least one."""
        return max(1, int(epochs * self.length) // self.batch_size)

    def epoch(self, step: int) -> float:
        """Epochs that are done before the step."""
        return step * self.batch_size / self.length

    def _epoch(self, number: int) -> Rows:
        rows = self._shuffled(number)
        before = number * self.length % self.batch_size  # rows of the last epoch in the batch at the seam
        after = (number + 1) * self.length % self.batch_size
        head, last = (self.batch_size - before) % self.batch_size, self.length - after
        if head and self.length >= 2 * self.batch_size:
            # Neither the last epoch's end nor this one's is touched, so that an epoch depends on no other's repair.
            taken = np.isin(rows, self._shuffled(number - 1)[self.length - before :])
            clash, free = np.flatnonzero(taken[:head]), head + np.flatnonzero(~taken[head:last])
            free = free[: len(clash)]
            rows[clash], rows[free] = rows[free], rows[clash]
        return rows

    def _shuffled(self, number: int) -> Rows:
        return permutation(self.seed, number, self.length)


def share(rows: Rows, rank: int, ranks: int) -> Rows:
    """The part of a batch that one of several processes takes: runs in order of rank that differ by one at most."""
    return np.array_split(rows, ranks)[rank]


def _listed(
    manifest: str | Path, image_folder: str | Path | None
) -> tuple[Sequence[ImageRecord], Mapping[str, Sequence[ManifestRow]]]:
    """The images of a manifest or a shard folder, and the rows of each by its id."""
    if is_shard_folder(manifest):
        from relsim.data.shards import ShardFolder

        return _usable(ShardFolder.open(manifest))
    if Path(manifest).suffix.lower() != ".jsonl":
        raise SourceError(
            f"{printable(str(manifest))} is no manifest; name a file *.jsonl with one image a line, or a shard folder"
        )
    records = ImageDataset.open([manifest], image_folder=image_folder).records
    grouped = _by_image(read_manifest(manifest))
    return records, dict(zip((record.image_id for record in records), grouped.values(), strict=True))


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


def _sample(image_id: str, source: str, rows: Sequence[ManifestRow], manifest: str | Path) -> Sample:
    captions: dict[str, None] = {}
    marks: dict[str, set[str]] = {"group": set(), "relation": set()}
    where = f"{printable(str(manifest))}: the image {image_id}"
    for row in rows:
        more = row.extra.get("captions") or []
        if not isinstance(more, list) or not all(isinstance(text, str) for text in more):
            raise SourceError(f"{where} has captions that are no list of texts")
        captions.update(dict.fromkeys(text for text in (row.caption, *more) if text and not text.isspace()))
        for name, values in marks.items():
            value = row.extra.get(name)
            if value is not None and (not isinstance(value, (str, int)) or isinstance(value, bool)):
                raise SourceError(f"{where} has a {name} that is neither a text nor a whole number")
            values.update([] if value is None else [str(value)])
    if not captions:
        raise SourceError(f"{where} has no caption; training needs one for each, in the field caption or captions")
    for name, values in marks.items():
        if len(values) > 1:
            raise SourceError(f"{where} has several values of {name}: {', '.join(sorted(values)[:_SHOWN])}; keep one")
    group, relation = (next(iter(marks[name]), None) for name in ("group", "relation"))
    return Sample(image_id, source, tuple(captions), group, relation)


def _joined(first: Sample, second: Sample, manifest: str | Path) -> Sample:
    """Two samples of one file as one."""
    for name in ("group", "relation"):
        one, other = getattr(first, name), getattr(second, name)
        if one is not None and other is not None and one != other:
            raise SourceError(
                f"{printable(str(manifest))}: the image {first.image_id} has the {name} {other}, "
                f"and {one} in an earlier manifest; keep one"
            )
    return replace(
        first,
        captions=tuple(dict.fromkeys([*first.captions, *second.captions])),
        group=first.group if first.group is not None else second.group,
        relation=first.relation if first.relation is not None else second.relation,
    )


def _unit(name: str) -> float:
    """A number in [0, 1) that follows from a name."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48
