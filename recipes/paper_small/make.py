"""The paper's evaluation on the drawn world with models that are here: tables and figures, with each step's command.

    python recipes/paper_small/make.py                 minutes on two cores
    python recipes/paper_small/make.py --quick         in miniature, to see that it runs

    draw        a test part, distractors of other relations, triplets, and pairs in the place of a generator's
    learn       tuned CLIP and tuned DINO, from random weights, on scenes of the training split
    embed       every encoder, every picture
    measure     retrieval, triplets, pairs, MTEB: relations are known, so the truth is in the place of a judge
    show        Figures 5 to 9, a study without answers, one report, and tables.md

Everything is written under --work (default: .paper_small). A step that is done is not done again; `done/` has the
command and the seconds of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from tables import write_tables
from towers import SIDE as TOWER_SIDE
from towers import WRITERS

from relsim.data.manifest import read_manifest, write_manifest
from relsim.files import temporary_beside
from relsim.world.looks import Split, draw_look
from relsim.world.scenes import Scene, disguised, draw, like, scenes

HERE = Path(__file__).parent
SEED, SIDE = 20_261_128, 160
SPLIT = Split.OBJECTS
CAPTIONS, MINI, ATTRIBUTES = "captions", "relsim-mini", "relsim-mini-attributes"
DESCRIPTORS = ("descriptors", "descriptors-colour", "descriptors-hog")
EMBEDDED = {MINI: "relational", ATTRIBUTES: f"relational:checkpoint_dir={ATTRIBUTES}"}
PAIRED = (*EMBEDDED.values(), "descriptors")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is drawn, learned and asked."""

    test: int = 516  # twelve of each relation
    queries: int = 300
    triplets: int = 86  # of each kind, two of each relation
    pairs: int = 86
    learned: int = 3_010
    steps: int = 300


QUICK = Size(test=86, queries=20, triplets=8, pairs=6, learned=86, steps=2)


class Work:
    """The folder of a run, and which steps are done in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, folder / "done"
        self.done.mkdir(parents=True, exist_ok=True)

    def step(self, name: str, told: str, run: Callable[[], None]) -> None:
        """Run a step and note that it is done, unless it is; the same name for something else is refused."""
        note = self.done / f"{name}.json"
        if note.exists():
            if json.loads(note.read_text())["command"] != told:
                sys.exit(f"{name} was another step in {self.folder}: choose another --work, or remove the folder")
            return
        print(f"$ {told}", flush=True)
        load, before, start = os.getloadavg()[0], os.times(), time.monotonic()
        run()
        seconds, after = time.monotonic() - start, os.times()
        cpu = sum(after[:4]) - sum(before[:4])  # of this process and of those that it waited for
        facts = {"command": told, "seconds": round(seconds, 1), "cpu": round(cpu, 1), "load": load}
        with temporary_beside(note) as temporary:
            temporary.write_text(json.dumps(facts) + "\n")
            temporary.replace(note)

    def relsim(self, name: str, *words: object, into: Path | None = None, new: Path | None = None) -> None:
        """A step that is a command of relsim, as a user would run it.

        `into` takes what it prints; what a step that was not finished left in `new` is removed first.
        """
        command = [str(word) for word in words]

        def run() -> None:
            if new is not None:
                shutil.rmtree(new, ignore_errors=True)
            whole = [sys.executable, "-m", "relsim", *command]
            # The models are those that come along, whatever this user has set.
            plain = {name: value for name, value in os.environ.items() if not name.startswith("RELSIM_")}

            def checked(out: IO[bytes] | None) -> None:
                stopped = subprocess.run(whole, check=False, stdout=out, env=plain).returncode  # noqa: S603 - relsim itself
                if stopped:
                    sys.exit(f"{name} ended with {stopped}; what is done stays done, run this again once it is mended")

            if into is None:
                checked(None)
                return
            with temporary_beside(into) as temporary:
                with temporary.open("wb") as file:
                    checked(file)
                temporary.replace(into)

        self.step(name, f"relsim {shlex.join(command)}" + (f" > {into}" if into else ""), run)

    def world(self, name: str, *flags: object, side: int = SIDE) -> Path:
        """A step that draws pictures; their manifest."""
        folder = self.folder / name
        words = ("--out", folder, "--size", side, "--seed", SEED)
        self.relsim(f"draw-{name}", "demo", "world", *words, *flags, new=folder)
        return folder / "manifest.jsonl"

    def without_captions(self, manifest: Path) -> Path:
        """A manifest of the same pictures that tells no captions, so that the captioner has to write them."""
        bare = manifest.with_name("pictures.jsonl")

        def run() -> None:
            rows = read_manifest(manifest)
            write_manifest(
                bare, (replace(row, caption=None, extra={"relation": row.extra["relation"]}) for row in rows)
            )

        self.step(f"bare-{manifest.parent.name}", f"(captions left out) {bare}", run)
        return bare


def pairs(folder: Path, count: int) -> None:
    """Pairs in the place of a generator's: what went in, and what five kinds of generators would give."""
    shutil.rmtree(folder, ignore_errors=True)
    for number, scene in zip(range(count), scenes(SPLIT, SEED + 1), strict=False):
        rng = np.random.default_rng([SEED, number])
        outputs = {
            "input": scene,
            "copy": scene,
            "repainted": repainted(scene, rng),
            "analogy": like(scene, rng),
            "look-alike": disguised(scene, rng),
            "unrelated": replace(disguised(scene, rng), look=draw_look(SPLIT, rng, unlike=scene.look)),
        }
        for method, output in outputs.items():
            place = folder / method / f"{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            draw(output, SIDE).image.save(place)


