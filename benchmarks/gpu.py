"""Everything to be measured on a GPU, in one call, with random weights made there: no network, no weights on disk.

    python benchmarks/gpu.py [--size 7b] [--device cuda] [--json FILE] [--markdown FILE]
    python benchmarks/gpu.py --size tiny --device cpu      # the same steps with a small model; two minutes
    python benchmarks/gpu.py --parts embedding,latency     # some of them, as where a machine is lent for minutes

- embedding: from JPEG files to vectors at 448 x 448 (squash448), in images/s by batch size: as the published package
  does it (one picture a call, adapter unmerged, head computed), transformers' own forward in batches, ours, ours with
  norms and gated MLPs compiled, and ours with 8-bit products (torchao, on a GPU that has them). How fast files are read
  and prepared alone bounds all of them; the share of the floor that ours reaches is 4.609 TFLOP a picture for 7b, at
  the speed of a large product in the same precision in the same run.
- levers: ours from prepared pictures at the largest batch, and without one lever of the forward pass after the other.
- latency: one picture a call, as it is and as a CUDA graph.
- native: pictures of 1,024 x 768 at their own size, published and ours.
- training: a step of LoRA on q_proj and v_proj, the contrastive loss of a whole batch, in micro-batches, images/s.
- captions: tokens/s at batch 1, 32 and 128, against `generate` on one picture at a time, as the published example calls
  it, and on 32 at once, as its script for folders does.

The largest memory stands beside each: what torch held on a GPU; on a CPU the process's peak so far, which never falls.
What cannot be measured (no torchao, no compiler, no memory) keeps its row and says why. A batch of embedding or native
that does not fit into memory is halved as in every run of ours, and its row says so. Files are written after each row,
so a call that is stopped leaves what it found.

Exit code 1: the plain path or one of ours could not be measured, or vectors of ours differ from the plain path's by
more than rounding (cosine under 0.9995). 8-bit products are another matter: under a cosine of 0.999 their row says that
they are refused. Speed never changes the exit code: it belongs to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from _gpu_embedding import Embedding
from _gpu_model import RECIPE, Bench
from _gpu_network import latency_rates, lever_rates
from _gpu_rows import AMOUNTS, Amounts, Meter, Row, Step, prepare, write_jpegs
from _gpu_steps import caption_rates, training_rates
from _gpu_table import FLOOR_TFLOP, PARTS, failures, ratios, table, told
from against_published import CHECKOUT, machine, positive, say, write_json
from relsim.data.records import ImageRecord
from relsim.models.pixels import Recipe

PICTURE_FILES = 128


def product_speed(bench: Bench, side: int) -> float:
    """TFLOP/s of a large product in the precision of the run."""
    left, right = (torch.randn(side, side, device=bench.device, dtype=bench.dtype) for _ in range(2))
    out = torch.empty_like(left)  # in fresh memory each product would wait for the allocator

    def products(count: int) -> None:
        for _ in range(count):
            torch.mm(left, right, out=out)

    products(10)
    return 2 * side**3 / 1e12 * Meter(bench).rate(50, lambda: products(50))


def measure(bench: Bench, meter: Meter, paths: Sequence[Path], amounts: Amounts, parts: Sequence[str]) -> None:
    """Take the rows of those parts, in the order of `PARTS`."""
    pictures = [prepare(ImageRecord(str(path), str(path)), bench, RECIPE) for path in paths]
    steps = {
        "levers": lever_rates,
        "latency": latency_rates,
        "training": training_rates,
        "captions": caption_rates,
    }
    for part in (part for part in PARTS if part in parts):
        if part == "embedding":
            Embedding(bench, meter, paths, amounts).measure()
        elif part == "native":
            sizes = amounts.native_batches
            few = replace(amounts, images=amounts.native, batches=sizes, plain_batches=sizes[-1:])
            Embedding(bench, meter, paths, few, part="native", recipe=Recipe.NATIVE).measure(all_ways=False)
        else:
            take_steps(meter, part, steps[part](bench, meter.rate, pictures, amounts))


def take_steps(meter: Meter, part: str, steps: Iterator[Step]) -> None:
    """Take the rows of a part. A function of its own, so that no measurement, and its network, outlives the part."""
    for way, batch, unit, rate in steps:
        meter.take(Row(part, way, batch, unit), rate)


def facts_of(options: argparse.Namespace, bench: Bench, speed: float) -> dict[str, Any]:
    """The machine, and what ran on it."""
    cuda = bench.device.type == "cuda"
    return machine() | {
        "device": torch.cuda.get_device_name(bench.device) if cuda else "cpu",
        "size": options.size,
        "dtype": str(bench.dtype).removeprefix("torch."),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "versions": versions("torch", "transformers", "peft", "torchao"),
        "product_tflops": speed,
        "floor_images_per_second": speed / FLOOR_TFLOP if options.size == "7b" else None,
    }


def text_of(facts: dict[str, Any], rows: Sequence[Row]) -> str:
    """One line about the run, and the table."""
    ceiling = facts["floor_images_per_second"]
    named = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    line = f"{facts['date']}, {facts['device']}, {facts['size']} in {facts['dtype']}; {named}. Large products: "
    line += f"{facts['product_tflops']:.2f} TFLOP/s. " + " ".join(told(rows, goals=ceiling is not None))
    return f"{line}\n\n{table(rows, ceiling)}\n"


def part_names(text: str) -> list[str]:
    """Names of parts with commas between."""
    names = text.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"there is no part {unknown[0]!r}; known are {', '.join(PARTS)}")
    return names


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=list(AMOUNTS), default="7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="by default bfloat16, float32 on a CPU")
    parser.add_argument("--parts", type=part_names, default=list(PARTS), help="names with commas between")
    parser.add_argument("--images", type=positive, help="pictures of an embedding pass")
    parser.add_argument("--golden", type=Path, default=CHECKOUT / "tests" / "golden", help="for its tokenizer")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where pictures are written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here as well")
    options = parser.parse_args(words)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no GPU here: --device cpu --size tiny runs the same steps")
    largest = AMOUNTS[options.size].batches[-1]
    if options.images and options.images < largest and "embedding" in options.parts:
        parser.error(f"--images {options.images}: the largest batch is {largest}, and a row must run what it says")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Measure everything, print the table; the exit code."""
    options = arguments(words)
    device = torch.device(options.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what asks for memory or waits means this one
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    amounts = AMOUNTS[options.size]
    if options.images:
        amounts = replace(amounts, images=options.images)
    paths = write_jpegs(options.scratch / "jpegs", min(PICTURE_FILES, max(amounts.images, amounts.captions[-1])))
    bench = Bench.make(options.size, device, dtype, options.golden, options.scratch / "gpu")
    facts = facts_of(options, bench, product_speed(bench, 512 if device.type == "cpu" else 8192))

    def keep(rows: Sequence[Row]) -> None:
        if options.json:
            found = {"schema": 2, "machine": facts, "ratios": ratios(rows), "rows": list(map(asdict, rows))}
            write_json(options.json, found)
        if options.markdown:
            options.markdown.write_text(text_of(facts, rows), encoding="utf-8")

    meter = Meter(bench, keep)
    measure(bench, meter, paths, amounts, options.parts)
    print(text_of(facts, meter.rows))
    wrong = failures(meter.rows, options.parts)
    for fault in wrong:
        say(fault)
    return 1 if wrong else 0


def versions(*names: str) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


if __name__ == "__main__":
    sys.exit(main())
