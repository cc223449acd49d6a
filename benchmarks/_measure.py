"""What both benchmark workers share; standard library only, since they run in different environments."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path


def arguments() -> argparse.Namespace:
    """The worker's command line: folders of one model, the list of image files, where the answer goes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--images", required=True, help="text file with one path per line")
    parser.add_argument("--dtype", required=True, choices=("float32", "bfloat16", "default"))
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--out", required=True, help="result without suffix: .npy and .json are written")
    return parser.parse_args()


def image_paths(options: argparse.Namespace) -> list[str]:
    """The image files to embed, in order."""
    return Path(options.images).read_text(encoding="utf-8").splitlines()


def pin(threads: int) -> None:
    """Keep this process, decode threads included, to the first `threads` processors that it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Stopwatch:
    """Wall time and CPU time (all threads of this process) since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def read(self) -> tuple[float, float]:
        """Seconds of wall time and of CPU time so far."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def peak_memory() -> int:
    """Largest resident memory of this process so far, loading included, in bytes (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM line: this benchmark needs Linux")


def write_result(
    options: argparse.Namespace, seconds: float, cpu_seconds: float, load_seconds: float, versions: dict[str, str]
) -> None:
    """Write `OUT.json`: wall and CPU seconds of the timed pass, seconds to load, peak memory, versions."""
    result = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "load_seconds": load_seconds,
        "peak_bytes": peak_memory(),
        "versions": versions,
    }
    Path(options.out + ".json").write_text(json.dumps(result), encoding="utf-8")
