"""Why two pictures are alike, as a section of a report: maps over both, scores and sentences."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from relsim.data.identity import printable
from relsim.evaluation.result_files import ResultFile
from relsim.figures.markup import table, text
from relsim.figures.overlays import Box, HeatScale, Values, bare, draw_overlay
from relsim.figures.pictures import picture_or_stand_in
from relsim.figures.report_parts import Row, chart, fact_table, number
from relsim.figures.style import INK, cut, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE, _PIXELS = 2.3, 360  # inches and pixels of a picture
_CAPTIONS = 3
_NOTE = (
    "Attention: how much the query token reads of each cell, as a multiple of an even spread. Occlusion: how far the "
    "similarity falls (orange) or rises (purple) where a patch lies, drawn at its middle. Both share one scale."
)


def explanation_section(result: ResultFile) -> str:
    """The pictures with their maps, both scores, the captions nearest to both, and how far the maps can be trusted."""
    content = result.content
    pictures = content["pictures"]
    names = [cut(printable(Path(picture["source"]).name), 24) for picture in pictures]
    words = f"{names[0]} and {names[1]}, each with maps of attention and of occlusion."
    facts = [(name, _scored(content[name])) for name in ("relational", "attribute") if content.get(name) is not None]
    facts += [
        (f"captioner of {name}", picture["sentence"]["caption"])
        for name, picture in zip(names, pictures, strict=True)
        if picture["sentence"] is not None
    ]
    facts += [
        (f"attention and occlusion of {name}, rank correlation", number(picture["faithfulness"]["rank_correlation"]))
        for name, picture in zip(names, pictures, strict=True)
    ]
    captions = content["captions"]
    near = [
        [escape(printable(one["caption"])), *(f"{one[key]:.3f}" for key in ("score", "first", "second"))]
        for one in captions["shared"][:_CAPTIONS]
    ]
    title = f"Captions nearest to both, of {captions['bank']:,}"
    return (
        chart(draw_maps(result.path.parent, pictures), words, pixels=True)
        + text("p", _NOTE, class_="note")
        + fact_table("Scores and sentences", facts)
        + table(title, ["caption", "both", *names], near)
    )


def _scored(axis: Row) -> str:
    known = "" if axis["percentile"] is None else f", above {axis['percentile']:.1f} % of unrelated pairs"
    return f"{axis['score']:+.3f}{known}"


def draw_maps(folder: Path, pictures: list[Any]) -> Figure:
    """A row for each picture: as it is, its attention, its occlusion."""
    attention = [np.array(picture["attention"]["cells"], np.float64) for picture in pictures]
    attention = [cells * cells.size for cells in attention]
    falls = [np.array(picture["occlusion"]["falls"], np.float64) for picture in pictures]
    figure = new_figure(3 * (_SIDE + 0.75), 2 * (_SIDE + 0.35) + 0.3)
    scales = HeatScale.over(attention, signed=False), HeatScale.over(falls, signed=True)
    panels = figure.subplots(2, 3, squeeze=False)
    for row, (picture, looked, fell) in enumerate(zip(pictures, attention, falls, strict=True)):
        shown = _shown(folder, picture["source"])
        scale = shown.width / picture["width"]
        panels[row][0].imshow(np.asarray(shown), interpolation="antialiased")
        panels[row][0].set_xlabel(cut(printable(Path(picture["source"]).name), 30), fontsize=9, color=INK)
        draw_overlay(panels[row][1], shown, looked, _scaled(picture["seen"], scale), scales[0])
        draw_overlay(
            panels[row][2], shown, fell, _scaled(_middles(picture["occlusion"]["boxes"], fell), scale), scales[1]
        )
        for axes in panels[row]:
            bare(axes)
    for axes, name in zip(panels[0], ("picture", "attention", "occlusion"), strict=True):
        axes.set_title(name, fontsize=10, color=INK)
    return figure


def _shown(folder: Path, source: str) -> Image.Image:
    """The picture of a source; what was named relative to elsewhere may lie beside the document."""
    here = source if Path(source).exists() else str(folder / source)
    pixels, _ = picture_or_stand_in(here, _PIXELS)
    return Image.fromarray(pixels)


def _middles(boxes: list[list[int]], falls: Values) -> Box:
    """The part that cells of the falls cover when each has its patch's middle as its own."""
    rows, columns = falls.shape
    edges = []
    for first, last, count in ((boxes[0][0::2], boxes[-1][0::2], columns), (boxes[0][1::2], boxes[-1][1::2], rows)):
        start, end = sum(first) / 2, sum(last) / 2
        half = (end - start) / (count - 1) / 2
        edges.append((start - half, end + half))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _scaled(box: Any, scale: float) -> Box:
    left, top, right, bottom = (float(value) * scale for value in box)
    return left, top, right, bottom
