"""The files that captions of groups are written to, in one folder.

    captions.jsonl      one line for each group, whatever became of it
    seed_groups.jsonl   the groups with a caption, in the published form, to correct and to train a captioner on; beside
                        it, as `sha256sum` has it, the digest of what was written: a file that a person has corrected
                        stays, and what would have taken its place is in seed_groups.new.jsonl
    review.tsv          group, caption, verdict and paths, for a person to read through
    report.json         what was asked, how, and what it cost
    replies/            the answers as they came (see `relsim.endpoint.cache`), unless they are kept elsewhere

All but the answers are written at the end, each under a temporary name first.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from relsim.captions.anonymity import Verdict
from relsim.captions.groups import GroupCaption
from relsim.data.identity import printable
from relsim.data.seed_groups import CAPTION, INDEX, URLS, SeedGroup
from relsim.endpoint.client import Endpoint, usage_of
from relsim.endpoint.replies import Prices, ReplyStatus, Usage
from relsim.errors import RelsimError
from relsim.evaluation.statistics import wilson
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.group_captions/1"
_log = logging.getLogger(__name__)

CAPTIONS, SEED_GROUPS, REVIEW, REPORT, REPLIES = (
    "captions.jsonl",
    "seed_groups.jsonl",
    "review.tsv",
    "report.json",
    "replies",
)
_CORRECTED, _DIGEST = "seed_groups.new.jsonl", "seed_groups.jsonl.sha256"
_REVIEW_COLUMNS = ("group", "status", "caption", "verdict", "findings", "published_caption", "images")


def row_of(outcome: GroupCaption) -> dict[str, Any]:
    """A group as one line of `captions.jsonl`."""
    reply = outcome.reply
    return {
        "group": outcome.group.index,
        "status": outcome.status,
        "reason": outcome.reason,
        "caption": outcome.caption,
        "anonymous": outcome.verdict.ok if outcome.verdict is not None else None,
        "findings": findings_of(outcome.verdict),
        "images": [{"image_id": record.image_id, "source": record.source} for record in outcome.images],
        "failed": [
            {"image_id": item.record.image_id, "status": item.status.value, "reason": item.reason}
            for item in outcome.failures
        ],
        "published_caption": outcome.group.caption,
        "model": reply.model if reply is not None else None,
        "input_tokens": reply.usage.input_tokens if reply is not None else 0,
        "output_tokens": reply.usage.output_tokens if reply is not None else 0,
        "asked": reply.asked if reply is not None else None,
        "kept": reply.kept if reply is not None else None,
        "reply": reply.key if reply is not None else None,
        "raw": reply.raw if reply is not None and reply.status is not ReplyStatus.OK else None,
    }


def report_of(
    outcomes: Sequence[GroupCaption], endpoint: Endpoint, *, prompt: str, max_side: int, prices: Prices | None
) -> dict[str, Any]:
    """What was asked, how, and what came of it, as JSON."""
    captioned = [outcome for outcome in outcomes if outcome.verdict is not None]
    leaks = sum(outcome.verdict is not None and not outcome.verdict.ok for outcome in captioned)
    replies = [outcome.reply for outcome in outcomes if outcome.reply is not None]
    now = usage_of(replies)
    ever = sum((reply.usage for reply in replies), start=Usage())
    return {
        "schema": SCHEMA,
        "endpoint": endpoint.address,
        "model": endpoint.model,
        "prompt": prompt,
        "settings": endpoint.settings,
        "max_side": max_side,
        "groups": len(outcomes),
        "statuses": dict(Counter(outcome.status for outcome in outcomes).most_common()),
        "leak_rate": wilson(leaks, len(captioned)).to_json() if captioned else None,
        "asked_now": sum(not reply.kept and reply.status.answered for reply in replies),
        "usage_now": now.to_json(prices),
        "usage_ever": ever.to_json(prices),
    }


def write_files(folder: Path, outcomes: Sequence[GroupCaption], report: Mapping[str, Any]) -> None:
    """Write the four files. Raises `RelsimError`."""
    captioned = [replace(item.group, caption=item.caption) for item in outcomes if item.caption is not None]
    groups = [_json(seed_group(group)) for group in captioned]
    lines = {
        CAPTIONS: map(_json, map(row_of, outcomes)),
        REVIEW: map("\t".join, [_REVIEW_COLUMNS, *map(_review, outcomes)]),
        REPORT: [json.dumps(report, indent=2, ensure_ascii=False)],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_groups(folder, groups)
        for name, text in lines.items():
            _write(folder / name, text)
        flush(folder)
    except OSError as error:
        raise RelsimError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON, one a line, under a temporary name first. Raises `RelsimError`."""
    try:
        _write(path, map(_json, rows))
    except OSError as error:
        raise RelsimError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def findings_of(verdict: Verdict | None) -> list[dict[str, Any]]:
    """What speaks against a caption, as JSON; `start` and `end` count characters."""
    found = verdict.findings if verdict is not None else ()
    return [{"start": item.start, "end": item.end, "kind": item.kind, "word": item.word} for item in found]


def seed_group(group: SeedGroup) -> dict[str, Any]:
    """The group as published, with fields of its own that it had."""
    urls = [image.url for image in group.images if image.url is not None]
    return {CAPTION: group.caption, INDEX: group.index, **({URLS: urls} if urls else {}), **group.extra}


def _review(outcome: GroupCaption) -> tuple[str, ...]:
    found = [
        f"{item.word or item.kind} ({item.kind})" for item in (outcome.verdict.findings if outcome.verdict else ())
    ]
    verdict = {None: "", True: "anonymous", False: "leaks"}[outcome.verdict.ok if outcome.verdict else None]
    cells = (
        str(outcome.group.index),
        outcome.status,
        outcome.caption or outcome.reason or "",
        verdict,
        ", ".join(found),
        outcome.group.caption_clean,
        " ".join(record.source for record in outcome.images),
    )
    return tuple(_harmless(printable(" ".join(cell.split()))) for cell in cells)


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; what a model says comes from elsewhere."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell


def _write_groups(folder: Path, lines: Sequence[str]) -> None:
    """Write the seed groups, unless a person has corrected those that are there."""
    path, digest = folder / SEED_GROUPS, folder / _DIGEST
    new = hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")).hexdigest()
    if path.exists() and digest.exists():
        written = digest.read_text(encoding="utf-8").split(maxsplit=1)[:1]
        # A kill may have come between the two files; then what is there is what is to be written.
        if hashlib.sha256(path.read_bytes()).hexdigest() not in (*written, new):
            _log.warning("%s has been corrected and stays; the captions of this run are in %s", path, _CORRECTED)
            _write(folder / _CORRECTED, lines)
            return
    _write(path, lines)
    _write(digest, [f"{new}  {SEED_GROUPS}"])


def _json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def _write(path: Path, lines: Iterable[str]) -> None:
    with temporary_beside(path) as temporary:
        # A file name that is no text is half a surrogate pair, which UTF-8 does not have.
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        flush(temporary)
        temporary.replace(path)
