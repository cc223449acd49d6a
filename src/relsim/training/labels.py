"""Pictures labelled Yes or No, from folders of each or from manifests, and a held-out part with both labels.

A manifest's row says its label in the field `interesting`, `label` or `caption`, as true, 1, "yes" or "true", or as
false, 0, "no" or "false"; several such fields must agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from relsim.data.identity import printable, unique_ids
from relsim.data.manifest import ManifestRow
from relsim.data.sources import list_images
from relsim.errors import SourceError, TrainingError
from relsim.training.listing import listed
from relsim.training.samples import Sample, hold_out

YES, NO = "Yes", "No"
FIELDS = ("interesting", "label", "caption")
_WORDS = {"yes": YES, "true": YES, "1": YES, "no": NO, "false": NO, "0": NO}
_SHOWN = 3


def labelled_samples(
    positive: Sequence[str | Path] = (),
    negative: Sequence[str | Path] = (),
    manifests: Sequence[str | Path] = (),
    image_folder: str | Path | None = None,
) -> list[Sample]:
    """Pictures with Yes or No as their only caption: `positive` ones, `negative` ones, and those that manifests label.

    The first two are any sources (`relsim.data.sources`). Raises `SourceError` for a source that cannot be listed, a
    row without a label, and a picture with both.
    """
    found: dict[str, Sample] = {}
    several: list[str] = []
    for sample in _all(positive, negative, manifests, image_folder):
        known = found.setdefault(sample.source, sample)
        if known.captions != sample.captions:
            several.append(printable(sample.source))
    if several:
        raise SourceError(f"{_count(several)} labelled both Yes and No: {_some(several)}; keep one label of each")
    samples = list(found.values())
    ids = unique_ids([sample.image_id for sample in samples], list(found), refuse=False)
    return [replace(sample, image_id=image_id) for sample, image_id in zip(samples, ids, strict=True)]


def split_by_label(samples: Sequence[Sample], fraction: float) -> tuple[list[Sample], list[Sample]]:
    """What is trained on and what is held out: about `fraction` of either label, at least one picture.

    A picture's side follows from its id, as in `hold_out`. Raises `TrainingError` for fewer than two of a label and
    for a fraction of 0 or 1.
    """
    if not 0 < fraction < 1:
        raise TrainingError(f"the held-out share is {fraction:g}; it must be above 0 and below 1, such as 0.1")
    train: set[int] = set()
    for label, option in ((YES, "--positive"), (NO, "--negative")):
        places = [place for place, sample in enumerate(samples) if sample.captions == (label,)]
        if len(places) < 2:
            there = "no picture is" if not places else "one picture alone is"
            raise TrainingError(
                f"{there} labelled {label} (of {len(samples):,}); a filter learns from both labels and is measured on "
                f"others of both, so two of each are the least: name them with {option} or in a manifest"
            )
        kept, _ = hold_out([samples[place].image_id for place in places], fraction)
        train.update(places[place] for place in kept)
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for place, sample in enumerate(samples):
        parts[place not in train].append(sample)
    return parts


def count_labels(captions: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many pictures have either label."""
    counts = Counter(texts[0] for texts in captions)
    return {"yes": counts[YES], "no": counts[NO]}


def _all(
    positive: Sequence[str | Path],
    negative: Sequence[str | Path],
    manifests: Sequence[str | Path],
    image_folder: str | Path | None,
) -> Iterator[Sample]:
    for label, sources in ((YES, positive), (NO, negative)):
        if sources:
            for record in list_images(sources, image_folder=image_folder):
                yield Sample(record.image_id, record.source, (label,))
    for manifest in manifests:
        yield from _of_manifest(manifest, image_folder)


def _of_manifest(manifest: str | Path, image_folder: str | Path | None) -> Iterator[Sample]:
    records, rows_of = listed(manifest, image_folder, {})
    wrong: list[str] = []
    for record in records:
        labels = {label for row in rows_of[record.image_id] for label in _labels(row)}
        if len(labels) == 1 and None not in labels:
            yield Sample(record.image_id, record.source, (str(labels.pop()),))
        else:
            wrong.append(f"{record.image_id} ({_given(rows_of[record.image_id])})")
    if wrong:
        raise SourceError(
            f"{printable(str(manifest))}: {_count(wrong)} not labelled Yes or No: {_some(wrong)}; each row needs true, "
            f"1 or Yes, or false, 0 or No, in one of the fields {', '.join(FIELDS)}"
        )


def _labels(row: ManifestRow) -> list[str | None]:
    """Labels in the row's fields, None for a value that is none and for a row without any."""
    values = [value for _, value in _fields(row)]
    return [_label(value) for value in values] or [None]


def _label(value: Any) -> str | None:
    if isinstance(value, float):
        return None
    return _WORDS.get(str(value).strip().rstrip(".").lower())


def _fields(row: ManifestRow) -> list[tuple[str, Any]]:
    given = {"caption": row.caption, **row.extra}
    return [(name, given[name]) for name in FIELDS if given.get(name) is not None]


def _given(rows: Sequence[ManifestRow]) -> str:
    texts = [f"{name} {value!r:.40}" for row in rows for name, value in _fields(row)]
    return printable(", ".join(dict.fromkeys(texts)) or "no label")


def _count(names: Sequence[str]) -> str:
    return "1 picture is" if len(names) == 1 else f"{len(names):,} pictures are"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
