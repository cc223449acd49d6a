"""`benchmarks/large.py`: its instrument sees what is held and no more, and a small run has every figure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

INSTRUMENT = """
import mmap, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from _held import mapped_pages, own_memory, settled, watched

file = Path(sys.argv[1])
MIB = 2**20
noise = np.ones(50 * MIB, np.uint8)  # loads what is needed, and leaves free memory behind
del noise
before = settled()
with watched() as idle:
    pass
with watched() as passing:
    for _ in range(3):
        np.ones(20 * MIB, np.uint8)[:: 4096].sum()
after = settled()
kept = np.ones(5 * MIB, np.uint8)
held = own_memory() - after
with file.open("rb") as opened:
    mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
own = own_memory()
touched = sum(mapped[place] for place in range(0, len(mapped), 4096))
print(*(round(number / MIB, 2) for number in (
    idle.bytes - before, passing.bytes - before, after - before, held, own_memory() - own,
    mapped_pages(file.parent), mapped_pages(file.parent / "elsewhere"),
)))
"""


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_memory_is_told_apart(tmp_path):
    """To within a MiB: what is held, what comes and goes, and pages of files, which are nobody's own."""
    file = tmp_path / "pages"
    file.write_bytes(b"\1" * 8 * 2**20)
    idle, passing, after, held, of_pages, pages, elsewhere = map(float, run("-c", INSTRUMENT, file, FOLDER).split())
    assert (idle, after, held, of_pages) == pytest.approx((0, 0, 5, 0), abs=1)
    assert passing == pytest.approx(20, abs=2)
    assert (pages, elsewhere) == (pytest.approx(8, abs=0.1), 0)


def test_a_small_run_has_every_figure(tmp_path):
    out = tmp_path / "large.json"
    run(
        FOLDER / "large.py", "--folder", tmp_path, "--sizes", "20000", "--dimension", "64", "--kinds", "binary",
        "--json", out,
    )  # fmt: skip
    (figures,) = json.loads(out.read_text())
    shared = {"open_s", "ms", "mib", "over_stated", "cold_open_s", "cold_ms", "cold_read_mib"}
    binary = {"build_s", "build_and_measure_s", "looks_at", "file_mib", "stated_mib", "stated_recall", "recall"}
    binary |= {"first_ms", "ms_95", "table_pages_mib"}
    assert set(figures) == {
        "rows",
        "dimension",
        "write_s",
        "open_s",
        *(f"exact_{name}" for name in shared - {"open_s"}),
        *(f"binary_{name}" for name in shared | binary),
    }
    assert figures["binary_recall"] > 0.95
    # Vectors alone are 4.9 MiB, the index 0.2 and all texts 2.9; nothing is negative, and nothing a multiple.
    assert 4.9 < figures["exact_mib"] < 25
    assert 0.2 < figures["binary_mib"] < 15
    assert figures["binary_over_stated"] < 1.3
