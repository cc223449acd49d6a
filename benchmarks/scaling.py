"""How embedding grows with the collection: time, memory and table size from a thousand images to a million.

    python benchmarks/scaling.py --scratch DIR [--sizes 1000,10000,100000,1000000] [--encoder relational] [--json FILE]
                                 [--picture FILE]

A thousand drawn scenes are written once and named again and again (hard links), so that a million images are a
million reads, decodings and rows, and little disk. `relsim embed` makes a table of each size, in a process of its own:
seconds of the whole command, its largest resident memory, the bytes of the table. `benchmarks/large.py` does the same
for searching.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from against_published import machine, say, write_json
from relsim.vectors import VectorTable
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes

SCENES, SIDE = 1_000, 160
SIZES = "1000,10000,100000,1000000"


def pictures(folder: Path) -> list[Path]:
    """Files of drawn scenes, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.png" for number in range(SCENES)]
    for path, scene in zip(paths, islice(scenes(Split.VALIDATION, 0), SCENES), strict=True):
        if not path.exists():
            data = BytesIO()
            draw(scene, SIDE).image.save(data, "PNG")
            path.write_bytes(data.getvalue())
    return paths


def collection(scratch: Path, size: int) -> Path:
    """A folder of so many names of the scenes: hard links, a thousand in a folder."""
    made = pictures(scratch / "scenes")
    folder = scratch / f"of-{size}"
    for number in range(size):
        if number % SCENES == 0:
            (folder / f"{number // SCENES:06d}").mkdir(parents=True, exist_ok=True)
        place = folder / f"{number // SCENES:06d}" / f"{number:08d}.png"
        if not place.exists():
            os.link(made[number % SCENES], place)
    return folder


def embedded(scratch: Path, size: int, encoder: str) -> dict[str, Any]:
    """One command, and what it took."""
    source, table = collection(scratch, size), scratch / f"table-{size}"
    shutil.rmtree(table, ignore_errors=True)
    words = [sys.executable, "-m", "relsim", "embed", source, "--encoder", encoder, "-o", table, "--json"]
    begun = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        document = json.loads(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    rows = len(VectorTable.open(table))
    if process.returncode != 0 or rows != size or document["embedded"] != size:
        sys.exit(f"{rows:,} of {size:,} images were embedded")
    found = {
        "images": size,
        "seconds": round(seconds, 2),
        "images_per_second": round(size / seconds, 1),
        "peak_mib": round(used.ru_maxrss / 1024, 1),
        "table_mib": round(sum(path.stat().st_size for path in table.rglob("*") if path.is_file()) / 2**20, 2),
    }
    shutil.rmtree(table)
    shutil.rmtree(source)
    return found


def figure(found: list[dict[str, Any]], path: Path) -> None:
    """Time, memory and table against the number of images, each with the line that fits it best.

    The axes are logarithmic, for the sizes span three powers of ten, so a line with a start is a curve that bends once.
    """
    import numpy as np

    from relsim.figures.style import new_figure, plain_axes, save

    drawn = new_figure(9.6, 3.2)
    titles = {"seconds": "the whole command, s", "peak_mib": "largest resident memory, MiB", "table_mib": "table, MiB"}
    for axes, (name, title) in zip(drawn.subplots(1, 3), titles.items(), strict=True):
        plain_axes(axes, grid="y")
        images, values = (np.array([one[key] for one in found], float) for key in ("images", name))
        slope, start = np.polyfit(images, values, 1, w=1 / values)  # relative errors: each size counts alike
        between = np.geomspace(images[0], images[-1], 200)
        axes.plot(between, start + slope * between, color="0.6", linewidth=1.2, label="start + so much an image")
        axes.plot(images, values, "o", label="measured")
        axes.set(xscale="log", yscale="log", title=title, xlabel="images")
        axes.legend(frameon=False)
    save(drawn, path)


def main() -> None:
    """All sizes, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--encoder", default="relational")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    found = []
    for size in sorted(int(text) for text in options.sizes.split(",")):
        found.append(embedded(options.scratch, size, options.encoder))
        say(json.dumps(found[-1]))
    print("| images | seconds | images/s | largest memory, MiB | table, MiB |")
    print("| --- | --- | --- | --- | --- |")
    for one in found:
        print(
            f"| {one['images']:,} | {one['seconds']} | {one['images_per_second']} | {one['peak_mib']} | "
            f"{one['table_mib']} |"
        )
    if options.picture is not None:
        figure(found, options.picture)
    if options.json is not None:
        write_json(options.json, {"encoder": options.encoder, "machine": machine(), "sizes": found})


if __name__ == "__main__":
    main()
