"""The figures of `training.py` as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

MIB = 2**20


def report(results: dict[str, Any]) -> str:
    """A section for each part that was run."""
    return "\n\n".join(PARTS[name](found) for name, found in results.items())


def speed(found: dict[str, Any]) -> str:
    """Speed of the loop, with preparation, and by processor time."""
    columns = ("batch", "published, images/s", "ours, images/s", "ratio (lowest to highest round)", "target")
    columns += ("with preparation, 3 epochs", "processor time", "peak memory published / ours, MiB")
    published, ours, peak, our_peak = (
        statistics.median(one[name] for one in found["rounds"])
        for name in ("published", "ours", "published_peak_bytes", "ours_peak_bytes")
    )
    ratio = found["ratio"]
    cells = (
        f"{found['batch']}",
        f"{published:.2f}",
        f"{ours:.2f}",
        f"{ratio['median']:.2f} ({min(ratio['rounds']):.2f} to {max(ratio['rounds']):.2f})",
        f"{ratio['target']:g}",
        f"{found['ratio_with_preparation']['median']:.2f}",
        f"{found['ratio_of_processor_time']['median']:.2f}",
        f"{peak / MIB:.0f} / {our_peak / MIB:.0f}",
    )
    return "\n".join((row(columns), rule(columns), row(cells)))


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
