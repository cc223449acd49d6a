"""The real 7B configuration with random weights: does it load, in how much memory, and how long takes one picture?

    python benchmarks/full_size.py --folder SCRATCH [--dtype bfloat16] [--engine packed] [--repeats 3] [--json FILE]

Writes 16.6 GB of random bf16 weights into SCRATCH once (a minute or two), then loads them in a fresh process and embeds
one 448x448 picture (recipe squash448). Prints seconds to load, resident memory and seconds per picture. Random
weights cost what trained ones cost. Needs 20 GB of disk and 18 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from models import (
    SHAPES,
    Shape,
    base_tensors,
    draw_tensor,
    model_config,
    write_adapter,
    write_tokenizer,
)

SHAPE_7B = Shape(3584, 28, 28, 4, 18944, (16, 24, 24), 1280, 32, 16, 3420, (7, 15, 23, 31))
SHARD_BYTES = 2_000_000_000
GIB = 1024**3


def write_full_size(folder: Path, golden: Path, shape: Shape) -> None:
    """Write `folder/base` in shards and `folder/relsim`, unless they are complete."""
    stamp = folder / "complete.json"
    if stamp.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    base, adapter = folder / "base", folder / "relsim"
    base.mkdir(parents=True)
    adapter.mkdir()
    generator = torch.Generator().manual_seed(0)
    tables: dict[str, torch.Tensor] = {}
    shard: dict[str, torch.Tensor] = {}
    index: dict[str, str] = {}

    def flush() -> None:
        name = f"model-{len(set(index.values())) + 1:05d}.safetensors"
        save_file(shard, base / name, metadata={"format": "pt"})
        index.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, size in base_tensors(shape):
        shard[name] = draw_tensor(name, size, generator)
        if name in {"lm_head.weight", "model.embed_tokens.weight"}:
            tables[name] = shard[name]
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD_BYTES:
            flush()
    flush()
    total = sum((base / name).stat().st_size for name in set(index.values()))
    (base / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=1)
    )
    config = model_config(shape, json.loads((golden / "base" / "config.json").read_text()))
    (base / "config.json").write_text(json.dumps(config, indent=2))
    write_adapter(shape, tables, adapter, golden, generator)
    write_tokenizer(golden / "base", base)
    write_tokenizer(golden / "relsim", adapter)
    stamp.write_text("{}")


def measure(folder: Path, dtype: str, engine: str, repeats: int) -> dict[str, object]:
    """Load the model in this process and embed one picture; memory in bytes, times in seconds."""
    import numpy as np
    from PIL import Image

    started = time.monotonic()
    from relsim import relsim

    model, _ = relsim(
        checkpoint_dir=folder / "relsim",
        base_model=folder / "base",
        device="cpu",
        dtype=dtype,
        recipe="squash448",
        engine=engine,
    )
    load = time.monotonic() - started
    after_load = _status("VmRSS")
    pixels = np.random.default_rng(0).integers(0, 256, (448, 448, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    times = []
    for _ in range(repeats + 1):
        started = time.monotonic()
        model.embed(image)
        times.append(time.monotonic() - started)
    return {
        "engine": engine,
        "dtype": dtype,
        "load_seconds": load,
        "resident_after_load": after_load,
        "peak_resident": _status("VmHWM"),
        "first_seconds": times[0],
        "seconds_per_picture": sorted(times[1:])[repeats // 2],
    }


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def main() -> None:
    """Write the weights, measure in a fresh process, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--golden", type=Path, default=Path("tests/golden"))
    parser.add_argument("--shape", choices=["7b", *SHAPES], default="7b")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--engine", default="packed", choices=["packed", "plain"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder / options.shape
    if options.measure:
        print(json.dumps(measure(folder, options.dtype, options.engine, options.repeats)))
        return
    write_full_size(folder, options.golden, SHAPE_7B if options.shape == "7b" else SHAPES[options.shape])
    # A fresh process, so that writing the weights leaves no trace in the memory that is measured.
    done = subprocess.run([sys.executable, *sys.argv, "--measure"], stdout=subprocess.PIPE, check=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    result |= {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "amx": bool(torch.cpu._is_amx_tile_supported()),  # noqa: SLF001 - torch has no public name for it
        "python": platform.python_version(),
    }
    print(f"{options.shape}, {result['engine']}, {result['dtype']}, {result['threads']} threads, AMX {result['amx']}")
    print(f"load                {result['load_seconds']:8.1f} s")
    print(f"resident after load {result['resident_after_load'] / GIB:8.2f} GiB")
    print(f"peak resident       {result['peak_resident'] / GIB:8.2f} GiB")
    print(f"one 448 picture     {result['seconds_per_picture']:8.2f} s (first {result['first_seconds']:.2f} s)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
