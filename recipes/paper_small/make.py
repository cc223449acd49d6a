"""The paper's evaluation on the drawn world with models that are here: tables and figures, with each step's command.

    python recipes/paper_small/make.py                 minutes on two cores
    python recipes/paper_small/make.py --quick         in miniature, to see that it runs

    draw        a test part, distractors of other relations, triplets, and pairs in the place of a generator's
    learn       tuned CLIP and tuned DINO, from random weights, on scenes of the training split
    embed       every encoder, every picture
    measure     retrieval, triplets, pairs, MTEB: relations are known
    judge       a stand-in for GPT-4o behind an endpoint on this machine, calibrated and held against the truth
    ask         a study, answered by simulated people
    show        Figures 5 to 9, an explanation, one report, and tables.md

Everything is written under --work (default: .paper_small). A step that is done is not done again; `done/` has the
command and the seconds of each. With --here all runs in one process, which takes less time and shows less of what a
user would see.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from judge import MODEL, judge_server
from people import simulate, write_truth
from tables import write_tables
from towers import SIDE as TOWER_SIDE
from towers import WRITERS
from work import Work

from relsim.data.manifest import read_manifest
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
    judged: int = 100  # queries of each method
    calibrated: int = 50  # pairs of each kind
    study: int = 60  # questions about each two methods


QUICK = Size(test=86, queries=20, triplets=8, pairs=6, learned=86, steps=2, judged=4, calibrated=6, study=4)


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
    manifest = work.world("train", "--count", size.learned, "--split", "train", side=TOWER_SIDE, seed=SEED)
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
    drawn = {"side": SIDE, "seed": SEED}
    test = work.world("test", "--count", size.test, "--split", SPLIT.value, **drawn)
    others = work.world("distractors", "--count", size.test, "--split", Split.RELATIONS.value, **drawn)
    three = work.world("triplets", "--count", 0, "--triplets", size.triplets, "--split", SPLIT.value, **drawn)
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


def judge(work: Work, size: Size) -> None:
    """A judge behind an endpoint: what methods found, pairs of known truth, and how far it agrees with the truth."""
    folder = work.folder
    run, judged, calibration = folder / "retrieval", folder / "judged.json", folder / "calibration"
    with judge_server() as url:
        asked = ("--endpoint", url, "--model", MODEL, "--concurrency", 2)
        told = f"--endpoint URL --model {MODEL} --concurrency 2"  # the port differs from run to run
        words = ("judge", run / "retrieved_images.json", "--limit", size.judged, "--seed", SEED, "-o", judged)
        line = f"relsim {' '.join(map(str, words))} {told}"
        work.relsim("judge", *words, *asked, into=folder / "judged.txt", told=line)
        words = ("judge", "calibrate", "--count", size.calibrated, "--size", SIDE, "--seed", SEED, "-o", calibration)
        line = f"relsim {' '.join(map(str, words))} {told}"
        work.relsim("calibrate", *words, *asked, into=folder / "calibration.txt", told=line)
    truth = folder / "truth.csv"
    work.step("truth", f"(the known truth as ratings) {truth}", lambda: write_truth(judged, relations(work), truth))
    words = ("judge", "agreement", judged, truth, "--seed", SEED, "--json")
    work.relsim("agreement", *words, into=folder / "agreement.json")


def ask(work: Work, size: Size) -> None:
    """A study of relsim against every other encoder, answered by simulated people."""
    folder = work.folder
    study, results = folder / "study.json", folder / "study-results.json"
    words = ("study", "new", folder / "retrieval", "--against", MINI, "--queries", size.study, "--seed", SEED)
    work.relsim("study", *words, "-o", study)
    work.step("people", f"(simulated answers) {study}", lambda: simulate(study, relations(work), seed=SEED))
    work.relsim("study-results", "study", "results", study, "-o", results, into=folder / "study-results.txt")


def relations(work: Work) -> dict[str, str]:
    """What relation each picture shows, by its id."""
    rows = (row for name in ("test", "distractors") for row in read_manifest(work.folder / name / "manifest.jsonl"))
    return {row.image_hash: str(row.extra["relation"]) for row in rows}


def alike(path: Path) -> tuple[str, str]:
    """The first query for which relsim finds a picture of its relation, and that picture."""
    content = json.loads(path.read_text())
    paths = {query["image_id"]: query["path"] for query in content["queries"]}
    for row in content["results"][MINI]:
        if row["matches"][0]["relevant"]:
            return paths[row["query_image_id"]], row["matches"][0]["path"]
    raise SystemExit(f"{MINI} found the relation of no query, so there is nothing to explain")


def show(work: Work, tables: dict[str, Path]) -> None:
    """Every figure and the report."""
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
    work.relsim("figure-6-judge", "figure", "scores", folder / "judged.json", "-o", figures / "figure-6-judge.png")
    work.relsim("figure-8", "figure", "preferences", folder / "study-results.json", "-o", figures / "figure-8.png")
    work.relsim("figures-printed", "figure", "paper", "--format", "png", "-o", figures / "printed")
    nine = ("--queries", 6, "--top-k", 6, "--seed", SEED + 1)
    work.relsim("figure-9", "figure", "sheet", run, *mini, *nine, "-o", figures / "figure-9.png")
    work.relsim("heat-map", "figure", "heatmap", *triplets, "-o", figures / "heat-map.png")
    drawn = (folder / "pairs.json", "--highlight", "analogy", "-o", figures / "table-2.png")
    work.relsim("table-2", "figure", "scores", *drawn)
    curves = [f"{kind}={folder / f'tuned-{kind}'}" for kind in WRITERS]
    work.relsim("curves", "figure", "training", *curves, "-o", figures / "training.png")
    results = [folder / "triplets-results" / f"{name}.json" for name in tables]
    runs = [folder / f"tuned-{kind}" for kind in WRITERS]
    first, second = alike(run / "retrieval.json")
    why = figures / "explanation.png"
    work.relsim("explanation", "explain", first, second, "--quick", "-o", why)
    judge = [folder / "judged.json", folder / "calibration" / "calibration.json", folder / "agreement.json"]
    study = [folder / "study.json", folder / "study-results.json"]
    whole = [folder / "pairs.json", folder / "mteb.json", figures / "figure-7.json", why.with_suffix(".json")]
    listed = [run, *results, *judge, *study, *whole, *runs]
    title = ("--title", "The paper's evaluation on the drawn world")
    work.relsim("report", "report", *listed, *title, "-o", folder / "report.html")


def main() -> None:
    """Run all steps and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".paper_small"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--here", action="store_true")
    arguments = parser.parse_args()
    size, work = QUICK if arguments.quick else Size(), Work(arguments.work, here=arguments.here)
    encoders = {
        **EMBEDDED,
        CAPTIONS: "caption-minilm",
        **towers(work, size),
        **{name: name for name in DESCRIPTORS},
    }
    tables = measure(work, size, encoders)
    judge(work, size)
    ask(work, size)
    show(work, tables)
    print(write_tables(work.folder, list(encoders)))


if __name__ == "__main__":
    main()
