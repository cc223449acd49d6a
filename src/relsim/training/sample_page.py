"""The page of a run's sample captions: one HTML file that holds its pictures and styles, without network or script."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from relsim.errors import TrainingError
from relsim.files import flush, temporary_beside
from relsim.training.crops import Squares

THUMBNAIL = 192
"""Pixels of a picture's side on the page, at most."""

Row = Mapping[str, Any]
_PARTS = {"held_out": "Held out", "trained": "Trained on"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --paper: #fbfaf7; --soft: #63615b; --line: #d9d6cd;
  --fault: #a03216; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ecebe6; --paper: #191917; --soft: #a5a299; --line: #3b3934; --fault: #f2a081; }
}
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 0; }
h3 { font-size: 1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p { margin: .25rem 0; } .soft { color: var(--soft); }
article { display: grid; grid-template-columns: 12rem minmax(0, 1fr); gap: 1.25rem; padding: 1.25rem 0;
  border-bottom: 1px solid var(--line); }
img { width: 12rem; height: auto; border-radius: 4px; }
.scroll { overflow: auto; max-height: 28rem; margin-top: .75rem; } .scroll:focus-visible { outline: 2px solid; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; } th:first-child { width: 4.5rem; }
th, td { text-align: left; vertical-align: top; overflow-wrap: anywhere;
  padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--paper); font-weight: 600; border-top: 0; }
tbody th { font-weight: 400; font-variant-numeric: tabular-nums; white-space: nowrap; }
.verdict { display: block; font-size: .875rem; color: var(--soft); } .fault { color: var(--fault); }
@media (max-width: 40rem) { article { grid-template-columns: minmax(0, 1fr); } }
"""


def write_page(path: Path, run: str, rows: Sequence[Row], find: Callable[[str, str], Squares | None]) -> None:
    """Write the page of a run from the lines of its samples, the whole file or nothing.

    `find` gives the square of a part and an id, None where it is gone. Raises `TrainingError`.
    """
    page = render(run, rows, find)
    try:
        with temporary_beside(path) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
            flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error}") from error


def render(run: str, rows: Sequence[Row], find: Callable[[str, str], Squares | None]) -> str:
    """The page: a section for each part, an article for each picture, the captions of the newest step first."""
    pictures: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        pictures.setdefault((row["part"], row["image_id"]), []).append(row)
    sections = []
    for part, title in _PARTS.items():
        articles = [_article(times, find(*key)) for key, times in pictures.items() if key[0] == part]
        if articles:
            sections.append(f"<section><h2>{title}</h2>{''.join(articles)}</section>")
    last = max((row["step"] for row in rows), default=0)
    title = f"Sample captions of {escape(run)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f'<p class="soft">After {last:,} steps. Greedy: the most probable words. Drawn: by chance, the same each time.'
        f" Below each caption: whether it is anonymous.</p>{''.join(sections)}</main></body></html>\n"
    )


def _article(times: Sequence[Row], square: Squares | None) -> str:
    about = times[-1]
    true = "".join(f"<p>{escape(caption)}</p>" for caption in about["captions"])
    group = "" if about["group"] is None else f'<p class="soft">group {escape(about["group"])}</p>'
    lines = "".join(
        f'<tr><th scope="row">{row["step"]:,}</th><td>{_said(row["greedy"])}</td><td>{_said(row["drawn"])}</td></tr>'
        for row in sorted(times, key=lambda row: -row["step"])
    )
    name = escape(about["image_id"])
    return (
        f"<article><div>{_picture(square, about)}</div><div><h3>{name}</h3>{group}{true}"
        f'<div class="scroll" role="region" tabindex="0" aria-label="Captions of {name} by step"><table><thead><tr>'
        '<th scope="col">Step</th><th scope="col">Greedy</th><th scope="col">Drawn</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div></div></article>"
    )


def _said(said: Row) -> str:
    faults = (f"{item['word']} ({item['kind']})" if item["word"] else item["kind"] for item in said["findings"])
    verdict = "anonymous" if said["anonymous"] else f"not anonymous: {', '.join(faults)}"
    kind = "verdict" if said["anonymous"] else "verdict fault"
    return f'{escape(said["caption"]) or "(nothing)"}<span class="{kind}">{escape(verdict)}</span>'


def _picture(square: Squares | None, about: Row) -> str:
    if square is None:
        return '<p class="soft">This picture is no longer among those of the run.</p>'
    image = Image.fromarray(square)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=4)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alternative = escape(f"Picture {about['image_id']}: {about['captions'][0]}")
    return (
        f'<img src="data:image/webp;base64,{data}" alt="{alternative}" width="{image.width}" height="{image.height}">'
    )
