"""The picture of a similarity space: thumbnails in the cells of a grid, none over another, the query beside them."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relsim.figures.pictures import picture_or_stand_in
from relsim.figures.similarity_space import Axis, Point, Space
from relsim.figures.style import INK, LINE, SOFT, cut, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL, _WIDE, _HIGH, _NARROWEST, _LONGEST = 0.72, 6.2, 7.2, 2.7, 40.0
"""Inches: a cell's side; sides that few cells grow to fill; what words below the grid need; the most of a side."""
_LEFT, _RIGHT, _BOTTOM, _TOP = 2.15, 0.25, 0.74, 0.55
_TITLE, _LINE, _LETTERS = 10.5, 0.19, 11.0
"""Of the words at an axis: points, inches of a line, and letters an inch."""
_GAP = 0.05
_PIXELS = 220  # an inch, of the thumbnails
_CORNERS = (
    ("analogy", 0.0, 1.0, "left", "bottom"),
    ("literal similarity", 1.0, 1.0, "right", "bottom"),
    ("anomaly", 0.0, 0.0, "left", "top"),
    ("mere appearance", 1.0, 0.0, "right", "top"),
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A square of the grid, in cells: its lower left corner and its side."""

    left: float
    bottom: float
    side: float


def slots(count: int) -> Iterator[Slot]:
    """Squares for so many pictures within a cell of side 1: as large as they can be in n x n, rows from the top."""
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    side = 1 / across
    for place in range(count):
        row, column = divmod(place, across)
        here = across if row < down - 1 else count - across * (down - 1)
        left = (1 - here * side) / 2 + column * side
        bottom = 1 - (1 - down * side) / 2 - (row + 1) * side
        yield Slot(left + _GAP / 2 * side, bottom + _GAP / 2 * side, side * (1 - _GAP))


def draw_space(space: Space, *, title: str | None = None) -> Figure:
    """The space as a figure; a picture that cannot be read is a grey square with a cross, and the figure says so."""
    columns, rows = space.settings.columns, space.settings.rows
    cell = cell_side(columns, rows)
    width, height = columns * cell, rows * cell
    across, up = (
        textwrap.wrap(_axis_title(space, axis, name), max(12, int(inches * _LETTERS)))
        for axis, name, inches in ((space.x, "look", width), (space.y, "relation", height))
    )
    bottom, left = _BOTTOM + len(across) * _LINE, _LEFT + max(0, len(up) - 2) * _LINE
    whole = (left + width + _RIGHT, bottom + height + _TOP)
    figure = new_figure(*whole, constrained=False)
    axes = figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))
    axes.set_xlim(0, columns)
    axes.set_ylim(0, rows)
    _ground(axes, columns, rows)
    unreadable = _place(axes, space, cell)
    _ticks(axes, space)
    axes.set_xlabel("\n".join(across), fontsize=_TITLE, color=INK, labelpad=25)  # below the names of the corners
    axes.set_ylabel("\n".join(up), fontsize=_TITLE, color=INK)
    _query(figure, space, whole)
    shown = sum(point.shown for point in space.points)
    parts = [f"{shown:,} of {len(space.points):,} pictures shown"]
    if len(space.points) < space.collection:
        parts.append(f"drawn from {space.collection:,}")
    if unreadable:
        parts.append(f"{unreadable:,} cannot be read")
    figure.text(0.15 / whole[0], 0.12 / whole[1], "\n".join(parts), va="bottom", fontsize=9, color=SOFT)
    if title:
        figure.text(0.15 / whole[0], 1 - 0.12 / whole[1], title, va="top", fontsize=12, color=INK)
    return figure


def cell_side(columns: int, rows: int) -> float:
    """Inches of a cell's side: larger where there are few, smaller where there are very many."""
    side = max(_CELL, _NARROWEST / columns, min(_WIDE / columns, _HIGH / rows))
    return min(side, max(_LONGEST / max(columns, rows), _NARROWEST / columns))


def _ground(axes: Axes, columns: int, rows: int) -> None:
    for column in range(columns + 1):
        axes.axvline(column, color=LINE, linewidth=0.4, zorder=0)
    for row in range(rows + 1):
        axes.axhline(row, color=LINE, linewidth=0.4, zorder=0)
    axes.axvline(columns / 2, color=SOFT, linewidth=1.3, linestyle=(0, (5, 3)), zorder=1)
    axes.axhline(rows / 2, color=SOFT, linewidth=1.3, linestyle=(0, (5, 3)), zorder=1)
    for name, x, y, across, up in _CORNERS:
        # Outside of the grid, where no picture can cover them.
        axes.annotate(
            name, (x, y), xycoords="axes fraction", xytext=(0, 5 if up == "bottom" else -24),
            textcoords="offset points", ha=across, va=up, fontsize=12, fontweight="bold", color=INK,
        )  # fmt: skip


def _place(axes: Axes, space: Space, side: float) -> int:
    """Draw the pictures into cells of that many inches; gives how many could not be read."""
    cells: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for point in space.points:
        if point.shown:
            cells[point.column, point.row].append(point)
    unreadable = 0
    for (column, row), points in sorted(cells.items()):
        for point, slot in zip(points, slots(len(points)), strict=True):
            pixels, readable = picture_or_stand_in(point.source, max(16, round(slot.side * side * _PIXELS)))
            unreadable += not readable
            high, wide = pixels.shape[:2]
            longer = max(high, wide)
            across, up = slot.side * wide / longer, slot.side * high / longer
            left = column + slot.left + (slot.side - across) / 2
            bottom = row + slot.bottom + (slot.side - up) / 2
            axes.imshow(
                pixels, extent=(left, left + across, bottom, bottom + up), zorder=2, aspect="auto",
                interpolation="antialiased",
            )  # fmt: skip
    axes.set_xlim(0, space.settings.columns)
    axes.set_ylim(0, space.settings.rows)
    return unreadable


def _ticks(axes: Axes, space: Space) -> None:
    for axis, part, count in (
        (axes.xaxis, space.x, space.settings.columns),
        (axes.yaxis, space.y, space.settings.rows),
    ):
        places = [count * share for share in (0, 0.25, 0.5, 0.75, 1)]
        axis.set_ticks(places, [_tick(space, part, place / count) for place in places], fontsize=9, color=INK)


def _tick(space: Space, axis: Axis, share: float) -> str:
    if space.settings.scale == "raw":
        return f"{axis.low + share * (axis.high - axis.low):.2f}"
    return f"{100 * share:.0f}" if space.settings.scale == "percentile" else f"{share:.2f}"


def _axis_title(space: Space, axis: Axis, name: str) -> str:
    arrow = f"alike in {name} \N{RIGHTWARDS ARROW}  "
    if space.settings.scale == "percentile":
        return f"{arrow}{cut(axis.name, 50)}: % of {axis.percentile_of} below"
    if space.settings.scale == "raw":
        return f"{arrow}{cut(axis.name, 60)}"
    return f"{arrow}{cut(axis.name, 50)}, {axis.low:.2f} to {axis.high:.2f} as 0 to 1"


def _query(figure: Figure, space: Space, whole: tuple[float, float]) -> None:
    """The query's picture, left of the axis."""
    if not space.query.source:
        return
    side = 1.05
    pixels, _ = picture_or_stand_in(space.query.source, round(side * _PIXELS))
    top = 1 - (_TOP + 0.3) / whole[1]
    box: Any = (0.15 / whole[0], top - side / whole[1], side / whole[0], side / whole[1])
    axes = figure.add_axes(box)
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(1.5)
    axes.set_title("query", fontsize=10.5, color=INK, loc="left", pad=4)
