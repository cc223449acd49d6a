"""The report of a curation as one HTML page that holds its pictures and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from relsim._version import __version__
from relsim.data.identity import printable
from relsim.figures.markup import THUMBNAIL, embedded, figure, interval, page, table, tag, text
from relsim.figures.pictures import small_picture

_Document = Mapping[str, Any]


def render(report: _Document) -> str:
    """The page of a report."""
    sections = [
        ("funnel", "What is left after each stage", _funnel(report["funnel"])),
        ("captions", "The captions", _captions(report)),
        ("leaks", "Captions that were rejected", _leaks(report["leaks"])),
        ("kept", "Some that were kept", _samples(report["samples"]["kept"])),
        ("rejected", "Some that were rejected", _samples(report["samples"]["rejected"])),
        ("settings", "Settings", _settings(report["settings"])),
    ]
    shown = [(name, heading, content) for name, heading, content in sections if content]
    links = tag(
        "nav",
        tag("ol", *(tag("li", text("a", heading, href=f"#{name}")) for name, heading, _ in shown)),
        aria_label="Contents",
    )
    header = tag("header", text("h1", "From images to anonymous captions"), _lead(report), links)
    body = tag(
        "main",
        *(
            tag("section", text("h2", heading, id=name), content, aria_labelledby=name)
            for name, heading, content in shown
        ),
    )
    footer = tag("footer", text("p", f"Made by relsim {__version__}.", class_="note"))
    return page("relsim: curation", header + body + footer, "report.css")


def _lead(report: _Document) -> str:
    made, taken = report["dataset"], report["funnel"][0]["taken"]
    if made is None:
        last = report["funnel"][-1]
        return text("p", f"Nothing is left of {taken:,} images after {last['stage']}.", class_="lead wrong")
    parts = "; ".join(
        f"{part}: captions {count['captions']:,}, images {count['images']:,}" for part, count in made["parts"].items()
    )
    return text("p", f"Of {taken:,} images. {parts}.", class_="lead")


def _funnel(rows: Sequence[_Document]) -> str:
    lines = []
    for row in rows:
        reasons = ", ".join(f"{count:,} {printable(reason)}" for reason, count in row["rejected"].items())
        share = f" ({row['kept'] / row['taken']:.1%})" if row["taken"] else ""
        lines.append(
            [
                escape(row["stage"]),
                escape(row["unit"]),
                f"{row['taken']:,}",
                f"{row['kept']:,}{share}",
                f"{row['taken'] - row['kept']:,}",
                escape(reasons),
            ]
        )
    return table("Kept and rejected", ["stage", "what is counted", "taken", "kept", "rejected", "why"], lines)


def _captions(report: _Document) -> str:
    found = {name: facts for name, facts in report["captions"].items() if facts is not None}
    if not found:
        return ""
    made = ""
    if report["captioner"] is not None:
        trained = report["captioner"]
        figures = "".join(f", {name} {value:.4g}" for name, value in trained["metrics"].items())
        made += text("p", f"By a captioner of {trained['steps']:,} steps, checkpoint {trained['checkpoint']}{figures}.")
    rows = [[name, f"{facts['captions']:,}", f"{facts['distinct']:,}", *_share(facts)] for name, facts in found.items()]
    made += table("Anonymous captions", ["captions", "count", "different", "anonymous", "with 95 % interval"], rows)
    spreads = [
        [f"{name}: {what}", *(str(facts[key]["quantiles"][q]) for q in ("0", "25", "50", "75", "100"))]
        for name, facts in found.items()
        for key, what in (("words", "words"), ("placeholders", "placeholders"))
    ]
    made += table(
        "Length and placeholders", ["of a caption", "least", "a quarter", "half", "three quarters", "most"], spreads
    )
    facts = found.get("kept", found["all"])
    made += _counts("Commonest captions", "caption", facts["commonest"])
    made += _counts("Commonest placeholders", "placeholder", facts["commonest_placeholders"])
    return made + _alike(facts)


def _share(facts: _Document) -> list[str]:
    share = facts["anonymous"]
    words = f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
    return [words, interval(share["low"], share["value"], share["high"], words)]


def _counts(title: str, what: str, counts: Mapping[str, int]) -> str:
    rows = [[escape(printable(name)), f"{count:,}"] for name, count in counts.items()]
    return table(title, [what, "captions"], rows) if rows else ""


def _alike(facts: _Document) -> str:
    if facts["near_duplicates"] is None:
        return text("p", "There are too many different captions to compare each with each.", class_="note")
    told = text("p", f"{facts['near_duplicates']:,} different captions say nearly what an earlier one says.")
    groups = [tag("li", *(text("p", printable(caption)) for caption in group)) for group in facts["alike"]]
    return text("h3", "Captions that say nearly the same") + told + (tag("ul", *groups) if groups else "")


def _leaks(leaks: Sequence[_Document]) -> str:
    rows = [
        [
            escape(leak["reason"]),
            f"{leak['captions']:,}",
            escape(printable(leak["examples"][0]["caption"])),
            escape(printable(", ".join(leak["examples"][0]["words"]))),
        ]
        for leak in leaks
    ]
    if not rows:
        return ""
    made = table("By reason", ["reason", "captions", "an example", "its words"], rows)
    for leak in leaks:
        examples = [text("li", printable(example["caption"])) for example in leak["examples"]]
        title = text("summary", f"{leak['reason']}: {len(examples):,} of {leak['captions']:,}")
        made += tag("details", title, tag("ul", *examples))
    return made


def _samples(rows: Sequence[_Document]) -> str:
    figures = []
    for row in rows:
        pixels = small_picture(row["source"], THUMBNAIL)
        name = printable(row["image_id"])
        picture = (
            text("div", "no picture", class_="missing", role="img", aria_label=name)
            if pixels is None
            else embedded(Image.fromarray(pixels), name)
        )
        lines = [text("span", printable(row["caption"]))] if row["caption"] else []
        if row["reason"]:
            why = ": ".join([row["reason"], *([", ".join(row["words"])] if row["words"] else [])])
            lines.append(text("span", printable(why), class_="wrong"))
        figures.append(figure(picture, *lines, text("code", name, class_="note")))
    return tag("div", *figures, class_="row five") if figures else ""


def _settings(settings: Mapping[str, _Document]) -> str:
    rows = [
        [escape(f"{stage}: {name}"), text("code", "not set" if fact is None else printable(str(fact)))]
        for stage, facts in settings.items()
        for name, fact in facts.items()
    ]
    return tag("details", text("summary", "All settings"), table("Settings", ["setting", "value"], rows))
