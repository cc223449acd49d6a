"""Compute the plan of docs/scale.md: what N images cost. Every assumption is an option.

python docs/plan_scale.py --gpu-price 2.5 --images-per-gpu-second 60
"""

# ruff: noqa: INP001, T201 - a script, not a package, and its table goes to stdout

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, fields

COLLECTIONS = (10**6, 10**8, 2 * 10**9)
HEADER = (
    "images",
    "GPU-hours",
    "GPUs",
    "CPU cores",
    "images, TB",
    "table, GB",
    "parts",
    "compute, $",
    "storage, $ a month",
)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the plan rests on. None of these is measured on a cluster."""

    images_per_gpu_second: float = 103
    """The goal for the 7B model on one H200 with the recipe crop448: 60 % of what its arithmetic allows."""
    busy: float = 0.9
    """Share of the time in which GPUs have work; the rest is starting, waiting and doing again."""
    cpu_milliseconds: float = 15
    """Reading, decoding and preparing one image on one core."""
    image_bytes: float = 100_000
    """A stored image: JPEG of about half a megapixel."""
    vector_bytes: float = 4 * 384
    """One float32 vector of the published dimension."""
    row_bytes: float = 200
    """Id, address and caption of a row, compressed."""
    part_rows: float = 512
    """Rows that are stored together (`--part-rows`)."""
    days: float = 3
    """How long it may take; a GPU at least."""
    gpu_price: float = 3
    """Dollars for one GPU-hour, with the cores beside it."""
    storage_price: float = 23
    """Dollars for a TB in an object store, a month."""


def plan(images: int, given: Assumptions) -> tuple[str, ...]:
    """One row of the table."""
    gpu_hours = images / (given.images_per_gpu_second * given.busy) / 3600
    gpus = max(1, math.ceil(gpu_hours / (24 * given.days)))
    cores = math.ceil(gpus * given.images_per_gpu_second * given.cpu_milliseconds / 1000)
    stored = images * given.image_bytes / 1e12
    table = images * (given.vector_bytes + given.row_bytes) / 1e9
    numbers = (images, gpu_hours, gpus, cores, stored, table, math.ceil(images / given.part_rows))
    money = (gpu_hours * given.gpu_price, (stored + table / 1000) * given.storage_price)
    return tuple(_shown(number) for number in (*numbers, *money))


def table(given: Assumptions) -> str:
    """The table as it stands in docs/scale.md."""
    rows = [HEADER, tuple("--:" for _ in HEADER), *(plan(images, given) for images in COLLECTIONS)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _shown(number: float) -> str:
    """Three digits that count, which is more than the assumptions are good for."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What N images cost, by assumptions that are options.")
    for field in fields(Assumptions):
        parser.add_argument("--" + field.name.replace("_", "-"), type=float, default=field.default)
    print(table(Assumptions(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
