"""What the embedded checkpoints know of scenes that they have never seen, held against the truth of the drawn world.

    python benchmarks/known_truth.py [--triplets 5000] [--scenes 5000] [--only triplets retrieval naming captions]

Everything is drawn from seeds that no training used, at 224 px, and is read as a user's file would be. Intervals are
95 %: Wilson's for shares, a bootstrap by query for means. The tables are Markdown, for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from multiprocessing import get_context

import numpy as np
from PIL import Image

import known_words
from relsim.captions.captioner import Captioner
from relsim.encoders.base import AnyEncoder, Vectors
from relsim.encoders.registry import load_encoder
from relsim.evaluation.retrieval_metrics import Settings, images_to_images, sentences_to_images
from relsim.evaluation.statistics import Estimate
from relsim.evaluation.triplets import Triplet, TripletReport, score_triplets
from relsim.models.text_encoder import CaptionEncoder
from relsim.world.looks import Split
from relsim.world.relations import PORTRAIT, RELATIONS
from relsim.world.scenes import Drawing, Scene, draw, draw_scene, scenes
from relsim.world.triplets import KINDS, SceneTriplet, scene_triplets

SEED, SIZE, CHUNK = 77, 224, 384
SPLITS = (Split.OBJECTS, Split.RELATIONS, Split.STYLES)
TOP_TEN = Settings(ks=(10,), with_map=False, seed=SEED)
Encoders = dict[str, AnyEncoder]


def drawings(rows: Sequence[Scene]) -> Iterator[Drawing]:
    """The scenes, drawn by two processes, in order."""
    with get_context("spawn").Pool(2) as pool:
        yield from pool.imap(partial(draw, size=SIZE), rows, chunksize=32)


def embed(encoders: Encoders, rows: Sequence[Scene]) -> dict[str, Vectors]:
    """Vectors (N, D) of every encoder; pictures are dropped as soon as they are embedded."""
    pictures = (drawing.image for drawing in drawings(rows))
    parts: dict[str, list[Vectors]] = {name: [] for name in encoders}
    while chunk := list(islice(pictures, CHUNK)):
        for name, encoder in encoders.items():
            parts[name].append(encoder.encode([encoder.prepare(image) for image in chunk]))
    return {name: np.concatenate(vectors) for name, vectors in parts.items()}


def percent(estimate: Estimate) -> str:
    """An estimated share and its interval, in percent."""
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def triplet_tables(encoders: Encoders, count: int, few: int) -> None:
    """Accuracy by kind and split; for conflict also by family, with the weakest relations of the first encoder."""
    by_family: dict[Split, dict[str, TripletReport]] = {}
    head(f"triplets, {count:,} of conflict and {few:,} of each other kind, % right (95 %)", *encoders)
    for kind in KINDS:
        for split in SPLITS:
            triplets = list(scene_triplets(kind, split, count if kind == "conflict" else few, SEED))
            reports = _score(encoders, triplets)
            row(f"{kind}, {split.value}", *(percent(report.kinds[kind]) for report in reports.values()))
            if kind == "conflict":
                by_family[split] = reports
    for split, reports in by_family.items():
        first = next(iter(reports.values()))
        weakest = sorted(first.relations["conflict"].items(), key=lambda item: item[1].value)
        head(f"conflict, {split.value}", *encoders, "its weakest relations")
        for family in first.families["conflict"]:
            names = [f"{name} {100 * found.value:.0f}" for name, found in weakest if RELATIONS[name].family == family]
            cells = [percent(report.families["conflict"][family]) for report in reports.values()]
            row(family, *cells, ", ".join(names[:3]))


def retrieval(encoders: Encoders, count: int) -> None:
    """Precision at 10 for the relation, and pictures found by sentences that were never trained."""
    rows = list(islice(scenes(Split.OBJECTS, SEED), count))
    labels = [scene.relation for scene in rows]
    names = sorted(set(labels))
    sentences = CaptionEncoder().encode_text([RELATIONS[name].captions[-1] for name in names])
    head(
        f"{count:,} scenes of held-out objects and palettes, % (95 %)",
        "precision@10 of the relation",
        f"{len(names)} new sentences: the relation among the first 10 pictures",
        "precision@10 of the sentences",
    )
    for name, vectors in embed(encoders, rows).items():
        images = images_to_images(vectors, labels, settings=TOP_TEN).metrics["precision@10"]
        found = ["-", "-"]
        if vectors.shape[1] == sentences.shape[1]:
            report = sentences_to_images(sentences, names, vectors, labels, settings=TOP_TEN)
            found = [percent(report.metrics[metric]) for metric in ("hit@10", "precision@10")]
        row(name, percent(images), *found)


def naming(attributes: AnyEncoder, describe: known_words.Writer, count: int) -> None:
    """Whether the main thing's colour and kind are named: by the nearest sentence, and in the base's own words.

    In scenes the main thing may be a dozen small ones; portraits show one to three large ones.
    """
    shown = {
        "new scenes of trained kinds": list(islice(scenes(Split.VALIDATION, SEED + 2), count)),
        "portraits of trained kinds": [
            draw_scene(Split.VALIDATION, np.random.default_rng([SEED + 2, index]), relation=PORTRAIT.name)
            for index in range(count)
        ],
    }
    for what, rows in shown.items():
        drawn = [drawing for drawing in drawings(rows) if drawing.sight.things]
        images = [drawing.image for drawing in drawn]
        vectors = attributes.encode([attributes.prepare(image) for image in images])
        answers = {
            "relsim-mini-attributes, nearest of all sentences": known_words.nearest_names(vectors),
            "relsim-mini-base, its description": [known_words.first_named(text) for text in describe(images)],
        }
        head(f"{len(drawn):,} {what}, main thing, % right (95 %)", "colour", "kind")
        for title, pairs in answers.items():
            right = known_words.rightly_named(drawn, pairs)
            row(title, *(percent(estimate) for estimate in right))


def captions(write: known_words.Writer, count: int) -> None:
    """Whether greedy captions state the relation, judged by the nearest template, and whether they name an object."""
    rows = list(islice(scenes(Split.OBJECTS, SEED + 1), count))
    texts = write([drawing.image for drawing in drawings(rows)])
    verdict = known_words.judge_captions(texts, [scene.relation for scene in rows])
    head(f"captioner, greedy, {count:,} scenes of held-out objects and palettes", "% (95 %)")
    for title, estimate in verdict.shares.items():
        row(title, percent(estimate))
    note("confused most often: " + ", ".join(f"{a} as {b} ({n})" for (a, b), n in verdict.confused))


def greedy(name: str) -> known_words.Writer:
    """The captioner or describer of that name, writing its likeliest words."""
    captioner = Captioner.load(name)

    def write(images: Sequence[Image.Image]) -> list[str]:
        return [found.text for found in captioner.caption(images, greedy=True, max_new_tokens=64)]

    return write


def head(title: str, *columns: str) -> None:
    """Begin a table."""
    print(f"\n| {title} | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}", flush=True)


def row(title: str, *cells: str) -> None:
    """Go on with it."""
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def note(text: str) -> None:
    """Say something that belongs in no table."""
    print(text, file=sys.stderr, flush=True)


def _score(encoders: Encoders, triplets: Sequence[SceneTriplet]) -> dict[str, TripletReport]:
    rows = [scene for triplet in triplets for scene in (triplet.anchor, triplet.positive, triplet.negative)]
    named = [
        Triplet(
            *(scene.image_id for scene in three),
            kind=item.kind,
            family=item.anchor.family,
            relation=item.anchor.relation,
        )
        for item, three in ((item, (item.anchor, item.positive, item.negative)) for item in triplets)
    ]
    ids = [scene.image_id for scene in rows]
    found = embed(encoders, rows)
    return {name: score_triplets(dict(zip(ids, vectors, strict=True)), named) for name, vectors in found.items()}


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triplets", type=int, default=5000)
    parser.add_argument("--few", type=int, default=1000, help="aligned and control triplets of each split")
    parser.add_argument("--scenes", type=int, default=5000)
    parser.add_argument("--words", type=int, default=1000, help="scenes that are named and captioned")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=FOLDER", help="one more to measure")
    parser.add_argument("--only", nargs="*", default=["triplets", "retrieval", "naming", "captions"])
    arguments = parser.parse_args()
    started = time.time()
    named = {name: name for name in ("relsim-mini", "relsim-mini-attributes")}
    named |= dict(text.split("=", 1) for text in arguments.checkpoint)
    encoders = {name: load_encoder("relational", checkpoint_dir=folder) for name, folder in named.items()}
    attributes = encoders["relsim-mini-attributes"]
    encoders |= {name: load_encoder(name) for name in ("descriptors", "descriptors-colour", "descriptors-hog")}
    parts: dict[str, Callable[[], None]] = {
        "triplets": lambda: triplet_tables(encoders, arguments.triplets, arguments.few),
        "retrieval": lambda: retrieval(encoders, arguments.scenes),
        "naming": lambda: naming(attributes, greedy("relsim-mini-base"), arguments.words),
        "captions": lambda: captions(greedy("relsim-mini-captioner"), arguments.words),
    }
    for name in arguments.only:
        parts[name]()
    note(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
