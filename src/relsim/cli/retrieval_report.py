"""What `relsim evaluate retrieval` tells people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relsim.cli.output import emit, note, note_failures, note_some, print_rows

if TYPE_CHECKING:
    from relsim.evaluation.comparisons import Comparison
    from relsim.evaluation.retrieval import RetrievalRun
    from relsim.evaluation.retrieval_tables import Filled
    from relsim.evaluation.statistics import Estimate
    from relsim.vectors.view import TableView

_REST = "retrieval.json lists all"


def report(run: RetrievalRun, filled: Mapping[str, Filled], out: Path) -> None:
    """Tables for people, and what they should know."""
    reasons = [one.reason for some in run.exclusions for one in some]
    left_out = f"{reasons.count('exact'):,} exact and {reasons.count('near'):,} near copies left out"
    asked = f"{len(run.queries):,} queries among {len(run.records):,} pictures, {left_out}"
    embedded = ", ".join(_embedded(name, one) for name, one in filled.items())
    note(f"{asked}{f'; {embedded}' if embedded else ''}")
    shown = _shown(run)
    rows = [
        [f"{value.value:.3f}", _interval(value), f"{value.count:,}", kept, name, method.name]
        for method in run.methods
        for name, value, kept in _metrics(method.distinct_report, method.kept_report)
        if name in shown
    ]
    if rows:
        print_rows(["value", "95 % interval", "queries", "with duplicates", "metric", "encoder"], rows)
    else:
        note(
            "no query has a picture of its label (field relation or group, or --label), so nothing is measured; labels "
            "come with a manifest (.jsonl), not with the folder of its images"
        )
    compared = [
        [f"{one.difference.value:+.3f}", _interval(one.difference), f"{one.p_holm:.4f}", one.metric, _pair(one)]
        for one in run.comparisons
        if one.metric in shown
    ]
    if compared:
        emit("")
        print_rows(["difference", "95 % interval", "p (Holm)", "metric", "encoders"], compared)
    emit(f"{out}: retrieved_images.json, retrieval.json")
    _tell(run)


def _embedded(name: str, one: Filled) -> str:
    anew = f" ({one.changed:,} of them anew: picture or caption had changed)" if one.changed else ""
    read = captions(one.table)
    by = "" if read is None else f" ({read['given']:,} captions were given, {read['written']:,} written)"
    return f"{one.summary.embedded:,} embedded by {name}{anew}{by}"


def _shown(run: RetrievalRun) -> tuple[str, ...]:
    """The metrics that a person sees; --json has all."""
    k = run.settings.top_k
    return ("precision@1", f"precision@{k}", f"recall@{k}", f"ndcg@{k}", "map")


def _pair(comparison: Comparison) -> str:
    return f"{comparison.first} - {comparison.second}"


def _metrics(distinct: Any, kept: Any) -> list[tuple[str, Estimate, str]]:
    """Each metric's name, its estimate without duplicates, and its value with them."""
    if distinct is None:
        return []
    beside = {} if kept is None else kept.metrics
    return [
        (name, value, f"{beside[name].value:.3f}" if name in beside else "") for name, value in distinct.metrics.items()
    ]


def _interval(value: Estimate) -> str:
    return f"{value.low:.3f} to {value.high:.3f}"


def _tell(run: RetrievalRun) -> None:
    """What a person should know: lists that are shorter than asked for, pictures and queries that were not used."""
    longest = len(run.records) - 1
    if run.settings.top_k > longest:
        note(f"relsim: lists have at most {longest:,} matches, for there are no more pictures to find")
    if run.unhashed:
        note(
            f"relsim: {run.unhashed:,} pictures could not be read again, so their duplicates are not known, nor "
            "whether they changed since they were embedded"
        )
    if run.unusable:
        note(f"{len(run.unusable):,} pictures could not be used")
    note_failures([one.failure for one in run.unusable], rest=_REST)
    for method in run.methods:
        if method.unmeasured:
            note(f"{len(method.unmeasured):,} pictures could not be measured by {method.name}")
            note_failures(method.unmeasured, rest=_REST)
    if run.left_out:
        note(f"{len(run.left_out):,} queries could not be asked")
    note_some([f"{lost.image_id}: {lost.reason}" for lost in run.left_out], rest=_REST)


def captions(table: TableView) -> dict[str, int] | None:
    """How many captions an encoder was given and how many it wrote, where it reads captions and that is known."""
    from relsim.evaluation.retrieval_tables import captions_read

    read = captions_read(table)
    return None if read is None else {"given": read[0], "written": read[1]}
