"""The stages with models: which images are interesting, a captioner that is trained, and a caption for each image.

    scores.jsonl      scores of the filter, a row for each image (see `relsim.captions.filtering`)
    captions.jsonl    a row for each image and run (see `relsim.captions.caption_file`)

Both grow, and a run that was ended goes on from them. The captioner's folder is that of a training run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from relsim.captions.caption_file import caption_to_file
from relsim.captions.captioner import Captioner
from relsim.captions.filtering import filter_to_file
from relsim.captions.interesting import InterestingFilter
from relsim.captions.rows_file import head_of
from relsim.curation.images import listing_digest
from relsim.curation.options import Curation
from relsim.curation.stage import Counted, Watch
from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.records import Failure, ImageRecord
from relsim.training.config import TrainingConfig
from relsim.training.tracking import Watcher

SCORES, CAPTIONS = "scores.jsonl", "captions.jsonl"
BELOW = "below the threshold"


def make_scores(folder: Path, records: Sequence[ImageRecord], wanted: Curation, watch: Watch) -> Counted:
    """Judge the images by the filter."""
    path = folder / SCORES
    _forget_others(path, records)
    interesting = InterestingFilter.load(**(wanted.filter or {}))
    with watch("filtering", len(records) - _there(path)) as advance:
        result = filter_to_file(
            records,
            interesting,
            path,
            threshold=wanted.threshold,
            batch_size=wanted.batch_size,
            on_outcome=advance,
        )
    _in_order(path, result.rows)
    below = len(result.rows) - len(result.kept) - len(result.failures)
    rejected = ({BELOW: below} if below else {}) | result.reasons
    return Counted([SCORES], "images", len(result.rows), len(result.kept), rejected)


def interesting_records(folder: Path, records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """The images that the filter keeps."""
    kept = {row.image_hash for row in read_manifest(folder / SCORES) if row.extra["kept"]}
    return [record for record in records if record.image_id in kept]


def training_inputs(config: TrainingConfig) -> dict[str, str]:
    """Digest of the captions of the seed groups, and of their images as they lie there."""
    from relsim.training.listing import Seeds, listed

    seeds: Seeds = {}
    inputs = {}
    for place, manifest in enumerate(config.data.manifests):
        records, rows = listed(manifest, config.data.image_folder, seeds)
        inputs[f"groups {place}"] = listing_digest(
            replace(record, fields={"rows": [row.to_dict() for row in rows[record.image_id]]}) for record in records
        )
    return inputs


def make_captioner(folder: Path, config: TrainingConfig, watcher: Watcher | None) -> Counted:
    """Train a captioner in this folder, from the last state where there is one."""
    from relsim.training.loop import train
    from relsim.training.state import saved_states

    here = config.model_copy(update={"run": config.run.model_copy(update={"out": folder})})
    outcome = train(here, resume=bool(saved_states(folder)), watcher=watcher)
    chosen = "best" if outcome.best is not None else "last"
    more = {"steps": outcome.steps, "checkpoint": chosen, "metrics": outcome.metrics}
    images = sum(len(rows) for rows in _images_of(config))
    return Counted([chosen], "images", images, images, {}, more)


def make_captions(
    folder: Path, records: Sequence[ImageRecord], wanted: Curation, options: Mapping[str, str], watch: Watch
) -> Counted:
    """Write the captions of the images."""
    path = folder / CAPTIONS
    _forget_others(path, records)
    captioner = Captioner.load(**options)
    with watch("captioning", len(records) - _there(path)) as advance:
        result = caption_to_file(records, captioner, wanted.plan, path, on_outcome=_once_an_image(advance))
    _in_order(path, result.rows)
    kept = len(records) - len(result.failures)
    more = {"captions": len(result.captions), "fingerprint": captioner.fingerprint.to_dict()}
    return Counted([CAPTIONS], "images", len(records), kept, result.reasons, more)


def _images_of(config: TrainingConfig) -> list[Sequence[ImageRecord]]:
    from relsim.training.listing import Seeds, listed

    seeds: Seeds = {}
    return [listed(manifest, config.data.image_folder, seeds)[0] for manifest in config.data.manifests]


def _forget_others(path: Path, records: Sequence[ImageRecord]) -> None:
    """Take away the rows of images that are not among these, or are not the same: by id, place and bytes."""
    if not head_of(path).exists() or not path.exists():
        return
    same = {(record.image_id, printable(record.source), record.fields["sha256"]) for record in records}
    rows = _whole_rows(path)
    kept = [row for row in rows if (row.image_hash, row.extra["source"], row.extra["sha256"]) in same]
    if len(kept) < len(rows):
        write_manifest(path, kept)


def _whole_rows(path: Path) -> list[ManifestRow]:
    """The rows of a manifest that grows; a torn last line, which its next writer takes away, is passed over."""
    return read_manifest(path, on_bad_line=lambda _: None)


def _there(path: Path) -> int:
    return len({row.image_hash for row in _whole_rows(path)}) if path.exists() else 0


def _in_order(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Have the rows in the order of the images, where some were added later than others."""
    if read_manifest(path) != list(rows):
        write_manifest(path, rows)


def _once_an_image(advance: Callable[[Any], None]) -> Callable[[Any], None]:
    def count(outcome: Any) -> None:
        if isinstance(outcome, Failure) or outcome.run == 0:
            advance(outcome)

    return count
