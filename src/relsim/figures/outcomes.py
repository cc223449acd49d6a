"""What became of the rows of a download, from its summary.json: bars by status and by host.

The parts that another run may get are hatched. A download draws a small picture of its own (`outcomes.svg`) without
matplotlib; this one is for papers and reports, and adds the hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relsim.data.download.outcomes import may_come_back
from relsim.errors import ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.figures.style import COLOURS, INK, PLAIN, SOFT, cut, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOSTS = 10


def draw_download(result: ResultFile, *, title: str | None = None) -> Figure:
    """Rows by status, most frequent first, and the hosts with the most rows with the share that came."""
    content = result.content
    try:
        statuses = {str(name): int(rows) for name, rows in content["statuses"].items()}
        back = may_come_back(statuses, content["codes"])
        hosts = list(content["hosts"].items())[:HOSTS]
        total, ok, name = int(content["rows"]), statuses.get("ok", 0), content["list"]["name"]
        host_count = int(content["host_count"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{result.path} is damaged: {type(error).__name__} {error}") from error
    rows = [max(1, len(statuses)), *([len(hosts)] if hosts else [])]
    figure = new_figure(7.6, 1.4 + 0.32 * sum(rows) + 0.6 * len(rows))
    panels = figure.subplots(len(rows), 1, height_ratios=[count + 1 for count in rows], squeeze=False).ravel()
    _statuses(panels[0], statuses, back, total)
    if hosts:
        _hosts(panels[1], hosts, host_count)
    figure.suptitle(
        title or f"{cut(name, 40)}: {ok:,} of {total:,} images ({ok / max(total, 1):.1%})",
        fontsize=11, color=INK,
    )  # fmt: skip
    return figure


def _statuses(axes: Axes, statuses: dict[str, int], back: dict[str, int], total: int) -> None:
    names = list(statuses)
    colours = [COLOURS[0] if name == "ok" else PLAIN for name in names]
    axes.barh(names, [statuses[name] for name in names], height=0.68, color=colours, edgecolor=INK, linewidth=0.8)
    coming = [name for name in names if back.get(name)]
    if coming:
        axes.barh(
            coming, [back[name] for name in coming], height=0.68, color=COLOURS[1], edgecolor=INK, linewidth=0.8,
            hatch="///", label="may come back (--retry)",
        )  # fmt: skip
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    for place, name in enumerate(names):
        _value(axes, statuses[name], place, f"{statuses[name]:,} ({statuses[name] / max(total, 1):.1%})")
    axes.invert_yaxis()
    axes.set_xlim(0, max(statuses.values(), default=1) * 1.22)
    axes.set_xlabel("rows", fontsize=9.5)
    plain_axes(axes)


def _hosts(axes: Axes, hosts: list[tuple[str, Any]], count: int) -> None:
    names = [cut(host, 34) for host, _ in hosts]
    axes.barh(
        names, [row["rows"] for _, row in hosts], height=0.68, color=PLAIN, edgecolor=INK, linewidth=0.8, label="rows"
    )
    axes.barh(
        names, [row["ok"] for _, row in hosts], height=0.68, color=COLOURS[0], edgecolor=INK, linewidth=0.8, label="ok"
    )
    for place, (_, row) in enumerate(hosts):
        _value(axes, row["rows"], place, f"{row['ok']:,} of {row['rows']:,}")
    axes.invert_yaxis()
    axes.set_xlim(0, max(row["rows"] for _, row in hosts) * 1.22)
    axes.set_xlabel(
        "rows by host" if len(hosts) == count else f"rows of the {len(hosts)} hosts that have most, of {count:,}",
        fontsize=9.5,
    )
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    plain_axes(axes)


def _value(axes: Axes, value: float, place: int, text: str) -> None:
    axes.annotate(text, (value, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, color=SOFT)
