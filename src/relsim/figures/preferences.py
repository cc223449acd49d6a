"""Whom people prefer, as stacked bars, as in Figure 8 of the paper: ours, same, the other; shares in percent inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.figures.style import INK, SOFT, cut, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FILLS = (("#0072b2", "", "white"), ("#e3e6ea", "", INK), ("#f0b74d", "///", INK))
_PAD = {"boxstyle": "round,pad=0.18", "linewidth": 0}


@dataclass(frozen=True, slots=True)
class Preference:
    """Two methods, and the shares (0 to 1, together 1) of answers for the first, for neither, and for the second."""

    first: str
    second: str
    shares: tuple[float, float, float]
    answers: int

    @classmethod
    def of_counts(cls, first: str, second: str, counts: Sequence[int]) -> Preference:
        """From numbers of answers. Raises `ResultError` for none."""
        total = sum(counts)
        if not total:
            raise ResultError(f"there is no answer about {first} and {second}")
        won, same, lost = (count / total for count in counts)
        return cls(first, second, (won, same, lost), total)


def preferences_of(result: ResultFile) -> list[Preference]:
    """Of the results of a study, those pairs of methods that have answers. Raises `ResultError`."""
    try:
        found = [
            Preference(
                pair["first"],
                pair["second"],
                (pair["shares"]["first"]["value"], pair["shares"]["same"]["value"], pair["shares"]["second"]["value"]),
                pair["answers"],
            )
            for pair in result.content["pairs"]
            if pair["answers"]
        ]
    except (KeyError, TypeError) as error:
        raise ResultError(f"{result.path} is damaged: {type(error).__name__} {error}") from error
    if not found:
        raise ResultError(f"{result.path} has no answers yet")
    return found


def draw_preferences(preferences: Sequence[Preference], *, title: str | None = None) -> Figure:
    """A bar for each two methods: the first from the left, same, the second up to the right end."""
    figure = new_figure(7.6, 1.5 + 0.62 * len(preferences))
    axes = figure.add_subplot()
    one = len({preference.first for preference in preferences}) == 1
    names = (preferences[0].first if one else "first method", "same", "the other method" if one else "second method")
    for kind, (name, (colour, hatch, ink)) in enumerate(zip(names, _FILLS, strict=True)):
        widths = [100 * preference.shares[kind] for preference in preferences]
        starts = [100 * sum(preference.shares[:kind]) for preference in preferences]
        bars = axes.barh(
            range(len(preferences)), widths, left=starts, height=0.66, color=colour, edgecolor=INK, linewidth=0.8,
            hatch=hatch, label=cut(name, 30),
        )  # fmt: skip
        for bar, width in zip(bars, widths, strict=True):
            bar.set_clip_on(False)  # or the end of the scale cuts the outline in half
            if width < 4:  # narrower than its own label
                continue
            axes.annotate(
                f"{width:.1f} %",
                (bar.get_x() + width / 2, bar.get_y() + bar.get_height() / 2),
                ha="center",
                va="center",
                fontsize=9.5,
                color=ink,
                bbox={**_PAD, "facecolor": colour},  # so that no hatch runs through a number
            )
    labels = [
        cut(preference.second if one else f"{preference.first} : {preference.second}", 44) for preference in preferences
    ]
    axes.set_yticks(range(len(preferences)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.axvline(50, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlabel("% of answers", fontsize=10, color=INK)
    plain_axes(axes)
    for preference, place in zip(preferences, range(len(preferences)), strict=True):
        axes.annotate(
            f"{preference.answers:,}", (100, place), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=8.5,
            color=SOFT, annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        "answers", (100, -0.5), xytext=(6, 2), textcoords="offset points", va="bottom", fontsize=8.5, color=SOFT,
        annotation_clip=False,
    )  # fmt: skip
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9.5, borderaxespad=0.2)
    if title:
        axes.set_title(title, fontsize=11, color=INK, loc="left", pad=32)
    return figure
