"""Captions in a file: a manifest with a row for each image and run, which a run that was ended goes on from.

    captions.jsonl              a row for each image and run, one row for an image that cannot be used
    captions.jsonl.head.json    what made them (see `relsim.captions.rows_file`)
    captions.json               where it is asked for, the published form: {path: caption}, written at the end

Rows are added a window at a time, in order, and flushed. What a kill costs is the window that was being written.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.captions.group_files import findings_of
from relsim.captions.rows_file import RowsFile, check_source
from relsim.captions.stream import CaptionWriter, Outcome, Plan, caption_windows
from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow
from relsim.data.records import Failure, ImageRecord, Status
from relsim.errors import SourceError
from relsim.evaluation.statistics import Estimate, wilson
from relsim.files import flush, temporary_beside
from relsim.fingerprint import Fingerprint

KIND = "captions"
OWN = ("source", "run", "seed", "draws", "status", "reason", "anonymous", "findings")
"""What a row says beside the published fields, and beside the image's own others."""

WindowEngine = Callable[[Sequence[ImageRecord]], Generator[list[Outcome], None, None]]
"""What captions records, in order, a window at a time. Where and by how many is its own matter."""

_REMEDY = "Write to another file, or remove this one; to go on, give the settings that it was begun with."


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """The rows of all images, in order, and how many of the images were in the file before, with how many captions."""

    rows: list[ManifestRow]
    there: int = 0
    captions_there: int = 0

    @property
    def captions(self) -> list[ManifestRow]:
        """The rows that have a caption."""
        return [row for row in self.rows if row.extra["status"] == Status.OK.value]

    @property
    def written(self) -> int:
        """Captions that were not there before."""
        return len(self.captions) - self.captions_there

    @property
    def failures(self) -> list[ManifestRow]:
        """The rows of images that could not be used."""
        return [row for row in self.rows if row.extra["status"] != Status.OK.value]

    @property
    def reasons(self) -> dict[str, int]:
        """Failures by status, the most frequent first."""
        return dict(Counter(str(row.extra["status"]) for row in self.failures).most_common())

    @property
    def leaks(self) -> Estimate | None:
        """The share of captions that are not anonymous, with Wilson's 95 % interval; None without captions.

        The interval counts images: captions of one image by several runs are not independent.
        """
        by_image: dict[str, list[bool]] = {}
        for row in self.captions:
            by_image.setdefault(row.image_hash, []).append(row.extra["anonymous"])
        shares = [verdicts.count(False) / len(verdicts) for verdicts in by_image.values()]
        return wilson(math.fsum(shares), len(shares)) if shares else None


