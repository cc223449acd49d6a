"""An explanation as one figure: the pictures, the two maps over each, and beside them scores and sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from relsim.explain.occlusion import means_in
from relsim.figures.style import INK, SOFT, cut, new_figure
from relsim.models.attention import Map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from relsim.explain.pair import Axis, Explanation, PictureExplanation

_SIDE, _PIXELS = 2.5, 200  # of a picture, in inches, and pixels an inch
_LEFTS = (0.15, 0.35 + _SIDE, 1.05 + 2 * _SIDE)
_TEXT = 4.8
_GAP = 5 / 72  # before a heading
_OPACITY = 0.62
_AMOUNT = "viridis"  # its lightness rises evenly, so that it reads the same in grey
_CHANGE = "PuOr_r"  # as light on either side of 0, where it is white; people with colour-blindness tell the ends apart
_KINDS = {"head": (8.5, INK, "bold", 62), "line": (8.5, INK, "normal", 68), "small": (8, SOFT, "normal", 74)}
"""Size, colour, weight and letters in a line of each kind."""


def draw_explanation(found: Explanation, *, title: str | None = None) -> Figure:
    """A row for each picture: as it is, its attention, its occlusion. Maps lie over the picture in grey.

    Attention is shown as a multiple of an even spread, occlusion as the fall of the similarity, orange where it falls
    and purple where it rises. What the model does not see has no map. Raises `MissingExtraError` without matplotlib.
    """
    head = 0.75 if title else 0.45
    lines = _broken(found)
    written = head + sum(line.before + line.step for line in lines)
    width, height = _LEFTS[2] + _SIDE + 0.75 + _TEXT, max(2 * (_SIDE + 0.5) + head, written)
    figure = new_figure(width, height, constrained=False)
    if title:
        figure.text(0.15 / width, 1 - 0.12 / height, title, va="top", fontsize=12, color=INK)
    what = "similarity to the other" if found.towards is None else "similarity to the sentence"
    headings = ("picture", "attention of the query token\ntimes an even spread", f"occlusion: fall of the\n{what}")
    for row, picture in enumerate(found.pictures):
        bottom = height - head - (row + 1) * (_SIDE + 0.5) + 0.35
        axes = [figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height)) for left in _LEFTS]
        shown = _shrunk(picture.image)
        axes[0].imshow(np.asarray(shown), interpolation="antialiased")
        axes[0].set_xlabel(_name(picture, "AB"[row]), fontsize=8.5, color=INK)
        _overlay(axes[1], picture, shown, picture.attention_map * _area(picture), factor=True)
        _overlay(axes[2], picture, shown, picture.occlusion_map, factor=False)
        for column, axis in enumerate(axes):
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_visible(False)
            if row == 0:
                axis.set_title(headings[column], fontsize=9, color=INK)
    _write(figure, lines, left=_LEFTS[2] + _SIDE + 0.75, top=head - 0.3)
    return figure


def _overlay(axes: Axes, picture: PictureExplanation, shown: Image.Image, values: Map, *, factor: bool) -> None:
    grey = np.asarray(shown.convert("L"))
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    left, top, right, bottom = picture.seen
    part = values[top:bottom, left:right]
    scale = shown.width / picture.image.width
    place = (left * scale - 0.5, right * scale - 0.5, bottom * scale - 0.5, top * scale - 0.5)
    high = max(float(np.abs(part).max()), 1e-6)
    low = 0.0 if factor else -high  # a rise of the similarity must not look like a fall, nor nothing like much
    small = means_in(values, picture.seen, (min(160, bottom - top), min(160, right - left)))
    drawn = axes.imshow(
        small,
        cmap=_AMOUNT if factor else _CHANGE,
        vmin=low,
        vmax=high,
        alpha=_OPACITY,
        extent=place,
        interpolation="nearest",
    )
    axes.set_xlim(-0.5, shown.width - 0.5)
    axes.set_ylim(shown.height - 0.5, -0.5)
    inset = axes.inset_axes((1.02, 0.0, 0.04, 1.0))
    bar = axes.figure.colorbar(drawn, cax=inset)
    bar.outline.set_visible(False)
    ticks = [0.0, 1.0, high] if factor and high > 1.2 else sorted({low, 0.0, high})
    bar.set_ticks(ticks, labels=[_number(value, factor=factor) for value in ticks])
    bar.ax.tick_params(labelsize=7.5, length=0, colors=INK, pad=2)


def _write(figure: Figure, lines: Sequence[_Line], *, left: float, top: float) -> None:
    """Lines from the top down; `left` and `top` in inches from the upper left corner."""
    width, height = figure.get_size_inches()
    at = top
    for line in lines:
        size, colour, weight, _ = _KINDS[line.kind]
        at += line.before
        figure.text(left / width, 1 - at / height, line.text, va="top", fontsize=size, color=colour, weight=weight)
        at += line.step


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that fits into the column, and the room before it and for it in inches."""

    kind: str
    text: str
    before: float

    @property
    def step(self) -> float:
        return (_KINDS[self.kind][0] + 4.2) / 72


