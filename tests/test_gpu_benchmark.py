"""`benchmarks/gpu.py` with the small model: every step runs without a GPU, and what it says of ours is held to bars."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = shutil.which(os.environ.get("CXX", "g++"))
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(*words):
    """What python prints last with these words, in the folder of the benchmarks."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=SCRIPT.parent,
        capture_output=True,
        text=True,
        check=False,
        env=variables,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run's folder, with `facts.json` and `table.md`."""
    folder = tmp_path_factory.mktemp("gpu")
    words = [SCRIPT, "--size", "tiny", "--device", "cpu", "--images", "6", "--scratch", folder]
    run(*words, "--json", folder / "facts.json", "--markdown", folder / "table.md")
    return folder


@pytest.fixture(scope="module")
def rows(measured):
    """The rows by what, way and batch."""
    listed = json.loads((measured / "facts.json").read_text())["rows"]
    return {(row["part"], row["way"], row["batch"]): row for row in listed}


def test_every_step_is_measured(rows):
    """But for what needs a GPU or a compiler, whose rows say why."""
    levers = {way for part, way, _ in rows if part == "levers"}
    assert {
        ("embedding", "reading and preparing alone", 32),
        ("embedding", "published way", 1),
        ("embedding", "plain", 4),
        *(("embedding", way, batch) for way in ("ours", "ours, compiled") for batch in (1, 4)),
        ("embedding", "ours, fp8", 0),
        *(("levers", way, 4) for way in levers),
        ("latency", "ours", 1),
        ("latency", "ours, CUDA graph", 1),
        ("native", "reading and preparing alone", 32),
        ("native", "published way", 1),
        ("native", "plain", 2),
        *(("native", "ours", batch) for batch in (1, 2)),
        ("training", "ours", 4),
        ("captions", "published way, one at a time", 1),
        ("captions", "published way, in a batch", 4),
        *(("captions", "ours", batch) for batch in (1, 4, 6)),
    } == set(rows)
    assert len(levers) == 9
    assert sum(way.startswith("ours, but ") for way in levers) == 8
    for (_, way, _), row in rows.items():
        assert (row["rate"] or 0) > 0 or row["note"].startswith("not measured: ")
        assert row["rate"] or way in ("ours, fp8", "ours, CUDA graph") or (way == "ours, compiled" and not COMPILER)
    assert rows["latency", "ours, CUDA graph", 1]["note"] == "not measured: RuntimeError: graphs are for CUDA"


def test_vectors_of_ours_are_those_of_the_plain_path(rows):
    for part, batches in (("embedding", (1, 4)), ("native", (1, 2))):
        for batch in batches:
            assert rows[part, "ours", batch]["cosine"] == pytest.approx(1, abs=1e-5)


def test_the_table_names_the_machine_and_every_row(measured, rows):
    text = (measured / "table.md").read_text()
    assert "cpu, tiny in float32" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(rows)


def test_what_differs_from_the_plain_path_is_told():
    """Ours is a failure of the run; 8-bit products are refused in the table; NaN passes no gate."""
    code = """
import gpu, json
from _gpu_rows import Row
rows = [
    Row("embedding", "plain", 8, "images/s", 2.0),
    Row("embedding", "published way", 1, "images/s", 1.0),
    Row("embedding", "ours", 1, "images/s", 4.0, 1.0, 0.9994),
    Row("embedding", "ours", 8, "images/s", 6.0, 1.0, 0.9996),
    Row("embedding", "ours, compiled", 8, "images/s", 7.0, 1.0, float("nan")),
    Row("embedding", "ours, fp8", 8, "images/s", 9.0, 1.0, 0.998),
    Row("training", "ours", 64, "images/s", note="not measured: CUDA error"),
    Row("captions", "published way, one at a time", 1, "tokens/s", 2.0),
    Row("captions", "published way, in a batch", 32, "tokens/s", 5.0),
    Row("captions", "ours", 32, "tokens/s", 20.0),
    Row("captions", "ours", 128, "tokens/s", 60.0),
]
parts = ("embedding", "training", "captions")
found = {"faults": gpu.failures(rows, parts), "none": gpu.failures([]), "ratios": gpu.ratios(rows)}
words = {"told": gpu.told(rows, goals=True), "small": gpu.told(rows, goals=False)}
print(json.dumps(found | words | {"table": gpu.table(rows, 10.0)}))
"""
    told = json.loads(run("-c", code))
    assert [fault.partition(":")[0] for fault in told["faults"]] == [
        "training, ours, batch 64",
        "ours, batch 1",
        "ours, compiled, batch 8",
    ]
    assert [fault.partition(": the plain")[0] for fault in told["none"][:2]] == ["embedding", "native"]
    parts = ("embedding", "levers", "latency", "native", "training", "captions")
    assert told["none"][2:] == [f"{part}: ours was not measured" for part in parts]
    assert told["ratios"] == {  # of what is run by default; a batch is held to its like
        "embedding, ours to the published way": 6.0,
        "captions, ours to the published way, one at a time": 30.0,
        "captions, ours to the published way, in a batch": 4.0,
    }
    assert told["small"][0] == "embedding, ours to the published way: 6.00."
    assert told["told"][0] == "embedding, ours to the published way: 6.00 (goal 5, met)."
    assert told["told"][2] == "captions, ours to the published way, in a batch: 4.00 (goal 10, missed)."
    assert "| ours, compiled | 8 |" in told["table"]
    assert "| 9.00 images/s | 165 | 90 % | 1 | 0.99800, under 0.999: refused |" in told["table"]


