"""The report of a demo: one HTML file that holds its pictures and styles and needs no network and no script."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from functools import singledispatch
from html import escape
from pathlib import Path

from relsim._version import __version__
from relsim.demo.chapters import Told
from relsim.demo.results import (
    Captioned,
    Drawn,
    Embedded,
    Match,
    Measured,
    Picture,
    Ranking,
    Scored,
    Searched,
    Skipped,
)
from relsim.errors import RelsimError
from relsim.evaluation.statistics import Estimate
from relsim.figures.markup import figure, interval, page, table, tag, text, thumbnail
from relsim.files import flush, temporary_beside
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES, PUBLISHED

REPORT = "report.html"

_ROLES = {
    DEFAULT: "trained on anonymous captions: how pictures work",
    DEFAULT_ATTRIBUTES: "trained on captions with names: what pictures show",
    "descriptors": "colours and edges, nothing learned",
}
_KINDS = {
    "conflict": "look points the wrong way",
    "aligned": "look points the right way",
    "control": "look says nothing",
}


def write_report(path: Path, told: Sequence[Told]) -> None:
    """Write the page of these steps, the whole file or nothing. Raises `RelsimError` where it cannot be written."""
    page = render(told)
    try:
        with temporary_beside(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    except OSError as error:
        raise RelsimError(f"the report cannot be written to {path}: {error.strerror or error}") from error


def render(told: Sequence[Told]) -> str:
    """The page as HTML."""
    contents = tag(
        "nav",
        tag(
            "ol",
            *(tag("li", text("a", step.chapter.title, href=f"#{step.chapter.name}")) for step in told),
        ),
        aria_label="Contents",
    )
    body = tag("header", _opening(told), contents) + tag("main", *map(_section, told)) + tag("footer", _closing(told))
    return page("relsim: what works alike", body)


def _opening(told: Sequence[Told]) -> str:
    """Title, what relsim is for, and the one figure that says whether it works."""
    parts = [
        text("h1", "Alike in how they work, not in how they look"),
        text(
            "p",
            "relsim measures relational similarity: two pictures are alike when the relations among their parts "
            "correspond, whatever the parts are. Everything below was computed on this machine, on pictures that were "
            "drawn for the purpose, so that the truth is known.",
            class_="lead",
        ),
    ]
    measured = next((step.result for step in told if isinstance(step.result, Measured)), None)
    if measured is not None:
        cards = [_headline(name, report.kinds["conflict"]) for name, report in measured.reports]
        count = measured.reports[0][1].kinds["conflict"].count
        parts.append(tag("dl", *cards, class_="headlines"))
        parts.append(
            text(
                "p",
                f"Share of {count:,} conflict triplets in which the picture with the same relation and another look is "
                "nearer than the one with the same look and another relation; chance is 50 %.",
                class_="note",
            )
        )
    return "".join(parts)


def _headline(name: str, estimate: Estimate) -> str:
    return tag(
        "div",
        text("dt", name),
        text("dd", f"{100 * estimate.value:.1f} %", class_="number"),
        text("dd", f"95 % interval {_range(estimate)}"),
        text("dd", _ROLES.get(name, "")),
    )


def _section(step: Told) -> str:
    chapter = step.chapter
    commands = "\n".join(f"relsim {shlex.join(command)}" for command in chapter.commands)
    return tag(
        "section",
        tag("h2", text("span", f"{chapter.number}", class_="count"), escape(f" {chapter.title}"), id=chapter.name),
        text("p", chapter.lead),
        _shown(step.result),
        tag(
            "details",
            text("summary", f"By hand ({_took(step.seconds)} here)"),
            tag("pre", text("code", commands), tabindex="0", role="region", aria_label=f"Commands: {chapter.title}"),
            open="",
        ),
        aria_labelledby=chapter.name,
    )


@singledispatch
def _shown(result: object) -> str:
    """The result of a step."""
    raise NotImplementedError(type(result).__name__)


@_shown.register
def _(result: Drawn) -> str:
    summary = (
        f"{result.pictures:,} pictures of {result.relations} relations; {result.triplets:,} triplets are among them. "
        "One picture of each relation:"
    )
    pictures = [figure(_picture(picture), escape(picture.logic)) for picture in result.some]
    return text("p", summary) + tag("div", *pictures, class_="wall")


@_shown.register
def _(result: Scored) -> str:
    cards = []
    for pair in result.pairs:
        facts = [("relational score", f"{pair.relational:.3f}")]
        if pair.percentile is not None:
            facts.append(("above", f"{pair.percentile:.1f} % of unrelated pairs"))
        facts.append(("attribute score", f"{pair.attribute:.3f}"))
        cards.append(
            tag(
                "article",
                text("h3", pair.about.capitalize()),
                tag(
                    "div",
                    *(figure(_picture(one), escape(one.logic)) for one in (pair.first, pair.second)),
                    class_="two",
                ),
                tag("dl", *(tag("div", text("dt", name), text("dd", value)) for name, value in facts), class_="facts"),
                class_="card",
            )
        )
    return tag("div", *cards, class_="cards")


@_shown.register
def _(result: Captioned) -> str:
    pictures = [figure(_picture(picture), text("q", caption), _truth(picture)) for picture, caption in result.captions]
    return tag("div", *pictures, class_="row four")


@_shown.register
def _(result: Embedded) -> str:
    rows = [
        [
            text("code", made.path.name),
            escape(made.checkpoint),
            f"{made.rows:,}",
            f"{made.rows / made.seconds:,.0f}" if made.seconds else "",
        ]
        for made in result.tables
    ]
    return table("Tables of the gallery", ["table", "checkpoint", "vectors", "pictures a second"], rows)


@_shown.register
def _(result: Skipped) -> str:
    return text("p", f"Left out: {result.reason}", class_="note")


@_shown.register
def _(result: Searched) -> str:
    if isinstance(result.query, Picture):
        query = figure(_picture(result.query), escape(result.query.logic), class_="picture query")
    else:
        query = text("blockquote", result.query)
    return tag("div", query, class_="asked") + "".join(_ranking(part, result.relation) for part in result.rankings)


def _ranking(ranking: Ranking, relation: str) -> str:
    right = sum(match.picture.relation == relation for match in ranking.matches)
    count = f"{right} of {len(ranking.matches)} show the relation asked for"
    pictures = [
        tag("li", figure(_picture(match.picture), _verdict(match.picture.relation == relation, match.picture.logic),
                         tag("span", _numbers(match), class_="numbers")))
        for match in ranking.matches
    ]  # fmt: skip
    return text("h3", ranking.title) + text("p", count, class_="note") + tag("ol", *pictures, class_="row five")


def _numbers(match: Match) -> str:
    named = (("relation", match.relational), ("look", match.attribute))
    return " ".join(text("span", f"{name} {value:.3f}") for name, value in named if value is not None)


def _verdict(right: bool, logic: str) -> str:  # noqa: FBT001 - one fact, named by the parameter
    """The truth in words and by a mark, never by colour alone."""
    mark = "✓ " if right else "✗ "
    return text("span", f"{mark}{logic}", class_="right" if right else "wrong")


@_shown.register
def _(result: Measured) -> str:
    names = ("anchor", "same relation, different look", "same look, another relation")
    example = [
        figure(_picture(picture), text("strong", name), text("span", picture.logic))
        for name, picture in zip(names, result.example, strict=True)
    ]
    columns = ["encoder", "accuracy", "0 to 100 %, dashed: chance", "95 % interval", "triplets"]
    tables = "".join(
        table(f"{kind.capitalize()} triplets: {meaning}", columns,
              [_accuracy_row(name, report.kinds[kind]) for name, report in result.reports if kind in report.kinds])
        for kind, meaning in _KINDS.items()
    )  # fmt: skip
    return tag("div", *example, class_="row three") + tables


def _accuracy_row(name: str, estimate: Estimate) -> list[str]:
    percent = f"{100 * estimate.value:.1f} %"
    drawing = interval(estimate.low, estimate.value, estimate.high, f"{percent}, interval {_range(estimate)}")
    return [escape(name), percent, drawing, _range(estimate), f"{estimate.count:,}"]


def _picture(picture: Picture) -> str:
    return thumbnail(picture.path, f"{picture.description}. It shows: {picture.logic}.")


def _truth(picture: Picture) -> str:
    return text("span", f"truth: {picture.logic}", class_="numbers")


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else "under 0.1 s"


def _range(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _closing(told: Sequence[Told]) -> str:
    seconds = sum(step.seconds for step in told)
    return text(
        "p",
        f"The networks of this demo ({DEFAULT} and its relatives) have a few million parameters and know drawings like "
        f"these, not photographs. For photographs name the published checkpoint: --checkpoint {PUBLISHED}.",
    ) + text("p", f"relsim {__version__}, {seconds:.0f} s on {platform.machine()} {platform.system()}.", class_="note")
