"""The sections of a report: tables and figures for each kind of result file, as ready HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from relsim.data.identity import printable
from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.evaluation.study import study_of
from relsim.figures.curves import curves_of, draw_training
from relsim.figures.markup import table, text
from relsim.figures.outcomes import draw_download
from relsim.figures.preferences import draw_preferences, preferences_of
from relsim.figures.report_explanation import explanation_section
from relsim.figures.report_judges import agreement_section, calibration_section, judge_section
from relsim.figures.report_matches import found_section
from relsim.figures.report_parts import (
    chart,
    comparisons,
    fact_table,
    folded,
    number,
    share,
    spread,
    with_range,
)
from relsim.figures.scores import draw_scores, scores_of
from relsim.figures.similarity_space import read_space
from relsim.figures.space_picture import draw_space

KINDS = {
    "triplets": "Triplets",
    "retrieval": "Retrieval",
    "retrieved": "Retrieval",
    "judge": "Judge",
    "judge_calibration": "Calibration of a judge",
    "judge_agreement": "A judge and people",
    "study": "Questions of a study",
    "study_results": "Study",
    "pairs": "Pairs of inputs and outputs",
    "mteb": "MTEB",
    "training": "Training",
    "train": "Training",
    "download": "Download",
    "space": "Similarity space",
    "xy": "Similarity space",
    "explain": "Why two pictures are alike",
}
"""Headings by kind of file (see `relsim.evaluation.result_files`)."""
_NEAREST = 10


def content_of(result: ResultFile) -> str:
    """The section of a file without its heading. Raises `ResultError` where the file is damaged."""
    try:
        return _MAKERS[result.kind](result)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{result.path} is damaged: {type(error).__name__} {error}") from error


def _triplets(result: ResultFile) -> str:
    content = result.content
    whole = [row for row in content["accuracy"] if row["family"] is None and row["relation"] is None]
    parts = [row for row in content["accuracy"] if row["family"] is not None]
    columns = ["kind", "accuracy", "0 to 100 %, dashed: chance", "95 % interval", "triplets"]
    made = table("Accuracy by kind", columns, [share(row["kind"], row) for row in whole])
    if parts:
        columns = ["kind and family", *columns[1:]]
        rows = [share(f"{row['kind']}, {row['family']}", row) for row in parts]
        made += folded("Accuracy by family", columns, rows)
    if content.get("missing"):
        made += text("p", f"{content['missing']:,} triplets were left out: a picture could not be used.", class_="note")
    return made


def _retrieval(result: ResultFile) -> str:
    content = result.content
    facts = (
        f"{content['asked']:,} queries among {content['database']:,} pictures, {content['distractors']:,} of them "
        f"distractors; seed {content['seed']}. Duplicates of a query are left out."
    )
    made = text("p", facts)
    reports = {name: row["without_duplicates"] for name, row in content["methods"].items() if row["without_duplicates"]}
    if reports:
        metrics = dict.fromkeys(metric for report in reports.values() for metric in report["metrics"])
        rows = [
            [escape(metric), *(with_range(report["metrics"].get(metric)) for report in reports.values())]
            for metric in metrics
        ]
        scores = scores_of([result])
        words = ", ".join(f"{score.name} {score.value:.2f}" for score in scores.scores)
        made += chart(draw_scores(scores), f"Bars of {scores.measure} with intervals: {words}.")
        made += table("Metrics, with 95 % intervals", ["metric", *(printable(name) for name in reports)], rows)
    return made + comparisons(content["comparisons"]) + found_section(result)


def _study(result: ResultFile) -> str:
    study = study_of(result)
    rows = [
        [
            escape(printable(f"{first} : {second}")),
            f"{sum(question.methods == {first, second} for question in study.questions):,}",
            f"{same:,}",
        ]
        for (first, second), same in zip(study.pairs, study.same, strict=True)
    ]
    lead = f"{len(study.questions):,} questions, {study.answers_wanted} answers wanted for each; seed {study.seed}."
    return text("p", lead) + table("Questions", ["first : second", "questions", "same picture by both"], rows)


def _study_results(result: ResultFile) -> str:
    content, made = result.content, ""
    if any(pair["answers"] for pair in content["pairs"]):
        preferences = preferences_of(result)
        words = "; ".join(
            f"{one.first} {100 * one.shares[0]:.1f} %, same {100 * one.shares[1]:.1f} %, "
            f"{one.second} {100 * one.shares[2]:.1f} %"
            for one in preferences
        )
        made = chart(draw_preferences(preferences), f"Stacked bars of what people preferred: {words}.")
    rows = []
    for pair in content["pairs"]:
        for name in ("first", "same", "second") if pair["shares"] else ():
            label = f"{pair['first']} : {pair['second']}, {'same' if name == 'same' else pair[name]}"
            rows.append(share(label, pair["shares"][name], str(pair["counts"][name])))
    columns = ["pair, and what was chosen", "share", "0 to 100 %, dashed: half", "95 % interval", "answers"]
    agreement = content["agreement"]
    facts = [
        ("people", f"{content['people']:,}"),
        ("answers", f"{content['answers']:,}"),
        ("questions with enough answers", f"{content['complete']:,} of {content['questions']:,}"),
        ("Fleiss' kappa", number(agreement["fleiss_kappa"])),
        ("Krippendorff's alpha", number(agreement["krippendorff_alpha"])),
        ("left one chosen", "" if content["left"] is None else f"{100 * content['left']['value']:.1f} %"),
    ]
    return made + table("Shares", columns, rows) + fact_table("People", facts)


def _pairs(result: ResultFile) -> str:
    content = result.content
    encoders = list(content["encoders"])
    rows = [
        [
            escape(printable(method)),
            *(spread(row["scores"][encoder]["all"]) for encoder in encoders),
            f"{row['pairs']:,}",
            f"{row['copies']:,}",
        ]
        for method, row in content["methods"].items()
    ]
    scores = scores_of([result])
    words = ", ".join(f"{score.name} {score.value:.2f}" for score in scores.scores)
    note = "Mean ± sample standard deviation. A copy of the input scores 1 and is no analogy."
    columns = ["method", *(printable(encoder) for encoder in encoders), "pairs", "copies"]
    return (
        chart(draw_scores(scores), f"Bars, {scores.measure}: {words}.")
        + table("Similarity of input and output", columns, rows)
        + text("p", note, class_="note")
    )


def _mteb(result: ResultFile) -> str:
    methods = result.content["methods"]
    tasks = sorted({task for row in methods.values() for task in row["tasks"]})
    rows = [
        [escape(printable(method)), *(number(row["tasks"].get(task, {}).get("ndcg_at_10"), 3) for task in tasks)]
        for method, row in methods.items()
    ]
    note = "Duplicates of a query count. An encoder without sentences has no figure where captions ask."
    return table("nDCG at 10 by task", ["method", *map(printable, tasks)], rows) + text("p", note, class_="note")


def _training(result: ResultFile) -> str:
    curves = curves_of(result)
    last = [(name, f"{points[-1][1]:.4g}", f"{points[-1][0]:,}") for name, points in sorted(curves.items())]
    words = ", ".join(f"{name} {value}" for name, value, _ in last)
    run = result.path.resolve().parent.name
    return chart(draw_training({run: curves}), f"Curves over the steps of the run; at the end {words}.") + table(
        "Last figures", ["figure", "value", "step"], [[escape(name), value, step] for name, value, step in last]
    )


def _train(result: ResultFile) -> str:
    content = result.content
    facts = [("folder", str(content["out"])), ("steps", f"{content['steps']:,}")]
    facts += [(f"held out: {name}", f"{value:.4g}") for name, value in content["metrics"].items()]
    return fact_table("Run", facts)


def _download(result: ResultFile) -> str:
    content = result.content
    total = max(int(content["rows"]), 1)
    rows = [[escape(name), f"{count:,}", f"{count / total:.1%}"] for name, count in content["statuses"].items()]
    words = ", ".join(f"{name} {count:,}" for name, count in content["statuses"].items())
    return chart(draw_download(result), f"Bars of rows by status: {words}.") + table(
        "Rows by status", ["status", "rows", "share"], rows
    )


def _space(result: ResultFile) -> str:
    space = read_space(result)
    quadrants: dict[str, int] = {}
    for point in space.points:
        quadrants[point.quadrant] = quadrants.get(point.quadrant, 0) + 1
    words = ", ".join(f"{count:,} {name}" for name, count in quadrants.items())
    best = [point for point in space.points if point.quadrant == "analogy"][:_NEAREST]
    rows = [[escape(printable(point.image_id)), f"{point.relational:.3f}", f"{point.attribute:.3f}"] for point in best]
    made = chart(
        draw_space(space), f"Pictures by look across and by relation upwards around the query; {words}.", pixels=True
    )
    return made + table("Nearest in relation among the analogies", ["picture", "relation", "look"], rows)


_MAKERS: Mapping[str, Callable[[ResultFile], str]] = {
    "triplets": _triplets,
    "retrieval": _retrieval,
    "retrieved": found_section,
    "judge": judge_section,
    "judge_calibration": calibration_section,
    "judge_agreement": agreement_section,
    "study": _study,
    "study_results": _study_results,
    "pairs": _pairs,
    "mteb": _mteb,
    "training": _training,
    "train": _train,
    "download": _download,
    "space": _space,
    "xy": _space,
    "explain": explanation_section,
}
