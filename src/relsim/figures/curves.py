"""Training curves from a run's `train.jsonl`: what was measured on the way, and on held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.figures.style import COLOURS, DASHES, INK, MARKERS, cut, new_figure, plain_axes, taken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = ("loss", "accuracy", "learning_rate", "grad_norm", "samples_per_second", "temperature")
_TITLES = {
    "loss": "loss (nats)",
    "accuracy": "accuracy in the batch",
    "learning_rate": "learning rate",
    "grad_norm": "norm of the gradient",
    "samples_per_second": "images a second",
}
_MOST_MARKS = 12


def curves_of(result: ResultFile) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by name, held-out figures with `eval_` before them. Raises `ResultError`."""
    rows = result.content if isinstance(result.content, list) else [result.content]
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "epoch", "seconds") and isinstance(value, (int, float)):
                curves.setdefault(name, []).append((int(row["step"]), float(value)))
    if not curves:
        raise ResultError(f"{result.path} has no line with figures yet")
    return curves


def draw_training(runs: dict[str, dict[str, list[tuple[int, float]]]], *, title: str | None = None) -> Figure:
    """A panel for each figure that any run has: loss and accuracy first, then the held-out ones, then the rest."""
    names = _panels(list(runs.values()))
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = new_figure(3.6 * across, 2.6 * down + 0.7)
    panels: Sequence[Any] = list(figure.subplots(down, across, squeeze=False).ravel())
    for axes, name in zip(panels, names, strict=False):
        for place, (run, curves) in enumerate(runs.items()):
            points = curves.get(name, [])
            if not points:
                continue
            axes.plot(
                *zip(*points, strict=True), color=taken(COLOURS, place), linestyle=taken(DASHES, place),
                marker=taken(MARKERS, place), markersize=4, markevery=max(1, len(points) // _MOST_MARKS), linewidth=1.4,
                label=cut(run, 40),
            )  # fmt: skip
        axes.set_title(_title(name), fontsize=10, color=INK, loc="left")
        axes.set_xlabel("step", fontsize=9)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5))
        plain_axes(axes, grid="y")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    if len(runs) > 1:
        handles = {text: line for axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    return figure


def _panels(runs: Sequence[dict[str, list[tuple[int, float]]]]) -> list[str]:
    names = {name for curves in runs for name in curves}
    held_out = sorted(name for name in names if name.startswith("eval_"))
    first, then = ([name for name in part if name in names] for part in (_PANELS[:2], _PANELS[2:]))
    rest = sorted(names - {*_PANELS, *held_out})
    return [*first, *held_out, *then, *rest]


def _title(name: str) -> str:
    if name.startswith("eval_"):
        return f"held out: {name.removeprefix('eval_').replace('_', ' ')}"
    return _TITLES.get(name, name.replace("_", " "))
