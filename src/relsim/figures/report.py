"""A report: result files of any kind on one HTML page that holds its figures and pictures and needs nothing else.

Each file gets a section, made by `relsim.figures.report_sections` for its kind. A file that is no result is named, with
the reason. The page is light or dark as the reader has it; figures are on white, and each says its values in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from relsim._version import __version__
from relsim.data.identity import printable
from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile, read_result, write_whole
from relsim.figures.heat_map import accuracies, draw_heat_map
from relsim.figures.markup import page, tag, text
from relsim.figures.report_parts import chart
from relsim.figures.report_sections import KINDS, content_of


def write_report(out: Path, paths: Sequence[Path], *, title: str = "Results") -> dict[Path, str]:
    """Write the page of these files; gives the reasons of those that are not on it. Raises `ResultError`.

    At least one must be a result.
    """
    results, unknown = [], {}
    for path in paths:
        try:
            results.append(read_result(path))
        except ResultError as error:
            unknown[path] = str(error)
    if not results:
        raise ResultError(f"none of these files is a result: {next(iter(unknown.values()), 'none is named')}")
    html, damaged = render(results, unknown, title=title)
    write_whole(out, html.encode("utf-8", "backslashreplace"))
    return unknown | damaged


def render(
    results: Sequence[ResultFile], unknown: Mapping[Path, str], *, title: str = "Results"
) -> tuple[str, dict[Path, str]]:
    """The page, and the reasons of those files whose content turned out to be damaged; they are named on it too."""
    sections: list[str] = []
    links: list[tuple[str, str]] = []
    damaged: dict[Path, str] = {}
    for result in results:
        name = f"part-{len(links) + 1}"
        heading = f"{KINDS[result.kind]}: {printable(_short(result.path))}"
        try:
            content = content_of(result)
        except ResultError as error:
            damaged[result.path] = str(error)
            continue
        links.append((name, heading))
        where = tag("p", "From ", text("code", printable(str(result.path))), ".", class_="note")
        sections.append(_section(name, heading, where + content))
    together = _triplets_together([result for result in results if result.path not in damaged])
    if together:
        links.append(("triplets-together", "Triplets side by side"))
        sections.append(_section(*links[-1], together))
    left_out = {**unknown, **damaged}
    if left_out:
        links.append(("not-shown", "Not shown"))
        reasons = [
            tag("li", text("code", printable(str(path))), escape(f": {printable(reason)}"))
            for path, reason in left_out.items()
        ]
        sections.append(_section(*links[-1], tag("ul", *reasons)))
    contents = tag(
        "nav",
        tag("ol", *(tag("li", text("a", heading, href=f"#{name}")) for name, heading in links)),
        aria_label="Contents",
    )
    count = f"{len(links) - bool(together) - bool(left_out)} result files."
    header = tag("header", text("h1", title), text("p", count, class_="lead"), contents)
    footer = tag("footer", text("p", f"Made by relsim {__version__}.", class_="note"))
    return page(title, header + tag("main", *sections) + footer, "report.css"), damaged


def _section(name: str, heading: str, content: str) -> str:
    return tag("section", text("h2", heading, id=name), content, aria_labelledby=name)


def _triplets_together(results: Sequence[ResultFile]) -> str:
    """A heat map of all triplet files, where there are several that name families."""
    named: dict[str, ResultFile] = {}
    for result in results:
        if result.kind == "triplets":
            stem = result.path.stem
            named[stem if stem not in named else str(result.path)] = result
    if len(named) < 2:
        return ""
    try:
        names, found = accuracies(named)
        best = {name: max(found, key=lambda encoder: found[encoder].get(name, -1.0)) for name in names}
        words = "; ".join(f"{name}: {encoder} {100 * found[encoder][name]:.0f} %" for name, encoder in best.items())
        return chart(draw_heat_map(named), f"Accuracy on conflict triplets by family and encoder. The best: {words}.")
    except ResultError:
        return ""


def _short(path: Path) -> str:
    """A file by its name and the folder it lies in, because names of result files repeat."""
    return str(Path(path.resolve().parent.name) / path.name)