def test_a_batch_that_ran_in_halves_is_told(measured):
    """Memory for two pictures at most: the row of four says what ran, in the table as well; that of one does not."""
    code = """
import gpu, json, sys, torch
import _gpu_embedding
from dataclasses import replace
from pathlib import Path
from _gpu_model import Bench
from _gpu_rows import AMOUNTS, Meter, Once

class Small(_gpu_embedding.RelationalEncoder):
    sizes = []
    def encode(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("CUDA out of memory")
        return super().encode(batch)

_gpu_embedding.RelationalEncoder = Small
folder = Path(sys.argv[1])
bench = Bench.make("tiny", torch.device("cpu"), torch.float32, Path(sys.argv[2]), folder / "gpu")
meter = Meter(bench)
paths = sorted((folder / "jpegs").glob("*.jpeg"))
embedding = _gpu_embedding.Embedding(bench, meter, paths, replace(AMOUNTS["tiny"], images=4, published_images=1))
embedding._way("ours", Once(bench.packed))
rows = [(row.batch, row.rate, row.note) for row in meter.rows]
print(json.dumps({"rows": rows, "sizes": Small.sizes, "table": gpu.table(meter.rows, None)}))
"""
    told = json.loads(run("-c", code, measured, SCRIPT.parents[1] / "tests" / "golden"))
    assert [(batch, note) for batch, _, note in told["rows"]] == [(1, ""), (4, "halved to 2")]
    assert all(rate > 0 for _, rate, _ in told["rows"])
    assert told["sizes"].count(4) == 1, "what is timed does not try the whole batch again"
    assert " images/s, halved to 2 |" in told["table"]


def test_a_run_of_some_parts_that_ends_early_leaves_what_it_found(tmp_path):
    """A network that cannot be made costs its own rows, and is asked for once; the file is written after each row."""
    code = """
import gpu, json, sys
from pathlib import Path
from _gpu_model import Bench
from _gpu_rows import Meter, Row

asked = []
def merged(self):
    asked.append(len(meter_rows()))
    raise RuntimeError("CUDA out of memory")
def meter_rows():
    return json.loads(out.read_text())["rows"] if out.exists() else []
Bench.merged = merged
out = Path(sys.argv[1]) / "facts.json"
words = ["--size", "tiny", "--device", "cpu", "--images", "2", "--parts", "levers,latency", "--scratch", sys.argv[1]]
code = gpu.main([*words, "--json", str(out)])
print(json.dumps({"code": code, "asked": asked, "rows": meter_rows()}))
"""
    done = run("-c", code, tmp_path)
    told = json.loads(done)
    assert told["code"] == 1
    assert told["asked"] == [0, 9]
    assert len(told["rows"]) == 9 + 2
    assert {row["note"] for row in told["rows"]} == {"not measured: RuntimeError: CUDA out of memory"}


def test_networks_of_a_part_are_gone_before_the_next(tmp_path):
    """Peaks are of each row's own network; a card of 24 GB has room for one. Counted before each row is measured."""
    code = """
import gc, gpu, json, sys
from _gpu_rows import Meter
from relsim.models.packed import PackedQwen25VL
from relsim.models.plain import PlainForward

found = []
take = Meter.take
def counted(self, row, measure):
    gc.collect()
    found.append((row.part, row.way, sum(isinstance(one, (PackedQwen25VL, PlainForward)) for one in gc.get_objects())))
    return take(self, row, measure)
Meter.take = counted
words = ["--size", "tiny", "--device", "cpu", "--images", "4", "--scratch", sys.argv[1]]
gpu.main([*words, "--parts", "latency,native"])
print(json.dumps(found))
"""
    done = run("-c", code, tmp_path)
    seen = set()
    for part, way, alive in json.loads(done):
        name = part if part == "latency" else (part, way)
        assert alive == (1 if name in seen and way not in ("published way", "reading and preparing alone") else 0), name
        seen.add(name)


def test_a_row_runs_the_batch_that_it_names():
    command = [sys.executable, str(SCRIPT), "--size", "tiny", "--device", "cpu", "--images", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "--images 3: the largest batch is 4" in done.stderr
