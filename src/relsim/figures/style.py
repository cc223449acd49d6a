"""How every figure looks, and how it becomes a file.

Colours are those of Okabe and Ito (2008), which people with colour-blindness tell apart; beside its colour every series
has a hatch or a marker and a line style of its own, so that a grey print says as much. Figures are made without
pyplot, which would keep them and choose a window system for the whole process.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relsim.errors import MissingExtraError, ResultError
from relsim.evaluation.result_files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
INK, SOFT, LINE = "#1f2328", "#57606a", "#c9c5bc"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")
PLAIN, ACCENT = "#c3ccd6", "#0072b2"
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "+++")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so a figure is the same everywhere
    "font.size": 10,
    "svg.hashsalt": "relsim",  # with a fixed salt a figure has the same bytes whenever it is drawn
    "pdf.fonttype": 42,  # letters stay letters that can be searched and copied
}
_DPI = 200


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """An empty figure, sides in inches. Raises `MissingExtraError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "figures", "a figure") from error
    return Figure(figsize=(width, height), layout="constrained" if constrained else None, facecolor="white")


def plain_axes(axes: Axes, *, grid: str | None = None) -> None:
    """Left and lower edge only; light lines across `grid` ("x" or "y"), behind everything."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(SOFT)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(axis=grid, color=LINE, linewidth=0.6)  # type: ignore[arg-type]  # "x" or "y"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its suffix says, the whole file or nothing. Raises `ResultError`."""
    data = rendered(figure, suffix_of(path))
    write_whole(path, data)


def suffix_of(path: Path) -> str:
    """The suffix of a figure's file. Raises `ResultError` for one that is not drawn."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ResultError(f"a figure cannot be written as {path.name!r}; end its name in {', '.join(SUFFIXES)}")
    return suffix


def rendered(figure: Figure, suffix: str, *, outlines: bool = False) -> bytes:
    """The bytes of a file of a figure, the same for the same figure.

    Letters of an SVG are text, or with `outlines` shapes, which need no font where it is shown.
    """
    from matplotlib import rc_context

    metadata: dict[str, Any] = {
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        ".png": {"Software": None},
    }[suffix]
    file = io.BytesIO()
    with rc_context({**_SETTINGS, "svg.fonttype": "path" if outlines else "none"}):
        figure.savefig(file, format=suffix[1:], dpi=_DPI, metadata=metadata)
    return file.getvalue()


def taken(values: Sequence[Any], place: int) -> Any:
    """The value for the series at this place; they come round again."""
    return values[place % len(values)]


def cut(text: str, most: int) -> str:
    """A name, shortened in its middle where it is longer, because names of methods differ at both ends."""
    if len(text) <= most:
        return text
    left = (most - 1) // 2
    return f"{text[:left]}…{text[len(text) - (most - 1 - left) :]}"
