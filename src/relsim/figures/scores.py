"""Scores of methods as bars, as in Figure 6 of the paper: sorted, the value above each bar, intervals where known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.figures.style import ACCENT, INK, PLAIN, SOFT, cut, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Score:
    """A method's score, with the ends of its interval where there is one, and what it rests on, such as `8 of 9`."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    count: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreSet:
    """Scores on one scale: what is measured, the largest possible value, decimals to show, and what the lines are.

    `counted` says what `count` of a score counts.
    """

    measure: str
    scores: tuple[Score, ...]
    top: float = 1.0
    decimals: int = 2
    lines: str = "95 % intervals"
    counted: str = ""


def scores_of(results: Sequence[ResultFile], metric: str | None = None) -> ScoreSet:
    """Scores by method of judge outputs, retrieval runs, pairs or triplet runs: files of one of these kinds.

    `metric` of a retrieval run is by default `precision@1`, of triplets a kind, by default `conflict`, of pairs an
    encoder, by default the first. Triplets have the name of their file. Raises `ResultError`.
    """
    kinds = sorted({result.kind for result in results})
    if len(kinds) != 1:
        raise ResultError(f"bars need one scale, and these files hold {', '.join(kinds)}; name files of one kind")
    readers = {"judge": _judged, "retrieval": _retrieval, "triplets": _triplets, "pairs": _pairs}
    if kinds[0] not in readers:
        raise ResultError(f"{results[0].path} holds {kinds[0]}; bars are drawn of {', '.join(readers)}")
    found: list[Score] = []
    whole = ScoreSet("", ())
    for result in results:
        try:
            part = readers[kinds[0]](result, metric)
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(f"{result.path} is damaged: {type(error).__name__} {error}") from error
        whole = part
        found += part.scores
    if not found:
        raise ResultError(f"{results[0].path} holds no score")
    repeated = next((score.name for score in found if sum(score.name == other.name for other in found) > 1), None)
    if repeated is not None:
        raise ResultError(f"{repeated} has two scores in these files; name each method once")
    return replace(whole, scores=tuple(found))


def draw_scores(
    scores: ScoreSet, *, title: str | None = None, highlight: str | None = None, in_order: bool = False
) -> Figure:
    """Bars from the lowest to the highest, or in their order; `highlight` (by default the best) is dark, not hatched.

    Values stand above the bars, or above the interval where there is one.
    """
    rows = list(scores.scores) if in_order else sorted(scores.scores, key=lambda score: score.value)
    marked = max(rows, key=lambda score: score.value).name if highlight is None else highlight
    figure = new_figure(max(4.5, 0.95 * len(rows) + 1.2), 4.2)
    axes = figure.add_subplot()
    for place, score in enumerate(rows):
        own = score.name == marked
        axes.bar(
            place,
            score.value,
            width=0.72,
            color=ACCENT if own else PLAIN,
            edgecolor=INK,
            linewidth=0.8,
            hatch=None if own else "///",
            label=score.name,
        )
        end = score.value
        if score.low is not None and score.high is not None:
            ends = [[max(0.0, score.value - score.low)], [max(0.0, score.high - score.value)]]
            axes.errorbar([place], [score.value], yerr=ends, color=INK, capsize=4, linewidth=1.2)
            end = score.high
        axes.annotate(
            f"{score.value:.{scores.decimals}f}",
            (place, end),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=10,
            fontweight="bold" if own else "normal",
            color=INK,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "linewidth": 0},  # no grid line through a number
        )
    _label(axes, rows)
    axes.set_ylim(*_limits(scores))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_ylabel(scores.measure, fontsize=10, color=INK)
    plain_axes(axes, grid="y")
    if title:
        axes.set_title(title, fontsize=11, color=INK, loc="left")
    said = [f"lines: {scores.lines}"] if any(score.low is not None for score in rows) else []
    said += [f"n: {scores.counted}"] if any(score.count is not None for score in rows) else []
    if said:
        axes.annotate(
            "; ".join(said), (1, 1), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=SOFT
        )
    return figure


def _limits(scores: ScoreSet) -> tuple[float, float]:
    """Ends of the axis: room for every bar, line and number, those below zero and above the greatest score too."""
    ends = [value for score in scores.scores for value in (score.value, score.low, score.high) if value is not None]
    low, high = min([*ends, 0.0]), max([*ends, scores.top * 0.2])
    return low * 1.14, high * 1.14 if high > scores.top else min(scores.top * 1.08, high * 1.14)


def _label(axes: Any, rows: Sequence[Score]) -> None:
    """Names below the bars, slanted where they would touch, and what each score rests on."""
    names = [cut(score.name, 26) for score in rows]
    names = [
        name if score.count is None else f"{name}\nn = {score.count}" for name, score in zip(names, rows, strict=True)
    ]
    long = max(len(line) for name in names for line in name.split("\n")) > 12
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=30 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor" if long else "default",
    )


def _judged(result: ResultFile, _metric: str | None) -> ScoreSet:
    scores = []
    for method, row in result.content["summary"].items():
        if row["average_score"] is None:
            continue
        own = result.content.get("methods", {}).get(method, {}).get("mean") or {}  # of a judge of ours
        valid, total = int(row["valid_pairs"]), int(row["total_pairs"])
        count = f"{valid:,}" if valid == total else f"{valid:,} of {total:,}"
        scores.append(Score(method, float(row["average_score"]), own.get("low"), own.get("high"), count))
    return ScoreSet("mean score of the judge (0 to 10)", tuple(scores), 10.0, counted="pairs with a score")


def _retrieval(result: ResultFile, metric: str | None) -> ScoreSet:
    wanted = metric or "precision@1"
    scores = []
    for method, row in result.content["methods"].items():
        report = row["without_duplicates"]
        if report is None:
            continue
        if wanted not in report["metrics"]:
            raise ResultError(f"{result.path} has no metric {wanted}; it has {', '.join(report['metrics'])}")
        estimate = report["metrics"][wanted]
        count = f"{estimate['count']:,}"
        scores.append(Score(method, estimate["value"], estimate["low"], estimate["high"], count))
    return ScoreSet(wanted, tuple(scores), counted="queries")


def _triplets(result: ResultFile, metric: str | None) -> ScoreSet:
    wanted = metric or "conflict"
    whole = [
        row
        for row in result.content["accuracy"]
        if row["family"] is None and row["relation"] is None and row["kind"] == wanted
    ]
    if not whole:
        raise ResultError(f"{result.path} holds no {wanted} triplets")
    row = whole[0]
    score = Score(result.path.stem, row["value"], row["low"], row["high"], f"{row['count']:,}")
    return ScoreSet(f"accuracy on {wanted} triplets", (score,), counted="triplets")


def _pairs(result: ResultFile, metric: str | None) -> ScoreSet:
    encoders = list(result.content["encoders"])
    wanted = metric or encoders[0]
    if wanted not in encoders:
        raise ResultError(f"{result.path} has no encoder {wanted}; it has {', '.join(encoders)}")
    scores = []
    for method, row in result.content["methods"].items():
        spread = row["scores"][wanted]["all"]
        if spread is not None:
            mean, sd = spread["mean"], spread["sd"]
            low, high = (None, None) if sd is None else (mean - sd, mean + sd)
            scores.append(Score(method, mean, low, high, f"{spread['count']:,}"))
    measure = f"input and output alike, by {cut(wanted, 30)}"
    return ScoreSet(measure, tuple(scores), lines="± a standard deviation", counted="pairs")
