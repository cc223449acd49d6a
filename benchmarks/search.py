"""How fast exact search over a vector table is, and how much memory it takes.

    python benchmarks/search.py [--rows 100000] [--dimension 384] [--json]

Makes a table of random unit vectors in a temporary folder, opens it in a fresh process and measures there:
opening, the first query, one query, 1,000 queries, every row against every row (first 30,000 rows), and the memory
held beyond that of a process that has searched a tiny table (mapped pages of the table count in full). Then, in one
run and on the same rows, our top-k against the plain way: all scores, sorted as a whole. Both must find the same.
Pure products of matrices of the same shapes are timed beside the searches: they are the floor on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _measure import peak_memory
from relsim.data.records import ImageRecord
from relsim.encoders.base import Vectors
from relsim.fingerprint import Fingerprint
from relsim.vectors import Searcher, VectorTable, top_k

K = 10
QUERIES = 1_000
ALL_PAIRS = 30_000
SIDE_BY_SIDE = 10_000
TOLERANCE = 1e-6
MIB = 2**20


def main() -> None:
    """Make the table, measure in a process of its own, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--measure", metavar="TABLE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure))))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_table(Path(folder) / "table", options.rows, options.dimension)
        command = [sys.executable, __file__, "--measure", str(Path(folder) / "table")]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:>12,.4g}" if isinstance(value, float) else f"{name:32} {value:>12,}")


def make_table(folder: Path, rows: int, dimension: int) -> None:
    """A table of random unit vectors, in parts that are then merged."""
    random = np.random.default_rng(0)
    with VectorTable.create(folder, Fingerprint.of({"encoder": "random"}), dimension) as table:
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            vectors = random.standard_normal((count, dimension)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            names = range(start, start + count)
            records = [ImageRecord(f"{name:08d}", f"/images/{name:08d}.png", {"caption": "Growth"}) for name in names]
            table.append(f"{start:08d}", records, vectors)
        table.compact()


def measure(folder: Path) -> dict[str, Any]:
    """All figures, in the order in which a fresh process can take them."""
    with tempfile.TemporaryDirectory() as tiny:
        # Libraries are loaded page by page, and BLAS takes buffers: neither belongs to the table.
        make_table(Path(tiny) / "table", QUERIES, 64)
        searcher = Searcher(VectorTable.open(Path(tiny) / "table"))
        searcher.by_ids(searcher.table.ids[:QUERIES], K)
    before = peak_memory()
    opening = time.perf_counter()
    searcher = Searcher(VectorTable.open(folder))
    figures: dict[str, Any] = {"rows": len(searcher.table), "dimension": searcher.table.dimension}
    figures["open_ms"] = 1e3 * (time.perf_counter() - opening)
    ids, blocks = list(searcher.table.ids), searcher.table.blocks
    first = blocks[0][:QUERIES]

    figures["first_query_ms"] = 1e3 * best_of(1, lambda: searcher.by_id(ids[0], K))
    figures["one_query_ms"] = 1e3 * best_of(9, lambda: searcher.by_id(ids[1], K))
    figures["one_product_ms"] = 1e3 * best_of(9, lambda: products(first[:1], blocks))
    figures["queries"] = len(first)
    figures["queries_s"] = best_of(3, lambda: searcher.top_k(first, K, exclude=ids[: len(first)]))
    table_bytes = sum(block.nbytes for block in blocks)
    figures["table_mib"] = table_bytes / MIB
    figures["search_mib"] = (peak_memory() - before) / MIB
    figures["search_over_table"] = (peak_memory() - before) / table_bytes
    figures["queries_product_s"] = best_of(3, lambda: products(first, blocks))

    some = searcher.table.vectors[:ALL_PAIRS]
    some_ids = ids[: len(some)]
    figures["all_pairs_rows"] = len(some)
    figures["all_pairs_s"] = best_of(1, lambda: top_k(some, [some], K, ids=some_ids, exclude=some_ids))
    figures["all_pairs_product_s"] = best_of(1, lambda: products(some, [some]))
    return figures | side_by_side(some[:SIDE_BY_SIDE], some_ids[:SIDE_BY_SIDE])


def side_by_side(rows: Vectors, ids: list[str]) -> dict[str, Any]:
    """Ours and the full sort, in turn, on the same queries; a difference stops the benchmark."""
    queries = rows[:QUERIES]
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        matches = top_k(queries, [rows], K, ids=ids)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        order = np.argsort(-(queries @ rows.T), axis=1)[:, :K]
        plain.append(time.perf_counter() - start)
        exact = np.einsum("qd,qkd->qk", queries.astype(np.float64), rows[order].astype(np.float64))
        assert np.abs(matches.scores - exact).max() < TOLERANCE, "the two searches disagree"
    return {
        "side_by_side_rows": len(rows),
        "side_by_side_ours_s": min(ours),
        "side_by_side_full_sort_s": min(plain),
        "side_by_side_ratio": min(plain) / min(ours),
    }


def products(queries: Vectors, blocks: list[Vectors]) -> None:
    """The products of a search, in pieces of 2 million scores, and nothing else."""
    out = np.empty(2 * MIB, np.float32)
    for start in range(0, len(queries), 1024):
        some = queries[start : start + 1024]
        step = len(out) // len(some)
        for block in blocks:
            for row in range(0, len(block), step):
                rows = block[row : row + step]
                np.matmul(some, rows.T, out=out[: len(some) * len(rows)].reshape(len(some), len(rows)))


def best_of(times: int, call: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
