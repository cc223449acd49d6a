"""From manifests to samples, and the order in which training visits them.

A manifest is the published one (`image_hash, url_link, caption`; see `relsim.data.manifest`), or a shard folder, which
holds the rows of one together with their images; there rows without an image are left out. Three more fields are
understood, all optional:

    captions    further captions of the image, a list of texts; each visit takes one of all its captions
    group       a text or whole number; images of one group share their logic
    relation    a text; the relation that the image shows, where it is known

An image that several rows name is one sample with all of their captions.

A list of seed groups in either published form (`relsim.data.seed_groups`) stands for its images: each has the caption
of its group, without stray quotes, and the group's number as `group`. `relsim.data.seed_images` says where they are.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relsim.data.cleaning import caption_to_use
from relsim.data.identity import printable, unique_ids
from relsim.data.manifest import ManifestRow
from relsim.data.shuffling import permutation, random_numbers
from relsim.errors import SourceError, TrainingError
from relsim.training.listing import Seeds, listed

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
    """The images of several manifests, shard folders and lists of seed groups in order, each once. None is opened.

    `image_folder` is as in `relsim.data.dataset.ImageDataset.open`. Raises `SourceError` for a bad manifest, for rows
    without a caption, for fields of the wrong kind, and for two lists of seed groups that number other groups alike.
    """
    found: dict[str, Sample] = {}
    seeds: Seeds = {}
    for manifest in manifests:
        records, rows_of = listed(manifest, image_folder, seeds)
        for record in records:
            sample = _sample(record.image_id, record.source, rows_of[record.image_id], manifest)
            known = found.get(record.source)
            found[record.source] = sample if known is None else _joined(known, sample, manifest)
    samples = list(found.values())
    ids = unique_ids([sample.image_id for sample in samples], [sample.source for sample in samples], refuse=False)
    return [replace(sample, image_id=image_id) for sample, image_id in zip(samples, ids, strict=True)]


def hold_out(
    image_ids: Sequence[str],
    fraction: float,
    *,
    groups: Sequence[str | None] | None = None,
    named: Sequence[str] = (),
) -> tuple[Rows, Rows]:
    """Rows to train on and rows held out, both ascending.

    An image's side follows from its id alone, so it stays there when others come or go. About `fraction` of the images
    is held out; if `fraction` is positive and there are two, at least one is and at least one is not. With `groups`
    whole groups take the place of images, and their ids that of the images' (an image without one is its own); those
    that are `named` are held out in any case. Raises `TrainingError` for a name that no group has, and where nothing
    is left to train on.
    """
    units = [("image", name) for name in image_ids]
    if groups is not None:
        units = [unit if group is None else ("group", group) for unit, group in zip(units, groups, strict=True)]
    known = set(groups or ())
    if unknown := [name for name in named if name not in known]:
        raise TrainingError(_unknown_groups(unknown, [group for group in known if group is not None]))
    held = {("group", name) for name in named}
    rest = [unit for unit in dict.fromkeys(units) if unit not in held]
    places = {unit: _unit(unit[1]) for unit in rest}
    if fraction > 0 and rest:
        # The last one stays, whatever its place is.
        last = max(rest, key=places.__getitem__)
        held |= {unit for unit in rest if places[unit] < fraction} | {min(rest, key=places.__getitem__)}
        held.discard(last)
    if units and held.issuperset(units):
        raise TrainingError(
            "every group is held out, and nothing is left to train on; name fewer in data.held_out_groups"
        )
    mask = np.array([unit in held for unit in units], bool)
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _unknown_groups(names: Sequence[str], known: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    near = difflib.get_close_matches(names[0], known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return (
        f"data.held_out_groups names {shown}, which no image is of; {hint}"
        f"there are {len(known):,} groups{': ' if known else ''}{', '.join(sorted(known)[:_SHOWN])}"
        f"{', …' if len(known) > _SHOWN else ''}"
    )


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


def _sample(image_id: str, source: str, rows: Sequence[ManifestRow], manifest: str | Path) -> Sample:
    captions: dict[str, None] = {}
    marks: dict[str, set[str]] = {"group": set(), "relation": set()}
    where = f"{printable(str(manifest))}: the image {image_id}"
    for row in rows:
        more = row.extra.get("captions") or []
        if not isinstance(more, list) or not all(isinstance(text, str) for text in more):
            raise SourceError(f"{where} has captions that are no list of texts")
        own = caption_to_use(row.caption, row.extra) if _is_seed(row) else row.caption
        captions.update(dict.fromkeys(text for text in (own, *more) if text and not text.isspace()))
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


def _is_seed(row: ManifestRow) -> bool:
    """Whether a row is an image of a seed group, from its list or from a download of it."""
    return "group" in row.extra and "file" in row.extra


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
