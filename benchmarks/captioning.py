"""Captions per second against the way of the published scripts, side by side in one run.

    python benchmarks/captioning.py [--models golden 20m] [--rounds 5] [--images 16] [--tokens 48] [--json FILE]

Three ways write about the same pictures, with the same weights in float32, the same prompt and as many tokens:

- one at a time: transformers' `generate` on one picture, with the adapter unmerged in peft's layers, as the published
  example calls it;
- in a batch: the same call on all pictures at once, as the published script for folders does;
- ours: `Captioner.caption_prepared` in batches of 16.

Pictures are prepared before, since all three would prepare them alike. The ways take turns (A B C A B C …) in one
process. Tokens are greedy and none ends an answer, so that all three write the same ones; that is checked.

Exit code 1: some tokens differ. A missed target does not change it: speed belongs to the machine.
"""

from __future__ import annotations

import os

# Idle threads of OpenMP would spin, and where other programs want the same cores that multiplies the time of every
# operation that is shared out. To be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import importlib.metadata
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from _pictures import draw_picture
from against_published import QUIET_LOAD, machine, positive, say, write_json
from models import SHAPES, write_model
from relsim.captions.captioner import Captioner
from relsim.models.base import load_base, place
from relsim.models.generation import Sampling
from relsim.models.pixels import Patches, PixelConfig, normalized
from relsim.models.prompt import CAPTION_PROMPT, Prompt, read_question

CHECKOUT = Path(__file__).resolve().parent.parent
BATCH = 16
TARGET = 3.0
NO_TOKEN = 2**31 - 1
"""An id beyond every vocabulary, in the place of the token that ends an answer."""

Tokens = list[list[int]]


@dataclass(frozen=True, slots=True)
class Pass:
    """One way's captions of all pictures, with the seconds on the clock and those of all processors."""

    seconds: float
    cpu_seconds: float
    tokens: Tokens


def captioner_folder(name: str, golden: Path, scratch: Path) -> tuple[Path, Path]:
    """Base and captioner of that name, made so that no token ends an answer."""
    if name == "golden":
        source_base, source = golden / "base", golden / "captioner"
    else:
        write_model(SHAPES[name], scratch / name, golden)
        source_base, source = scratch / name / "base", scratch / name / "relsim"
    folder = scratch / f"{name}-captioner"
    shutil.rmtree(folder, ignore_errors=True)
    base, captioner = shutil.copytree(source_base, folder / "base"), folder / "captioner"
    captioner.mkdir()
    shutil.copy(source / "adapter_config.json", captioner)
    # A captioner has no query token, so the tables were not resized and are not saved with it.
    adapter = load_file(source / "adapter_model.safetensors")
    save_file(
        {key: value for key, value in adapter.items() if ".lora_" in key}, captioner / "adapter_model.safetensors"
    )
    path = base / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(settings | {"eos_token_id": NO_TOKEN}), encoding="utf-8")
    return base, captioner


def published_way(base: Path, captioner: Path, prompt: Prompt, pixels: PixelConfig) -> Callable[..., Tokens]:
    """`generate` on a batch of prepared pictures of one size, the adapter unmerged."""
    network, _ = load_base(base, torch.float32, head=True)
    network = place(network, torch.device("cpu"), torch.float32)
    return generating(PeftModel.from_pretrained(network, captioner).eval(), prompt, pixels)