def caption_to_file(
    records: Sequence[ImageRecord],
    captioner: CaptionWriter,
    plan: Plan,
    path: str | Path,
    *,
    workers: int | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> CaptionResult:
    """Write a row for each record and run; records whose rows are there are passed over, failed ones too.

    A `path` that ends in `.json` gets the published form when all is done, from the rows in the `.jsonl` beside it.
    `on_outcome` is called with each new outcome once it is on the disk. Raises `SourceError` if the file was begun
    with other settings, is no file of captions, is being written, or cannot be.
    """

    def here(missing: Sequence[ImageRecord]) -> Generator[list[Outcome], None, None]:
        return caption_windows(missing, captioner, plan, workers=workers)

    return caption_to_file_by(records, here, made_by(captioner, plan), plan.runs, path, on_outcome=on_outcome)


def caption_to_file_by(
    records: Sequence[ImageRecord],
    engine: WindowEngine,
    facts: Fingerprint,
    runs: int,
    path: str | Path,
    *,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> CaptionResult:
    """Like `caption_to_file`, by an engine whose captions, `runs` for each record, depend on `facts` (`made_by`)."""
    path = Path(path)
    published = path.suffix == ".json"
    if published:
        check_published(path, runs)
    with RowsFile(rows_of(path), KIND, facts, remedy=_REMEDY) as file:
        found: dict[str, dict[int | None, ManifestRow]] = {}
        for row in file.rows:
            found.setdefault(row.image_hash, {})[row.extra["run"]] = row
        missing = [record for record in records if not _is_there(record, found, runs, file.path)]
        there = [row for record in records for row in found.get(record.image_id, {}).values()]
        with closing(engine(missing)) as windows:
            for window in windows:
                # A power cut may have left some runs of an image.
                rows = [row_of(outcome) for outcome in window]
                file.append(row for row in rows if row.extra["run"] not in found.get(row.image_hash, {}))
                for row in rows:
                    found.setdefault(row.image_hash, {}).setdefault(row.extra["run"], row)
                if on_outcome is not None:
                    for outcome in window:
                        on_outcome(outcome)
        ordered = [row for record in records for _, row in sorted(found[record.image_id].items(), key=_by_run)]
        result = CaptionResult(ordered, len(records) - len(missing), sum(row.caption is not None for row in there))
        if published:
            write_published(path, result.captions)
    return result


def rows_of(path: Path) -> Path:
    """Where the rows are while `path` gets them, or what is made of them at the end."""
    return path.with_suffix(".jsonl") if path.suffix == ".json" else path


def made_by(captioner: CaptionWriter, plan: Plan) -> Fingerprint:
    """What the rows of a plan depend on: weights, prompt, recipe, precision and all that decides the tokens."""
    facts = captioner.fingerprint.to_dict() | captioner.decoding(plan.sampling)
    return Fingerprint.of({**facts, "runs": plan.runs, "until_anonymous": plan.until_anonymous})


def row_of(outcome: Outcome) -> ManifestRow:
    """The record's own fields, the caption, and those of `OWN`; of a failure run, seed and verdict are null."""
    record = outcome.record
    extra: dict[str, Any] = {
        name: value for name, value in record.fields.items() if name not in ("url_link", "caption", *OWN)
    }
    extra["source"] = printable(record.source)
    link = record.fields.get("url_link")
    own: dict[str, Any] = {"run": None, "seed": None, "draws": 0}
    if isinstance(outcome, Failure):
        own |= {"status": outcome.status.value, "reason": printable(outcome.reason), "anonymous": None, "findings": []}
        return ManifestRow(record.image_id, link, None, {**extra, **own})
    own |= {"run": outcome.run, "seed": outcome.seed, "draws": outcome.draws, "status": Status.OK.value, "reason": None}
    own |= {"anonymous": outcome.verdict.ok, "findings": findings_of(outcome.verdict)}
    return ManifestRow(record.image_id, link, outcome.text, {**extra, **own})


def check_published(path: Path, runs: int) -> None:
    """Refuse to put several captions of one image, or anything over what is no file of captions, at a `.json`."""
    shown = printable(str(path))
    if runs > 1:
        raise SourceError(
            f"{shown} would hold one caption for each path, as published, and {runs} runs were asked for; "
            "name a file that ends in .jsonl"
        )
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not all(isinstance(caption, str) for caption in content.values()):
        raise SourceError(f"{shown} is there already and is no file of captions; write to another file")


def write_published(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write the published form, whole or not at all: one JSON object, paths as names and captions as values."""
    captions = {row.extra["source"]: row.caption for row in rows}
    try:
        with temporary_beside(path) as temporary:
            temporary.write_text(json.dumps(captions, indent=2), encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        kept = f"the captions are kept in {printable(str(rows_of(path)))}"
        raise SourceError(f"{printable(str(path))} cannot be written: {reason}; {kept}") from error


def _is_there(record: ImageRecord, found: dict[str, dict[int | None, ManifestRow]], runs: int, path: Path) -> bool:
    rows = found.get(record.image_id, {})
    for row in rows.values():
        check_source(row, record, path)
    return None in rows or len(rows) == runs


def _by_run(item: tuple[int | None, ManifestRow]) -> int:
    return item[0] or 0
