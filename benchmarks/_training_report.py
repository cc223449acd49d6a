"""The figures of `training.py` as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

MIB = 2**20


def report(results: dict[str, Any]) -> str:
    """A section for each part that was run."""
    return "\n\n".join(PARTS[name](found) for name, found in results.items())


EPOCHS = 3
"""Of `train.sh`; the speed part runs as many."""


def speed_round(theirs: dict[str, Any], ours: dict[str, Any], *, images: int, batch: int) -> dict[str, Any]:
    """Images per second and CPU milliseconds an image of one pair of runs, of all epochs and of ours apart.

    `seconds` and `cpu_seconds` of a run are those at the end of each step; wall time runs from the beginning of the
    loop, CPU time (of which the beginning is not known) from the end of the first step. Readers of the published
    trainer are processes of their own, whose CPU seconds come on top.
    """
    seconds, used = ours["seconds"], ours["cpu_seconds"]
    first = len(seconds) // EPOCHS  # steps of the first epoch
    early = 1000 * (used[first - 1] - used[0]) / (batch * (first - 1))
    late = 1000 * (used[-1] - used[first - 1]) / (batch * (len(used) - first))
    steps = len(theirs["cpu_seconds"])
    theirs_used = (theirs["cpu_seconds"][-1] - theirs["cpu_seconds"][0]) * steps / (steps - 1)
    # The published loader ends each epoch with a smaller batch where the pictures do not fill it.
    seen_theirs, seen_ours = EPOCHS * images, len(seconds) * batch
    return {
        "published": seen_theirs / theirs["seconds"][-1],
        "ours": seen_ours / seconds[-1],
        "ours_first_epoch": first * batch / seconds[first - 1],
        "ours_later_epochs": (len(seconds) - first) * batch / (seconds[-1] - seconds[first - 1]),
        "ours_with_preparation": seen_ours / (seconds[-1] + ours["preparation_seconds"]),
        "published_cpu_ms": 1000 * (theirs_used + theirs["reader_cpu_seconds"]) / seen_theirs,
        "ours_cpu_ms": (early + (EPOCHS - 1) * late) / EPOCHS,
        "ours_cpu_ms_first_epoch": early,
        "ours_cpu_ms_later_epochs": late,
        "preparation_seconds": ours["preparation_seconds"],
        "published_peak_bytes": theirs["peak_bytes"],
        "ours_peak_bytes": ours["peak_bytes"],
        "versions": theirs["versions"],
    }


def speed(found: dict[str, Any]) -> str:
    """Speed of the loop and processor time: of all epochs, of the first and of the later ones, and with preparation."""
    rounds = found["rounds"]
    columns = (
        "batch " + f"{found['batch']}, {found['images']} pictures",
        "images/s",
        "ratio (lowest to highest round)",
    )
    columns += ("CPU ms an image", "ratio of processor time")
    lines = [row(columns), rule(columns)]
    lines.append(row(("published", middle(rounds, "published"), "", middle(rounds, "published_cpu_ms", 1), "")))
    for title, name in (
        (f"ours, {EPOCHS} epochs (bar {found['target']:g})", ""),
        ("ours, first epoch", "_first_epoch"),
        ("ours, later epochs", "_later_epochs"),
    ):
        wall = [one[f"ours{name}"] / one["published"] for one in rounds]
        processor = [one["published_cpu_ms"] / one[f"ours_cpu_ms{name}"] for one in rounds]
        speeds = (middle(rounds, f"ours{name}"), spread(wall))
        lines.append(row((title, *speeds, middle(rounds, f"ours_cpu_ms{name}", 1), spread(processor))))
    prepared = [one["ours_with_preparation"] / one["published"] for one in rounds]
    lines.append(row(("ours, with preparation", middle(rounds, "ours_with_preparation"), spread(prepared), "", "")))
    peaks = " / ".join(
        f"{max(one[name] for one in rounds) / MIB:.0f}" for name in ("published_peak_bytes", "ours_peak_bytes")
    )
    lines.append(f"\npeak memory published / ours: {peaks} MiB")
    return "\n".join(lines)


def middle(rounds: list[dict[str, Any]], name: str, digits: int = 2) -> str:
    """Median over the rounds."""
    return f"{statistics.median(one[name] for one in rounds):.{digits}f}"


def spread(ratios: list[float]) -> str:
    """Median, and the lowest and highest round."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def trace(found: dict[str, Any]) -> str:
    """Losses of the golden batch and of equal steps."""
    golden = found["golden"]
    steps = ("step", *(str(number + 1) for number in range(len(found["ours_losses"]))))
    loss = f"loss {golden['loss']:.5f} (published {golden['expected_loss']:.5f})"
    accuracy = f"accuracy {golden['accuracy']:.2f} (published {golden['expected_accuracy']:.2f})"
    lines = [
        f"golden batch: {loss}, {accuracy}\n",
        row(steps),
        rule(steps),
        row(("published", *(f"{loss:.5f}" for loss in found["published_losses"]))),
        row(("ours", *(f"{loss:.5f}" for loss in found["ours_losses"]))),
        f"\nlargest difference {found['largest_gap']:.1e} (bar {found['bar']:.0e})",
    ]
    return "\n".join(lines)


def memory(found: dict[str, Any]) -> str:
    """Memory of a small and a large batch."""
    columns = ("batch", "private memory, MiB", "largest resident size, MiB", "steps")
    lines = [row(columns), rule(columns)]
    for batch, facts in found["batches"].items():
        private, resident = facts["peak_private_bytes"] / MIB, facts["peak_bytes"] / MIB
        lines.append(row((f"{int(batch):,}", f"{private:.0f}", f"{resident:.0f}", f"{facts['steps']}")))
    lines.append(f"\nratio {found['ratio']:.3f}; pictures of {found['side']} px, micro-batches of 32")
    return "\n".join(lines)


def row(cells: tuple[str, ...]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def rule(cells: tuple[str, ...]) -> str:
    """The line under a table's head."""
    return f"|{' --- |' * len(cells)}"


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {"speed": speed, "trace": trace, "memory": memory}