def _broken(found: Explanation) -> list[_Line]:
    """All that is written, in lines that fit; what is very long is cut."""
    return [
        _Line(kind, part, _GAP if kind == "head" and not place else 0.0)
        for kind, text in _lines(found)
        for place, part in enumerate(
            textwrap.wrap(text, _KINDS[kind][3], subsequent_indent="     ", max_lines=3, placeholder=" …")
        )
    ]


def _lines(found: Explanation) -> Iterator[tuple[str, str]]:
    """Everything that is written beside the maps: what kind of line, and its text."""
    yield "head", "Scores"
    for name, axis in (("relational", found.relational), ("attribute", found.attribute)):
        if axis is not None:
            yield "line", _score(name, axis)
    near = found.captions
    for name, captions, most in (
        (f"Nearest to both, of {near.bank:,} captions", near.shared, 3),
        ("Nearest to A", near.first, 2),
        ("Nearest to B", near.second, 2),
    ):
        yield "head", name
        for caption in captions[:most]:
            yield "line", f"{caption.score:.2f} {caption.caption}"
    lettered = list(zip("AB", found.pictures, strict=True))
    said = [(letter, picture.said) for letter, picture in lettered if picture.said is not None]
    if said:
        yield "head", "The captioner says"
    for letter, sentence in said:
        named = f" [names {', '.join(sentence.names)}]" if sentence.names else ""
        yield "line", f"{letter}: {sentence.caption}{named}"
    yield "head", "How far to trust the maps (docs/explain.md)"
    for letter, picture in lettered:
        for text in _faith(picture):
            yield "small", f"{letter}: {text}"
    if found.towards is not None:
        yield "small", f"Occlusion asks about the sentence: {found.towards}"


def _faith(picture: PictureExplanation) -> list[str]:
    agreement = "none" if picture.agreement is None else f"{picture.agreement:+.2f}"
    lines = [f"rank correlation of attention and occlusion {agreement}"]
    if picture.curves:
        areas = {name: curve.areas for name, curve in picture.curves.items()}
        for place, kind, better in ((0, "deletion", "low"), (1, "insertion", "high")):
            numbers = ", ".join(f"{name} {round(pair[place], 2) + 0.0:.2f}" for name, pair in areas.items())
            lines.append(f"{kind}, {better} is good: {numbers}")
    return lines


def _score(name: str, axis: Axis) -> str:
    percentile = "" if axis.percentile is None else f", above {axis.percentile:.1f} % of unrelated pairs"
    return f"{name} {axis.score:+.3f}{percentile}"


def _number(value: float, *, factor: bool) -> str:
    if abs(value) < 0.005:
        return "0"
    return f"{value:.1f} \N{MULTIPLICATION SIGN}" if factor else f"{value:+.2f}"


def _name(picture: PictureExplanation, letter: str) -> str:
    return f"{letter}: {cut(Path(picture.source).name, 30)}"


def _area(picture: PictureExplanation) -> int:
    """Pixels that the model sees: attention times this is 1 where it is even."""
    left, top, right, bottom = picture.seen
    return (right - left) * (bottom - top)


def _shrunk(image: Image.Image) -> Image.Image:
    longest = round(_SIDE * _PIXELS)
    if max(image.size) <= longest:
        return image
    smaller = image.copy()
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return smaller
