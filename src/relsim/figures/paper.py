"""The paper's own numbers, as printed in arXiv 2512.07833, and its Figures 6 and 8 and Table 2 drawn from them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relsim.evaluation.result_files import write_whole
from relsim.figures.preferences import Preference, draw_preferences
from relsim.figures.scores import Score, ScoreSet, draw_scores
from relsim.figures.style import INK, SOFT, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of numbers: columns with the direction that is better ("lower" or "higher"), rows by name."""

    columns: tuple[str, ...]
    better: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]


@cache
def _printed() -> Any:
    return json.loads(files("relsim.figures").joinpath("paper.json").read_text(encoding="utf-8"))


def paper_scores() -> ScoreSet:
    """Figure 6: the mean score of a judge for each method's first match."""
    printed = _printed()["figure_6"]
    return ScoreSet(printed["measure"], tuple(Score(*item) for item in printed["scores"].items()), 10.0)


def paper_preferences() -> list[Preference]:
    """Figure 8: what people preferred, relsim or another method."""
    printed = _printed()["figure_8"]
    return [Preference.of_counts(printed["first"], name, counts) for name, counts in printed["counts"].items()]


def paper_table() -> Table:
    """Table 2: similarity of 200 inputs and outputs of analogical generation under three metrics."""
    printed = _printed()["table_2"]
    rows = {name: tuple(values) for name, values in printed["rows"].items()}
    return Table(tuple(printed["columns"]), tuple(printed["better"]), rows)


def write_paper(folder: Path, suffixes: Sequence[str] = (".svg",)) -> list[Path]:
    """Write `figure-6`, `figure-8` and `table-2`, with each suffix, and `table-2.csv`, into a folder.

    Raises `ResultError`.
    """
    source = _printed()["source"].split(",")[0]
    made = []
    for suffix in suffixes:
        drawn = {
            "figure-6": draw_scores(paper_scores(), title=f"{source}, Figure 6"),
            "figure-8": draw_preferences(paper_preferences(), title=f"{source}, Figure 8"),
            "table-2": draw_table(paper_table(), title=f"{source}, Table 2"),
        }
        for name, figure in drawn.items():
            made.append(folder / f"{name}{suffix}")
            save(figure, made[-1])
    made.append(folder / "table-2.csv")
    write_whole(made[-1], _csv(paper_table()).encode())
    return made


def draw_table(table: Table, *, title: str | None = None, name: str = "method") -> Figure:
    """A table as a figure, with two decimals; the last row is a reference, below a line of its own.

    No value is marked as the best: an unchanged copy would win two of the three columns.
    """
    height = 0.34 * (len(table.rows) + 1)
    figure = new_figure(2.6 + 1.3 * len(table.columns), height + 0.75, constrained=False)
    axes = figure.add_axes((0.03, 0.04, 0.94, height / (height + 0.75)))
    axes.axis("off")
    axes.set_xlim(0, 2 + len(table.columns))
    axes.set_ylim(len(table.rows) + 1, 0)
    heads = [f"{column} {_ARROWS[better]}" for column, better in zip(table.columns, table.better, strict=True)]
    axes.text(0, 0.5, name, va="center", color=SOFT, fontsize=10)
    for place, head in enumerate(heads):
        axes.text(2.9 + place, 0.5, head, va="center", ha="right", color=SOFT, fontsize=10)
    for number, (label, row) in enumerate(table.rows.items(), start=1):
        axes.text(0, number + 0.5, label, va="center", color=INK, fontsize=10.5)
        for place, value in enumerate(row):
            axes.text(2.9 + place, number + 0.5, f"{value:.2f}", va="center", ha="right", color=INK, fontsize=10.5)
    for line, width in ((0, 1.2), (1, 0.7), (len(table.rows), 0.7), (len(table.rows) + 1, 1.2)):
        axes.plot([0, 2 + len(table.columns)], [line, line], color=INK, linewidth=width, clip_on=False)
    if title:
        figure.text(0.03, 0.97, title, va="top", fontsize=11, color=INK)
    return figure


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", *table.columns])
    for name, values in table.rows.items():
        writer.writerow([name, *(f"{value:.2f}" for value in values)])
    return text.getvalue()
