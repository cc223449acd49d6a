"""How fast the drawn world is drawn, on one core.

    python benchmarks/world.py [--scenes 600] [--rounds 5] [--size 224] [--json]

Every round draws other scenes, the same share of each split, so of all relations, palettes, backgrounds and styles.
Time is processor time of this process, which other work on the machine disturbs little; nothing is saved. Printed are
the median of the rounds with the lowest and the highest, the mean time by style and by background, and the slowest
relations.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from _measure import Stopwatch
from relsim.world.looks import Split
from relsim.world.scenes import Scene, draw, scenes

BAR = 150
"""Scenes per second that the design asks for."""

SLOWEST = 5
WARM_UP = 20

Seconds = dict[str, dict[str, list[float]]]
"""By aspect (relation, style, background) and name: seconds per scene."""


def main() -> None:
    """Draw, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=600, help="scenes in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224, help="width and height in pixels")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    for scene in sample(WARM_UP, seed=0):
        draw(scene, options.size)
    seconds: Seconds = {aspect: defaultdict(list) for aspect in ("relation", "style", "background")}
    rates = [timed(options.scenes, number, options.size, seconds) for number in range(1, options.rounds + 1)]
    result = {
        "size": options.size,
        "scenes_per_second": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "milliseconds": {aspect: means(names) for aspect, names in seconds.items()},
    }
    print(json.dumps(result) if options.json else table(result))


def sample(count: int, seed: int) -> Iterator[Scene]:
    """`count` scenes, about as many of each split."""
    for split in Split:
        yield from islice(scenes(split, seed), -(-count // len(Split)))


def timed(count: int, seed: int, size: int, seconds: Seconds) -> float:
    """Scenes per second of one round; what each took is added to `seconds`."""
    total = 0.0
    rows = list(sample(count, seed))
    for scene in rows:
        watch = Stopwatch()
        draw(scene, size)
        _, spent = watch.read()
        total += spent
        for aspect, name in (
            ("relation", scene.relation),
            ("style", scene.look.style),
            ("background", scene.look.background),
        ):
            seconds[aspect][name].append(spent)
    return len(rows) / total


def means(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Mean milliseconds by name, the slowest first."""
    found = {name: 1000 * statistics.fmean(values) for name, values in seconds.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def table(result: Mapping[str, Any]) -> str:
    """The result in words."""
    lines = [
        "{scenes_per_second:.0f} scenes/s per core at {size} px ({lowest:.0f} to {highest:.0f})".format(**result)
        + f"; the bar is {BAR}"
    ]
    for aspect, names in result["milliseconds"].items():
        slowest = list(names.items())[:SLOWEST] if aspect == "relation" else names.items()
        told = ", ".join(f"{name} {value:.1f}" for name, value in slowest)
        lines.append(f"ms by {aspect}, slowest first: {told}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
