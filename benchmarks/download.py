"""Downloads against a local HTTPS server: is every row accounted for, what does an image cost, how much memory.

    python benchmarks/download.py rows [--list random_images_14k.jsonl] [--kills 10]
    python benchmarks/download.py cost [--images 400] [--rounds 3] [--pixels 500000]
    python benchmarks/download.py memory [--rows 100000] [--pixels 4000]

`rows` downloads a list whose addresses are rewritten to the server (without --list: 14,881 made-up rows), compares the
counts with what the server did, then does it again with kills at random moments and compares the two row by row.
`cost` lets the published way (a pool of threads, `requests.get`, PNG) and `relsim download` fetch the same images in
turns, and compares CPU seconds of all their processes, start included. `memory` samples the resident memory of all
processes of one download. The server is a process of its own and counts for nobody. `--json` prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import trustme

from _download_server import expected, kind_of
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.shards import COLUMNS, part_rows

HERE = Path(__file__).parent
REQUESTS = HERE.parent / ".benchmarks" / "requests"
MADE_UP = 14_881
MIB = 2**20
WORKERS = 64


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rows", "cost", "memory"))
    parser.add_argument("--list", type=Path, help="manifest whose addresses are rewritten to the server")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pixels", type=int, help="mean pixels of a picture")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    measured = {"rows": measure_rows, "cost": measure_cost, "memory": measure_memory}[options.what]
    with tempfile.TemporaryDirectory() as place:
        figures = measured(options, Path(place))
    print(json.dumps(figures) if options.json else "\n".join(f"{name:28} {value}" for name, value in figures.items()))


def measure_rows(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """All rows of a list, uninterrupted and with kills."""
    published = read_manifest(options.list) if options.list else [ManifestRow(f"{n:032x}") for n in range(MADE_UP)]
    with serving(place, options.pixels or 60_000) as (address, ca_file):
        manifest = rewritten(published, address, place)
        command = [*relsim(manifest, ca_file), "--json"]
        began = time.perf_counter()
        ended = subprocess.run([*command, "-o", place / "whole"], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        assert ended.returncode == 3, ended.stderr
        summary = json.loads(ended.stdout)
        assert summary["statuses"] == dict(
            sorted(expected(len(published)).items(), key=lambda item: (-item[1], item[0]))
        ), summary["statuses"]
        kills = 0
        moments = random.Random(7)  # noqa: S311 - no secret
        while kills < options.kills:
            before = size_of(place / "killed")
            with subprocess.Popen([*command, "-o", place / "killed"], stdout=subprocess.DEVNULL) as process:
                while process.poll() is None and size_of(place / "killed") == before:
                    time.sleep(0.02)  # until it has done something
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(moments.uniform(0, 1.6 * seconds / options.kills))
                process.send_signal(signal.SIGKILL)
            if process.returncode != -signal.SIGKILL:
                break
            kills += 1
        last = subprocess.run([*command, "-o", place / "killed"], capture_output=True, text=True, check=False)
        assert last.returncode == 3, last.stderr
    compared = sum(1 for _ in zip(contents(place / "whole"), contents(place / "killed"), strict=True))
    for one, other in zip(contents(place / "whole"), contents(place / "killed"), strict=True):
        assert one == other, (one[:3], other[:3])
    left = json.loads(last.stdout)["run"]["rows"]
    return {
        "rows": len(published),
        "statuses": summary["statuses"],
        "seconds": round(seconds, 1),
        "rows_per_second": round(len(published) / seconds, 1),
        "stored_mb": round(summary["bytes"] / 1e6, 1),
        "kills": kills,
        "rows_of_the_last_run": left,
        "rows_compared_equal": compared,
    }


def measure_cost(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """CPU seconds per image of the published way and of ours, in turns."""
    if not REQUESTS.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", REQUESTS, "requests"]
        subprocess.run(command, check=True)
    rows = [row for row in range(10 * options.images) if kind_of(row) == "picture"][: options.images]
    ratios, speeds, costs = [], [], []
    with serving(place, options.pixels or 500_000) as (address, ca_file):
        manifest, listed = place / "list.jsonl", place / "list.txt"
        write_manifest(manifest, [ManifestRow(f"{row:06d}", f"{address}/{row}/x.jpg") for row in rows])
        listed.write_text("".join(f"{row:06d} {address}/{row}/x.jpg\n" for row in rows), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REQUESTS), os.environ.get("PYTHONPATH", "")])}
        for number in range(options.rounds):
            old, new = place / f"published{number}", place / f"ours{number}"
            published = [sys.executable, HERE / "_download_published.py", listed, old, ca_file, str(WORKERS)]
            theirs = spent(published, env=environment)
            ours = spent([*relsim(manifest, ca_file), "-o", new])
            assert len(list(old.glob("*.png"))) == len(rows), "the published way lost images"
            assert sum(row.image is not None for part in new.glob("part-*") for row in part_rows(part, COLUMNS)) == len(
                rows
            )
            costs.append((1e3 * theirs[0] / len(rows), 1e3 * ours[0] / len(rows)))
            ratios.append(theirs[0] / ours[0])
            speeds.append((len(rows) / theirs[1], len(rows) / ours[1]))
            sizes = (size_of(old), size_of(new))
    return {
        "images": len(rows),
        "rounds": options.rounds,
        "cpu_ms_published": round(statistics.median(cost for cost, _ in costs), 1),
        "cpu_ms_ours": round(statistics.median(cost for _, cost in costs), 1),
        "cpu_ratio_median": round(statistics.median(ratios), 2),
        "cpu_ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "images_per_second_published": round(statistics.median(speed for speed, _ in speeds), 1),
        "images_per_second_ours": round(statistics.median(speed for _, speed in speeds), 1),
        "bytes_ratio": round(sizes[0] / sizes[1], 2),
    }


def measure_memory(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """The most that all processes of a download have in memory at once."""
    with serving(place, options.pixels or 4_000) as (address, ca_file):
        manifest = rewritten([ManifestRow(f"{n:032x}") for n in range(options.rows)], address, place)
        command = [*relsim(manifest, ca_file), "-o", place / "out", "--json"]
        began = time.perf_counter()
        most = 0
        with (place / "summary").open("w") as out, subprocess.Popen(command, stdout=out) as process:
            while process.poll() is None:
                most = max(most, resident(process.pid))
                time.sleep(0.1)
        seconds = time.perf_counter() - began
        assert process.returncode == 3
        statuses = json.loads((place / "summary").read_text())["statuses"]
    wanted = expected(options.rows)
    assert statuses == wanted | {name: statuses[name] for name in statuses if name not in wanted}, statuses
    return {
        "rows": options.rows,
        "statuses": statuses,
        "peak_mb": round(most / 1e6, 1),
        "peak_mib": round(most / MIB, 1),
        "seconds": round(seconds, 1),
        "rows_per_second": round(options.rows / seconds, 1),
    }


@contextlib.contextmanager
def serving(place: Path, pixels: int) -> Iterator[tuple[str, Path]]:
    """A running server: its address, and the certificate of its authority."""
    authority = trustme.CA()
    ca_file = place / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(place / "server.pem")
    command = [sys.executable, HERE / "_download_server.py", place / "server.pem", str(pixels)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        print(f"serving pictures of {told['mean_bytes'] / 1e3:,.0f} kB in the mean", file=sys.stderr)
        yield told["address"], ca_file
        process.stdin.close()


def rewritten(rows: Sequence[ManifestRow], address: str, place: Path) -> Path:
    """The list with the addresses of the server."""
    path = place / "list.jsonl"
    write_manifest(
        path, [ManifestRow(row.image_hash, f"{address}/{number}/x.jpg", row.caption) for number, row in enumerate(rows)]
    )
    return path


def relsim(manifest: Path, ca_file: Path) -> list[Any]:
    """The command, for a server that is one host."""
    limits = ["--workers", str(WORKERS), "--per-host", str(WORKERS), "--retries", "1"]
    return [sys.executable, "-m", "relsim", "download", manifest, "--allow-private", "--ca-file", ca_file, *limits]


def contents(folder: Path) -> Iterator[tuple[Any, ...]]:
    """All rows in order, with their bytes and without their times."""
    names = [name for name in COLUMNS if name not in ("seconds", "fetched_at")]
    for part in sorted(folder.glob("part-*")):
        for row in part_rows(part, COLUMNS):
            yield tuple(getattr(row, name) for name in names)


def spent(command: list[Any], **options: Any) -> tuple[float, float]:
    """CPU seconds of a command and all its processes, and wall seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def resident(pid: int) -> int:
    """Resident bytes of a process and of all below it; pages that they share count for each."""
    total = 0
    with contextlib.suppress(OSError):
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += sum(resident(int(child)) for child in (thread / "children").read_text().split())
    return total


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, which may be changing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


if __name__ == "__main__":
    main()
