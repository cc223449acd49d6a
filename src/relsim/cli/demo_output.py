"""The results of the demo's steps as the terminal shows them."""

from __future__ import annotations

from functools import singledispatch

from relsim.cli.output import emit, print_rows
from relsim.demo.results import Captioned, Drawn, Embedded, Measured, Picture, Scored, Searched, Skipped


@singledispatch
def print_result(result: object) -> None:
    """Print the result of a step to stdout."""
    raise TypeError(f"no way to show a {type(result).__name__} is registered")


@print_result.register
def _(result: Drawn) -> None:
    emit(f"{result.pictures:,} pictures of {result.relations} relations, {result.triplets:,} triplets")


@print_result.register
def _(result: Scored) -> None:
    rows = [
        [
            f"{pair.relational:.3f}",
            "" if pair.percentile is None else f"{pair.percentile:.1f} %",
            f"{pair.attribute:.3f}",
            pair.about,
        ]
        for pair in result.pairs
    ]
    print_rows(["relation", "above unrelated", "look", "the two pictures share"], rows)


@print_result.register
def _(result: Captioned) -> None:
    for picture, caption in result.captions:
        emit(f"{picture.logic}: {caption}")


@print_result.register
def _(result: Embedded) -> None:
    for table in result.tables:
        speed = table.rows / table.seconds if table.seconds else 0.0
        emit(f"{table.path}: {table.rows:,} vectors by {table.checkpoint}, {speed:,.0f} pictures a second")


@print_result.register
def _(result: Searched) -> None:
    query = f"a picture of {result.query.logic}" if isinstance(result.query, Picture) else f'"{result.query}"'
    emit(f"query: {query}")
    for ranking in result.rankings:
        right = sum(match.picture.relation == result.relation for match in ranking.matches)
        shown = ", ".join(match.picture.logic for match in ranking.matches)
        emit(f"{ranking.title}: {right} of {len(ranking.matches)} share the relation ({shown})")


@print_result.register
def _(result: Measured) -> None:
    rows = []
    for name, report in result.reports:
        for kind, estimate in report.kinds.items():
            interval = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
            rows.append([f"{100 * estimate.value:.1f} %", interval, f"{estimate.count:,}", kind, name])
    print_rows(["accuracy", "95 % interval", "triplets", "kind", "encoder"], rows)


@print_result.register
def _(result: Skipped) -> None:
    emit(f"left out: {result.reason}")