def repainted(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same things in the same places on another ground, in other colours and another style, as an editor paints."""
    other = draw_look(scene.split, rng, unlike=scene.look)
    return replace(scene, look=replace(other, kinds=scene.look.kinds, amount=scene.look.amount, view=scene.look.view))


def towers(work: Work, size: Size) -> dict[str, str]:
    """Train both towers; their encoders by name."""
    manifest = work.world("train", "--count", size.learned, "--split", "train", side=TOWER_SIDE)
    found = {}
    for kind, writer in WRITERS.items():
        base, run = work.folder / f"base-{kind}", work.folder / f"tuned-{kind}"
        work.step(f"base-{kind}", f"(random weights) {base}", lambda writer=writer, base=base: writer(base, SEED))
        words = ["--image-folder", manifest.parent / "images", "--config", HERE / "tower.yaml", "--base-model", base]
        flags = [*words, "--resume", "--set", f"run.steps={size.steps}"]
        work.relsim(f"learn-{kind}", "train", "metric", manifest, *flags, "--out", run)
        found[f"tuned-{kind}"] = f"tuned-{kind}:checkpoint_dir={run / 'last'},base_model={base}"
    return found


def measure(work: Work, size: Size, encoders: dict[str, str]) -> dict[str, Path]:
    """All tables of vectors and files of results; the tables by name."""
    folder = work.folder
    test = work.world("test", "--count", size.test, "--split", SPLIT.value)
    others = work.world("distractors", "--count", size.test, "--split", Split.RELATIONS.value)
    three = work.world("triplets", "--count", 0, "--triplets", size.triplets, "--split", SPLIT.value)
    bare = {manifest: work.without_captions(manifest) for manifest in (test, others, three)}
    tables = {}
    for name, encoder in encoders.items():
        hidden = bare if name == CAPTIONS else {manifest: manifest for manifest in bare}
        tables[name] = folder / "tables" / name
        listed = (hidden[test], hidden[others], "--encoder", encoder)
        work.relsim(f"embed-{name}", "embed", *listed, "--out", tables[name])
        told = folder / "triplets-results" / f"{name}.json"
        told.parent.mkdir(exist_ok=True)
        work.relsim(
            f"triplets-{name}", "evaluate", "triplets", hidden[three], "--encoder", encoder, "--json", into=told
        )
    named = [word for name, table in tables.items() for word in ("--table", f"{name}={table}")]
    asked = ("--distractors", others, "--queries", size.queries, "--seed", SEED)
    work.relsim(
        "retrieval",
        "evaluate",
        "retrieval",
        test,
        *asked,
        *named,
        "--out",
        folder / "retrieval",
        into=folder / "retrieval.txt",
    )
    work.step("pairs-drawn", f"(pairs drawn) {folder / 'pairs'}", lambda: pairs(folder / "pairs", size.pairs))
    several = [word for encoder in PAIRED for word in ("--encoder", encoder)]
    into = folder / "pairs.json"
    work.relsim("pairs", "evaluate", "pairs", folder / "pairs", *several, "--json", into=into)
    into = folder / "mteb.json"
    work.relsim("mteb", "evaluate", "mteb", test, "--name", "DrawnWorld", *several, "--json", into=into)
    return tables


def show(work: Work, tables: dict[str, Path]) -> None:
    """Every figure, the study and the report."""
    folder, run = work.folder, work.folder / "retrieval"
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    triplets = [f"{name}={folder / 'triplets-results' / name}.json" for name in tables]
    methods = [word for name in (MINI, CAPTIONS, ATTRIBUTES, "descriptors") for word in ("--method", name)]
    seed, mini = ("--seed", SEED), ("--method", MINI)
    work.relsim("figure-5", "figure", "sheet", run, *methods, "--queries", 3, *seed, "-o", figures / "figure-5.png")
    work.relsim("figure-6", "figure", "scores", run, "--highlight", MINI, "-o", figures / "figure-6.png")
    query = json.loads((run / "retrieval.json").read_text())["queries"][0]["image_id"]
    space = ("--attributes", tables[ATTRIBUTES], "-o", figures / "figure-7.png")
    work.relsim("figure-7", "space", query, tables[MINI], *space)
    work.relsim("figures-printed", "figure", "paper", "--format", "png", "-o", figures / "printed")
    nine = ("--queries", 6, "--top-k", 6, "--seed", SEED + 1)
    work.relsim("figure-9", "figure", "sheet", run, *mini, *nine, "-o", figures / "figure-9.png")
    work.relsim("heat-map", "figure", "heatmap", *triplets, "-o", figures / "heat-map.png")
    drawn = (folder / "pairs.json", "--highlight", "analogy", "-o", figures / "table-2.png")
    work.relsim("table-2", "figure", "scores", *drawn)
    curves = [f"{kind}={folder / f'tuned-{kind}'}" for kind in WRITERS]
    work.relsim("curves", "figure", "training", *curves, "-o", figures / "training.png")
    study = folder / "study.json"
    work.relsim("study", "study", "new", run, "--against", MINI, "--queries", 100, *seed, "-o", study)
    results = [folder / "triplets-results" / f"{name}.json" for name in tables]
    runs = [folder / f"tuned-{kind}" for kind in WRITERS]
    listed = [run, *results, folder / "pairs.json", folder / "mteb.json", figures / "figure-7.json", study, *runs]
    title = ("--title", "The paper's evaluation on the drawn world")
    work.relsim("report", "report", *listed, *title, "-o", folder / "report.html")


def main() -> None:
    """Run all steps and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".paper_small"))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    size, work = QUICK if arguments.quick else Size(), Work(arguments.work)
    encoders = {
        **EMBEDDED,
        CAPTIONS: "caption-minilm",
        **towers(work, size),
        **{name: name for name in DESCRIPTORS},
    }
    show(work, measure(work, size, encoders))
    print(write_tables(work.folder, list(encoders)))


if __name__ == "__main__":
    main()