def generating(model: Any, prompt: Prompt, pixels: PixelConfig) -> Callable[..., Tokens]:
    """`generate` of a model on a batch of prepared pictures of one size; no token ends an answer."""
    model.generation_config.eos_token_id = None
    device, dtype = model.device, model.dtype

    def write(batch: Sequence[Patches], length: int) -> Tokens:
        ids = torch.tensor([prompt.ids(len(patches.pixels) // pixels.merge_size**2) for patches in batch]).to(device)
        values = torch.from_numpy(np.concatenate([normalized(patches, pixels) for patches in batch]))
        with torch.no_grad():
            found = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=values.to(device, dtype),
                image_grid_thw=torch.tensor([[1, *patches.grid] for patches in batch], device=device),
                mm_token_type_ids=(ids == prompt.image).long(),
                do_sample=False,
                max_new_tokens=length,
            )
        tokens: Tokens = found[:, ids.shape[1] :].tolist()
        return tokens

    return write


def measure(write: Callable[[], Tokens]) -> Pass:
    """One pass."""
    clock, cpu = time.perf_counter(), time.process_time()
    tokens = write()
    return Pass(time.perf_counter() - clock, time.process_time() - cpu, tokens)


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one model."""
    base, folder = captioner_folder(name, options.golden, options.scratch)
    ours = Captioner.load(folder, base_model=base, device="cpu", dtype="float32")
    rng = np.random.default_rng(0)
    pictures = [ours.prepare(draw_picture(640, 480, rng)) for _ in range(options.images)]
    theirs = published_way(base, folder, read_question(base, CAPTION_PROMPT), ours.pixels)
    length, sampling = options.tokens, Sampling(greedy=True, max_new_tokens=options.tokens)
    ways: dict[str, Callable[[], Tokens]] = {
        "one at a time": lambda: [tokens for picture in pictures for tokens in theirs([picture], length)],
        "in a batch": lambda: [
            tokens
            for first in range(0, len(pictures), BATCH)
            for tokens in theirs(pictures[first : first + BATCH], length)
        ],
        "ours": lambda: [list(own.token_ids) for (own,) in ours.caption_prepared(pictures, sampling, batch_size=BATCH)],
    }
    theirs(pictures[:2], 2)
    ours.caption_prepared(pictures[:2], Sampling(greedy=True, max_new_tokens=2))
    passes: dict[str, list[Pass]] = {way: [] for way in ways}
    for number in range(1, options.rounds + 1):
        for way, write in ways.items():
            passes[way].append(measure(write))
        told = ", ".join(f"{way} {len(pictures) / found[-1].seconds:.2f}" for way, found in passes.items())
        say(f"{name} round {number} of {options.rounds}: {told} captions/s")
    return summary(name, passes, options)


def summary(name: str, passes: Mapping[str, Sequence[Pass]], options: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds, ratios round by round, and whether all passes wrote the same tokens."""
    ours = passes["ours"]
    ratios = {
        way: {
            "clock": [theirs.seconds / mine.seconds for theirs, mine in zip(found, ours, strict=True)],
            "cpu": [theirs.cpu_seconds / mine.cpu_seconds for theirs, mine in zip(found, ours, strict=True)],
        }
        for way, found in passes.items()
        if way != "ours"
    }
    every = [one.tokens for found in passes.values() for one in found]
    return {
        "model": name,
        "captions": options.images,
        "tokens": options.tokens,
        "captions_per_second": {
            way: statistics.median(options.images / one.seconds for one in found) for way, found in passes.items()
        },
        "cpu_seconds_per_caption": {
            way: statistics.median(one.cpu_seconds / options.images for one in found) for way, found in passes.items()
        },
        "ratios": ratios,
        "same_tokens": all(tokens == every[0] for tokens in every)
        and all(len(tokens) == options.tokens for tokens in every[0]),
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a Markdown table, one line for each model and way that ours is compared with."""
    columns = (
        "model",
        "compared with",
        "captions/s, theirs",
        "ours",
        "ratio (lowest to highest round)",
        "ratio of CPU time (lowest to highest)",
    )
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for result in results:
        speeds = result["captions_per_second"]
        for way, ratios in result["ratios"].items():
            clock, cpu = ratios["clock"], ratios["cpu"]
            lines.append(
                f"| {result['model']} | {way} | {speeds[way]:.2f} | {speeds['ours']:.2f} "
                f"| {statistics.median(clock):.2f} ({min(clock):.2f} to {max(clock):.2f}) "
                f"| {statistics.median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f}) |"
            )
    return "\n".join(lines)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["golden", "20m"], choices=["golden", *SHAPES])
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--images", type=positive, default=BATCH, help="number of pictures")
    parser.add_argument("--tokens", type=positive, default=48, help="length of every caption")
    parser.add_argument("--threads", type=positive, default=2, help="processors that each way may use")
    parser.add_argument("--golden", type=Path, default=CHECKOUT / "tests" / "golden", help="the golden checkpoint")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where models go")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Make what is missing, run, print the table; the exit code."""
    options = arguments(words)
    torch.set_num_threads(options.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    facts = machine() | {
        "threads": options.threads,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
    }
    options.scratch.mkdir(parents=True, exist_ok=True)
    results = [compare(name, options) for name in options.models]
    print(table(results))
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    print(f"\n{options.images} captions of {options.tokens} tokens; {options.threads} threads; {versions}")
    print(f"{facts['processor']}, {', '.join(facts['instructions'])}")
    if options.json:
        write_json(options.json, {"schema": 1, "machine": facts, "target": TARGET, "models": results})
    if facts["load_before"] > QUIET_LOAD:
        say(
            f"the load before the start was {facts['load_before']:.1f}: other programs ran; the ratio of CPU time holds"
        )
    differing = [result["model"] for result in results if not result["same_tokens"]]
    if differing:
        say(f"not all ways wrote the same tokens: {', '.join(differing)}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
