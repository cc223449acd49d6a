"""Pieces of a page: HTML that needs nothing beside itself. Text is escaped here and nowhere else."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from PIL import Image

THUMBNAIL = 176
"""Pixels of a thumbnail's longer side; it is shown at most that wide."""


_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content Security Policy: a browser asks for nothing and runs nothing, whatever stands in the page."""


def tag(name: str, *content: str, **attributes: str) -> str:
    """An element around ready HTML. `class_` is the attribute class; attribute values are escaped."""
    pairs = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{pairs}>{''.join(content)}</{name}>"


def text(name: str, content: str, **attributes: str) -> str:
    """An element around plain text."""
    return tag(name, escape(content), **attributes)


def page(title: str, body: str, *styles: str) -> str:
    """A whole page around ready HTML, light or dark as the reader has it, and fit for print.

    Its style is page.css of this folder, and of this folder the files named in `styles`.
    """
    folder = files("relsim.figures")
    style = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", *styles))
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>'
        f"<style>{style}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def thumbnail(path: Path, alternative: str) -> str:
    """A small copy of a picture within the page."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return embedded(image, alternative)


def embedded(image: Image.Image, alternative: str) -> str:
    """An RGB picture as it is within the page."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=4)
    size = {"width": str(image.width), "height": str(image.height)}
    return data_image(buffer.getvalue(), "image/webp", alternative, **size)


def data_image(data: bytes, media_type: str, alternative: str, **attributes: str) -> str:
    """An image element that holds its own bytes."""
    source = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    pairs = {"src": source, "alt": alternative, **attributes}
    return "<img " + " ".join(f'{key}="{escape(value)}"' for key, value in pairs.items()) + ">"


def figure(picture: str, *captions: str, class_: str = "picture") -> str:
    """A picture with lines of ready HTML below it."""
    return tag("figure", picture, tag("figcaption", *captions), class_=class_)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading and a table of ready HTML cells; the first cell of a row names it.

    Only the table scrolls where it is too wide, and it can do so by keyboard.
    """
    head = tag("thead", tag("tr", *(text("th", column, scope="col") for column in columns)))
    lines = (tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows)
    whole = tag("table", head, tag("tbody", *lines))
    return text("h3", title) + tag("div", whole, class_="scroll", role="region", aria_label=title, tabindex="0")


def interval(low: float, value: float, high: float, label: str) -> str:
    """A share from 0 to 1 with its interval as a small drawing; `label` says the same in words."""
    left, middle, right = (6 + 188 * share for share in (low, value, high))
    return (
        f'<svg class="interval" viewBox="0 0 200 20" role="img" aria-label="{escape(label)}">'
        '<line class="axis" x1="6" y1="10" x2="194" y2="10"/>'
        '<line class="chance" x1="100" y1="2" x2="100" y2="18"/>'
        f'<line class="range" x1="{left:.1f}" y1="10" x2="{right:.1f}" y2="10"/>'
        f'<circle class="value" cx="{middle:.1f}" cy="10" r="5"/></svg>'
    )
