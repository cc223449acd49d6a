"""The paper's chain of curation on the drawn world, from seed groups to a metric, with each step's command.

    python recipes/curation/make.py                    50 minutes on one core
    python recipes/curation/make.py --quick            in miniature, to see that it runs

    groups      seed groups: pictures of one relation under one anonymous caption
    captioner   an adapter on relsim-mini-base learns to write the caption of a group from one picture
    collection  pictures of other kinds of objects, which neither the groups nor the base's training showed
    captions    the captioner writes one for each; those that name things are left out
    metric      relsim-mini-base learns from these captions alone; beside it, from the true ones, all else equal
    measure     conflict triplets: does the relation count, or the look?

Everything is written under --work (default: .curation, or .curation-quick); a step whose result is there is not done
again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.models.embedded import embedded_folder
from relsim.world.looks import Split
from relsim.world.scenes import draw, draw_scene

HERE = Path(__file__).parent
SEED, SIDE = 20_261_127, 160
SPLITS = ("held-out-objects", "held-out-styles")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is drawn and learned."""

    groups: int = 516  # twelve of each relation
    pictures: int = 8  # of a group
    collection: int = 6_020
    triplets: int = 1_000
    captioner_steps: int = 240
    metric_steps: int = 240


QUICK = Size(groups=43, pictures=2, collection=86, triplets=20, captioner_steps=2, metric_steps=2)


def groups(folder: Path, size: Size) -> None:
    """Seed groups in the published form with folders: `seed_group.json` and `images/<index>/<number>.png`."""
    if (folder / "seed_group.json").exists():
        return
    listed = []
    relations = Split.TRAIN.relations
    for index in range(size.groups):
        relation = relations[index % len(relations)]
        home = folder / "images" / str(index)
        home.mkdir(parents=True, exist_ok=True)
        for number in range(size.pictures):
            scene = draw_scene(Split.TRAIN, np.random.default_rng([SEED, index, number]), relation=relation)
            draw(scene, SIDE).image.save(home / f"{number}.png")
        # The last caption of each relation is never learned from.
        captions = scene.captions[:-1]
        listed.append({"anonymous_caption": captions[index // len(relations) % len(captions)], "index_group": index})
    (folder / "seed_group.json").write_text(json.dumps(listed, indent=1) + "\n")


def kept(predicted: Path, true: Path, folder: Path, *, leaks: bool) -> Mapping[str, int]:
    """Manifests of the same pictures with predicted and with true captions.

    What names things is left out of both, unless `leaks` stay: a captioner of two steps writes nothing else.
    """
    rows = {row.image_hash: row for row in read_manifest(true)}
    usable = [
        row for row in read_manifest(predicted) if row.extra["status"] == "ok" and (leaks or row.extra["anonymous"])
    ]
    for name, captions in (
        ("predicted", {row.image_hash: row.caption for row in usable}),
        ("true", {row.image_hash: rows[row.image_hash].caption for row in usable}),
    ):
        write_manifest(
            folder / f"{name}.jsonl", (ManifestRow(image, None, text, {}) for image, text in captions.items())
        )
    return {"captioned": len(rows), "kept": len(usable)}


def main() -> None:
    """Run the chain and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    size, usual = (QUICK, ".curation-quick") if arguments.quick else (Size(), ".curation")
    work = arguments.work or Path(usual)
    base, mini = embedded_folder("relsim-mini-base"), embedded_folder("relsim-mini")
    batch = ("--set", "optimizer.batch_size=16") if arguments.quick else ()

    groups(work / "groups", size)
    words = ["--base-model", base, "--resume", *batch]
    learn = ["--config", HERE / "captioner.yaml", "--set", f"run.steps={size.captioner_steps}", *words]
    listed = [work / "groups" / "seed_group.json", "--image-folder", work / "groups" / "images"]
    relsim(work / "captioner" / "last", "train", "captioner", *listed, "--out", work / "captioner", *learn)
    world(work / "collection", "--count", size.collection, "--split", "held-out-objects", "--seed", 31)
    true, predicted = work / "collection" / "manifest.jsonl", work / "captions.jsonl"
    relsim(None, "caption", true, "--checkpoint", work / "captioner" / "last", "--greedy", "--out", predicted)
    counts = kept(predicted, true, work, leaks=arguments.quick)
    learn = ["--config", HERE / "metric.yaml", "--set", f"run.steps={size.metric_steps}", *words]
    for name in ("predicted", "true"):
        listed = [work / f"{name}.jsonl", "--image-folder", work / "collection" / "images"]
        relsim(work / name / "last", "train", "metric", *listed, "--out", work / name, *learn)
    checkpoints = {
        "predicted captions": work / "predicted" / "last",
        "true captions": work / "true" / "last",
        "relsim-mini, 110,000 true captions": mini,
    }
    table = []
    for split in SPLITS:
        world(work / split, "--count", 0, "--triplets", size.triplets, "--split", split, "--seed", 77)
        for name, checkpoint in checkpoints.items():
            told = relsim(None, "evaluate", "triplets", work / split, "--checkpoint", checkpoint, "--json", quiet=True)
            table.append((split, name, overall(json.loads(told), "conflict")))
    text = markdown(table, counts)
    (work / "table.md").write_text(text)
    print(text)


def world(folder: Path, *flags: object) -> None:
    """Draw pictures with their manifest, if they are not there."""
    relsim(folder / "manifest.jsonl", "demo", "world", "--out", folder, "--size", SIDE, *flags)


def relsim(result: Path | None, *words: object, quiet: bool = False) -> str:
    """Run a command as a user would, unless its `result` is there; what it prints, if it is to be `quiet`."""
    if result is not None and result.exists():
        return ""
    command = [str(word) for word in words]
    print(f"$ relsim {shlex.join(command)}", flush=True)
    out = subprocess.PIPE if quiet else None
    whole = [sys.executable, "-m", "relsim", *command]
    done = subprocess.run(whole, check=True, text=True, stdout=out)  # noqa: S603 - relsim itself
    return done.stdout or ""


def overall(report: Mapping[str, Any], kind: str) -> tuple[float, float, float]:
    """Accuracy of a kind of triplets over all families, with its interval, in percent."""
    found = next(row for row in report["accuracy"] if row["kind"] == kind and row["family"] is None)
    return 100 * found["value"], 100 * found["low"], 100 * found["high"]


def markdown(table: Sequence[tuple[str, str, tuple[float, float, float]]], counts: Mapping[str, int]) -> str:
    """The table of the last step."""
    lines = [
        f"{counts['captioned']:,} pictures captioned; {counts['kept']:,} captions kept, for the others name things."
    ]
    lines += ["", "| split | learned from | conflict triplets, % right (95 %) |", "| --- | --- | --- |"]
    lines += [
        f"| {split} | {name} | {value:.1f} ({low:.1f} to {high:.1f}) |" for split, name, (value, low, high) in table
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
