"""Compute the plan of docs/scale.md: what N images cost. Every number that it rests on is an option.

python docs/plan_scale.py --gpu-price 2.5 --gpu-images-per-second 60
"""

# ruff: noqa: INP001, T201 - a script, not a package, and its tables go to stdout

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

COLLECTIONS = (10**6, 10**8, 2 * 10**9)
STORED = (
    "images", "images, TB", "table, GB", "parts", "requests, million", "requests, $",
    "list in the first process, GB", "storage, $ a month",
)  # fmt: skip
COMPUTED = (
    "images", "what is run", "the rate is", "images/s of a machine", "its cores", "machine-hours", "machines", "hours",
    "compute, $",
)  # fmt: skip
ASSUMED = ("option", "value", "origin", "what it is")


def _given(value: float, origin: str, meaning: str) -> Any:
    return field(default=value, metadata={"origin": origin, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the plan rests on, with the origin of each number. Nothing is measured on a cluster or on a GPU."""

    mini_images_per_second: float = _given(
        463, "measured", "relsim-mini in a process of two cores (AMD EPYC, Zen 5), PNG files of its own 160 pixels"
    )
    mini_milliseconds: float = _given(4.3, "measured", "CPU time of one such image, reading included")
    small_photo_milliseconds: float = _given(
        10.5, "measured", "CPU time to decode a JPEG file of 1,024 x 1,024 and make it small (112 pixels)"
    )
    large_photo_milliseconds: float = _given(12.6, "measured", "the same for `crop448`")
    cpu_seconds: float = _given(4.05, "measured", "one image of `crop448` by the 7B model, bf16, two cores with AMX")
    gpu_images_per_second: float = _given(
        103, "extrapolated", "the 7B model on one H200, `crop448`: 60 % of what its arithmetic allows; no GPU was there"
    )
    ray_share: float = _given(0.97, "measured", "two workers of Ray beside one process on these cores, start included")
    busy: float = _given(0.9, "assumed", "share of the time that is not spent on waiting, failing and doing again")
    image_bytes: float = _given(100_000, "assumed", "a stored JPEG file of half a megapixel (drawn ones had 98 kB)")
    vector_bytes: float = _given(4 * 384, "exact", "384 numbers in float32")
    row_bytes: float = _given(153, "measured", "id, address and Parquet's own, a row of a list of 14,848 web addresses")
    list_bytes: float = _given(700, "measured", "an image's record in the first process, with caption and address")
    part_rows: float = _given(256, "default", "rows that are stored together (`--part-rows`)")
    images_per_request: float = _given(
        1, "by the code", "images that one request to an object store brings, where each is a file"
    )
    days: float = _given(3, "chosen", "how long it may take; one machine at least")
    machine_cores: float = _given(2, "as measured", "cores of a machine without a GPU")
    core_price: float = _given(0.04, "price", "$ for a core and hour")
    gpu_price: float = _given(3, "price", "$ for a GPU and hour, with the cores beside it")
    storage_price: float = _given(23, "price", "$ for a TB and month in an object store")
    request_price: float = _given(0.4, "price", "$ for a million requests that read")


@dataclass(frozen=True, slots=True)
class Route:
    """One way to compute vectors: images/s of a machine that does nothing else, its cores, and $ an hour."""

    name: str
    origin: str
    rate: float
    cores: float
    price: float


def routes(given: Assumptions) -> tuple[Route, ...]:
    """The ways that the plan compares."""
    pairs, price = given.machine_cores / 2, given.machine_cores * given.core_price
    small = 2000 / (given.mini_milliseconds + given.small_photo_milliseconds)
    gpu = given.gpu_images_per_second
    beside = math.ceil(gpu * given.large_photo_milliseconds / 1000)
    return (
        Route("relsim-mini, PNG files", "measured", given.mini_images_per_second * pairs, given.machine_cores, price),
        Route("relsim-mini, photographs", "the sum of two measured", small * pairs, given.machine_cores, price),
        Route("7B, photographs, CPU", "measured", pairs / given.cpu_seconds, given.machine_cores, price),
        Route("7B, photographs, H200", "**extrapolated**", gpu, beside, given.gpu_price),
    )


def stored(images: int, given: Assumptions) -> tuple[str, ...]:
    """What lies there and goes over the network, whatever the model."""
    terabytes = images * given.image_bytes / 1e12
    table = images * (given.vector_bytes + given.row_bytes) / 1e9
    requests = images / given.images_per_request / 1e6
    numbers = (
        images, terabytes, table, math.ceil(images / given.part_rows), requests, requests * given.request_price,
        images * given.list_bytes / 1e9, (terabytes + table / 1000) * given.storage_price,
    )  # fmt: skip
    return tuple(_shown(number) for number in numbers)


def computed(images: int, route: Route, given: Assumptions) -> tuple[str, ...]:
    """What one way of computing takes; machines are as many as are needed to be done in time."""
    hours = images / (route.rate * given.ray_share * given.busy) / 3600
    machines = max(1, math.ceil(hours / (24 * given.days)))
    numbers = (route.rate, route.cores, hours, machines, hours / machines, hours * route.price)
    return (_shown(images), route.name, route.origin, *(_shown(number) for number in numbers))


def tables(given: Assumptions) -> tuple[str, str, str]:
    """The tables as they stand in docs/scale.md: what is computed, what is stored, and what both rest on."""
    ways = routes(given)
    assumed = [
        (f"`--{one.name.replace('_', '-')}`", _shown(getattr(given, one.name)), *one.metadata.values())
        for one in fields(given)
    ]
    return (
        _table(COMPUTED, [computed(images, way, given) for images in COLLECTIONS for way in ways], text=(1, 2)),
        _table(STORED, [stored(images, given) for images in COLLECTIONS]),
        _table(ASSUMED, assumed, text=(0, 2, 3)),
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    rule = ["---" if place in text else "--:" for place in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def _shown(number: float) -> str:
    """Three digits that count, which is more than the assumptions are good for."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What N images cost, by assumptions that are options.")
    for one in fields(Assumptions):
        meaning = one.metadata["meaning"].replace("%", "%%")
        parser.add_argument("--" + one.name.replace("_", "-"), type=float, default=one.default, help=meaning)
    print("\n\n".join(tables(Assumptions(**vars(parser.parse_args())))))


if __name__ == "__main__":
    main()
