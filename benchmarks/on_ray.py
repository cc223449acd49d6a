"""One process against workers of Ray on the same processors: throughput, the cost of kills, and equal tables.

    python benchmarks/on_ray.py [--images 50000] [--workers 2] [--kill] [--json FILE]

Scenes of the drawn world, at the embedded checkpoint's own size, are drawn once into a shard folder below `--scratch`.
`relsim embed` makes two tables of it: in one process with as many threads as there are workers, and on a Ray of this
machine. Speed is that of the document (from the first part asked for to the last stored, workers' start included), and
that of the whole command beside it. With `--kill` a third table is made: a worker is killed with -9 after a third of
the rows, the command itself after two thirds, and the command is run again.

Exit code 1: a run failed, or the tables are not equal. A missed bar changes nothing: speed belongs to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from against_published import CHECKOUT, machine, positive, say, write_json
from relsim.data.facts import image_facts
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status
from relsim.data.shard_rows import ShardRow
from relsim.data.shard_writing import ShardWriter
from relsim.vectors import VectorTable
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes

RATIO = 0.9
TOLERANCE = 1e-5
MARK = "RELSIM_BENCHMARK_ON_RAY"


class RunError(Exception):
    """A process did not finish, or made another table."""


def shards(scratch: Path, count: int, side: int) -> Path:
    """A shard folder of drawn scenes, made once."""
    folder = scratch / f"ray-{count}-{side}"
    if not (folder / "shards.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with ShardWriter(folder) as writer:
            for number, scene in enumerate(islice(scenes(Split.VALIDATION, 0), count)):
                data = BytesIO()
                draw(scene, side).image.save(data, "PNG")
                row = ManifestRow(f"{number:08d}", None, None)
                writer.append(
                    ShardRow.of(number, row, Status.OK, image=data.getvalue(), **asdict(image_facts(data.getvalue())))
                )
                if (number + 1) % 5000 == 0:
                    say(f"{number + 1:,} of {count:,} drawn")
    return folder


def command(options: argparse.Namespace, source: Path, table: Path, *, ray: bool) -> list[str]:
    """`relsim embed` by one process, or by workers."""
    words = [sys.executable, "-m", "relsim", "embed", str(source), "-o", str(table), "-c", options.checkpoint, "--json"]
    return [*words, "--workers", str(options.workers), *(("--engine", "ray") if ray else ())]


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    """A process that, with all that it starts, carries the mark."""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", MARK: str(os.getpid())}
    return subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(words: Sequence[str]) -> dict[str, Any]:
    """The document of a run, and the seconds of the whole command."""
    begun = time.perf_counter()
    out, err = (process := start(words)).communicate()
    if process.returncode != 0:
        raise RunError(f"{' '.join(words[2:5])} … failed:\n{err[-2000:]}")
    document: dict[str, Any] = json.loads(out)
    facts = {name: document[name] for name in ("rows", "embedded", "skipped", "seconds")}
    return facts | {
        "command_seconds": round(time.perf_counter() - begun, 1),
        "images_per_second": round(facts["embedded"] / facts["seconds"], 1),
    }


def killed(words: Sequence[str], table: Path, count: int) -> dict[str, Any]:
    """A run whose worker and whose first process are killed, then the run that ends it."""
    with start(words) as process:
        wait_for_rows(process, table, count // 3)
        holders = [pid for pid, name in marked().items() if "_ModelHolder" in name]
        os.kill(holders[0], signal.SIGKILL)
        wait_for_rows(process, table, 2 * count // 3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    kept = rows_of(table)
    if kept == count:
        raise RunError(f"all {count:,} rows were there before the command was killed: more images are needed")
    facts = run(words)
    if facts["embedded"] != count - kept:
        raise RunError(f"after the kills {kept:,} rows were there and {facts['embedded']:,} of {count:,} were embedded")
    return {"kept_by_the_kill": kept, **facts}


def wait_for_rows(process: subprocess.Popen[str], table: Path, rows: int) -> None:
    """Wait until a table has so many rows. Raises `RunError` if the run ends before."""
    while rows_of(table) < rows:
        if process.poll() is not None:
            raise RunError(f"the run ended before it had {rows:,} rows:\n{process.communicate()[1][-2000:]}")
        time.sleep(0.2)


def rows_of(table: Path) -> int:
    """Rows that a table has by now."""
    path = table / "table.json"
    return int(json.loads(path.read_bytes())["rows"]) if path.exists() else 0


def marked() -> dict[int, str]:
    """Processes of this benchmark, by id, with their command lines."""
    found = {}
    mark = f"{MARK}={os.getpid()}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    return found


def compare(one: Path, other: Path) -> dict[str, Any]:
    """How far two tables are apart. Raises `RunError` if it is more than rounding."""
    first, second = VectorTable.open(one), VectorTable.open(other)
    if list(first.ids) != list(second.ids):
        raise RunError(f"{other} has other rows than {one}")
    apart = float(np.abs(first.vectors - second.vectors).max())
    if apart > TOLERANCE:
        raise RunError(f"vectors of {other} are up to {apart:g} from those of {one}")
    return {"rows": len(first), "bit_equal": apart == 0, "largest_difference": apart}


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", default="relsim-mini", help="an embedded checkpoint, or a folder")
    parser.add_argument("--side", type=positive, default=160, help="side of the pictures in pixels")
    parser.add_argument("--images", type=positive, default=50_000, help="number of pictures")
    parser.add_argument("--workers", type=positive, default=2, help="workers of Ray, and threads of the one process")
    parser.add_argument("--kill", action="store_true", help="make a third table, with kills")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where pictures are written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Draw, embed, compare, print; the exit code."""
    options = arguments(words)
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    source = shards(scratch, options.images, options.side)
    tables = {name: scratch / f"ray-table-{name}" for name in ("one", "ray", "killed")}
    for table in tables.values():
        shutil.rmtree(table, ignore_errors=True)
    figures: dict[str, Any] = {"machine": machine(), "images": options.images, "workers": options.workers}
    try:
        figures["one process"] = run(command(options, source, tables["one"], ray=False))
        figures["ray"] = run(command(options, source, tables["ray"], ray=True))
        figures["ray and one process"] = compare(tables["one"], tables["ray"])
        if options.kill:
            words_killed = command(options, source, tables["killed"], ray=True)
            figures["killed"] = killed(words_killed, tables["killed"], options.images)
            figures["killed and one process"] = compare(tables["one"], tables["killed"])
    except RunError as problem:
        say(str(problem))
        return 1
    ratio = figures["ray"]["images_per_second"] / figures["one process"]["images_per_second"]
    figures["ratio"] = round(ratio, 3)
    for name, value in figures.items():
        print(f"{name}: {json.dumps(value)}")
    say(f"ratio {ratio:.2f}, bar {RATIO}")
    if options.json is not None:
        write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
