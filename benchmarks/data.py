"""How fast manifests and shards are read, and whether a shard folder costs anything against the same files in a folder.

    python benchmarks/data.py [--rows 100000] [--images 600] [--rounds 5] [--json]

Makes a manifest of rows like the published ones, and drawn pictures twice: as files and as a shard folder. A manifest
is read and a shard folder of as many rows listed, three times each, of which the fastest counts. Then files and shards
are read image by image in turns, the same images in the same order: their bytes, and their decoded pictures, in order,
as a shuffled stream and by id. Rates count the time of either kind alone. A ratio is of CPU times, files over shards,
so above 1 shards are cheaper; median of the rounds, with the lowest and the highest. The disk's cache is warm in both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from _pictures import write_pictures
from relsim.data.dataset import ImageDataset
from relsim.data.facts import image_facts
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow, read_manifest, write_manifest
from relsim.data.records import LoadedImage, Status
from relsim.data.shard_rows import ShardRow
from relsim.data.shard_writing import ShardWriter

CAPTION = "Transformation of {Subject} over time, in {Number} stages from {State} to {State}"
FASTEST_OF = 3
SEED = 1


def main() -> None:
    """Make the data, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the manifest")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = lists(Path(folder), options.rows) | images(Path(folder), options.images, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:52} {value:>12,.3f}")


def lists(folder: Path, rows: int) -> dict[str, float]:
    """Seconds to read a manifest, and to list a shard folder of as many rows."""
    listed = [
        ManifestRow(_digest(n), f"https://images.example.org/{n % 97}/{_digest(-n)}.jpg", CAPTION) for n in range(rows)
    ]
    write_manifest(folder / "list.jsonl", listed)
    with ShardWriter(folder / "listed") as writer:
        for number, row in enumerate(listed):
            writer.append(ShardRow.of(number, row, Status.DEAD, reason="not found", http_code=404, seconds=0.2))
    reading = _fastest(lambda: read_manifest(folder / "list.jsonl"), rows)
    listing = _fastest(lambda: ImageDataset.open([folder / "listed"]), rows)
    return {
        f"manifest of {rows:,} rows, s": reading[0],
        f"manifest of {rows:,} rows, CPU s": reading[1],
        f"listing shards of {rows:,} rows, s": listing[0],
        f"listing shards of {rows:,} rows, CPU s": listing[1],
    }


def images(folder: Path, count: int, rounds: int) -> dict[str, float]:
    """Rates of reading by files and by shards in turns, and the ratios of their CPU time."""
    paths = write_pictures(folder / "files", count)
    data = {path.name: path.read_bytes() for path in paths}
    rows = [
        ShardRow(n, name, Status.OK, image=data[name], **asdict(image_facts(data[name]))) for n, name in enumerate(data)
    ]
    started = time.perf_counter()
    with ShardWriter(folder / "shards") as writer:
        for row in rows:
            writer.append(row)
    figures = {"mean size of an image, KiB": sum(map(len, data.values())) / count / 1024}
    figures["written to shards, images/s"] = count / (time.perf_counter() - started)
    files, shards = ImageDataset.open(paths), ImageDataset.open([folder / "shards"])
    assert files.image_ids == shards.image_ids
    ids = files.image_ids[:]
    random.Random(SEED).shuffle(ids)  # noqa: S311 - an order, not a secret
    ways: dict[str, Callable[[ImageDataset], Iterator[Any]]] = {
        "bytes in order": lambda dataset: (read_bytes(record.source) for record in dataset.records),
        "bytes at random": lambda dataset: (read_bytes(record.source) for record in _records(dataset, ids)),
        "pictures in order": lambda dataset: dataset.stream(),
        "pictures, shuffled stream": lambda dataset: dataset.stream(shuffle_seed=SEED),
        "pictures by id": lambda dataset: map(dataset.by_id, ids),
    }
    for name, way in ways.items():
        figures |= _side_by_side(name, lambda way=way: way(files), lambda way=way: way(shards), count, rounds)
    plain = [_group_by_pyarrow(folder / "shards", number) for number in range(min(50, count))]
    figures["bytes at random through pyarrow's row groups, images/s"] = 1 / statistics.median(plain)
    return figures


def _side_by_side(
    name: str, files: Callable[[], Iterator[Any]], shards: Callable[[], Iterator[Any]], count: int, rounds: int
) -> dict[str, float]:
    wall: dict[str, list[float]] = {"files": [], "shards": []}
    ratios = []
    for _ in range(rounds):
        turns = {"files": files(), "shards": shards()}
        spent = {kind: [0.0, 0.0] for kind in turns}
        for _ in range(count):
            for kind, items in turns.items():  # image by image: whatever else the machine does meets both alike
                start = time.perf_counter(), time.process_time()
                assert isinstance(next(items), (bytes, LoadedImage)), f"{name}: an image of the {kind} is bad"
                spent[kind][0] += time.perf_counter() - start[0]
                spent[kind][1] += time.process_time() - start[1]
        for kind, (seconds, _cpu) in spent.items():
            wall[kind].append(seconds)
        ratios.append(spent["files"][1] / spent["shards"][1])
    return {
        **{f"{name}, {kind}, images/s": count / min(wall[kind]) for kind in wall},
        f"{name}, CPU of files / CPU of shards": statistics.median(ratios),
        f"{name}, the same, lowest": min(ratios),
        f"{name}, the same, highest": max(ratios),
    }


def _group_by_pyarrow(folder: Path, number: int) -> float:
    """Seconds for one image as Parquet readers get it: its whole row group is read."""
    started = time.perf_counter()
    part = min(folder.glob("part-*.parquet"))
    table = pq.read_table(part, columns=["image"], filters=[("row", "==", number)], use_threads=False)
    assert table.num_rows == 1
    return time.perf_counter() - started


def _records(dataset: ImageDataset, ids: list[str]) -> list[Any]:
    by_id = {record.image_id: record for record in dataset.records}
    return [by_id[image_id] for image_id in ids]


def _fastest(work: Callable[[], Any], expected: int) -> tuple[float, float]:
    """Seconds of wall time and of CPU time of the fastest of a few runs, whose result has so many items."""
    found = []
    for _ in range(FASTEST_OF):
        wall, cpu = time.perf_counter(), time.process_time()
        assert len(work()) == expected
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(found)


def _digest(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()  # noqa: S324 - the published ids are MD5


if __name__ == "__main__":
    main()
