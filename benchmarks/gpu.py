"""Everything to be measured on a GPU, in one call, with random weights made there: no network, no weights on disk.

    python benchmarks/gpu.py [--size 7b] [--device cuda] [--json FILE] [--markdown FILE]
    python benchmarks/gpu.py --size tiny --device cpu      # the same steps with a small model; two minutes

- Embedding, from JPEG files to vectors at 448 x 448 (squash448), in images/s by batch size: as the published package
  does it (one picture a call, adapter unmerged, head computed), transformers' own forward in batches, ours, ours with
  norms and gated MLPs compiled, and ours with 8-bit products (torchao, on a GPU that has them).
- How fast files are read and prepared alone, which bounds all of the above, and the share of the floor that ours
  reaches: 4.609 TFLOP a picture for 7b, at the speed of a large product in the same precision in the same run.
- A training step: LoRA on q_proj and v_proj, the contrastive loss of a whole batch, in micro-batches, images/s.
- Captions: tokens/s at batch 1 and 32, against `generate` on one picture at a time, as the published example calls it,
  and on 32 at once, as its script for folders does.

The largest memory stands beside each: what torch held on a GPU; on a CPU the process's peak so far, which never falls.
What cannot be measured (no torchao, no compiler, no memory) keeps its row and says why.

A batch that does not fit into memory is halved as in every run of ours, and its row says so.

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
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path

import torch

from _gpu_embedding import PREPARING, Embedding
from _gpu_model import Bench
from _gpu_rows import AMOUNTS, Meter, Row, prepare, write_jpegs
from _gpu_steps import caption_rates, training_rates
from against_published import CHECKOUT, machine, positive, say, write_json
from relsim.data.records import ImageRecord

FLOOR_TFLOP = 4.609  # a picture at 448 x 448 through the 7B model, multiplications and additions counted apart
GATE, GATE_FP8 = 0.9995, 0.999
PICTURE_FILES = 128

OURS = ("embedding", "training", "captions")
PUBLISHED = (
    ("embedding", "published way"),
    ("captions", "published way, one at a time"),
    ("captions", "published way, in a batch"),
)


def product_speed(bench: Bench, side: int) -> float:
    """TFLOP/s of a large product in the precision of the run."""
    left, right = (torch.randn(side, side, device=bench.device, dtype=bench.dtype) for _ in range(2))
    out = torch.empty_like(left)  # in fresh memory each product would wait for the allocator

    def products(count: int) -> None:
        for _ in range(count):
            torch.mm(left, right, out=out)

    products(10)
    return 2 * side**3 / 1e12 * Meter(bench).rate(50, lambda: products(50))


def table(rows: Sequence[Row], ceiling: float | None) -> str:
    """The rows in Markdown; `ceiling` are the images/s at the floor."""
    lines = ["| what | way | batch | rate | share of the floor | peak memory, MiB | lowest cosine with plain |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        share = ""
        if ceiling and row.rate and row.part == "embedding" and row.way != PREPARING:
            share = f"{100 * row.rate / ceiling:.0f} %"
        peak = "" if row.peak_mib is None else f"{row.peak_mib:,.0f}"
        cosine = "" if row.cosine is None else f"{row.cosine:.5f}"
        if row.cosine is not None and is_8_bit(row) and not row.cosine >= GATE_FP8:
            cosine += f", under {GATE_FP8}: refused"
        way = f"{row.way} (not in the package)" if is_compiled(row) else row.way
        lines.append(f"| {row.part} | {way} | {row.batch or ''} | {row.found()} | {share} | {peak} | {cosine} |")
    return "\n".join(lines)


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """What ours does at its best to each published way in the same run: what anyone can run, 8-bit products apart."""
    found = {}
    for part, theirs in PUBLISHED:
        ours = [row.rate for row in rows if (row.part, row.way) == (part, "ours")]
        base = [row.rate for row in rows if row.part == part and row.way == theirs]
        best = max((rate for rate in ours if rate), default=None)
        if best and base and base[0]:
            found[f"{part}, ours to the {theirs}"] = best / base[0]
    return found


def failures(rows: Sequence[Row]) -> list[str]:
    """What makes the exit code 1."""
    found = []
    if not any(row.way == "plain" and row.part == "embedding" and row.rate for row in rows):
        found.append("the plain path could not be measured, so nothing was held against it")
    for part in OURS:
        own = [row for row in rows if (row.part, row.way) == (part, "ours")]
        if not own:
            found.append(f"{part}: ours was not measured")
        found += [f"{part}, ours, batch {row.batch}: {row.note or 'no rate'}" for row in own if not row.rate]
    held = [(row, row.cosine) for row in rows if row.cosine is not None and not is_8_bit(row)]
    return found + [
        f"{row.way}, batch {row.batch}: cosine {cosine:.5f} with the plain path, under {GATE}"
        for row, cosine in held
        if not cosine >= GATE  # a number that is none is a failure as well
    ]


def is_compiled(row: Row) -> bool:
    """Whether a way compiles blocks, which the benchmark does and the package does not."""
    return "compiled" in row.way


def is_8_bit(row: Row) -> bool:
    """Whether a way's products are in 8-bit floats."""
    return "fp8" in row.way


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=list(AMOUNTS), default="7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="by default bfloat16, float32 on a CPU")
    parser.add_argument("--images", type=positive, help="pictures of an embedding pass")
    parser.add_argument("--golden", type=Path, default=CHECKOUT / "tests" / "golden", help="for its tokenizer")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where pictures are written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here as well")
    options = parser.parse_args(words)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no GPU here: --device cpu --size tiny runs the same steps")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Measure everything, print the table; the exit code."""
    options = arguments(words)
    device = torch.device(options.device)
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    amounts = AMOUNTS[options.size]
    if options.images:
        amounts = replace(amounts, images=options.images)
    paths = write_jpegs(options.scratch / "jpegs", min(PICTURE_FILES, amounts.images))
    bench = Bench.make(options.size, device, dtype, options.golden, options.scratch / "gpu")
    meter = Meter(bench)
    speed = product_speed(bench, 512 if device.type == "cpu" else 8192)
    Embedding(bench, meter, paths, amounts).measure()
    pictures = [prepare(ImageRecord(str(path), str(path)), bench) for path in paths[: max(amounts.captions, 4)]]
    for part, rates in (("training", training_rates), ("captions", caption_rates)):
        for way, batch, unit, measure in rates(bench, meter.rate, pictures, amounts):
            meter.take(Row(part, way, batch, unit), measure)
    facts = machine() | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "size": options.size,
        "dtype": str(dtype).removeprefix("torch."),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "versions": versions("torch", "transformers", "peft", "torchao"),
        "product_tflops": speed,
        "floor_images_per_second": speed / FLOOR_TFLOP if options.size == "7b" else None,
    }
    text = table(meter.rows, facts["floor_images_per_second"])
    print(text)
    named = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    line = f"{facts['date']}, {facts['device']}, {facts['size']} in {facts['dtype']}; {named}. Large products: "
    line += f"{speed:.2f} TFLOP/s. " + " ".join(f"{name}: {value:.2f}." for name, value in ratios(meter.rows).items())
    print(f"\n{line}")
    if options.json:
        write_json(
            options.json,
            {"schema": 1, "machine": facts, "ratios": ratios(meter.rows), "rows": list(map(asdict, meter.rows))},
        )
    if options.markdown:
        options.markdown.write_text(f"{line}\n\n{text}\n", encoding="utf-8")
    wrong = failures(meter.rows)
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
