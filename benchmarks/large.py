"""Large tables: building an index, what it finds, how fast, and in how much memory, against the number of vectors.

    python benchmarks/large.py --folder SCRATCH [--sizes 10000,100000,1000000,5000000] [--kinds binary,hnsw]
                               [--hnsw-up-to 1000000] [--json FILE] [--picture FILE]

For each size a table of seeded vectors is written in parts below SCRATCH (1.7 KB a row), and deleted at the end. The
vectors are clustered as relsim-mini's are. 16,000 drawn scenes through it have 90 % of their variance in 33 of 384
numbers, cosines of 0.00 ± 0.17 between any two, and in a group of the same logic 0.978, 0.963 and 0.924 to the first,
tenth and hundredth neighbour. Here a row is one of 2,000 centres and a little of its own in 32 numbers, mapped to D,
and less noise; groups as large (100 centres for 16,000 rows) have 0.969, 0.959 and 0.936, and codes of one bit find
their neighbours less easily (the ten nearest among 50: 90.4 % of them, of the scenes 95.8 %).
Each row has a caption and a URL, some 150 bytes of text with its id and its source.

Each figure is taken in a fresh process: opening and exact search; building; search by the index (queries are new
vectors of the same making, not rows); and a cold query, before which the system was told to drop its copies of the
files, with what was read from the disk for it, opening included (0 where the system kept them all the same).
Memory is what the process holds of its own at most while it opens the table and searches, beyond what it does with a
tiny table, and the resident pages of the index's file; it is set against what the index states. Pages of
the table itself are counted apart: they are a copy of the disk that the system drops when it needs the room, and grow
with what was asked up to the table's size. Recall@10 is counted here, by products of matrices over all rows and
nothing of relsim. A graph (hnsw) takes some ten minutes for a million rows, so it is built up to that size only. The
bars hold for 5 million rows by binary: recall 0.98 at less than 20 ms, memory within 1.3 of the stated size.
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
from pathlib import Path
from typing import Any

import numpy as np

from _held import mapped_pages, settled, watched
from _large_table import make_table, vectors_of
from relsim.encoders.base import Vectors
from relsim.vectors import Searcher, VectorIndex, VectorTable, build_index
from relsim.vectors.index_file import FOLDER
from relsim.vectors.index_kinds import KINDS

K = 10
QUERIES = 200
EXACT_QUERIES = 5
BLOCK = 50_000
SEED_OF_QUERIES = 1_000_003
MIB = 2**20


def main() -> None:
    """Sizes one after the other, each in processes of its own; then the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a scratch folder: 2 KB a row")
    parser.add_argument("--sizes", default="10000,100000,1000000,5000000")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--kinds", default="binary,hnsw")
    parser.add_argument("--hnsw-up-to", type=int, default=1_000_000, metavar="ROWS", help="no graph beyond this size")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw time and memory against size")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "TABLE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step[0].partition(":")[0]](Path(options.step[1]), options.step[0])))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    found = []
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="large-") as folder:
            kinds = [kind for kind in options.kinds.split(",") if kind != "hnsw" or size <= options.hnsw_up_to]
            figures = measure(Path(folder) / "table", size, options.dimension, kinds)
        found.append(figures)
        for name, value in figures.items():
            print(f"{name:32} {value:>14,.4g}" if isinstance(value, float) else f"{name:32} {value:>14,}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if options.picture:
        draw(found, options.kinds.split(","), options.picture)


def measure(table: Path, size: int, dimension: int, kinds: list[str]) -> dict[str, Any]:
    """All figures of one size."""
    started = time.perf_counter()
    make_table(table, size, dimension)
    figures: dict[str, Any] = {"rows": size, "dimension": dimension, "write_s": time.perf_counter() - started}
    np.save(table.parent / "queries.npy", vectors_of(SEED_OF_QUERIES, QUERIES, dimension))
    figures |= step("exact", table)
    figures |= step("cold:exact", table)
    figures |= step("truth", table)
    for kind in kinds:
        figures |= step(f"build:{kind}", table)
        figures |= step(f"search:{kind}", table)
        figures |= step(f"cold:{kind}", table)
        truth, got = (np.load(table.parent / f"{name}.npy") for name in ("truth", kind))
        figures[f"{kind}_recall"] = float((got >= truth[:, -1:] - 1e-6).mean())
    return figures


def step(name: str, table: Path) -> dict[str, Any]:
    """What a process of its own measures."""
    command = [sys.executable, __file__, "--folder", str(table.parent), "--step", name, str(table)]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures


def warm_up(kind: str | None = None) -> int:
    """The most that a process has of its own while it opens and searches a tiny table; libraries are loaded before."""
    with tempfile.TemporaryDirectory() as folder:
        make_table(Path(folder) / "tiny", 2_500, 64)
        queries = vectors_of(SEED_OF_QUERIES, 3, 64)
        if kind is not None:
            build_index(VectorTable.open(Path(folder) / "tiny"), kind, queries=10)
        for _ in range(2):
            settled()
            with watched() as most:
                table = VectorTable.open(Path(folder) / "tiny")
                timed(Searcher(table, None if kind is None else VectorIndex.open(table, kind)), queries)
    del table
    settled()
    return most.bytes


def exact(table: Path, _: str) -> dict[str, Any]:
    """Opening and exact search."""
    before = warm_up()
    queries = np.load(table.parent / "queries.npy")
    with watched() as most:
        started = time.perf_counter()
        searcher = Searcher(VectorTable.open(table))
        opening = time.perf_counter() - started
        searcher.by_vector(queries[0], K)  # brings the vectors into memory
    seconds = timed(searcher, queries[:EXACT_QUERIES])
    stated = sum(block.nbytes for block in searcher.table.blocks) + 256 * len(searcher.table)
    memory = most.bytes - before + mapped_pages(table)
    return {
        "open_s": opening,
        "exact_ms": 1e3 * statistics.median(seconds),
        "exact_mib": memory / MIB,
        "exact_over_stated": memory / stated,
    }


def truth(table: Path, _: str) -> dict[str, Any]:
    """The ten highest products of each query, by numpy alone."""
    queries = np.load(table.parent / "queries.npy")
    best = np.full((len(queries), K), -2, np.float32)
    for block in VectorTable.open(table).blocks:
        for start in range(0, len(block), BLOCK):
            scores = np.concatenate([best, queries @ block[start : start + BLOCK].T], axis=1)
            best = np.partition(scores, scores.shape[1] - K, axis=1)[:, -K:]
    np.save(table.parent / "truth.npy", -np.sort(-best, axis=1))
    return {}


def build(table: Path, name: str) -> dict[str, Any]:
    """Building, and what relsim itself says of the recall."""
    kind = name.partition(":")[2]
    opened, started = VectorTable.open(table), time.perf_counter()
    facts = build_index(opened, kind).facts
    return {
        f"{kind}_build_s": facts.seconds,
        f"{kind}_build_and_measure_s": time.perf_counter() - started,
        f"{kind}_looks_at": facts.parameters[KINDS[kind].searching],
        f"{kind}_file_mib": facts.bytes / MIB,
        f"{kind}_stated_mib": facts.memory / MIB,
        f"{kind}_stated_recall": facts.recall.value,
    }


def search(table: Path, name: str) -> dict[str, Any]:
    """Search by the index, a query at a time."""
    kind = name.partition(":")[2]
    before = warm_up(kind)
    queries = np.load(table.parent / "queries.npy")
    with watched() as most:
        started = time.perf_counter()
        opened = VectorTable.open(table)
        searcher = Searcher(opened, VectorIndex.open(opened, kind))
        opening = time.perf_counter() - started
    assert searcher.path(K).kind == kind, searcher.path(K)
    first = timed(searcher, queries)
    seconds = timed(searcher, queries)
    with watched() as searching:  # by itself: to look takes time
        scores = [[hit.score for hit in searcher.by_vector(query, K)] for query in queries]
    np.save(table.parent / f"{kind}.npy", np.array(scores))
    memory = max(most.bytes, searching.bytes) - before + mapped_pages(table / FOLDER)
    pages = mapped_pages(table)
    return {
        f"{kind}_open_s": opening,
        f"{kind}_first_ms": 1e3 * statistics.median(first),
        f"{kind}_ms": 1e3 * statistics.median(seconds),
        f"{kind}_ms_95": 1e3 * float(np.quantile(seconds, 0.95)),
        f"{kind}_mib": memory / MIB,
        f"{kind}_table_pages_mib": pages / MIB,
        f"{kind}_over_stated": memory / (searcher_index_memory(opened, kind)),
    }


def cold(table: Path, name: str) -> dict[str, Any]:
    """Opening and one query, of files of which the system has no copies in memory."""
    kind = name.partition(":")[2]
    warm_up(None if kind == "exact" else kind)
    queries = np.load(table.parent / "queries.npy")
    drop_copies(table)
    read, started = bytes_read(), time.perf_counter()
    opened = VectorTable.open(table)
    searcher = Searcher(opened, None if kind == "exact" else VectorIndex.open(opened, kind))
    opening = time.perf_counter() - started
    (seconds,) = timed(searcher, queries[:1])
    return {
        f"{kind}_cold_open_s": opening,
        f"{kind}_cold_ms": 1e3 * seconds,
        f"{kind}_cold_read_mib": (bytes_read() - read) / MIB,
    }


def drop_copies(table: Path) -> None:
    """Have the system forget what it has in memory of a table's files; only pages that are on the disk can go."""
    for path in (path for path in table.rglob("*") if path.is_file()):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(opened)


def bytes_read() -> int:
    """What this process has had read from disks."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes:")).split()[1])


def searcher_index_memory(table: VectorTable, kind: str) -> int:
    """What the document of the index states."""
    memory: int = json.loads((table.path / "index" / f"{kind}.json").read_text(encoding="utf-8"))["memory"]
    return memory


def timed(searcher: Searcher, queries: Vectors) -> list[float]:
    """Seconds of each query, hits with their records included."""
    seconds = []
    for query in queries:
        started = time.perf_counter()
        searcher.by_vector(query, K)
        seconds.append(time.perf_counter() - started)
    return seconds


def draw(found: list[dict[str, Any]], kinds: list[str], path: Path) -> None:
    """Time and memory against the number of vectors, on logarithmic axes: what is proportional is straight."""
    from relsim.figures.style import new_figure, plain_axes, save

    figure = new_figure(9.6, 3.2)
    panels = figure.subplots(1, 3)
    for axes, title, names in (
        (panels[0], "one query, ms", ["exact_ms", *(f"{kind}_ms" for kind in kinds)]),
        (panels[1], "building, s", ["write_s", *(f"{kind}_build_s" for kind in kinds)]),
        (panels[2], "memory while searching, MiB", ["exact_mib", *(f"{kind}_mib" for kind in kinds)]),
    ):
        plain_axes(axes, grid="y")
        for name, mark in zip(names, "osv^", strict=False):
            label = name.rpartition("_")[0].removesuffix("_build")
            there = [figures for figures in found if name in figures]
            axes.plot(
                [figures["rows"] for figures in there],
                [figures[name] for figures in there],
                marker=mark,
                label=label,
                linewidth=1.2,
            )
        axes.set(xscale="log", yscale="log", title=title, xlabel="vectors")
        axes.legend(frameon=False)
    save(figure, path)


STEPS = {"exact": exact, "truth": truth, "build": build, "search": search, "cold": cold}

if __name__ == "__main__":
    main()
