"""An explanation as one figure: the pictures, the two maps over each, and beside them scores and sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from relsim.explain.occlusion import Scores, means_in
from relsim.figures.overlays import HeatScale, bare, draw_overlay
from relsim.figures.style import INK, SOFT, cut, new_figure
from relsim.models.attention import Map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from relsim.explain.pair import Axis, Explanation, PictureExplanation

_SIDE, _PIXELS = 2.5, 200  # of a picture, in inches, and pixels an inch
_LEFTS = (0.15, 0.35 + _SIDE, 1.05 + 2 * _SIDE)
_TEXT = 4.8
_GAP = 5 / 72  # before a heading
_KINDS = {"head": (8.5, INK, "bold", 62), "line": (8.5, INK, "normal", 68), "small": (8, SOFT, "normal", 74)}
"""Size, colour, weight and letters in a line of each kind."""


def draw_explanation(found: Explanation, *, title: str | None = None) -> Figure:
    """A row for each picture: as it is, its attention, its occlusion. Maps lie over the picture in grey.

    Those of the two pictures share one scale, so that their colours may be compared. Attention is shown as a multiple
    of an even spread, occlusion as the fall of the similarity, orange where it falls and purple where it rises. What
    the model does not see has no map. Raises `MissingExtraError` without matplotlib.
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
    looked = [_small(picture, picture.attention_map * _area(picture)) for picture in found.pictures]
    fallen = [_small(picture, picture.occlusion_map) for picture in found.pictures]
    scales = HeatScale.over(looked, signed=False), HeatScale.over(fallen, signed=True)
    for row, picture in enumerate(found.pictures):
        bottom = height - head - (row + 1) * (_SIDE + 0.5) + 0.35
        axes = [figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height)) for left in _LEFTS]
        shown = _shrunk(picture.image)
        axes[0].imshow(np.asarray(shown), interpolation="antialiased")
        axes[0].set_xlabel(_name(picture, "AB"[row]), fontsize=8.5, color=INK)
        scale = shown.width / picture.image.width
        left, top, right, low = (edge * scale for edge in picture.seen)
        draw_overlay(axes[1], shown, looked[row], (left, top, right, low), scales[0])
        draw_overlay(axes[2], shown, fallen[row], (left, top, right, low), scales[1])
        for column, axis in enumerate(axes):
            bare(axis)
            if row == 0:
                axis.set_title(headings[column], fontsize=9, color=INK)
    _write(figure, lines, left=_LEFTS[2] + _SIDE + 0.75, top=head - 0.3)
    return figure


def _small(picture: PictureExplanation, values: Map) -> Scores:
    """A map of the part that is seen, no finer than it is printed."""
    left, top, right, bottom = picture.seen
    return means_in(values, picture.seen, (min(160, bottom - top), min(160, right - left)))


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
    yield "small", "A and B share the scale of each map"
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
