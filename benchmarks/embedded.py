"""Speed of the embedded checkpoint: pictures per second from PNG files, and the wait for a first score.

    python benchmarks/embedded.py [--checkpoint relsim-mini] [--images 1500] [--rounds 5] [--with onnx,openvino]
                                  [--json FILE]

throughput   scenes of the drawn world as PNG files of the checkpoint's own size, through `model.embed_files` in a fresh
             process on `--threads` processors: load, one pass over a few files, then one timed pass over all
table        the same files through `relsim embed` into a new table, all of the command counted
first score  `relsim score a.png b.png` in a fresh process, from its start to its end
others       with `--with`: the same network for ONNX Runtime or OpenVINO (`relsim export --layout`), on the same pixels
             that are in memory already, in batches of `--batch`, beside `model.embed` of the same pictures; no file is
             read and nothing is resized, so that networks are compared and not decoders. Rounds take turns

Exit code 1: a run failed. A missed target changes nothing: speed belongs to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from against_published import CHECKOUT, machine, positive, say, write_json
from relsim.world.gallery import write_gallery

IMAGES_PER_SECOND, FIRST_SCORE_SECONDS = 300.0, 4.0
WARM_UP = 32

_EMBED = """
import json, sys, time
from pathlib import Path
from relsim import relsim
begun = time.perf_counter()
model, _ = relsim(checkpoint_dir=sys.argv[1], device="cpu")
loaded = time.perf_counter() - begun
paths = sorted(Path(sys.argv[2]).iterdir())
model.embed_files(paths[: int(sys.argv[3])])
begun, begun_cpu = time.perf_counter(), time.process_time()
vectors = model.embed_files(paths)
seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
print(json.dumps({"images": len(vectors), "seconds": seconds, "cpu_seconds": cpu_seconds, "load_seconds": loaded}))
"""


_OTHER = """
import json, sys, time
from pathlib import Path
sys.modules["relsim"] = sys.modules["torch"] = None
import numpy as np
folder, pixels, batch, threads = Path(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if (folder / "model.onnx").exists():
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    run = lambda part: session.run(["vectors"], {"pixels": part})[0]
else:
    import openvino
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT"}
    model = openvino.compile_model(folder / "model.xml", "CPU", hints)
    run = lambda part: model(part)["vectors"]
"""
_OURS = """
import json, sys, time
import numpy as np
from PIL import Image
from relsim import relsim
model, _ = relsim(checkpoint_dir=sys.argv[1], device="cpu", dtype="float32")
pixels, batch = np.load(sys.argv[2]), int(sys.argv[3])
run = lambda part: model.embed([Image.fromarray(picture) for picture in part]).numpy()
"""
_TIMED = """
parts = [pixels[start : start + batch] for start in range(0, len(pixels), batch)]
run(parts[0])
begun, begun_cpu = time.perf_counter(), time.process_time()
vectors = np.concatenate([run(part) for part in parts])
seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
np.save(sys.argv[5], vectors)
print(json.dumps({"images": len(vectors), "seconds": seconds, "cpu_seconds": cpu_seconds}))
"""


class RunError(Exception):
    """A process did not finish."""


def run(command: list[str]) -> tuple[str, float]:
    """Standard output of a process and the seconds from its start to its end."""
    begun = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise RunError(f"{' '.join(command[:4])} … failed:\n{done.stderr[-2000:]}")
    return done.stdout, seconds


def scenes(scratch: Path, count: int, side: int) -> Path:
    """A folder of PNG files, drawn once."""
    folder = scratch / f"scenes-{count}-{side}"
    if not folder.exists():
        write_gallery(folder, count=count, size=side)
    return folder / "images"


def throughput(options: argparse.Namespace, images: Path) -> dict[str, Any]:
    """Rounds of one timed pass each."""
    command = [sys.executable, "-c", _EMBED, options.checkpoint, str(images), str(WARM_UP)]
    rounds = []
    for number in range(1, options.rounds + 1):
        facts = json.loads(run(command)[0].splitlines()[-1])
        rounds.append(facts)
        say(f"round {number} of {options.rounds}: {facts['images'] / facts['seconds']:.0f} images/s")
    return {
        "images_per_second": statistics.median(one["images"] / one["seconds"] for one in rounds),
        "cpu_ms": statistics.median(1000 * one["cpu_seconds"] / one["images"] for one in rounds),
        "target": IMAGES_PER_SECOND,
        "rounds": rounds,
    }


def table(options: argparse.Namespace, images: Path) -> dict[str, Any]:
    """`relsim embed` as a user calls it: starting, loading, writing the table and all."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "table"
        command = [*relsim(), "embed", str(images), "--out", str(out), "--checkpoint", options.checkpoint]
        _, seconds = run(command)
    count = len(list(images.iterdir()))
    return {"images": count, "seconds": seconds, "images_per_second": count / seconds}


def first_score(options: argparse.Namespace, images: Path) -> dict[str, Any]:
    """Seconds of fresh processes; the first of them warms the system's file cache and is left out."""
    first, second, *_ = sorted(images.iterdir())
    command = [*relsim(), "score", str(first), str(second), "--checkpoint", options.checkpoint]
    answers = [run(command) for _ in range(options.rounds + 1)]
    seconds = [taken for _, taken in answers[1:]]
    return {
        "seconds": statistics.median(seconds),
        "rounds": seconds,
        "with_cold_files": answers[0][1],
        "target": FIRST_SCORE_SECONDS,
        "answer": answers[-1][0].strip(),
    }


def others(options: argparse.Namespace, images: Path) -> dict[str, Any]:
    """Images a second of each runtime and of relsim, all in fp32, and how far vectors lie apart."""
    from PIL import Image

    from relsim.training.export import export_checkpoint

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(images.iterdir())])
        np.save(folder / "pixels.npy", pixels)
        rest = [str(folder / "pixels.npy"), str(options.batch), str(options.threads)]
        commands = {"relsim": [sys.executable, "-c", _OURS + _TIMED, options.checkpoint]}
        for runtime in options.others:
            export_checkpoint(options.checkpoint, folder / runtime, layout=runtime)
            commands[runtime] = [sys.executable, "-c", _OTHER + _TIMED, str(folder / runtime)]
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
        for number in range(1, options.rounds + 1):
            for name, command in commands.items():
                out, _ = run([*command, *rest, str(folder / f"{name}.npy")])
                rounds[name].append(json.loads(out.splitlines()[-1]))
                facts = rounds[name][-1]
                say(f"round {number} of {options.rounds}, {name}: {facts['images'] / facts['seconds']:.0f} images/s")
        ours = np.load(folder / "relsim.npy")
        return {
            name: {
                "images_per_second": statistics.median(one["images"] / one["seconds"] for one in found),
                "cpu_ms": statistics.median(1000 * one["cpu_seconds"] / one["images"] for one in found),
                "largest_difference": float(np.abs(np.load(folder / f"{name}.npy") - ours).max()),
                "rounds": found,
            }
            for name, found in rounds.items()
        }


