"""Accuracy by relation (or family) and encoder as a heat map, from triplet results: one file for each encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.figures.style import INK, cut, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

By = Literal["family", "relation"]


def accuracies(
    results: Mapping[str, ResultFile], *, kind: str = "conflict", by: By = "family"
) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Names of relations or families, in order, and accuracies by encoder and name. Raises `ResultError`."""
    found: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        try:
            found[name] = {
                row[by]: float(row["value"])
                for row in result.content["accuracy"]
                if row["kind"] == kind and row[by] is not None
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(f"{result.path} is damaged: {type(error).__name__} {error}") from error
    names = sorted({name for row in found.values() for name in row})
    if not names:
        raise ResultError(f"none of these files holds {kind} triplets by {by}")
    return names, found


def draw_heat_map(
    results: Mapping[str, ResultFile], *, kind: str = "conflict", by: By = "family", title: str | None = None
) -> Figure:
    """Rows are relations, the best of the first encoder above; columns are encoders; every cell has its value in %.

    The map is cividis, whose lightness rises evenly, so that it reads the same in grey. An empty cell was not measured.
    """
    names, found = accuracies(results, kind=kind, by=by)
    first = next(iter(found.values()))
    names.sort(key=lambda name: (-first.get(name, -1.0), name))
    values = np.array([[row.get(name, np.nan) for row in found.values()] for name in names])
    long = max(map(len, found)) > 11
    figure = new_figure(2.9 + 1.05 * len(found), 1.1 + (0.9 if long else 0.2) + 0.27 * len(names))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if not np.isnan(value):
                colour = "white" if value < 0.55 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_yticks(range(len(names)), [cut(name.replace("_", " "), 34) for name in names], fontsize=8.5)
    axes.set_xticks(
        range(len(found)), [cut(name, 30) for name in found], fontsize=9, rotation=30 if long else 0,
        ha="left" if long else "center", rotation_mode="anchor",
    )  # fmt: skip
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 3.2 / (0.27 * len(names) + 0.4)), pad=0.03)
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    bar.set_label(f"{kind} triplets right{_counted(results, kind, by)}", fontsize=9.5)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    return figure


def _counted(results: Mapping[str, ResultFile], kind: str, by: By) -> str:
    """How many triplets a cell rests on, which is few where there are many relations."""
    rows = [row for result in results.values() for row in result.content["accuracy"]]
    counts = [int(row["count"]) for row in rows if row["kind"] == kind and row[by] is not None]
    return f", {min(counts):,} to {max(counts):,} a cell" if min(counts) < max(counts) else f", {counts[0]:,} a cell"
