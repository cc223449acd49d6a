"""The report of a curation as a document: what each stage kept and rejected and why, and what the captions are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from relsim.captions.summary import CaptionSummary
from relsim.curation import captions, dataset, images
from relsim.curation.stage import Stage
from relsim.data.curation.inventory import Inventory, Item
from relsim.data.curation.splits import unit
from relsim.data.curation.statistics import statistics_of
from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow, read_manifest
from relsim.data.records import Status
from relsim.fingerprint import Fact

SCHEMA = "relsim.curate/1"
SAMPLES, EXAMPLES = 12, 5


def report_of(
    stages: Sequence[Stage], settings: Mapping[str, Mapping[str, Fact]], sources: Mapping[str, str]
) -> dict[str, Any]:
    """The document of these stages, ready for JSON. `sources` are the places of images by their ids."""
    by_name = {stage.name.partition("-")[2]: stage for stage in stages}
    said = _rows(by_name.get("captions"), captions.CAPTIONS)
    kept = _rows(by_name.get("anonymous"), dataset.KEPT)
    rejected = _rows(by_name.get("anonymous"), dataset.REJECTED)
    first = _rows(by_name["images"], images.IMAGES)
    scores = _rows(by_name.get("interesting"), captions.SCORES)
    trained, made = by_name.get("captioner"), by_name.get("dataset")
    return {
        "schema": SCHEMA,
        "settings": {name: dict(facts) for name, facts in settings.items()},
        "funnel": [
            {"stage": stage.name, **{name: stage.content[name] for name in ("unit", "taken", "kept", "rejected")}}
            for stage in stages
            if stage is not trained
        ],
        "unreadable": dict(
            Counter(
                str(row.extra["status"]) for row in (*first, *scores, *said) if row.extra["status"] != Status.OK.value
            )
        ),
        "captioner": None
        if trained is None
        else {name: trained.content[name] for name in ("steps", "checkpoint", "metrics")},
        "captions": {"all": _facts(said), "kept": _facts(kept)},
        "leaks": _leaks(rejected),
        "dataset": None if made is None else made.content["dataset"],
        "samples": {
            "kept": _samples(kept, sources),
            "rejected": [
                *_samples(rejected, sources),
                *_samples(_dropped(first, scores, said), sources),
            ],
        },
    }


def _rows(stage: Stage | None, name: str) -> list[ManifestRow]:
    return [] if stage is None else read_manifest(stage.folder / name)


def _facts(rows: Iterable[ManifestRow]) -> dict[str, Any] | None:
    """Lengths, placeholders, the commonest captions and near-duplicates of the captions in rows; None of none."""
    items = [Item(row.image_hash, number, caption=row.caption) for number, row in enumerate(rows) if row.caption]
    summary = CaptionSummary.of([item.caption or "" for item in items])
    if summary is None:
        return None
    facts = asdict(statistics_of(Inventory("captions", "list", tuple(items))).captions)
    return {name: facts[name] for name in _OF_STATISTICS} | summary.to_dict()


_OF_STATISTICS = ("distinct", "repeating", "words", "placeholders", "commonest", "commonest_placeholders")


def _leaks(rejected: Sequence[ManifestRow]) -> list[dict[str, Any]]:
    """Rejected captions by reason, the most frequent first, each with its first few different examples."""
    found: dict[str, list[ManifestRow]] = {}
    for row in rejected:
        found.setdefault(str(row.extra["rejected"]), []).append(row)
    leaks = []
    for reason, rows in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        examples = {row.caption: row for row in reversed(rows)}
        shown = [
            {"image_id": row.image_hash, "caption": caption, "words": _words(row)}
            for caption, row in list(reversed(examples.items()))[:EXAMPLES]
        ]
        leaks.append({"reason": reason, "captions": len(rows), "examples": shown})
    return leaks


def _words(row: ManifestRow) -> list[str]:
    return list(dict.fromkeys(item["word"] for item in row.extra.get("findings", ()) if item["word"]))


def _dropped(*stages: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Images that were left out before they had a caption to judge, each with the reason in `rejected`."""
    found = []
    for rows in stages:
        for row in rows:
            extra = row.extra
            if extra["status"] != Status.OK.value:
                reason = str(extra["status"])
            elif extra.get("duplicate"):
                reason = f"{extra['duplicate']} duplicate of {extra['duplicate_of']}"
            elif extra.get("kept") is False:
                reason = f"{captions.BELOW} ({extra['score']:.3g})"
            else:
                continue
            found.append(ManifestRow(row.image_hash, None, None, {"rejected": reason}))
    return found


def _samples(rows: Iterable[ManifestRow], sources: Mapping[str, str]) -> list[dict[str, Any]]:
    """A few rows, drawn by their ids, so that the same ones are shown when others come along."""
    drawn = sorted(rows, key=lambda row: (unit(0, row.image_hash), row.image_hash))[:SAMPLES]
    return [
        {
            "image_id": row.image_hash,
            "source": printable(sources[row.image_hash]),
            "caption": row.caption,
            "reason": row.extra.get("rejected"),
            "words": _words(row),
        }
        for row in drawn
    ]
