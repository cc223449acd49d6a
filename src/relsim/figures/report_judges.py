"""What a judge said, how far it agrees with people, and whether it goes by relations, as sections of a report."""

from __future__ import annotations

from html import escape
from typing import Any

from relsim.data.identity import printable
from relsim.evaluation.result_files import ResultFile
from relsim.figures.markup import table, text
from relsim.figures.report_parts import chart, comparisons, limits_of, number, share, with_range
from relsim.figures.scores import draw_scores, scores_of

_PAIRS = {
    "relation": "same relation, other look",
    "look": "same look, other relation",
    "both": "same relation and look",
    "neither": "neither",
}
_AREAS = {
    "all": "relation against none",
    "conflict": "relation against look",
    "aligned": "both against neither",
    "look": "look against none (0.5: looks are passed over)",
}


def judge_section(result: ResultFile) -> str:
    """Mean scores of methods with what they rest on, as bars and as a table, and differences."""
    content = result.content
    columns = ["method", "mean", "95 % interval", "queries", "least", "greatest", "pairs with a score"]
    rows = []
    for name, row in content["summary"].items():
        mean = content.get("methods", {}).get(name, {}).get("mean")  # of a judge of ours
        cells = [limits_of(mean), f"{mean['count']:,}"] if mean else ["", ""]
        ends = (number(row[key]) for key in ("min_score", "max_score"))
        valid = f"{row['valid_pairs']:,} of {row['total_pairs']:,}"
        rows.append([escape(printable(name)), number(row["average_score"]), *cells, *ends, valid])
    made = ""
    if any(row["average_score"] is not None for row in content["summary"].values()):
        scores = scores_of([result])
        words = ", ".join(f"{score.name} {score.value:.2f}" for score in scores.scores)
        made = chart(draw_scores(scores), f"Bars of the {scores.measure}: {words}.")
    return made + table("Scores", columns, rows) + comparisons(content.get("comparisons", []))


def calibration_section(result: ResultFile) -> str:
    """Whether a judge put drawn pairs right whose truth is known."""
    content = result.content
    lead = f"{content['pairs']:,} drawn pairs, {content['left_out']:,} of them without a score."
    columns = ["triplets", "put right", "0 to 100 %, dashed: chance", "95 % interval", "triplets"]
    right = [share(name, row) for name, row in content["accuracy"].items() if row is not None]
    means = [_measured(_PAIRS.get(kind, kind), row) for kind, row in content["means"].items()]
    areas = [_measured(_AREAS.get(name, name), row) for name, row in content["auc"].items()]
    bias = [_measured("query first less match first", content["order_bias"])]
    return (
        text("p", lead)
        + table("Triplets whose relation has the higher score", columns, right)
        + table("Mean scores (0 to 10)", ["pairs share", "mean", "queries"], means)
        + table("Areas under the curve", ["what is told apart", "area", "pairs"], areas)
        + table("Order", ["difference", "mean", "queries"], bias)
    )


def agreement_section(result: ResultFile) -> str:
    """How far a judge agrees with people."""
    content = result.content
    lead = (
        f"{content['pairs']:,} pairs of {content['queries']:,} queries, {content['ratings']:,} ratings of people; left "
        f"out: {content['human_only']:,} that were not judged, {content['without_score']:,} without a score."
    )
    names = {
        "weighted_kappa": "weighted kappa",
        "spearman": "Spearman's correlation",
        "mean_absolute_difference": "mean absolute difference (of 10)",
        "mean_difference": "judge less people (of 10)",
    }
    rows = [_measured(words, content[name]) for name, words in names.items()]
    return text("p", lead) + table("Agreement, with 95 % intervals", ["measure", "value", "pairs"], rows)


def _measured(name: str, row: Any) -> list[str]:
    """A measure, its value with the interval, and what it counts; empty where it has no meaning."""
    return [escape(printable(name)), with_range(row), "" if row is None else f"{row['count']:,}"]
