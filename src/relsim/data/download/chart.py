"""The picture of a download's outcomes: one bar for each status, as SVG that any browser shows.

The part of a bar that another run may get (`relsim.data.download.outcomes.MAY_COME_BACK`) has a colour of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from relsim.data.download.summary import Summary, outcome_lines
from relsim.data.records import Status

FILE_NAME = "outcomes.svg"
_WIDTH, _LEFT, _RIGHT, _TOP, _STEP, _BAR = 720, 120, 130, 76, 30, 18
_FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"
_KEPT, _BACK, _OTHER = "#2f855a", "#c05621", "#718096"
_INK, _SOFT = "#1a202c", "#4a5568"
_LEGEND = ((_KEPT, "kept"), (_BACK, "may come back (--retry)"), (_OTHER, "not to be had"))
_MB = 1e6


def draw(summary: Summary) -> str:
    """The SVG document."""
    lines = list(outcome_lines(summary.statuses, summary.rows))
    height = _TOP + _STEP * len(lines) + 44
    size = f'width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_WIDTH} {height}" font-family="{_FONT}">',
        f'<rect {size} fill="#ffffff"/>',
        f'<text x="20" y="30" font-size="17" font-weight="600" fill="{_INK}">{escape(_title(summary))}</text>',
        f'<text x="20" y="51" font-size="13" fill="{_SOFT}">{escape(_subtitle(summary))}</text>',
        '<g font-size="13">',
        *_bars(lines, summary.may_come_back),
        "</g>",
        *_legend(height - 16),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _title(summary: Summary) -> str:
    share = summary.ok / max(summary.rows, 1)
    return f"{_cut(summary.name, 40)}: {summary.ok:,} of {summary.rows:,} images ({share:.1%})"


def _subtitle(summary: Summary) -> str:
    hosts = "1 host" if summary.host_count == 1 else f"{summary.host_count:,} hosts"
    return f"{summary.bytes / _MB:,.1f} MB stored, {hosts}"


def _bars(lines: list[tuple[str, int, float]], back: Mapping[str, int]) -> Iterator[str]:
    room = _WIDTH - _LEFT - _RIGHT
    longest = max((rows for _, rows, _ in lines), default=1)
    for number, (name, rows, share) in enumerate(lines):
        top = _TOP + _STEP * number
        middle = top + _BAR - 5
        width = max(2.0, room * rows / longest)
        yield f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end" fill="{_INK}">{escape(name)}</text>'
        yield _bar(top, width, _KEPT if name == Status.OK.value else _OTHER)
        if name in back:
            yield _bar(top, width * back[name] / rows, _BACK)
        yield f'<text x="{_LEFT + width + 8:.1f}" y="{middle}" fill="{_SOFT}">{rows:,} ({share:.1%})</text>'


def _bar(top: int, width: float, colour: str) -> str:
    return f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'


def _legend(bottom: int) -> Iterator[str]:
    left = _LEFT
    for colour, text in _LEGEND:
        yield f'<rect x="{left}" y="{bottom - 10}" width="10" height="10" rx="2" fill="{colour}"/>'
        yield f'<text x="{left + 16}" y="{bottom - 1}" font-size="12" fill="{_SOFT}">{text}</text>'
        left += 40 + 7 * len(text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
