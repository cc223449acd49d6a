"""Retrieval sheets, as Figures 5 and 9 of the paper: a query, and below one another what each method finds for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from relsim.data.shuffling import permutation
from relsim.errors import ResultError
from relsim.evaluation.result_files import Ranking
from relsim.figures.pictures import picture_or_stand_in
from relsim.figures.style import INK, SOFT, cut, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUERIES, TOP_K = 3, 5
_SIDE, _GAP, _TEXT, _NAME, _HEAD = 1.1, 0.1, 0.34, 1.45, 0.3
_PIXELS = 200  # an inch
_DRAWN = 0


def chosen_queries(
    found: Mapping[str, Sequence[Ranking]], *, ids: Sequence[str] | None = None, count: int = QUERIES, seed: int = 0
) -> list[str]:
    """Queries that every method answered: those named, or `count` in a seeded order. Raises `ResultError`."""
    answered = [{ranking.query_id for ranking in rankings} for rankings in found.values()]
    common = sorted(set.intersection(*answered)) if answered else []
    if ids:
        missing = next((name for name in ids if name not in common), None)
        if missing is not None:
            raise ResultError(f"{missing} is no query that every method answered; there are {len(common):,}")
        return list(ids)
    if not common:
        raise ResultError("there is no query that every method answered")
    return [common[place] for place in permutation(seed, _DRAWN, len(common)).tolist()[:count]]


def draw_sheet(
    found: Mapping[str, Sequence[Ranking]], queries: Sequence[str], *, top_k: int = TOP_K, title: str | None = None
) -> Figure:
    """For each query its picture, and a row of the first `top_k` matches for each method, with their scores.

    Where labels are known a match has a tick or a cross as well. What cannot be read is a grey square with a cross.
    """
    by_query = {method: {ranking.query_id: ranking for ranking in rankings} for method, rankings in found.items()}
    line = _SIDE + _TEXT
    block = len(found) * line + _HEAD
    top = 0.45 if title else 0.1
    width = _SIDE + 3 * _GAP + _NAME + top_k * (_SIDE + _GAP) + _GAP
    height = top + len(queries) * block
    figure = new_figure(width, height, constrained=False)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    if title:
        axes.text(_GAP, height - 0.1, title, va="top", fontsize=11, color=INK)
    for number, query in enumerate(queries):
        start = height - top - number * block
        if number:
            axes.plot([_GAP, width - _GAP], [start - 0.03, start - 0.03], color=SOFT, linewidth=0.6)
        ranking = next(iter(by_query.values()))[query]
        under = ["query", *([cut(ranking.label.replace("_", " "), 20)] if ranking.label else [])]
        _picture(axes, ranking.query_path, _GAP, start - 0.2, under, frame=True)
        for place, (method, rankings) in enumerate(by_query.items()):
            row = start - 0.2 - place * line
            left = _SIDE + 3 * _GAP
            axes.text(left, row - _SIDE / 2, "\n".join(_broken(method)), va="center", fontsize=9.5, color=INK)
            for at, match in enumerate(rankings[query].matches[:top_k]):
                mark = "" if match.relevant is None else ("✓ " if match.relevant else "✗ ")
                _picture(
                    axes, match.path, left + _NAME + at * (_SIDE + _GAP), row, [f"{mark}{match.score:.3f}"]
                )  # fmt: skip
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    return figure


def _picture(axes: Axes, source: str, left: float, top: float, under: Sequence[str], *, frame: bool = False) -> None:
    """A picture in the middle of a square whose upper left corner is there, with small lines below it."""
    pixels, _ = picture_or_stand_in(source, round(_SIDE * _PIXELS))
    high, wide = pixels.shape[:2]
    across, up = _SIDE * wide / max(high, wide), _SIDE * high / max(high, wide)
    x, y = left + (_SIDE - across) / 2, top - (_SIDE - up) / 2
    axes.imshow(pixels, extent=(x, x + across, y - up, y), aspect="auto", interpolation="antialiased")
    if frame:
        axes.plot(
            [x, x + across, x + across, x, x],
            [y, y, y - up, y - up, y],
            color=INK,
            linewidth=1.8,
            solid_joinstyle="miter",
        )
    for number, text in enumerate(under):
        axes.text(
            left + _SIDE / 2, top - _SIDE - 0.05 - 0.16 * number, text, ha="center", va="top", fontsize=8.5, color=INK
        )


def _broken(name: str, most: int = 18) -> list[str]:
    """A name in short lines, broken behind a sign that is no letter where there is one."""
    lines = [""]
    for part in re.findall(r"[A-Za-z0-9]+[^A-Za-z0-9]*|[^A-Za-z0-9]+", cut(name, 3 * most)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > most:
            lines.append("")
        lines[-1] += part
    return [line[start : start + most] for line in lines for start in range(0, len(line), most)]
