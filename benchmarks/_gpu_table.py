"""What the rows of `gpu.py` come to: the table, the ratios to the published ways, the goals, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from _gpu_embedding import PREPARING
from _gpu_rows import Row

FLOOR_TFLOP = 4.609  # a picture at 448 x 448 through the 7B model, multiplications and additions counted apart
GATE, GATE_FP8 = 0.9995, 0.999
OURS = "ours"

PARTS = ("embedding", "levers", "latency", "native", "training", "captions")
"""In the order in which they are measured. Ours must have a rate in each."""
HELD = ("embedding", "native")
"""Parts in which ours is held against the plain path."""
GOALS = {("embedding", OURS): 103, ("embedding", "ours, fp8"): 165, ("training", OURS): 55}
"""Images/s on one H200 with the 7B model, at the best batch."""
PUBLISHED = (
    ("embedding", "published way", None, 5),
    ("native", "published way", None, None),
    ("captions", "published way, one at a time", None, None),
    ("captions", "published way, in a batch", "the same batch", 10),
)
"""Ways that ours is compared with: part, way, the batch of ours (None: its best), and how many times is the goal."""


def table(rows: Sequence[Row], ceiling: float | None) -> str:
    """The rows in Markdown; `ceiling` are the images/s at the floor of the 7B model, the only one that has goals."""
    lines = ["| what | way | batch | rate | goal | share of the floor | peak memory, MiB | lowest cosine with plain |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        share = ""
        if ceiling and row.rate and row.part in ("embedding", "levers") and row.way != PREPARING:
            share = f"{100 * row.rate / ceiling:.0f} %"
        goal = str(GOALS.get((row.part, row.way), "")) if ceiling else ""
        peak = "" if row.peak_mib is None else f"{row.peak_mib:,.0f}"
        cosine = "" if row.cosine is None else f"{row.cosine:.5f}"
        if row.cosine is not None and is_8_bit(row) and not row.cosine >= GATE_FP8:
            cosine += f", under {GATE_FP8}: refused"
        way = row.way if is_in_the_package(row) else f"{row.way} (not in the package)"
        cells = (row.part, way, row.batch or "", row.found(), goal, share, peak, cosine)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """What ours does to each published way in the same run, as it is by default: neither compiled nor in 8 bits."""
    return {name: ratio for name, ratio, _ in _compared(rows)}


def told(rows: Sequence[Row], *, goals: bool) -> list[str]:
    """The ratios in words, each with its goal where the model is the one that has `goals`."""
    found = []
    for name, ratio, goal in _compared(rows):
        end = "" if goal is None or not goals else f" (goal {goal}, {'met' if ratio >= goal else 'missed'})"
        found.append(f"{name}: {ratio:.2f}{end}.")
    return found


def _compared(rows: Sequence[Row]) -> Iterator[tuple[str, float, int | None]]:
    for part, theirs, at, goal in PUBLISHED:
        for base in (row for row in rows if (row.part, row.way) == (part, theirs) and row.rate):
            ours = [row for row in rows if (row.part, row.way) == (part, OURS) and row.rate]
            rates = [row.rate for row in ours if row.rate and (at is None or row.batch == base.batch)]
            if rates and base.rate:
                yield f"{part}, ours to the {theirs}", max(rates) / base.rate, goal


def failures(rows: Sequence[Row], parts: Sequence[str] = PARTS) -> list[str]:
    """What makes the exit code 1, of a run of those parts."""
    found = [
        f"{part}: the plain path could not be measured, so nothing was held against it"
        for part in HELD
        if part in parts and not any((row.part, row.way) == (part, "plain") and row.rate for row in rows)
    ]
    for part in parts:
        own = [row for row in rows if (row.part, row.way) == (part, OURS)]
        if not own:
            found.append(f"{part}: ours was not measured")
        found += [f"{part}, ours, batch {row.batch}: {row.note or 'no rate'}" for row in own if not row.rate]
    held = [(row, row.cosine) for row in rows if row.cosine is not None and not is_8_bit(row)]
    return found + [
        f"{row.way}, batch {row.batch}: cosine {cosine:.5f} with the plain path, under {GATE}"
        for row, cosine in held
        if not cosine >= GATE  # a number that is none is a failure as well
    ]


def is_in_the_package(row: Row) -> bool:
    """Whether a way is one that users have: graphs are captured by the benchmark only."""
    return "CUDA graph" not in row.way


def is_8_bit(row: Row) -> bool:
    """Whether a way's products are in 8-bit floats."""
    return "fp8" in row.way
