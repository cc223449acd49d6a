"""Pieces of a report's sections: figures, tables, shares and differences, as ready HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from relsim.data.identity import printable
from relsim.figures.markup import data_image, interval, table, tag, text
from relsim.figures.style import rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
"""An object of a result file."""


def chart(drawn: Figure, alternative: str, *, pixels: bool = False) -> str:
    """A figure within the page: as SVG whose letters are shapes, or with `pixels` as PNG, for figures of pictures."""
    suffix, media_type = (".png", "image/png") if pixels else (".svg", "image/svg+xml")
    data = rendered(drawn, suffix, outlines=True)
    return tag("div", data_image(data, media_type, alternative), class_="chart")


def comparisons(rows: list[Row]) -> str:
    """Differences between methods, folded; nothing without any."""
    if not rows:
        return ""
    columns = ["methods", "metric", "difference", "95 % interval", "p (Holm)"]
    return folded(
        "Differences on the same queries",
        columns,
        [
            [
                escape(printable(f"{row['first']} - {row['second']}")),
                *(escape(row["metric"]), f"{row['value']:+.3f}", limits_of(row), f"{row['p_holm']:.4f}"),
            ]
            for row in rows
        ],
    )


def folded(title: str, columns: list[str], rows: list[list[str]]) -> str:
    """A long table that is opened when it is wanted."""
    return tag("details", text("summary", f"{title} ({len(rows):,} rows)"), table(title, columns, rows))


def fact_table(title: str, facts: list[tuple[str, str]]) -> str:
    """Facts that are known, a row each."""
    return table(title, ["", ""], [[escape(name), escape(printable(value))] for name, value in facts if value])


def share(name: str, row: Row, count: str | None = None) -> list[str]:
    """A row of a share: its name, percent, a drawing, its interval and what it counts."""
    percent = f"{100 * row['value']:.1f} %"
    limits = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
    drawing = interval(row["low"], row["value"], row["high"], f"{percent}, interval {limits}")
    return [escape(printable(name)), percent, drawing, limits, f"{row['count']:,}" if count is None else count]


def with_range(row: Row | None) -> str:
    """A value and its interval."""
    return "" if row is None else f"{row['value']:.3f} ({limits_of(row)})"


def limits_of(row: Row) -> str:
    """An interval."""
    return f"{row['low']:.3f} to {row['high']:.3f}"


def number(value: float | None, places: int = 2) -> str:
    """A number; nothing where there is none."""
    return "" if value is None else f"{value:.{places}f}"


def spread(row: Row | None) -> str:
    """A mean and its standard deviation, where there is one."""
    if row is None:
        return ""
    return f"{row['mean']:.2f}" if row["sd"] is None else f"{row['mean']:.2f} ± {row['sd']:.2f}"