def relsim() -> list[str]:
    """The command of this interpreter's environment, or its module where no script is installed."""
    script = Path(sys.executable).with_name("relsim")
    return [str(script)] if script.exists() and "PYTHONPATH" not in os.environ else [sys.executable, "-m", "relsim"]


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", default="relsim-mini", help="an embedded checkpoint, or a folder")
    parser.add_argument("--side", type=positive, default=160, help="side of the pictures in pixels")
    parser.add_argument("--images", type=positive, default=1500, help="number of picture files")
    parser.add_argument("--rounds", type=positive, default=5, help="passes, and fresh processes")
    parser.add_argument("--threads", type=positive, default=2, help="processors that may be used")
    parser.add_argument(
        "--with",
        dest="others",
        default=[],
        type=lambda names: names.split(","),
        metavar="RUNTIMES",
        help="onnx, openvino or both: the same network there, on pixels that are in memory",
    )
    parser.add_argument("--batch", type=positive, default=32, help="pictures of a batch, with --with")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where pictures are written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    options = parser.parse_args(words)
    if unknown := set(options.others) - {"onnx", "openvino"}:
        parser.error(f"--with {','.join(sorted(unknown))}: known are onnx and openvino")
    if options.threads > len(os.sched_getaffinity(0)):
        parser.error(f"--threads {options.threads}: only {len(os.sched_getaffinity(0))} processors may be used here")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table; the exit code."""
    options = arguments(words)
    # Processes inherit it, thread pools are made by it, and drawing below keeps to it as well.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    facts = machine() | {"threads": options.threads}
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    images = scenes(scratch, options.images, options.side)
    try:
        speed, first = throughput(options, images), first_score(options, images)
        written = table(options, images)
        elsewhere = others(options, images) if options.others else {}
    except RunError as problem:
        say(str(problem))
        return 1
    print("| figure | here | bar |\n| --- | --- | --- |")
    print(f"| `embed_files`, images/s | {speed['images_per_second']:.0f} | {IMAGES_PER_SECOND:.0f} |")
    print(f"| `embed_files`, CPU ms an image | {speed['cpu_ms']:.1f} | |")
    print(f"| `relsim embed`, the whole command, images/s | {written['images_per_second']:.0f} | |")
    print(f"| `relsim score a.png b.png`, fresh process, s | {first['seconds']:.2f} | {FIRST_SCORE_SECONDS:g} |")
    print(f"| the same, first call of this run, s | {first['with_cold_files']:.2f} | |")
    if elsewhere:
        print("\n| the network alone, fp32 | images/s | CPU ms an image | difference |\n| --- | --- | --- | --- |")
    for name, figures in elsewhere.items():
        speeds = f"{figures['images_per_second']:.0f} | {figures['cpu_ms']:.1f}"
        print(f"| {name} | {speeds} | {figures['largest_difference']:.1e} |")
    print(f"\n{facts['processor']}, {options.threads} threads, load before the start {facts['load_before']:.1f}")
    if options.json:
        figures = {"throughput": speed, "table": written, "first_score": first, "others": elsewhere}
        write_json(options.json, {"schema": 1, "machine": facts, "checkpoint": options.checkpoint, **figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
