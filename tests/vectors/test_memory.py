"""Memory of a large table with captions and URLs, against what its index states; measured in processes of their own."""

import json
import subprocess
import sys

import pytest

from relsim.data.records import ImageRecord
from relsim.vectors import VectorTable, build_index

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

ROWS, PART, D = 200_000, 25_000, 64

OWN = """
import sys
import numpy as np
from relsim.vectors import Searcher, VectorTable, find_index

def own():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:"))
"""

SEARCH = """
tiny, large = map(VectorTable.open, sys.argv[1:])
Searcher(tiny, find_index(tiny)[0]).by_vector(tiny.vector("00000000"), 10)
before = most = own()
searcher = Searcher(large, find_index(large)[0])
assert searcher.path(10).kind == "binary"
random = np.random.default_rng(0)
for number in range(300):
    searcher.by_vector(random.standard_normal(64, np.float32), 10)
    searcher.by_id(f"{random.integers(200_000):08d}", 10)
    most = max(most, own())
print(most - before, large._texts.bytes)
"""

ROWS_ONE_BY_ONE = """
table, held = VectorTable.open(sys.argv[1]), []
for number, row in enumerate(table.rows()):
    if number % 25_000 == 24_999:
        held.append(own())
print(held[0], max(held))
"""


def table_with_texts(folder, facts, unit, rows):
    """Some 230 bytes of text a row, and an index."""
    table = VectorTable.create(folder, facts, D)
    for start in range(0, rows, PART):
        records = [
            ImageRecord(
                f"{row:08d}",
                f"/pictures/of/the/web/{row:08d}.png",
                {
                    "caption": f"Growth of {{Subject}} no. {row * 7919 % 100_003} in {row % 13} stages, left to right",
                    "url": f"https://pictures.example.org/{row * 104_729 % 1_299_709:012d}/{row:08d}.jpg?size=large",
                    "tags": ["growth", row % 17],
                },
            )
            for row in range(start, min(start + PART, rows))
        ]
        table.append(f"{start:08d}", records, unit(len(records), D, seed=start))
    table.close()
    build_index(table, "binary", queries=10, shortlist=200)
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory, facts, unit):
    """A tiny one, whose search needs what any needs, and a large one."""
    folder = tmp_path_factory.mktemp("memory")
    return [table_with_texts(folder / name, facts, unit, rows) for name, rows in (("tiny", 5_000), ("large", ROWS))]


def run(code, *arguments):
    command = [sys.executable, "-c", OWN + code, *map(str, arguments)]
    return map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_searching_takes_no_more_than_the_index_states(tables):
    facts = json.loads((tables[1] / "index" / "binary.json").read_text())
    own, texts = run(SEARCH, *tables)
    assert own + facts["bytes"] < 1.3 * facts["memory"]
    # All texts would be more; as many as may be kept are.
    assert 0.75 * 200 * ROWS < texts <= 200 * ROWS < 0.95 * 230 * ROWS


def test_going_through_all_rows_takes_no_more_than_through_the_first(tables):
    first, most = run(ROWS_ONE_BY_ONE, tables[1])
    assert most - first < 16 * 2**20  # texts of all parts: 44 MiB
